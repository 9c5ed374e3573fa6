//! The processes of the drill: a server, two agents that ask addresses of loopback, the courier's
//! identity.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use bench::link::Identity;
use serde_json::{Value, json};

use super::after;
use crate::{
    api::{Api, items, number, text},
    clock,
    drills::Setting,
    net,
    world::{Running, agent_name, log, settle_in, target_name},
};

/// Real agents; both ask every target.
pub(super) const AGENTS: u32 = 2;
/// 40 rounds a second of each agent, at 5 s.
const TARGETS: u32 = 200;
const TIER: &str = "drill";
const COURIER: &str = "courier";
const HTTP: &str = "127.0.0.1:7480";
const DOOR: &str = "127.0.0.1:7481";
/// A server that was killed reads its log again, at most.
const READY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Place {
    pub(super) api: Api,
    programs: PathBuf,
    scratch: PathBuf,
    // Ended in this order: agents first.
    agents: Vec<Option<Running>>,
    server: Option<Running>,
}

impl Place {
    /// Starts everything; the agents ask, nothing is killed yet.
    pub(super) fn new(setting: &Setting<'_>) -> anyhow::Result<Place> {
        let programs = settle_in(setting.programs, setting.scratch)?;
        let scratch = setting.scratch.to_owned();
        let agents = (0..AGENTS).map(|_| None).collect();
        let api = Api::new(HTTP, "");
        let mut place = Place { api, programs, scratch, agents, server: None };
        place.start_server()?;
        let key_file = place.data().join("keys/local-api.key");
        let is_there = || Ok(fs::read_to_string(&key_file).ok());
        let (key, _) = clock::wait("the server's key", clock::now(), READY_MAX, is_there)?;
        place.api = Api::new(HTTP, &key);
        place.wait_ready()?;
        place.watch()?;
        place.enroll(COURIER)?;
        for number in 1..=AGENTS {
            place.enroll(&agent_name(number))?;
            place.start_agent(number)?;
        }
        Ok(place)
    }

    fn data(&self) -> PathBuf {
        self.scratch.join("data")
    }

    pub(super) fn targets(&self) -> u32 {
        TARGETS
    }

    /// Short rounds: those under way when an agent dies were never learned.
    fn watch(&self) -> anyhow::Result<()> {
        let tier = json!({
            "name": TIER, "interval_s": 5, "packets": 2, "gap_ms": 20, "timeout_ms": 200,
            "payload_bytes": 56, "strategy": "all", "lost_raise": 7, "lost_clear": 2,
            // Above every number that travels as a round-trip time.
            "rtt_us_raise": 10_000_000, "rtt_us_clear": 9_000_000,
        });
        self.api.post("/tiers", &tier)?;
        self.import(false, "/created")
    }

    fn import(&self, is_paused: bool, counted: &str) -> anyhow::Result<()> {
        let row = |n: u32| {
            let address = format!("127.1.{}.{}", n >> 8, n & 0xFF);
            json!({
                "name": target_name(n), "address": address, "tier": TIER, "is_paused": is_paused,
            })
        };
        let rows: Vec<Value> = (1..=TARGETS).map(row).collect();
        let report = self.api.post("/targets/import?dry_run=false", &Value::Array(rows))?;
        if text(&report, counted) != TARGETS.to_string() {
            bail!("the import did not take all targets: {report}");
        }
        Ok(())
    }

