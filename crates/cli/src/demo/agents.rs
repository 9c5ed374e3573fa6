//! The demo's agents: enrolled, and run with real spools and real streams, in a virtual network.
//!
//! Each reaches the server through a relay of its own, which is cut while its host is cut off.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use agent::{Networks, SpoolLimits, config, enroll::enroll};
use anyhow::Context;
use sim::isp::{Reach, TraceReach, Watcher};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::interval,
};

use super::{Demo, SharedIsp, lock};

/// How soon a relay follows what happens to its agent.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Connections of one agent at once: its stream, and a renewal beside it.
const CONNECTIONS_MAX: usize = 8;

impl Demo {
    pub(super) async fn start_agent(
        &mut self,
        watcher: &Watcher,
        token: &str,
        state_dir: &Path,
    ) -> anyhow::Result<()> {
        let name = &watcher.name;
        let identity = enroll(token, state_dir, false).await;
        let identity = identity.with_context(|| format!("cannot enrol {name}"))?;
        let server = identity.addresses.first().context("the token names no address")?.clone();
        let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let relay = relay.context("cannot listen on the loopback address")?;
        let address = relay.local_addr()?;
        self.helpers.spawn(relay_for(name.clone(), relay, server, Arc::clone(&self.isp)));
        let probes = Reach::new(&self.isp, watcher);
        let traces = TraceReach::new(&self.isp, watcher);
        let (Some(probes), Some(traces)) = (probes, traces) else {
            anyhow::bail!("the network has no agent `{name}`");
        };
        let networks = Networks { probes: Box::new(probes), traces: Box::new(traces) };
        let config = configuration(state_dir, address);
        let stop = self.stop_agents.clone();
        let context = format!("agent {name} cannot go on");
        self.agents
            .spawn(async move { agent::run_in(networks, &config, &stop).await.context(context) });
        Ok(())
    }
}

fn configuration(state_dir: &Path, server: SocketAddr) -> config::Config {
    config::Config {
        state_dir: state_dir.to_owned(),
        addresses: Some(vec![server.to_string()]),
        spool: SpoolLimits::default(),
        log: String::new(),
        is_log_json: false,
    }
}

/// Passes bytes on while the agent's host is not cut off, and hangs up when it is.
async fn relay_for(
    agent: String,
    listener: TcpListener,
    server: String,
    isp: SharedIsp,
) -> anyhow::Result<()> {
    let mut look = interval(LOOK_INTERVAL);
    let mut connections = JoinSet::new();
    let mut is_cut_off = false;
    loop {
        tokio::select! {
            _ = look.tick() => {
                is_cut_off = lock(&isp).is_cut_off(&agent);
                if is_cut_off {
                    connections.abort_all();
                }
                while connections.try_join_next().is_some() {}
            }
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Without a file descriptor left the next would fail at once as well.
                    look.tick().await;
                    continue;
                };
                if !is_cut_off && connections.len() < CONNECTIONS_MAX {
                    connections.spawn(pass(stream, server.clone()));
                }
            }
        }
    }
}

async fn pass(mut near: TcpStream, server: String) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let is_quick = near.set_nodelay(true).and_then(|()| far.set_nodelay(true));
    if let Err(error) = is_quick {
        tracing::debug!(%error, "a relay is not quick");
    }
    // Its end is the end of the connection, whatever the reason.
    copy_bidirectional(&mut near, &mut far).await.map_or_else(drop, drop);
}
