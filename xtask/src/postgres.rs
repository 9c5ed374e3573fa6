//! A PostgreSQL of our own for the time of a test run: a new cluster in a folder that goes with it,
//! on a free port of this machine, and without the syncs that only a loss of power needs.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, bail};

use crate::{need, shell};

/// Where Debian's packages put the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The oldest that the product runs on.
const VERSION_MIN: u32 = 14;
/// The role and the database that tests use. The role is no superuser: none is held to policies.
const NAME: &str = "faultline";
/// Whom Debian's packages make: PostgreSQL refuses to run as root.
const USER: &str = "postgres";
/// What it says when it can be used, on the level `log`.
const READY: &str = "database system is ready to accept connections";
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "max_wal_size=256MB",
    "log_min_messages=log",
];

/// A running cluster. It ends with its owner, also if that is killed.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Child,
}

/// Finds the programs of the newest version.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let number = |name: &str| name.parse::<u32>().ok().filter(|number| VERSION_MIN <= *number);
    let found = versions.filter_map(|entry| {
        let folder = entry.path().join("bin");
        let number = number(entry.file_name().to_str()?)?;
        folder.join("initdb").is_file().then_some((number, folder))
    });
    let debian = found.max().map(|(_, folder)| folder);
    debian.or_else(|| Some(need::find("initdb")?.parent()?.to_owned()))
}

/// Says why there can be none here, if so.
pub(crate) fn missing() -> Option<String> {
    if programs().is_none() {
        return Some("no PostgreSQL. Remedy: `sudo apt-get install postgresql`".to_owned());
    }
    let setpriv = need::find("setpriv").is_none();
    setpriv.then(|| "no setpriv. Remedy: `sudo apt-get install util-linux`".to_owned())
}

impl Cluster {
    pub(crate) fn start() -> anyhow::Result<Cluster> {
        let programs = programs().context("no PostgreSQL")?;
        let folder = std::env::temp_dir().join(format!("faultline-pg-{}", std::process::id()));
        fs::create_dir_all(&folder).context("cannot make a folder for PostgreSQL")?;
        if is_root()? {
            shell::run(Command::new("chown").arg(USER).arg(&folder))?;
        }
        let data = folder.join("data");
        let mut initdb = as_its_user(&programs.join("initdb"))?;
        initdb.arg("--pgdata").arg(&data).args(["--username", USER, "--auth", "trust"]);
        initdb.args(["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        shell::output(initdb.current_dir(&folder))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = as_its_user(&programs.join("postgres"))?;
        server.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        server.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
        for setting in SETTINGS {
            server.args(["-c", setting]);
        }
        // Whoever has TimescaleDB tests with it; it must not call home.
        if programs.join("../lib/timescaledb.so").is_file() {
            server.args(["-c", "shared_preload_libraries=timescaledb"]);
            server.args(["-c", "timescaledb.telemetry_level=off"]);
        }
        let server = server.current_dir(&folder).stderr(Stdio::piped()).stdin(Stdio::null());
        let server = server.spawn().context("cannot start PostgreSQL")?;
        let mut cluster = Cluster { programs, folder, port, server };
        cluster.wait()?;
        for text in [
            format!("CREATE ROLE {NAME} LOGIN CREATEDB"),
            format!("CREATE DATABASE {NAME} OWNER {NAME}"),
        ] {
            cluster.run(&text)?;
        }
        Ok(cluster)
    }

    /// Names the database as the tests take it.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://{NAME}@127.0.0.1:{}/{NAME}", self.port)
    }

    /// Waits until it says that it is ready; what it says later is let go.
    fn wait(&mut self) -> anyhow::Result<()> {
        let said = self.server.stderr.take().context("PostgreSQL says nothing")?;
        let mut said = BufReader::new(said).lines().map_while(Result::ok);
        let mut last = String::new();
        loop {
            match said.next() {
                Some(line) if line.contains(READY) => break,
                Some(line) => last = line,
                None => bail!("PostgreSQL did not start: {last}"),
            }
        }
        thread::spawn(move || said.for_each(drop));
        Ok(())
    }

    fn run(&self, text: &str) -> anyhow::Result<()> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--host", "127.0.0.1", "--port", &self.port.to_string()]);
        psql.args(["--username", USER, "--dbname", "postgres", "--command", text]);
        shell::output(&mut psql).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.folder.join("data");
        // Without a care for what it holds: the folder goes next.
        if let Ok(mut stop) = as_its_user(&self.programs.join("pg_ctl")) {
            stop.arg("stop").arg("-D").arg(data).args(["-m", "immediate"]);
            shell::output(stop.current_dir(&self.folder)).ok();
        }
        self.server.kill().ok();
        self.server.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn is_root() -> anyhow::Result<bool> {
    Ok(shell::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// A command as a user that PostgreSQL runs as, which ends when we do.
fn as_its_user(program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root()? {
        let of = |flag: &str| shell::output(Command::new("id").args([flag, USER]));
        let (user, group) = (of("-u").context("no user `postgres`")?, of("-g")?);
        command.args(["--clear-groups", "--reuid", user.trim(), "--regid", group.trim()]);
    }
    command.arg(program);
    Ok(command)
}
