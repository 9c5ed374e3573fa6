//! What a case expects, and how an answer differs from it.

use std::collections::BTreeSet;

use model::{ElementKind, FaultMode};

use crate::{
    graph::{ElementIx, Topology},
    rca::{Assessment, Change, Incident, Incidents},
};

/// What should come out; what is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub causes: Option<Vec<ExpectedCause>>,
    pub blind_agents: Option<BTreeSet<String>>,
    pub suppressed: Option<BTreeSet<String>>,
    /// Openings and changes of cause, over all steps.
    pub messages: Option<u32>,
}

/// One cause, with every element that cannot be told from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExpectedCause {
    pub elements: BTreeSet<String>,
    pub kind: Option<ElementKind>,
    pub mode: Option<FaultMode>,
}

impl Change {
    /// Whether it is one of the messages that are counted: the all-clear is not.
    pub fn is_counted(self) -> bool {
        matches!(self, Change::Opened | Change::Reopened | Change::CauseChanged)
    }
}

impl Expected {
    /// Every difference to the incidents after the last step, as a line; none if all is as
    /// expected. `messages` is how many were counted over all steps.
    pub fn differences(
        &self,
        topology: &Topology,
        incidents: &Incidents,
        assessment: &Assessment,
        messages: u32,
    ) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(causes) = &self.causes {
            let mut found: Vec<ExpectedCause> =
                incidents.list().filter_map(|incident| first_cause(topology, incident)).collect();
            for cause in causes {
                match found.iter().position(|found| cause.is_met_by(found)) {
                    Some(at) => {
                        found.remove(at);
                    }
                    None => lines.push(format!("missing cause: {}", cause.told())),
                }
            }
            lines.extend(found.iter().map(|cause| format!("unexpected cause: {}", cause.told())));
        }
        let name = |ix: &ElementIx| topology.id(*ix).to_owned();
        let mut compare =
            |what: &str, wanted: &Option<BTreeSet<String>>, found: BTreeSet<String>| {
                let Some(wanted) = wanted else { return };
                lines.extend(wanted.difference(&found).map(|id| format!("missing {what}: {id}")));
                lines.extend(found.difference(wanted).map(|id| format!("unexpected {what}: {id}")));
            };
        compare("blind agent", &self.blind_agents, assessment.blind.iter().map(name).collect());
        let suppressed = incidents.list().flat_map(|incident| &incident.finding.suppressed);
        compare("suppressed", &self.suppressed, suppressed.map(name).collect());
        if let Some(wanted) = self.messages.filter(|wanted| *wanted != messages) {
            lines.push(format!("{messages} messages, expected {wanted}"));
        }
        lines
    }
}

impl ExpectedCause {
    fn is_met_by(&self, found: &ExpectedCause) -> bool {
        self.elements == found.elements
            && self.kind.is_none_or(|kind| Some(kind) == found.kind)
            && self.mode.is_none_or(|mode| Some(mode) == found.mode)
    }

    fn told(&self) -> String {
        let elements: Vec<&str> = self.elements.iter().map(String::as_str).collect();
        let kind = self.kind.map_or("any kind", ElementKind::as_str);
        let mode = self.mode.map_or("any mode", FaultMode::as_str);
        format!("{} ({kind}, {mode})", elements.join(" "))
    }
}

fn first_cause(topology: &Topology, incident: &Incident) -> Option<ExpectedCause> {
    let cause = incident.finding.causes.first()?;
    let elements = cause.elements.iter().map(|ix| topology.id(*ix).to_owned()).collect();
    Some(ExpectedCause { elements, kind: Some(cause.kind), mode: Some(cause.mode) })
}
