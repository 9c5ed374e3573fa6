//! What the server knows of itself and of its agents, for the Health page and the Agents page.
//!
//! Plain values, copied out under a short lock. Nothing here is judged.

use std::net::SocketAddr;

use model::{AgentId, LogPosition, ProbeId, UtcMicros, Verdict, Why};

use super::lease::{Claim, Held};

/// The server, as it measures itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerVitals {
    pub started_at: UtcMicros,
    /// Applied to the engine and stored.
    pub position: LogPosition,
    /// Records in the log that no stored checkpoint covers yet.
    pub log_depth_records: u64,
    pub log_bytes: u64,
    pub log_segments: u64,
    /// How long the log's last sync took.
    pub log_sync_us: u64,
    /// How far judging is behind what was accepted; zero if nothing waits.
    pub ingest_lag_us: u64,
    pub rounds_total: u64,
    pub batches_total: u64,
    pub bytes_total: u64,
    pub refusals_total: u64,
    pub duplicates_total: u64,
    pub heartbeats_total: u64,
    pub decisions_total: u64,
    /// Over the last ten seconds.
    pub rounds_per_s: f64,
    pub batches_per_s: f64,
    pub decisions_per_s: f64,
    /// How long storing took, over the last commits.
    pub commit_us_p95: u64,
    pub agents_connected: usize,
    pub live_subscribers: usize,
    /// How far the wall clock is ahead of the time that the server goes by.
    pub wall_ahead_us: i64,
    /// Whether results are taken at all; if not, one of the impediments says why.
    pub is_intake_open: bool,
    /// What ails the disks, the database and the log, in words with the remedy.
    pub disk_impediment: Option<String>,
    pub store_impediment: Option<String>,
    pub log_impediment: Option<String>,
}

/// One agent, as it was last heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentVitals {
    /// `None` while it is not connected.
    pub connected_from: Option<SocketAddr>,
    pub connected_at: Option<UtcMicros>,
    pub last_heartbeat_at: Option<UtcMicros>,
    pub software_version: String,
    pub os: String,
    pub hostname: String,
    /// Batches that wait in its spool.
    pub backlog_batches: u64,
    pub backlog_bytes: u64,
    pub rounds_total: u64,
    pub packets_sent_total: u64,
    pub replies_total: u64,
    pub strange_replies_total: u64,
    pub kernel_drops_total: u64,
    pub socket_errors_total: u64,
    pub results_dropped_total: u64,
    pub send_lag_us_p50: u32,
    pub send_lag_us_max: u32,
    /// Probes it says it works on.
    pub probes: u32,
    pub rss_bytes: u64,
    pub cpu_us_total: u64,
    /// Its wall clock less the server's, in microseconds; `None` before the first reading.
    pub clock_offset_us: Option<i64>,
    /// The assignment it says it works on.
    pub assignment_version: u64,
    /// Probes of it that the agent could not take, with the reason.
    pub assignment_refused: Vec<String>,
    /// Why it cannot ask at all, in words with the remedy.
    pub impediment: Option<String>,
    /// Another process with its identity that was refused last.
    pub rival: Option<Rival>,
}

/// A second process with the identity of an agent, as a copied state directory makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Where the refused one came from, and the name its host gives itself.
    pub from: Option<SocketAddr>,
    pub hostname: String,
    /// Where the one that stays came from; `None` if it was not connected just then.
    pub holder: Option<SocketAddr>,
    pub holder_hostname: String,
    pub first_at: UtcMicros,
    pub last_at: UtcMicros,
    /// How often it came.
    pub refusals: u64,
}

impl AgentVitals {
    /// An offset beyond this is shown: minutes would look wrong to someone who compares clocks.
    pub const CLOCK_OFFSET_US_SHOWN: u64 = 1_000_000;

    /// Remembers who was refused; the same host again is the same rival.
    pub(super) fn note_rival(&mut self, held: &Held, claim: Claim, now: UtcMicros) {
        let before = self.rival.take();
        let ip = |address: Option<SocketAddr>| address.map(|address| address.ip());
        let before = before.filter(|before| ip(before.from) == ip(claim.from));
        let (holder, holder_hostname) = match held {
            Held::By { from, hostname } => (*from, hostname.clone()),
            Held::ForOriginal => (None, self.hostname.clone()),
        };
        self.rival = Some(Rival {
            from: claim.from,
            hostname: claim.hostname,
            holder,
            holder_hostname,
            first_at: before.as_ref().map_or(now, |before| before.first_at),
            last_at: now,
            refusals: before.map_or(0, |before| before.refusals) + 1,
        });
    }

    /// The clock offset if it is large enough to matter.
    pub fn clock_offset_us_shown(&self) -> Option<i64> {
        self.clock_offset_us.filter(|o| AgentVitals::CLOCK_OFFSET_US_SHOWN < o.unsigned_abs())
    }
}

/// What the engine holds of one probe right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatusView {
    pub probe: ProbeId,
    pub position: LogPosition,
    /// `None` if the engine does not know the probe.
    pub consensus: Option<HeldVerdict>,
    pub pairs: Vec<PairStatusView>,
}

/// A verdict with its reason and since when it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldVerdict {
    pub verdict: Verdict,
    pub why: Why,
    pub since: UtcMicros,
}

/// What the engine holds of one probe by one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairStatusView {
    pub agent: AgentId,
    pub held: HeldVerdict,
    pub last_round_at: Option<UtcMicros>,
    /// Packets of the loss window, and how many of them were lost.
    pub window_packets: u32,
    pub window_lost: u32,
    /// The last answered round's mean.
    pub rtt_us_mean: Option<u32>,
}
