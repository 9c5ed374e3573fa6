//! The network of a world: agents, a router, targets, and a wire that can be slow.
//!
//! ```text
//!   (here: server) ── mgmt bridge ──┬── fl-a1 ──┐
//!                                   └── fl-a2 ──┴── fl-net (router) ──── fl-targets: 29 addresses
//!                                                        └── fl-relay ── fl-slow: the 30th
//! ```
//! Each agent has its probing interface with the default route, and a management interface that
//! leads to the server and nowhere else, so that either can be cut alone.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, bail};

use crate::net::{self, End, Fault};

pub(crate) const TARGETS: u32 = 30;
pub(crate) const AGENTS: u32 = 2;
/// The target behind the slow wire.
pub(crate) const SLOW: u32 = TARGETS;
const ROUTER: &str = "fl-net";
const FIELD: &str = "fl-targets";
const SLOW_FIELD: &str = "fl-slow";
const RELAY: &str = "fl-relay";
/// Where both ends of the tunnel and the relay speak.
const TUNNEL_PORT: u16 = 4789;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    fn text(self, v4: String, v6: String) -> String {
        match self {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// The whole of an address as a prefix.
    fn host_bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    fn net_bits(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    pub(crate) fn target(self, n: u32) -> String {
        self.text(format!("10.20.0.{n}"), format!("fd00:20::{n:x}"))
    }

    fn agent(self, n: u32) -> String {
        self.text(format!("10.10.{n}.2"), format!("fd00:10:{n}::2"))
    }

    fn gateway(self, n: u32) -> String {
        self.text(format!("10.10.{n}.1"), format!("fd00:10:{n}::1"))
    }

    /// `host` 1 is the router's end.
    fn link(self, n: u32, host: u32) -> String {
        self.text(format!("10.30.{n}.{host}"), format!("fd00:30:{n}::{host}"))
    }

    /// Host 1 is the server, 10 + n the n-th agent.
    fn management(self, host: u32) -> String {
        self.text(format!("10.99.0.{host}"), format!("fd00:99::{host}"))
    }

    /// How nftables names an address of this family.
    fn nft(self) -> &'static str {
        match self {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        }
    }

    /// How nftables names an echo request of this family.
    fn echo(self) -> &'static str {
        match self {
            Family::V4 => "icmp type echo-request",
            Family::V6 => "icmpv6 type echo-request",
        }
    }
}

pub(crate) struct Network {
    pub(crate) family: Family,
    wire: Wire,
}

/// The name of an agent's namespace.
pub(crate) fn agent_namespace(n: u32) -> String {
    format!("fl-a{n}")
}

impl Network {
    /// Builds everything; on failure the end of this process takes it all back.
    pub(crate) fn new(family: Family) -> anyhow::Result<Network> {
        for name in [ROUTER, FIELD, SLOW_FIELD, RELAY] {
            net::namespace(name)?;
        }
        for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            net::set(ROUTER, key, "1")?;
        }
        net::ip("link add mgmt type bridge")?;
        let bits = family.net_bits();
        net::address(None, "mgmt", &format!("{}/{bits}", family.management(1)))?;
        for n in 1..=AGENTS {
            agent(family, n)?;
        }
        net::cable(
            &end(Some(ROUTER), "field", &format!("{}/{bits}", family.link(1, 1))),
            &end(Some(FIELD), "field", &format!("{}/{bits}", family.link(1, 2))),
        )?;
        let wire = Wire::lay()?;
        net::address(Some(ROUTER), "slow", &format!("{}/{bits}", family.link(2, 1)))?;
        net::address(Some(SLOW_FIELD), "slow", &format!("{}/{bits}", family.link(2, 2)))?;
        for (field, link, device) in [(FIELD, 1, "field"), (SLOW_FIELD, 2, "slow")] {
            let router = family.link(link, 1);
            net::ip(&format!("-n {field} route add default via {router} dev {device}"))?;
        }
        for n in 1..=TARGETS {
            let (field, link) = if n == SLOW { (SLOW_FIELD, 2) } else { (FIELD, 1) };
            let address = format!("{}/{}", family.target(n), family.host_bits());
            net::address(Some(field), "lo", &address)?;
            net::ip(&format!("-n {ROUTER} route add {address} via {}", family.link(link, 2)))?;
        }
        Ok(Network { family, wire })
    }

    /// The server's address for agents.
    pub(crate) fn server(&self) -> String {
        self.family.management(1)
    }

    /// Drops everything on its way to a target.
    pub(crate) fn cut(&self, target: u32) -> anyhow::Result<Fault> {
        let (nft, to) = (self.family.nft(), self.family.target(target));
        Fault::new(Some(ROUTER), "forward", &format!("{nft} daddr {to}"))
    }

    /// Drops everything on the link to the field, both ways.
    pub(crate) fn cut_field(&self) -> anyhow::Result<[Fault; 2]> {
        Ok([
            Fault::new(Some(ROUTER), "forward", "oifname \"field\"")?,
            Fault::new(Some(ROUTER), "forward", "iifname \"field\"")?,
        ])
    }

    /// Drops so many of a hundred echo requests to a target, by chance.
    pub(crate) fn lose(&self, target: u32, percent: u32) -> anyhow::Result<Fault> {
        let (nft, to, echo) = (self.family.nft(), self.family.target(target), self.family.echo());
        let chance = format!("numgen random mod 100 < {percent}");
        Fault::new(Some(ROUTER), "forward", &format!("{nft} daddr {to} {echo} {chance}"))
    }

    /// Drops whatever an agent sends into the network it probes, its gateway included.
    pub(crate) fn cut_probing(&self, agent: u32) -> anyhow::Result<Fault> {
        Fault::new(Some(ROUTER), "prerouting", &format!("iifname \"a{agent}\""))
    }

    /// Drops whatever an agent sends to the server.
    pub(crate) fn cut_management(&self, agent: u32) -> anyhow::Result<Fault> {
        let (nft, from) = (self.family.nft(), self.family.management(10 + agent));
        Fault::new(None, "input", &format!("{nft} saddr {from}"))
    }

    /// Makes the wire to [`SLOW`] slow in both directions.
    pub(crate) fn delay(&mut self, delay_us: u64, jitter_us: u64) -> anyhow::Result<()> {
        self.wire.tell(delay_us, jitter_us)
    }

    /// Pings a target from an agent's place: how many answered, and the mean time in milliseconds.
    pub(crate) fn ping(&self, agent: u32, target: u32, count: u32) -> anyhow::Result<(u32, f64)> {
        let mut ping = net::within(&agent_namespace(agent), "ping");
        ping.args(["-n", "-q", "-i", "0.02", "-W", "1", "-c", &count.to_string()]);
        let output = ping.arg(self.family.target(target)).output().context("cannot ping")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let received = text.split(", ").find_map(|part| part.strip_suffix(" received"));
        let received = received.and_then(|number| number.parse().ok());
        let mean = text.split(" = ").nth(1).and_then(|times| times.split('/').nth(1));
        let mean = mean.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
        Ok((received.with_context(|| format!("ping says something new: {text}"))?, mean))
    }
}

