//! The words for incidents as people work on them.
//!
//! Each has a pinned text form: the API and the store write it the same way. What an incident is
//! and when it is over is decided in `engine`, not here.

use std::fmt;

use crate::topology::words;

words! {
    /// Where an incident stands.
    IncidentState {
        /// It is seen, or was not seen to be over.
        Open = "open",
        /// What it hit answers again.
        Resolved = "resolved",
        /// A person said that it is done with.
        Closed = "closed",
    }
}

words! {
    /// How bad an incident is, the worst first.
    Severity {
        /// Targets are down that a tenth of all weight stands behind.
        Critical = "critical",
        /// Some target is down.
        Major = "major",
        /// Targets lose packets or answer late; none is down.
        Minor = "minor",
        /// Nobody feels it: what failed is gone round, and redundancy is lost.
        Warning = "warning",
    }
}

impl Severity {
    /// 1 - Targets are down, and a tenth of all weight or more is hit: critical.
    /// 2 - Some target is down: major.
    /// 3 - Some target is degraded: minor.
    /// 4 - Else: a warning.
    pub fn of(
        targets_down: u32,
        targets_degraded: u32,
        weight: u64,
        weight_total: u64,
    ) -> Severity {
        match (targets_down, targets_degraded) {
            (1.., _) if 0 < weight && weight_total <= weight.saturating_mul(10) => {
                Severity::Critical
            }
            (1.., _) => Severity::Major,
            (0, 1..) => Severity::Minor,
            (0, 0) => Severity::Warning,
        }
    }
}

words! {
    /// What it was, as the person says who closes an incident.
    CauseCode {
        /// A device or a part of one failed.
        Hardware = "hardware",
        /// A cable, a fibre or a radio path.
        Line = "line",
        Power = "power",
        Software = "software",
        /// Somebody changed something.
        Configuration = "configuration",
        Overload = "overload",
        /// A transit, a carrier, a landlord.
        ThirdParty = "third_party",
        /// Work that was planned.
        Maintenance = "maintenance",
        /// There was nothing: Faultline was wrong.
        FalseAlarm = "false_alarm",
        Unknown = "unknown",
    }
}

words! {
    /// What happened to an incident.
    EntryKind {
        Opened = "opened",
        /// What it hits or how surely it is known changed.
        Revised = "revised",
        CauseChanged = "cause_changed",
        /// It is part of another one.
        Merged = "merged",
        Resolved = "resolved",
        Reopened = "reopened",
        Acknowledged = "acknowledged",
        /// The acknowledgement was taken back.
        Unacknowledged = "unacknowledged",
        Assigned = "assigned",
        Commented = "commented",
        Closed = "closed",
        /// It was kept silent while somebody worked, and was not back when they were done.
        NotBack = "not_back",
        /// A trace of something that it hits came to its end.
        Traced = "traced",
        /// Packets take another way to something that it hits.
        PathChanged = "path_changed",
    }
}

impl EntryKind {
    /// Whether it says more of an incident that stands where it stood: nobody who did something
    /// with what he saw before did it to another.
    pub fn is_detail(self) -> bool {
        matches!(self, EntryKind::Revised | EntryKind::Traced | EntryKind::PathChanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_counts_before_what_is_slow_and_what_nobody_feels_is_a_warning() {
        assert_eq!(Severity::of(1, 0, 10, 100), Severity::Critical);
        assert_eq!(Severity::of(1, 9, 9, 100), Severity::Major);
        assert_eq!(Severity::of(1, 0, 0, 0), Severity::Major);
        assert_eq!(Severity::of(0, 1, 100, 100), Severity::Minor);
        assert_eq!(Severity::of(0, 0, 0, 100), Severity::Warning);
        assert!(Severity::Critical < Severity::Warning, "the worst comes first");
    }
}
