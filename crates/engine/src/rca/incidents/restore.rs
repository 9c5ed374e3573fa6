//! How incidents go on: after a restart, and after they closed.

use model::UtcMicros;

use super::{Incident, IncidentId, Incidents, REOPEN_US, State};
use crate::rca::report::Finding;

/// What is known of an incident that people were told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub revision: u32,
    /// With its causes, pairs, onset and impact; evidence begins anew.
    pub finding: Finding,
    /// `None`: it was open.
    pub closed_at: Option<UtcMicros>,
}

impl Incidents {
    /// Goes on with what was known at `now`: the ids are the places from 1 on, in the order given.
    pub fn restore(known: impl IntoIterator<Item = Known>, now: UtcMicros) -> Incidents {
        let mut incidents = Incidents { taken_at: now, ..Incidents::default() };
        for Known { revision, mut finding, closed_at } in known {
            incidents.next += 1;
            finding.pairs.sort_unstable();
            let fresh = Incident::new(IncidentId(incidents.next), finding, now);
            let incident = Incident { revision, is_told: true, ..fresh };
            match closed_at {
                None => {
                    let awaited_since = Some(now);
                    incidents.open.push(Incident { awaited_since, ..incident });
                }
                Some(at) => {
                    let incident = Incident { state: State::Resolved, ..incident };
                    incidents.closed.push((at, incident));
                }
            }
        }
        incidents
    }

    /// Nothing was seen until `now`: what is open is awaited, as evidence begins anew.
    pub fn handle_sight(&mut self, now: UtcMicros) {
        for incident in &mut self.open {
            incident.awaited_since = Some(now);
        }
    }

    /// Takes back what closed lately and has the cause of a finding, if people knew it.
    pub(super) fn take_back(&mut self, finding: &Finding) -> Option<Incident> {
        let is_again = |(at, incident): &(UtcMicros, Incident)| {
            let is_known = incident.is_told || incident.is_back;
            is_known
                && !incident.is_merged
                && self.taken_at.0 - at.0 <= REOPEN_US
                && incident.shares_cause(finding)
        };
        let place = self.closed.iter().rposition(is_again)?;
        let (_, mut incident) = self.closed.remove(place);
        incident.pairs_ever.extend(&finding.pairs);
        Some(Incident {
            state: State::Open,
            revision: incident.revision + 1,
            finding: finding.clone(),
            worst: finding.clone(),
            heals_since: None,
            missed: 0,
            seen_at: self.taken_at,
            is_told: false,
            is_back: true,
            other_since: None,
            ..incident
        })
    }
}