fn end<'a>(namespace: Option<&'a str>, name: &'a str, address: &'a str) -> End<'a> {
    End { namespace, name, address }
}

/// An agent's place: one interface to probe through, one to reach the server by.
fn agent(family: Family, n: u32) -> anyhow::Result<()> {
    let place = agent_namespace(n);
    let bits = family.net_bits();
    net::namespace(&place)?;
    net::cable(
        &end(Some(ROUTER), &format!("a{n}"), &format!("{}/{bits}", family.gateway(n))),
        &end(Some(&place), "probe", &format!("{}/{bits}", family.agent(n))),
    )?;
    net::ip(&format!("-n {place} route add default via {}", family.gateway(n)))?;
    net::ip(&format!("link add m{n} type veth peer name mgmt netns {place}"))?;
    net::ip(&format!("link set m{n} master mgmt up"))?;
    let own = format!("{}/{bits}", family.management(10 + n));
    net::address(Some(&place), "mgmt", &own)
}

/// The wire that can be slow: a VXLAN tunnel whose datagrams pass through a program of ours.
struct Wire {
    relay: Child,
    will: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Wire {
    fn lay() -> anyhow::Result<Wire> {
        let near = ("192.168.91.1", "192.168.91.2");
        let far = ("192.168.92.1", "192.168.92.2");
        for (field, name, (end_address, relay_address)) in
            [(ROUTER, "near", near), (SLOW_FIELD, "far", far)]
        {
            net::cable(
                &end(Some(field), name, &format!("{end_address}/24")),
                &end(Some(RELAY), name, &format!("{relay_address}/24")),
            )?;
            net::ip(&format!(
                "-n {field} link add slow type vxlan id 1 dev {name} local {end_address} \
                 remote {relay_address} dstport {TUNNEL_PORT}"
            ))?;
        }
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        let mut relay = net::within(RELAY, own);
        relay.arg("relay");
        for (flag, address) in
            [("--near", near.1), ("--near-peer", near.0), ("--far", far.1), ("--far-peer", far.0)]
        {
            relay.arg(flag).arg(format!("{address}:{TUNNEL_PORT}"));
        }
        Wire::start(&mut relay)
    }

    fn start(command: &mut Command) -> anyhow::Result<Wire> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut relay = command.spawn().context("cannot start the relay")?;
        let will = relay.stdin.take().context("the relay takes no orders")?;
        let answers = BufReader::new(relay.stdout.take().context("the relay is mute")?);
        let mut wire = Wire { relay, will, answers };
        wire.hear()?;
        Ok(wire)
    }

    fn tell(&mut self, delay_us: u64, jitter_us: u64) -> anyhow::Result<()> {
        writeln!(self.will, "{delay_us} {jitter_us}").context("the relay is gone")?;
        self.hear()
    }

    fn hear(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("the relay is gone")?;
        if line.is_empty() {
            bail!("the relay ended");
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.relay.kill().ok();
        self.relay.wait().ok();
    }
}
