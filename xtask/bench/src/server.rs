//! The server under measurement: its own process, a fresh data directory, its account by the
//! operating system.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use bench::{link::Identity, now};

/// Targets of one import.
const IMPORT_ROWS_MAX: u32 = 2_000;
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// No start is waited for longer.
const READY_MAX: Duration = Duration::from_secs(300);
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// What the sign-in at the start took is given back by then: an empty server is looked at later.
pub(crate) const SETTLE: Duration = Duration::from_secs(10);

pub(crate) struct Server {
    process: Child,
    scratch: PathBuf,
    /// host:port of the API and of the agents' door.
    http: String,
    door: String,
    key: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_dir_all(&self.scratch).ok();
    }
}

impl Server {
    pub(crate) fn start(programs: &Path) -> anyhow::Result<Server> {
        let scratch = std::env::temp_dir().join(format!("faultline-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch).context("cannot make a folder for the data")?;
        let process = spawn(programs, &scratch)?;
        let mut server = Server {
            process,
            scratch,
            http: String::new(),
            door: String::new(),
            key: String::new(),
        };
        server.announced()?;
        server.key = fs::read_to_string(server.data().join("keys/local-api.key"))
            .context("no API key")?
            .trim()
            .to_owned();
        Ok(server)
    }

    /// Kills the process and starts another one on the same data; returns the seconds from its
    /// start until it says that it is ready.
    pub(crate) fn killed_and_started(&mut self, programs: &Path) -> anyhow::Result<f64> {
        self.process.kill().context("cannot kill the server")?;
        self.process.wait().context("cannot wait for the server")?;
        let begun = now();
        self.process = spawn(programs, &self.scratch)?;
        self.announced()?;
        while !self.is_ready()? {
            if READY_MAX < begun.elapsed() {
                bail!("the server is not ready after {} s", READY_MAX.as_secs());
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Waits for the line that names the addresses.
    fn announced(&mut self) -> anyhow::Result<()> {
        let stdout = self.process.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("the server's output broke off")?;
        let announced: Value = serde_json::from_str(&line)
            .with_context(|| format!("the server did not start: {line}"))?;
        let field = |name: &str| announced.get(name).and_then(Value::as_str).unwrap_or_default();
        self.http = field("http_url").trim_start_matches("http://").to_owned();
        self.door = field("agent_address").to_owned();
        Ok(())
    }

    fn is_ready(&self) -> anyhow::Result<bool> {
        let mut stream = TcpStream::connect(&self.http).context("/readyz")?;
        stream.set_read_timeout(Some(ANSWER_MAX)).context("/readyz")?;
        write!(stream, "GET /readyz HTTP/1.0\r\nhost: {}\r\n\r\n", self.http)?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).context("/readyz")?;
        Ok(answer.split(' ').nth(1) == Some("200"))
    }

    /// How many targets the server shows.
    pub(crate) fn targets(&self) -> anyhow::Result<u64> {
        let page = self.call("GET", "/targets?limit=1", "")?;
        page.get("total").and_then(Value::as_u64).context("no total")
    }

    fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    /// Has so many targets watched by every agent.
    pub(crate) fn watch(&self, probes: u32, interval: Duration) -> anyhow::Result<()> {
        let tier = json!({
            "name": "bench", "interval_s": interval.as_secs(), "packets": 5, "gap_ms": 200,
            "timeout_ms": 1000,
            "payload_bytes": 56, "strategy": "all", "lost_raise": 7, "lost_clear": 2,
            "rtt_us_raise": 150_000, "rtt_us_clear": 120_000,
        });
        self.call("POST", "/tiers", &tier.to_string())?;
        let mut first = 1;
        while first <= probes {
            let last = probes.min(first + IMPORT_ROWS_MAX - 1);
            let rows: Vec<Value> = (first..=last).map(target).collect();
            let report = self.call(
                "POST",
                "/targets/import?dry_run=false",
                &Value::Array(rows).to_string(),
            )?;
            if report.get("created").and_then(Value::as_u64) != Some(u64::from(last - first + 1)) {
                bail!("the import did not create all targets: {report}");
            }
            first = last + 1;
        }
        Ok(())
    }

    /// Lets an agent in as an operator would; gives its folder.
    pub(crate) fn enroll_state(&self, programs: &Path, number: u32) -> anyhow::Result<PathBuf> {
        let name = format!("agent{number}");
        let made = self.call("POST", "/agents", &json!({ "name": name }).to_string())?;
        let token = made.get("token").and_then(Value::as_str).context("no token")?;
        let state = self.scratch.join(&name);
        let enrolled = Command::new(programs.join("faultline-agent"))
            .args(["enroll", token, "--state-dir"])
            .arg(&state)
            .output()
            .context("cannot start `faultline-agent`")?;
        if !enrolled.status.success() {
            bail!("{name} could not enrol: {}", String::from_utf8_lossy(&enrolled.stderr).trim());
        }
        Ok(state)
    }

    /// As [`Server::enroll_state`]; gives what a session of the agent needs.
    pub(crate) fn enroll(&self, programs: &Path, number: u32) -> anyhow::Result<Identity> {
        Identity::load(number, &self.door, &self.enroll_state(programs, number)?)
    }

    /// How many rounds the server shows of a target.
    pub(crate) fn rounds_of(&self, number: u32) -> anyhow::Result<u64> {
        let found = self.call("GET", &format!("/targets?q={}", name(number)), "")?;
        let id = found.pointer("/items/0/id").and_then(Value::as_u64).context("no such target")?;
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let path = format!("/targets/{id}/rounds?limit=500{cursor}");
            let page = self.call("GET", &path, "")?;
            count += page.get("items").and_then(Value::as_array).map_or(0, Vec::len) as u64;
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(count),
            }
        }
    }

    /// What the API says of a path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, "")
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// How many agents the server holds to be online.
    pub(crate) fn agents_online(&self) -> anyhow::Result<u64> {
        let overview = self.call("GET", "/overview", "")?;
        overview.pointer("/agents/online").and_then(Value::as_u64).context("no count of agents")
    }

    /// Bytes that the log takes now.
    pub(crate) fn log_bytes(&self) -> anyhow::Result<u64> {
        let files = fs::read_dir(self.data().join("log")).context("no log")?;
        Ok(files.flatten().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum())
    }

    /// Bytes of the database, without its write-ahead log.
    pub(crate) fn database_bytes(&self) -> anyhow::Result<u64> {
        Ok(fs::metadata(self.data().join("faultline.db")).context("no database")?.len())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let context = || format!("{method} {path}");
        let mut stream = TcpStream::connect(&self.http).with_context(context)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).with_context(context)?;
        write!(
            stream,
            "{method} /api/v1{path} HTTP/1.0\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.http,
            self.key,
            body.len()
        )
        .with_context(context)?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).with_context(context)?;
        let (head, body) = answer.split_once("\r\n\r\n").with_context(context)?;
        if !head.split(' ').nth(1).unwrap_or_default().starts_with('2') {
            bail!("{method} {path}: {head}\n{body}");
        }
        serde_json::from_str(if body.is_empty() { "null" } else { body }).with_context(context)
    }
}

fn spawn(programs: &Path, scratch: &Path) -> anyhow::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(scratch.join("server.log"));
    Command::new(programs.join("faultline"))
        .args(["server", "--announce-json", "--http-listen=127.0.0.1:0"])
        .args(["--agent-listen=127.0.0.1:0", "--data-dir"])
        .arg(scratch.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.context("cannot make a log")?)
        .spawn()
        .context("cannot start the server")
}

fn name(number: u32) -> String {
    format!("t{number:07}")
}

/// Never asked by anybody: an address of the range for benchmarks.
fn target(number: u32) -> Value {
    let [_, high, middle, low] = number.to_be_bytes();
    let address = format!("198.{}.{middle}.{low}", 18 + (high & 1));
    json!({ "name": name(number), "address": address, "tier": "bench" })
}
