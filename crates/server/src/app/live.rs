//! What changes right now, and what is counted: the conductor's voice to people and collectors.

use model::LogPosition;

use super::{App, AppError};

pub(crate) use crate::conductor::{
    AgentVitals, HeldVerdict, LiveEvent, LiveItem, LiveStream, PairStatusView, Rival,
};

/// Consoles at once; each holds a connection and its place in the ring.
const SUBSCRIBERS_MAX: usize = 1_000;

impl App {
    /// Subscribes to what changes after a position of the log; after now, if none is given.
    pub(crate) fn live(&self, after: Option<LogPosition>) -> Result<LiveStream, AppError> {
        let live = self.conductor.live();
        if SUBSCRIBERS_MAX <= live.subscribers() {
            let detail = format!("{SUBSCRIBERS_MAX} consoles listen already; close some");
            return Err(AppError::Unavailable { detail, source: None });
        }
        Ok(live.subscribe(after))
    }

    /// The last position that is applied and stored: live events go on after it.
    pub(crate) fn log_position(&self) -> LogPosition {
        self.conductor.position()
    }

    /// What Prometheus reads.
    pub(crate) fn metrics_text(&self) -> String {
        self.conductor.metrics_text()
    }
}
