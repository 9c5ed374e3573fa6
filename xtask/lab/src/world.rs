//! The processes of a world: a server, enrolled agents, and what they watch.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{BufRead, BufReader},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::{
    api::{Api, text},
    clock, net,
    network::{AGENTS, Family, Network, TARGETS, agent_namespace},
};

/// First rounds at 5 s, spread over the interval, two good ones, and time to connect.
pub(crate) const SETTLE_MAX: Duration = Duration::from_secs(60);
/// Who runs an agent that has no privileges.
const NOBODY: u32 = 65534;

/// How an agent is allowed to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// As root, by raw sockets.
    Root,
    /// As nobody, by datagram sockets.
    Datagram,
    /// As nobody, and datagram sockets are closed to it too.
    None,
}

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) api: Api,
    programs: PathBuf,
    scratch: PathBuf,
    // Ended in this order: agents first.
    agents: Vec<Agent>,
    _server: Running,
}

struct Agent {
    number: u32,
    rights: Rights,
    process: Option<Running>,
}

/// A process that ends with its owner.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn target_name(n: u32) -> String {
    format!("t{n:02}")
}

pub(crate) fn agent_name(n: u32) -> String {
    format!("agent{n}")
}

pub(crate) fn log(scratch: &Path, name: &str) -> anyhow::Result<File> {
    let path = scratch.join(format!("{name}.log"));
    let open = OpenOptions::new().create(true).append(true).open(&path);
    open.with_context(|| format!("cannot open `{}`", path.display()))
}

impl World {
    /// Builds the network, starts the server and both agents, and has all targets watched in a
    /// tier of 5 s. Nothing has been heard of any target yet.
    pub(crate) fn new(
        family: Family,
        rights: [Rights; AGENTS as usize],
        programs: &Path,
        scratch: &Path,
    ) -> anyhow::Result<World> {
        let programs = &settle_in(programs, scratch)?;
        let network = Network::new(family)?;
        let data = scratch.join("data");
        let (server, url) = start_server(&network.server(), programs, &data, scratch)?;
        let key = fs::read_to_string(data.join("keys/local-api.key")).context("no API key")?;
        let agents = Vec::new();
        let (programs, scratch) = (programs.clone(), scratch.to_owned());
        let api = Api::new(&url, &key);
        let mut world = World { network, api, programs, scratch, agents, _server: server };
        world.watch()?;
        for (number, rights) in (1..).zip(rights) {
            world.enroll(number, rights, &url, &data)?;
            world.agents.push(Agent { number, rights, process: None });
            world.start_agent(number)?;
        }
        Ok(world)
    }

    /// Creates the fast tier and all targets.
    fn watch(&self) -> anyhow::Result<()> {
        let tier = self.api.post(
            "/tiers",
            &json!({
                "name": "drill", "interval_s": 5, "packets": 5, "gap_ms": 200, "timeout_ms": 1000,
                "payload_bytes": 56, "strategy": "all", "lost_raise": 7, "lost_clear": 2,
                "rtt_us_raise": 150_000, "rtt_us_clear": 120_000,
            }),
        )?;
        let tier = text(&tier, "/name");
        let targets: Vec<Value> = (1..=TARGETS)
            .map(|n| {
                let address = self.network.family.target(n);
                json!({ "name": target_name(n), "address": address, "tier": tier })
            })
            .collect();
        let report = self.api.post("/targets/import?dry_run=false", &Value::Array(targets))?;
        if text(&report, "/created") != TARGETS.to_string() {
            bail!("the import did not create all targets: {report}");
        }
        Ok(())
    }

    fn state_dir(&self, number: u32) -> PathBuf {
        self.scratch.join(agent_name(number))
    }

