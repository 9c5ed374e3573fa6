//! Orders of the server to trace, and what is said of them.

use wire::v1::{self, agent_frame};

use super::Agent;
use crate::traces::Report;

/// Last words that wait for a connection: more than are traced while one blinks. Of those that are
/// too many the oldest go; the server ends their traces when their time is over.
const UNTOLD_MAX: usize = 16;

impl Agent {
    pub(super) fn handle_command(&mut self, command: &v1::Command) {
        let report = self.traces.handle_command(command);
        self.handle_report(report);
    }

    /// Says what is new of a trace. Only the last word is worth being said again: all of the trace
    /// is in it.
    pub(super) fn handle_report(&mut self, report: Report) {
        if !self.tell_report(&report) && report.is_last() {
            if self.untold.len() == UNTOLD_MAX {
                self.untold.pop_front();
            }
            self.untold.push_back(report);
        }
    }

    /// Says again what found no connection.
    pub(super) fn tell_untold(&mut self) {
        while let Some(report) = self.untold.front() {
            if !self.tell_report(report) {
                return;
            }
            self.untold.pop_front();
        }
    }

    fn tell_report(&self, report: &Report) -> bool {
        let update = agent_frame::Kind::CommandUpdate(report.to_update());
        self.link.as_ref().is_some_and(|link| link.try_send(update))
    }
}
