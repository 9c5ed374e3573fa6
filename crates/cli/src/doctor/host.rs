//! What the machine and the files say, whether the server runs or not.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use model::UtcMicros;
use nix::{
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket},
    unistd::{Uid, geteuid},
};
use serde_json::Value;
use server::{Config, authority::CertificateFacts};
use tokio::{net::TcpListener, process::Command};

use super::{Check, others_may_enter};

/// Below this share (1 / 10), or these bytes, a disk is to be looked at.
const FREE_SHARE_MIN: u64 = 10;
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Below this the server soon takes nothing more.
const FREE_BYTES_LAST: u64 = 256 << 20;
/// A certificate that nobody renews by itself.
const DAYS_MIN: u64 = 30;
const DAY: Duration = Duration::from_secs(86_400);
/// Three signs of life of five seconds.
const STATUS_AGE_MAX: Duration = Duration::from_secs(15);

/// Server and agent come from one release.
pub(super) async fn programs() -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let name = "programs";
    let beside = std::env::current_exe().map(|path| path.with_file_name("faultline-agent"));
    let Ok(beside) = beside else { return Check::ok(name, format!("faultline {own}")) };
    let said = Command::new(&beside).arg("--version").output().await;
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match said.ok().as_deref().and_then(|text| text.strip_prefix("faultline-agent ")) {
        Some(agent) if agent == own => {
            Check::ok(name, format!("server and agent of version {own}"))
        }
        Some(agent) => Check::warning(
            name,
            format!("the server is of version {own}, the agent beside it of {agent}"),
            "install both from one release",
        ),
        None => Check::ok(name, format!("faultline {own}; no agent beside it")),
    }
}

/// Who may look at what only the server's user should see.
pub(super) fn folders(data_dir: &Path) -> Vec<Check> {
    use std::os::unix::fs::MetadataExt as _;
    let name = "data directory";
    let shown = data_dir.display();
    let meta = match fs::metadata(data_dir) {
        Ok(meta) => meta,
        Err(error) => {
            let remedy = "give the right one by --data-dir, or start the server, which makes it";
            return vec![Check::problem(name, format!("`{shown}`: {error}"), remedy)];
        }
    };
    let own = geteuid();
    if !own.is_root() && Uid::from_raw(meta.uid()) != own {
        let detail = format!("`{shown}` belongs to uid {}, and this is uid {own}", meta.uid());
        let remedy = "run doctor as the server's user, for example `sudo -u faultline faultline …`";
        return vec![Check::problem(name, detail, remedy)];
    }
    let mut checks = vec![match others_may_enter(data_dir) {
        None => Check::ok(name, format!("`{shown}` is open to its owner alone")),
        Some(mode) => Check::problem(
            name,
            format!("`{shown}` has mode {mode:03o}: others may look into it"),
            format!("chmod 700 {shown}"),
        ),
    }];
    let files = fs::read_dir(data_dir.join("keys")).into_iter().flatten().flatten();
    let mut open: Vec<_> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_none_or(|end| end != "crt"))
        .filter_map(|path| Some((others_may_enter(&path)?, path)))
        .collect();
    open.sort();
    if open.is_empty() {
        checks.push(Check::ok("keys", "no secret is readable by others"));
    }
    checks.extend(open.into_iter().map(|(mode, path)| {
        let path = path.display();
        let detail = format!("`{path}` has mode {mode:03o}: others may have copied it");
        Check::problem("keys", detail, format!("chmod 600 {path}, and change the key"))
    }));
    checks
}

