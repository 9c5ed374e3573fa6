//! What an operator on the agent's own host can see of it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use model::UtcMicros;

use crate::files;

/// How old a status may be before the agent that wrote it counts as not running: three intervals.
pub const FRESH_MAX: Duration = Duration::from_secs(15);
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One look at a running agent, written every few seconds. Times are RFC 3339, UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    pub written_at: String,
    pub started_at: String,
    pub pid: u32,
    pub version: String,
    pub agent_id: u32,
    pub agent_name: String,
    /// The address of the server that the stream goes to; absent while there is none.
    pub connected_to: Option<String>,
    /// Why there is no stream.
    pub uplink_problem: Option<String>,
    pub epoch: u64,
    pub certificate_not_after: Option<String>,
    pub assignment_version: u64,
    pub probes: u32,
    /// Why nothing can be asked, with the remedy.
    pub impediment: Option<String>,
    pub rounds_total: u64,
    pub packets_sent_total: u64,
    pub replies_total: u64,
    pub strange_replies_total: u64,
    pub kernel_drops_total: u64,
    pub socket_errors_total: u64,
    pub send_lag_us_p50: u32,
    pub send_lag_us_max: u32,
    pub backlog_batches: u64,
    pub backlog_bytes: u64,
    pub backlog_since: Option<String>,
    pub spool_problem: Option<String>,
    pub rounds_dropped_total: u64,
    pub batches_refused_total: u64,
}

fn path_of(state_dir: &Path) -> PathBuf {
    state_dir.join("status.json")
}

impl Status {
    pub(crate) fn store(&self, state_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        files::write_atomic(&path_of(state_dir), &bytes, files::PUBLIC)
    }

    /// Reads what the agent wrote last.
    ///
    /// # Errors
    ///
    /// `NotFound` if it never ran with this state directory.
    pub fn load(state_dir: &Path) -> io::Result<Status> {
        let bytes = files::read_limited(&path_of(state_dir), FILE_BYTES_MAX)?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    }

    /// Whether the agent that wrote this is still writing.
    pub fn is_fresh(&self, now: UtcMicros) -> bool {
        let written_at = UtcMicros::parse(&self.written_at);
        written_at.is_some_and(|at| now.since(at) <= FRESH_MAX)
    }
}

/// For people, one fact a line.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or("none".to_owned());
        writeln!(
            f,
            "agent         {} (id {}), version {}",
            self.agent_name, self.agent_id, self.version
        )?;
        writeln!(f, "running       since {}, process {}", self.started_at, self.pid)?;
        match (&self.connected_to, &self.uplink_problem) {
            (Some(address), _) => writeln!(f, "server        {address}, epoch {}", self.epoch)?,
            (None, problem) => writeln!(f, "server        not connected: {}", or_none(problem))?,
        }
        writeln!(f, "certificate   until {}", or_none(&self.certificate_not_after))?;
        writeln!(f, "probes        {} (assignment {})", self.probes, self.assignment_version)?;
        writeln!(f, "impediment    {}", or_none(&self.impediment))?;
        writeln!(f, "rounds        {}", self.rounds_total)?;
        writeln!(
            f,
            "packets       {} sent, {} answered, {} strange",
            self.packets_sent_total, self.replies_total, self.strange_replies_total
        )?;
        writeln!(
            f,
            "troubles      {} kernel drops, {} socket errors, send lag {} us (worst {} us)",
            self.kernel_drops_total,
            self.socket_errors_total,
            self.send_lag_us_p50,
            self.send_lag_us_max
        )?;
        writeln!(
            f,
            "to deliver    {} batches, {} bytes, the oldest of {}",
            self.backlog_batches,
            self.backlog_bytes,
            or_none(&self.backlog_since)
        )?;
        writeln!(f, "spool         {}", self.spool_problem.as_deref().unwrap_or("ok"))?;
        writeln!(
            f,
            "lost          {} rounds dropped, {} batches refused",
            self.rounds_dropped_total, self.batches_refused_total
        )
    }
}
