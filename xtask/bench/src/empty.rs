//! `bench empty`: what a server and its first agent take before there is anything to watch, and how
//! large the agent is that is carried to a small host.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::json;

use crate::{
    account::{rss_bytes, rss_bytes_peak},
    now,
    server::Server,
    show,
};

/// Time for the agent to be heard and to be given its empty assignment.
const ONLINE_MAX: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Both have done at their own pace what they do in the beginning, and some heartbeats more.
const SETTLE: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    pub(crate) json: bool,
    /// Folder of `faultline` and `faultline-agent`.
    #[arg(long)]
    programs: PathBuf,
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let server = Server::start(&args.programs)?;
    let state = server.enroll_state(&args.programs, 1)?;
    let program = args.programs.join("faultline-agent");
    let agent = Command::new(&program)
        .args(["run", "--state-dir"])
        .arg(state)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut agent = Running(agent.context("cannot start `faultline-agent`")?);
    let begun = now();
    while server.agents_online()? == 0 {
        if ONLINE_MAX < begun.elapsed() {
            bail!("the agent was not online after {} s", ONLINE_MAX.as_secs());
        }
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(SETTLE).await;
    if let Some(status) = agent.0.try_wait()? {
        bail!("the agent ended by itself ({status})");
    }
    let (server_rss, agent_rss) = (rss_bytes(server.process())?, rss_bytes(agent.0.id())?);
    let file = fs::metadata(&program).context("no `faultline-agent`")?;
    let summary = json!({
        "summary": true,
        "server_rss_bytes": server_rss,
        "agent_rss_bytes": agent_rss,
        "rss_bytes": server_rss + agent_rss,
        "server_rss_bytes_peak": rss_bytes_peak(server.process())?,
        "agent_rss_bytes_peak": rss_bytes_peak(agent.0.id())?,
        // Release programs are stripped as they are built.
        "agent_program_bytes": file.len(),
    });
    show(args.json, &summary);
    Ok(())
}