    fn state_dir(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn enroll(&self, name: &str) -> anyhow::Result<()> {
        let made = self.api.post("/agents", &json!({ "name": name }))?;
        let mut enroll = Command::new(self.programs.join("faultline-agent"));
        enroll.args(["enroll", &text(&made, "/token"), "--state-dir"]);
        net::finish(enroll.arg(self.state_dir(name)))?;
        Ok(())
    }

    pub(super) fn courier_identity(&self) -> anyhow::Result<Identity> {
        Identity::load(0, DOOR, &self.state_dir(COURIER))
    }

    /// Does not wait until it is ready: it may be killed before.
    pub(super) fn start_server(&mut self) -> anyhow::Result<()> {
        let mut server = Command::new(self.programs.join("faultline"));
        server.arg("server").arg(format!("--http-listen={HTTP}"));
        server.arg(format!("--agent-listen={DOOR}")).arg("--data-dir").arg(self.data());
        self.server = Some(self.spawn(server, "server")?);
        Ok(())
    }

    pub(super) fn start_agent(&mut self, number: u32) -> anyhow::Result<()> {
        let name = agent_name(number);
        let mut agent = Command::new(self.programs.join("faultline-agent"));
        agent.args(["run", "--state-dir"]).arg(self.state_dir(&name));
        let running = self.spawn(agent, &name)?;
        if let Some(place) = self.agents.get_mut(number as usize - 1) {
            *place = Some(running);
        }
        Ok(())
    }

    fn spawn(&self, mut command: Command, name: &str) -> anyhow::Result<Running> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log(&self.scratch, name)?).spawn();
        Ok(Running(child.with_context(|| format!("cannot start {name}"))?))
    }

    /// Kills it as the kernel does when memory is short: without a word.
    ///
    /// # Errors
    ///
    /// If it had ended by itself: nothing that was killed may keep it from starting.
    pub(super) fn kill_server(&mut self) -> anyhow::Result<()> {
        end(self.server.take(), "the server")
    }

    /// As [`Place::kill_server`].
    pub(super) fn kill_agent(&mut self, number: u32) -> anyhow::Result<()> {
        let agent = self.agents.get_mut(number as usize - 1).and_then(Option::take);
        end(agent, &agent_name(number))
    }

    pub(super) fn kill_agents(&mut self) {
        self.agents.clear();
    }

    pub(super) fn wait_ready(&self) -> anyhow::Result<()> {
        let begun = clock::now();
        let look = || Ok(self.api.get("/targets?limit=1").ok());
        let ready = clock::wait("the server answers", begun, READY_MAX, look);
        ready.map(|_| ()).with_context(|| after(begun))
    }

    /// Nobody asks anything from here on.
    pub(super) fn pause_all(&self) -> anyhow::Result<()> {
        self.import(true, "/updated")
    }

    /// Waits until both agents ask nothing and have nothing left to deliver.
    pub(super) fn wait_delivered(&self, max: Duration) -> anyhow::Result<()> {
        let begun = clock::now();
        let look = || {
            let mut is_done = true;
            for number in 1..=AGENTS {
                let agent = self.api.agent(&agent_name(number))?;
                is_done &= is_idle(&agent);
            }
            Ok(is_done.then_some(()))
        };
        let found = clock::wait("the agents' backlog delivered", begun, max, look);
        found.map(|_| ()).with_context(|| {
            let list = self.api.get("/agents").unwrap_or_default();
            format!("{} {list}", after(begun))
        })
    }

    /// Ids of all targets and their probes: (target, probe).
    pub(super) fn probes(&self) -> anyhow::Result<Vec<(u64, u32)>> {
        let list = self.api.get("/targets?limit=500")?;
        let ids = |item: &Value| anyhow::Ok((number(item, "/id"), probe(item)?));
        items(&list).iter().map(ids).collect()
    }

    pub(super) fn agent_id(&self, name: &str) -> anyhow::Result<u64> {
        Ok(number(&self.api.agent(name)?, "/id"))
    }

    pub(super) fn courier_id(&self) -> anyhow::Result<u64> {
        self.agent_id(COURIER)
    }

    /// Where an agent keeps what it has not delivered.
    pub(super) fn spool(&self, number: u32) -> PathBuf {
        self.state_dir(&agent_name(number)).join("spool")
    }
}

fn probe(target: &Value) -> anyhow::Result<u32> {
    Ok(u32::try_from(number(target, "/probe_id"))?)
}

fn is_idle(agent: &Value) -> bool {
    let is_online = text(agent, "/state") == "online";
    is_online && number(agent, "/backlog_batches") == 0 && text(agent, "/probes") == "0"
}

fn end(running: Option<Running>, name: &str) -> anyhow::Result<()> {
    let mut running = running.with_context(|| format!("{name} does not run"))?;
    if let Some(status) = running.0.try_wait().context("cannot look after a process")? {
        bail!("{name} ended by itself ({status})");
    }
    drop(running);
    Ok(())
}
