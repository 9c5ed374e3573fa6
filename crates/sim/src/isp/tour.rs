//! The guided tour: five faults, what to click, what to watch, what the system should say.

use super::fault::{Fault, FaultKind};

/// One stop of the tour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub title: &'static str,
    /// What happens, and why it is worth a look.
    pub story: &'static str,
    pub faults: Vec<Fault>,
    pub watch: &'static str,
    /// What the system should say.
    pub says: &'static str,
}

/// The tour, in its order.
pub fn tour() -> Vec<Stop> {
    let one = |kind, element: &str| vec![Fault::new(kind, element)];
    vec![
        Stop {
            title: "A digger cuts a line nobody misses",
            story: "One of two lines between Chicago and St. Louis. Routing goes round it after \
                    nine seconds; until then some packets are lost. The next failure would hurt.",
            faults: one(FaultKind::LinkCut, "chicago-core1--stlouis-core1"),
            watch: "Overview: within half a minute the likely cause is there. Some targets are \
                    Degraded, a few Down for some seconds, and all are Up again after two minutes.",
            says: "The link chicago-core1--stlouis-core1 is down and traffic goes another way: \
                   one incident, not an alarm for each target.",
        },
        Stop {
            title: "A router stops, and so do its customers",
            story: "An access router in Houston. Everything behind it is silent, and nothing \
                    else is.",
            faults: one(FaultKind::RouterStopped, "houston-acc1"),
            watch: "Incidents: one, not one for each of its customers. Open it and read the \
                    evidence.",
            says: "houston-acc1, or the only link that leads to it, is down; its targets' own \
                   alerts are suppressed by it.",
        },
        Stop {
            title: "A city without power",
            story: "Phoenix goes dark: routers, concentrator, customers, all at once. It has no \
                    agent, so it is seen from outside only.",
            faults: one(FaultKind::SiteDark, "phoenix"),
            watch: "Incidents: the site is named, not its three routers one by one.",
            says: "Site phoenix is down, with the number of customers behind it.",
        },
        Stop {
            title: "A line that loses packets",
            story: "The link to San Diego's access router loses 15 % of packets. Pings mostly \
                    get through, people mostly complain.",
            faults: one(FaultKind::LinkLossy, "sandiego-agg1--sandiego-acc1"),
            watch: "Targets, filtered by Degraded; it takes a minute or two until the loss is \
                    sure.",
            says: "Link sandiego-agg1--sandiego-acc1 loses packets; its targets are Degraded, \
                   none of them Down.",
        },
        Stop {
            title: "The monitor itself goes blind in one eye",
            story: "The agent in Denver is cut off, from the network and from the server. That \
                    is not an outage of what it watches.",
            faults: one(FaultKind::AgentIsolated, "agent-denver"),
            watch: "Agents: agent-denver goes offline. Its targets stay as they are: the other \
                    agents still see them.",
            says: "agent agent-denver is down. No target turns Down because of it.",
        },
    ]
}

#[cfg(test)]
mod tests {
    use model::{Tick, UtcMicros};

    use super::*;
    use crate::isp::Isp;

    #[test]
    fn every_stop_can_be_broken() {
        let isp = Isp::new(200, 1, Tick(0), UtcMicros(0)).expect("a network");
        for fault in tour().into_iter().flat_map(|stop| stop.faults) {
            assert_eq!(isp.check(&fault), Ok(()), "{fault:?}");
        }
    }
}