pub(super) fn disk(data_dir: &Path) -> Check {
    let name = "disk";
    let stats = match nix::sys::statvfs::statvfs(data_dir) {
        Ok(stats) => stats,
        Err(error) => {
            let remedy = "look whether the disk of the data directory is mounted";
            return Check::problem(name, format!("cannot be read: {error}"), remedy);
        }
    };
    let free = stats.blocks_available().saturating_mul(stats.fragment_size());
    let total = stats.blocks().saturating_mul(stats.fragment_size());
    judge_disk(free, total, stats.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
}

fn judge_disk(free: u64, total: u64, is_read_only: bool) -> Check {
    let detail = format!("{} MiB of {} MiB free", free >> 20, total >> 20);
    let remedy = "free space, or shorten `retention` in the configuration";
    if is_read_only {
        let remedy = "see `dmesg` for why, then remount it: `mount -o remount,rw …`";
        Check::problem("disk", "is mounted read-only", remedy)
    } else if free < FREE_BYTES_LAST {
        Check::problem("disk", detail, remedy)
    } else if free < FREE_BYTES_MIN.max(total / FREE_SHARE_MIN) {
        Check::warning("disk", detail, remedy)
    } else {
        Check::ok("disk", detail)
    }
}

/// What agents trust.
pub(super) fn authority(keys: &Path, now: UtcMicros) -> Check {
    let path = keys.join("authority.crt");
    let name = "authority";
    let facts = fs::read(&path).ok().and_then(|pem| CertificateFacts::of(&pem));
    let Some(facts) = facts else {
        let detail = format!("`{}` is missing or damaged", path.display());
        let remedy = "restore the folder `keys` from a backup; a server that never ran makes it";
        return Check::problem(name, detail, remedy);
    };
    let days = days_left(&facts, now);
    let fingerprint = &facts.fingerprint;
    let detail = format!("valid for {days} more days, fingerprint {fingerprint}");
    let remedy = "see docs/runbooks/certificate-expired.md";
    match days {
        0 => Check::problem(name, "has expired: no agent is let in", remedy),
        days if days < DAYS_MIN => Check::warning(name, detail, remedy),
        _ => Check::ok(name, detail),
    }
}

/// The console's own certificate, which an operator renews.
pub(super) fn certificate(path: &Path, now: UtcMicros) -> Check {
    let name = "console certificate";
    let shown = path.display();
    let Some(facts) = fs::read(path).ok().and_then(|pem| CertificateFacts::of(&pem)) else {
        let detail = format!("`{shown}` is missing or damaged");
        return Check::problem(name, detail, "put a certificate there in PEM form");
    };
    let days = days_left(&facts, now);
    let detail = format!("`{shown}` is valid for {days} more days");
    let remedy = "put the renewed certificate there and restart the server";
    match days {
        0 => Check::problem(name, format!("`{shown}` has expired"), remedy),
        days if days < DAYS_MIN => Check::warning(name, detail, remedy),
        _ => Check::ok(name, detail),
    }
}

fn days_left(facts: &CertificateFacts, now: UtcMicros) -> u64 {
    facts.not_after.since(now).as_secs() / DAY.as_secs()
}

/// Whether the addresses are there for the server, while it does not have them.
pub(super) async fn ports(config: &Config, is_running: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    let wanted = [
        ("console port", config.http.listen, "--http-listen"),
        ("agents' port", config.agents.listen, "--agent-listen"),
    ];
    for (name, address, flag) in wanted {
        checks.push(if is_running {
            is_open(name, address).await
        } else {
            match TcpListener::bind(address).await {
                Ok(_) => Check::ok(name, format!("{address} is free")),
                Err(error) => {
                    let remedy = format!("stop what has it, or choose another by {flag}");
                    Check::problem(name, format!("{address}: {error}"), remedy)
                }
            }
        });
    }
    checks
}

async fn is_open(name: &str, address: SocketAddr) -> Check {
    match super::remote::connect(address).await {
        Ok(()) => Check::ok(name, format!("{address} takes connections")),
        Err(error) => Check::problem(
            name,
            format!("{address}: {error}"),
            "the server listens elsewhere (give doctor its options) or hangs (see its log)",
        ),
    }
}

/// Whether an agent of this user could send ICMP echo.
pub(super) fn icmp() -> Check {
    let name = "icmp";
    let open = |kind| {
        let protocol = Some(SockProtocol::Icmp);
        socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, protocol).is_ok()
    };
    let user = geteuid();
    match (open(SockType::Datagram), open(SockType::Raw)) {
        (_, true) => {
            Check::ok(name, format!("uid {user} may send it by raw sockets (CAP_NET_RAW)"))
        }
        (true, false) => Check::ok(name, format!("uid {user} may send it by datagram sockets")),
        (false, false) => Check::warning(
            name,
            format!("uid {user} may not send it: an agent of this user can ask nothing"),
            "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\", or give the agent \
             CAP_NET_RAW (deploy/systemd does)",
        ),
    }
}

