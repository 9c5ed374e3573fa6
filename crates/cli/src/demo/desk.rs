//! The fault desk over the virtual network.

use agent::clock::Clock;
use model::ElementKind;
use server::desk::{
    Desk, DeskFault, DeskKind, DeskPlace, DeskRefusal, DeskSize, DeskState, DeskStop, FaultOrder,
};
use sim::isp::{CONVERGENCE, CREDIT, Fault, FaultError, FaultKind, tour};

use super::{SharedIsp, lock};

#[derive(Debug)]
pub(super) struct FaultDesk {
    pub(super) isp: SharedIsp,
    pub(super) clock: Clock,
}

/// What shows each kind well: none of them is where the tour goes.
fn example(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::LinkCut => "dallas-core1--denver-core1",
        FaultKind::RouterStopped => "washington-agg1",
        FaultKind::SiteDark => "orlando",
        FaultKind::LinkLossy => "cambridge-agg1--cambridge-acc1",
        FaultKind::LinkSlow => "seattle-agg1--seattle-bng1",
        FaultKind::AgentIsolated => "agent-seattle",
        FaultKind::UpstreamGone => "transit-west",
        FaultKind::LinkFlaps => "raleigh-core1--raleigh-agg1",
        FaultKind::ConduitDug => "conduit-chicago-newyork",
    }
}

impl Desk for FaultDesk {
    fn state(&self) -> DeskState {
        let mut isp = lock(&self.isp);
        isp.advance(self.clock.tick());
        let active = isp.active().map(|active| DeskFault {
            id: active.id,
            kind: active.fault.kind.as_str(),
            element: active.fault.element.clone(),
            size: active.fault.kind.size().map(|_| active.fault.measure()),
            words: active.fault.words(),
            since: isp.wall(active.since),
            is_bad_now: active.is_bad_now,
        });
        let kinds = FaultKind::ALL.map(|kind| DeskKind {
            kind: kind.as_str(),
            element: kind.element().as_str(),
            size: kind.size().map(|size| DeskSize {
                default: size.default,
                max: size.max,
                unit: size.unit,
            }),
            example: example(kind).to_owned(),
        });
        let breakable = |kind: ElementKind| FaultKind::ALL.iter().any(|of| of.element() == kind);
        let elements = isp.plan().draft.elements.iter();
        let places = elements.filter(|element| breakable(element.kind)).map(|element| DeskPlace {
            id: element.id.clone(),
            kind: element.kind.as_str(),
            role: element.role.map(model::ElementRole::as_str),
            site: element.site.clone(),
        });
        let stops = tour().into_iter().map(|stop| DeskStop {
            title: stop.title.to_owned(),
            story: stop.story.to_owned(),
            watch: stop.watch.to_owned(),
            says: stop.says.to_owned(),
            faults: stop.faults.iter().map(order).collect(),
        });
        DeskState {
            credit: CREDIT.to_owned(),
            kinds: kinds.into(),
            places: places.collect(),
            active: active.collect(),
            tour: stops.collect(),
            convergence_s: CONVERGENCE.as_secs(),
        }
    }

    fn begin(&self, orders: &[FaultOrder]) -> Result<(), DeskRefusal> {
        let now = self.clock.tick();
        let mut isp = lock(&self.isp);
        isp.advance(now);
        // All are looked at before the first breaks: what is broken is reported, and cannot be
        // taken back.
        let mut faults: Vec<Fault> = Vec::with_capacity(orders.len());
        for (index, order) in orders.iter().enumerate() {
            let Some(kind) = FaultKind::parse(&order.kind) else {
                let known = FaultKind::ALL.map(FaultKind::as_str).join(", ");
                let reason = format!("must be one of {known}");
                return Err(DeskRefusal { index, field: "kind", reason, is_conflict: false });
            };
            let fault = Fault { kind, element: order.element.clone(), size: order.size };
            isp.check(&fault).map_err(|error| refusal(index, &error))?;
            if faults.iter().any(|other| (other.kind, &other.element) == (kind, &fault.element)) {
                let twice = FaultError::Already { element: fault.element };
                return Err(refusal(index, &twice));
            }
            faults.push(fault);
        }
        let mut begun = Vec::new();
        for (index, fault) in faults.into_iter().enumerate() {
            match isp.begin(fault, now) {
                Ok(id) => begun.push(id),
                // There is room for some of them and not for all.
                Err(error) => {
                    for id in begun {
                        isp.mend(id, now);
                    }
                    return Err(refusal(index, &error));
                }
            }
        }
        Ok(())
    }

    fn mend(&self, id: u32) -> bool {
        lock(&self.isp).mend(id, self.clock.tick())
    }

    fn mend_all(&self) -> usize {
        lock(&self.isp).mend_all(self.clock.tick())
    }
}

fn refusal(index: usize, error: &FaultError) -> DeskRefusal {
    let (field, is_conflict) = match error {
        FaultError::NoSuch { .. } => ("element", false),
        FaultError::Size { .. } | FaultError::NoSize => ("size", false),
        FaultError::Already { .. } | FaultError::TooMany { .. } => ("element", true),
    };
    DeskRefusal { index, field, reason: error.to_string(), is_conflict }
}

fn order(fault: &Fault) -> FaultOrder {
    FaultOrder {
        kind: fault.kind.as_str().to_owned(),
        element: fault.element.clone(),
        size: fault.size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_example_that_can_be_broken_and_several_are_all_or_nothing() {
        let clock = Clock::new();
        let isp = sim::isp::Isp::new(200, 1, clock.tick(), clock.wall()).expect("a network");
        let isp = std::sync::Arc::new(std::sync::Mutex::new(isp));
        let desk = FaultDesk { isp, clock };
        let orders: Vec<FaultOrder> = FaultKind::ALL
            .into_iter()
            .map(|kind| order(&Fault::new(kind, example(kind))))
            .collect();
        assert_eq!(desk.begin(&orders), Ok(()));
        assert_eq!(desk.state().active.len(), FaultKind::ALL.len());
        let refused = desk.begin(orders.get(..1).expect("one")).expect_err("it is broken already");
        assert!(refused.is_conflict, "{refused:?}");
        assert_eq!(desk.mend_all(), FaultKind::ALL.len());
        let wrong = FaultOrder { element: "nowhere".to_owned(), ..orders[0].clone() };
        let refused = desk.begin(&[orders[1].clone(), wrong]).expect_err("there is no such thing");
        assert_eq!((refused.index, refused.field), (1, "element"));
        assert!(desk.state().active.is_empty(), "all or nothing");
    }
}
