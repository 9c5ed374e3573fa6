//! The words and values of traces: the way that packets take, hop by hop.

use std::{fmt, net::IpAddr, time::Duration};

use crate::topology::words;

words! {
    /// What the packets of a trace are.
    TraceProtocol {
        /// Echo requests.
        Icmp = "icmp",
        /// To ports that nothing listens on.
        Udp = "udp",
    }
}

words! {
    /// What the losses of a hop mean.
    ///
    /// A router answers when it has time, and rarely more than so many times a second; what it
    /// passes on is another matter. So a loss that later hops do not share is none of the path's.
    HopNote {
        /// Too little is known yet.
        Waiting = "waiting",
        /// Nothing was lost.
        Clean = "clean",
        /// It answers only some, and passes everything on.
        RateLimited = "rate_limited",
        /// It answers nothing, and passes on what later hops answer.
        Silent = "silent",
        /// It loses, and so does everything behind it.
        Lossy = "lossy",
        /// Some answers are missing; too few packets to say of what.
        Unclear = "unclear",
        /// Neither it nor anything behind it answers.
        Dark = "dark",
    }
}

words! {
    /// Where a trace stands.
    TraceState {
        /// Ordered; the agent has not said yet that it runs.
        Ordered = "ordered",
        Running = "running",
        /// It came to its end, whatever it found.
        Done = "done",
        /// It did not; the reason says why.
        Failed = "failed",
        Cancelled = "cancelled",
        /// The agent did not come to its end in time.
        Expired = "expired",
    }
}

words! {
    /// Why a trace is made.
    TraceWhy {
        /// Somebody asked for it.
        Asked = "asked",
        /// A pair went bad.
        WentBad = "went_bad",
        /// A pair that was traced when it went bad answers again.
        Healed = "healed",
        /// A pair that answers, to hold beside one that went bad.
        Reference = "reference",
        /// It tells two causes apart that nothing else does.
        TellApart = "tell_apart",
    }
}

impl TraceWhy {
    /// Whether the software asked for it by itself.
    pub fn is_automatic(self) -> bool {
        self != TraceWhy::Asked
    }
}

impl TraceState {
    /// Whether nothing will change any more.
    pub fn is_over(self) -> bool {
        !matches!(self, TraceState::Ordered | TraceState::Running)
    }
}

words! {
    /// What the end of a trace was.
    TraceEnd {
        /// Of at least one flow the target answered.
        Reached = "reached",
        /// A router refused to take the packets further.
        Unreachable = "unreachable",
        /// Nobody answers behind some hop, or there are more hops than asked.
        Silent = "silent",
        /// Not one packet could leave the agent's host.
        NotAsked = "not_asked",
    }
}

/// How a trace is made. Every value that [`TraceOptions::check`] takes is legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceOptions {
    pub protocol: TraceProtocol,
    pub flows: u8,
    pub hops_max: u8,
    /// Packets for each hop of each flow.
    pub rounds: u8,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// From one round to the next, of whichever flow.
    pub interval: Duration,
    /// Hops in a row that answer nothing, after which a trace goes no further.
    pub silent_max: u8,
}

/// A value that no trace takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {must}")]
pub struct TraceOptionsError {
    pub field: &'static str,
    pub must: &'static str,
}

impl TraceOptions {
    /// Flows of one trace: routers rarely have more equal ways, and each costs a whole trace.
    pub const FLOWS_MAX: u8 = 16;
    /// Twice the longest ways there are.
    pub const HOPS_MAX: u8 = 64;
    /// Rounds of all flows together: bounds how long a trace takes, and what routers must answer.
    pub const ROUNDS_MAX: u16 = 64;
    pub const TIMEOUT_MIN: Duration = Duration::from_millis(200);
    pub const TIMEOUT_MAX: Duration = Duration::from_secs(5);
    pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
    pub const INTERVAL_MAX: Duration = Duration::from_secs(2);

    /// # Errors
    ///
    /// The first value outside its limits.
    pub fn check(&self) -> Result<(), TraceOptionsError> {
        let rounds = u16::from(self.flows) * u16::from(self.rounds);
        let hops = 1..=TraceOptions::HOPS_MAX;
        let timeout = TraceOptions::TIMEOUT_MIN..=TraceOptions::TIMEOUT_MAX;
        let interval = TraceOptions::INTERVAL_MIN..=TraceOptions::INTERVAL_MAX;
        let flows = 1..=TraceOptions::FLOWS_MAX;
        let checks = [
            ("flows", flows.contains(&self.flows), "must be 1 to 16"),
            ("hops_max", hops.contains(&self.hops_max), "must be 1 to 64"),
            ("rounds", 1 <= self.rounds, "must be at least 1"),
            (
                "rounds",
                rounds <= TraceOptions::ROUNDS_MAX,
                "must be at most 64 of all flows together",
            ),
            ("timeout_ms", timeout.contains(&self.timeout), "must be 200 to 5000"),
            ("interval_ms", interval.contains(&self.interval), "must be 100 to 2000"),
            ("silent_max", hops.contains(&self.silent_max), "must be 1 to 64"),
        ];
        match checks.into_iter().find(|(_, is_good, _)| !is_good) {
            Some((field, _, must)) => Err(TraceOptionsError { field, must }),
            None => Ok(()),
        }
    }
}

/// One flow of echo requests, five for each hop, half a second apart: some five seconds in all.
impl Default for TraceOptions {
    fn default() -> TraceOptions {
        TraceOptions {
            protocol: TraceProtocol::Icmp,
            flows: 1,
            hops_max: 30,
            rounds: 5,
            timeout: Duration::from_secs(1),
            interval: Duration::from_millis(500),
            silent_max: 5,
        }
    }
}

/// One hop of one flow, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHop {
    pub flow: u8,
    /// How many routers the packets might pass: 1 is the first one.
    pub ttl: u8,
    /// Packets that left.
    pub sent: u16,
    /// Packets that were not answered in time. The rest of `sent` is answered or still under way.
    pub lost: u16,
    /// Who answered, in the order of their first answers; at most [`TraceHop::ANSWERS_MAX`].
    pub answers: Vec<HopAnswer>,
    /// What was said last, if it ended the way.
    pub ending: Option<HopEnding>,
    pub note: HopNote,
}

/// One address that answered at a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HopAnswer {
    pub from: IpAddr,
    pub received: u16,
    pub rtt_us_min: u32,
    pub rtt_us_mean: u32,
    pub rtt_us_max: u32,
}

/// Why a flow goes no further than a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopEnding {
    /// It is the target.
    Reached,
    /// It refuses to take the packets further; the code of its ICMP message.
    Unreachable { code: u8 },
}

impl TraceHop {
    /// Addresses told of one hop of one flow: more only come from routers that spread the packets
    /// of one flow, of which the first few say enough.
    pub const ANSWERS_MAX: usize = 8;

    pub fn received(&self) -> u16 {
        self.answers.iter().map(|answer| answer.received).fold(0, u16::saturating_add)
    }
}