/// What an agent on this host said last; nothing if there is none.
pub(super) fn local_agent(state_dir: &Path, now: UtcMicros) -> Option<Check> {
    let path = state_dir.join("status.json");
    let status: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let text = |name: &str| status.get(name).and_then(Value::as_str);
    let name = format!("agent on this host ({})", text("agent_name").unwrap_or("?"));
    let written_at = text("written_at").and_then(UtcMicros::parse);
    let is_fresh = written_at.is_some_and(|at| now.since(at) <= STATUS_AGE_MAX);
    let shown = state_dir.display();
    Some(if !is_fresh {
        let detail = format!("does not run; was last seen {}", text("written_at").unwrap_or("?"));
        let remedy = format!(
            "`faultline up` again, `systemctl start faultline-agent`, or `faultline-agent run \
             --state-dir {shown}`"
        );
        Check::problem(name, detail, remedy)
    } else if let Some(impediment) = text("impediment") {
        Check::problem(name, "can ask nothing", impediment)
    } else if let Some(problem) = text("spool_problem") {
        Check::problem(name, problem, format!("look at the disk of `{shown}`"))
    } else if let Some(problem) = text("uplink_problem") {
        let detail = "runs without the server; its results wait on disk";
        Check::problem(name, detail, problem)
    } else {
        let server = text("connected_to").unwrap_or("nobody yet");
        Check::ok(name, format!("runs and is connected to {server}"))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{super::State, *};

    #[test]
    fn a_disk_is_judged_by_what_is_left() {
        let states = [(500 << 30, State::Ok), (9 << 30, State::Warning), (1 << 20, State::Problem)];
        for (free, state) in states {
            assert_eq!(judge_disk(free, 1000 << 30, false).state, state);
        }
        assert_eq!(judge_disk(500 << 30, 1000 << 30, true).state, State::Problem);
    }

    #[test]
    fn secrets_that_others_may_read_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        fs::create_dir(&keys).unwrap();
        for (name, mode) in
            [("master.key", 0o644), ("local-api.key", 0o600), ("authority.crt", 0o644)]
        {
            fs::write(keys.join(name), "x").unwrap();
            fs::set_permissions(keys.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let checks = folders(dir.path());
        let problems: Vec<_> = checks.iter().filter(|check| check.state != State::Ok).collect();
        assert!(matches!(problems.as_slice(), [one] if one.detail.contains("master.key")));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(folders(dir.path()).iter().any(|check| check.detail.contains("mode 755")));
    }

    #[test]
    fn an_agent_on_this_host_is_told_by_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let now = UtcMicros::parse("2026-01-01T00:00:10Z").unwrap();
        assert_eq!(local_agent(dir.path(), now), None);
        let told = |more: &str| {
            let status =
                format!(r#"{{"agent_name":"fra1","written_at":"2026-01-01T00:00:00Z"{more}}}"#);
            fs::write(dir.path().join("status.json"), status).unwrap();
            local_agent(dir.path(), now).unwrap()
        };
        assert_eq!(told(r#","connected_to":"192.0.2.1:7481""#).state, State::Ok);
        assert_eq!(told(r#","impediment":"sysctl …""#).remedy, "sysctl …");
        assert_eq!(told(r#","uplink_problem":"refused""#).state, State::Problem);
        let later = now + Duration::from_secs(60);
        let late = local_agent(dir.path(), later).unwrap();
        assert!(late.detail.contains("does not run"), "{late:?}");
    }
}