    fn agent_command(&self, number: u32, rights: Rights) -> Command {
        let program = self.programs.join("faultline-agent");
        let place = agent_namespace(number);
        if rights == Rights::Root {
            return net::within(&place, program);
        }
        let mut command = net::within(&place, "setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]);
        command.arg(program);
        command
    }

    fn enroll(&self, number: u32, rights: Rights, url: &str, data: &Path) -> anyhow::Result<()> {
        let made = net::finish(
            Command::new(self.programs.join("faultline"))
                .args(["agent", "create", &agent_name(number), "--json", "--url", url])
                .arg("--data-dir")
                .arg(data),
        )?;
        let made: Value = serde_json::from_str(&made).context("`agent create` is not JSON")?;
        let state = self.state_dir(number);
        fs::create_dir_all(&state).context("cannot make the agent's folder")?;
        let place = agent_namespace(number);
        if rights != Rights::Root {
            chown(&state, Some(NOBODY), Some(NOBODY)).context("cannot give the folder away")?;
        }
        let group_range = if rights == Rights::Datagram { "0 2147483647" } else { "1 0" };
        net::set(&place, "net.ipv4.ping_group_range", group_range)?;
        net::finish(
            self.agent_command(number, rights)
                .args(["enroll", &text(&made, "/token"), "--state-dir"])
                .arg(&state),
        )?;
        Ok(())
    }

    pub(crate) fn start_agent(&mut self, number: u32) -> anyhow::Result<()> {
        let state = self.state_dir(number);
        let rights = self.agents.iter().find(|agent| agent.number == number);
        let rights = rights.map_or(Rights::Root, |agent| agent.rights);
        let process = self
            .agent_command(number, rights)
            .args(["run", "--state-dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(&self.scratch, &agent_name(number))?)
            .spawn()
            .context("cannot start an agent")?;
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.number == number) {
            agent.process = Some(Running(process));
        }
        Ok(())
    }

    /// Ends an agent at once, without a word to anybody.
    pub(crate) fn kill_agent(&mut self, number: u32) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.number == number) {
            agent.process = None;
        }
    }

    /// Waits until every target is up.
    pub(crate) fn settle(&self) -> anyhow::Result<Duration> {
        let all_up = || {
            let targets = self.api.targets()?;
            let up = targets.values().filter(|seen| seen.verdict == "up").count();
            Ok((up == TARGETS as usize).then_some(()))
        };
        clock::wait("all targets up", clock::now(), SETTLE_MAX, all_up).map(|((), took)| took)
    }

    /// Lets agents without privileges send, by the command that they name.
    pub(crate) fn permit(&self, number: u32) -> anyhow::Result<()> {
        net::set(&agent_namespace(number), "net.ipv4.ping_group_range", "0 2147483647")
    }

    /// The id of a target.
    pub(crate) fn id(&self, target: u32) -> anyhow::Result<u64> {
        let targets = self.api.targets()?;
        let seen = targets.get(&target_name(target));
        Ok(seen.with_context(|| format!("no target {target}"))?.id)
    }
}

/// Makes the world's folder with copies of the programs, where an agent without privileges reaches
/// them: a build folder below somebody's home is closed to others.
pub(crate) fn settle_in(programs: &Path, scratch: &Path) -> anyhow::Result<PathBuf> {
    let folder = scratch.join("bin");
    fs::create_dir_all(&folder).context("cannot make a folder for the world")?;
    for open in [scratch, &folder] {
        fs::set_permissions(open, Permissions::from_mode(0o755)).context("cannot open a folder")?;
    }
    for name in ["faultline", "faultline-agent"] {
        let program = programs.join(name);
        fs::copy(&program, folder.join(name))
            .with_context(|| format!("cannot copy `{}`", program.display()))?;
    }
    Ok(folder)
}

fn start_server(
    address: &str,
    programs: &Path,
    data: &Path,
    scratch: &Path,
) -> anyhow::Result<(Running, String)> {
    let (host, local) = if address.contains(':') {
        (format!("[{address}]"), "[::1]")
    } else {
        (address.to_owned(), "127.0.0.1")
    };
    let mut server = Command::new(programs.join("faultline"))
        .args(["server", "--announce-json"])
        .arg(format!("--http-listen={local}:7480"))
        .arg(format!("--agent-listen={host}:7481"))
        .arg("--data-dir")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log(scratch, "server")?)
        .spawn()
        .context("cannot start the server")?;
    let stdout = server.stdout.take().context("the server has no output")?;
    let server = Running(server);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).context("the server's output broke off")?;
    let announced: Value = serde_json::from_str(&line)
        .with_context(|| format!("the server did not start: `{line}`"))?;
    Ok((server, text(&announced, "/http_url")))
}
