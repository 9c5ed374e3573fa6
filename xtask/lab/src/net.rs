//! Namespaces, links, routes and faults, by the programs that administrators use for them.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Finds a program, in the folders of system programs too.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = env::split_paths(&path).chain(system);
    folders.map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

/// Runs a program silently and returns what it printed.
pub(crate) fn run(
    program: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<String> {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    finish(command.args(arguments))
}

/// Runs a command silently and returns what it printed.
pub(crate) fn finish(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `ip` with a line of arguments.
pub(crate) fn ip(line: &str) -> anyhow::Result<String> {
    run("ip", line.split_whitespace())
}

/// A command to be run in a namespace.
pub(crate) fn within(namespace: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(find("ip").unwrap_or_else(|| "ip".into()));
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// Gives this process a place of its own for named namespaces, and brings loopback up.
pub(crate) fn make_private() -> anyhow::Result<()> {
    std::fs::create_dir_all("/run/netns").context("cannot make `/run/netns`")?;
    run("mount", ["-t", "tmpfs", "lab", "/run/netns"])?;
    ip("link set lo up")?;
    Ok(())
}

/// Makes a named namespace with loopback up.
pub(crate) fn namespace(name: &str) -> anyhow::Result<()> {
    ip(&format!("netns add {name}"))?;
    ip(&format!("-n {name} link set lo up"))?;
    Ok(())
}

/// Sets a kernel setting in a namespace.
pub(crate) fn set(namespace: &str, key: &str, value: &str) -> anyhow::Result<()> {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    finish(within(namespace, "sh").args(["-c", "echo \"$1\" > \"$2\"", "set", value, &path]))
        .map(|_| ())
}

/// One end of a cable: where, what it is called there, its address with prefix length.
pub(crate) struct End<'a> {
    /// `None` is the namespace this process lives in.
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
}

/// Lays a cable between two ends.
pub(crate) fn cable(one: &End<'_>, other: &End<'_>) -> anyhow::Result<()> {
    let place =
        |end: &End<'_>| end.namespace.map(|name| format!("netns {name}")).unwrap_or_default();
    // Both names are given at once: a link keeps its name when it moves.
    ip(&format!(
        "link add {} {} type veth peer name {} {}",
        one.name,
        place(one),
        other.name,
        place(other)
    ))?;
    for end in [one, other] {
        address(end.namespace, end.name, end.address)?;
    }
    Ok(())
}

/// Gives an interface an address and brings it up.
pub(crate) fn address(namespace: Option<&str>, name: &str, address: &str) -> anyhow::Result<()> {
    let at = namespace.map(|name| format!("-n {name}")).unwrap_or_default();
    // Duplicate address detection would hold an IPv6 address back for a second.
    let nodad = if address.contains(':') { "nodad" } else { "" };
    ip(&format!("{at} address add {address} dev {name} {nodad}"))?;
    ip(&format!("{at} link set dev {name} up"))?;
    Ok(())
}

/// Something broken by a firewall table of its own; healed when it is dropped.
pub(crate) struct Fault {
    namespace: Option<String>,
    table: String,
}

impl Fault {
    /// Breaks something: `rule` in the chain `hook` (`forward`, `input`, `output`), dropping.
    pub(crate) fn new(namespace: Option<&str>, hook: &str, rule: &str) -> anyhow::Result<Fault> {
        let table = format!("fault_{}", crate::clock::stamp());
        let fault = Fault { namespace: namespace.map(str::to_owned), table };
        let table = &fault.table;
        fault.nft(&format!(
            "table inet {table} {{ counter dropped {{ }}; \
             chain cut {{ type filter hook {hook} priority 0; \
             {rule} counter name dropped drop; }}; }}"
        ))?;
        Ok(fault)
    }

    /// Heals it and returns how many packets it dropped in all.
    pub(crate) fn heal(self) -> anyhow::Result<u64> {
        // The rule goes first: what passes from here on is not dropped, and not counted.
        self.nft(&format!("flush chain inet {} cut", self.table))?;
        let text = self.list(&["-j", "list", "counter", "inet", &self.table, "dropped"])?;
        let parsed: Value = serde_json::from_str(&text).context("nft says something new")?;
        let entries = parsed.get("nftables").and_then(Value::as_array);
        let count = |entry: &Value| entry.pointer("/counter/packets").and_then(Value::as_u64);
        entries.into_iter().flatten().find_map(count).context("nft names no counter")
    }

    fn nft(&self, ruleset: &str) -> anyhow::Result<()> {
        self.list(&[ruleset]).map(|_| ())
    }

    fn list(&self, arguments: &[&str]) -> anyhow::Result<String> {
        match &self.namespace {
            Some(namespace) => finish(within(namespace, "nft").args(arguments)),
            None => run("nft", arguments),
        }
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let table = format!("delete table inet {}", self.table);
        if let Err(error) = self.nft(&table) {
            eprintln!("a fault could not be healed: {error:#}");
        }
    }
}
