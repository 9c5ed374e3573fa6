//! The simulated server's judgement of the network: the real one of `engine::live`, over the
//! topology of the scenario, with a book of what people were told that survives a crash.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    graph::{Draft, ElementDraft, TargetDraft},
    live::{Hearing, Kept, Ledger, MonitorChange, Out, Report, Roster, Standing, Told},
    rca::Change,
};
use model::{
    AgentId, Decision, DecisionKind, ElementKind, Entity, OrgId, ProbeId, UtcMicros, Verdict,
};

use crate::{
    Defect,
    scenario::{Network, Scenario},
    server::{Disk, Entry, Heard},
};

const ORG: OrgId = OrgId(1);

/// Something that people were told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    pub(crate) change: Change,
    pub(crate) told: Told,
}

/// What is stored of incidents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// By number, which is the place from 1 on.
    incidents: Vec<Kept>,
    blind_since: Option<UtcMicros>,
    /// What was told last, as it would be sent again by a door that forgets.
    last: Option<(u32, Notice)>,
}

/// What one judgement brought.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// With the number of the incident.
    pub(crate) notices: Vec<(u32, Notice)>,
    pub(crate) monitor: Option<MonitorChange>,
    /// Those that people know, by number.
    pub(crate) open: Vec<(u32, Told)>,
    pub(crate) is_waiting: bool,
}

#[derive(Debug)]
pub(crate) struct Diagnosis {
    standing: Standing,
    roster: Roster,
    ledger: Ledger,
    /// When the process began.
    begun_at: UtcMicros,
    has_begun: bool,
    /// Entries of the log and decisions that were taken.
    taken: (usize, usize),
    heard: BTreeMap<AgentId, UtcMicros>,
    verdicts: BTreeMap<ProbeId, (Verdict, UtcMicros)>,
    /// Number of an incident by the id that the engine gives it.
    numbers: BTreeMap<u32, u32>,
    /// What a door that forgets says once more.
    again: Option<(u32, Notice)>,
    network: Network,
    defect: Option<Defect>,
}

impl Diagnosis {
    /// Begins with a process; `None` without a network.
    pub(crate) fn new(
        scenario: &Scenario,
        begun_at: UtcMicros,
        defect: Option<Defect>,
    ) -> Option<Diagnosis> {
        Some(Diagnosis {
            begun_at,
            has_begun: false,
            standing: Standing::new(ORG),
            roster: Roster::default(),
            ledger: Ledger::default(),
            taken: (0, 0),
            heard: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            again: None,
            network: scenario.network.clone()?,
            defect,
        })
    }

    /// Takes what was stored since; of before this process rounds are no evidence any more.
    fn catch_up(&mut self, disk: &Disk) {
        for Entry { now, heard } in disk.log.iter().skip(self.taken.0) {
            match heard {
                Heard::Inventory(change) => drop(self.roster.change(change)),
                Heard::Agent(agent, _) => drop(self.heard.insert(*agent, *now)),
                Heard::Batch { batch, .. } => {
                    self.heard.insert(batch.agent, *now);
                    if self.begun_at <= *now {
                        self.ledger.hear(batch);
                    }
                }
                Heard::Monitor(_) | Heard::Timeout => {}
            }
        }
        for (_, decision) in disk.decisions.iter().skip(self.taken.1) {
            self.take_verdict(decision);
        }
        self.taken = (disk.log.len(), disk.decisions.len());
    }

    fn take_verdict(&mut self, decision: &Decision) {
        if let DecisionKind::Verdict(change) = &decision.kind
            && let Entity::Consensus { probe } = change.entity
        {
            let known = self.verdicts.entry(probe).or_insert((change.to, change.at));
            if known.0 != change.to {
                *known = (change.to, change.at);
            }
        }
    }

    fn out(&self) -> Out {
        let name = |probe: ProbeId| format!("target{}", probe.0);
        let held =
            |verdict: Verdict| self.verdicts.iter().filter(move |(_, (held, _))| *held == verdict);
        let followed: BTreeSet<String> = self.standing.followed().into_iter().collect();
        let still = held(Verdict::Down).chain(held(Verdict::Unknown));
        Out {
            down: held(Verdict::Down).map(|(probe, (_, since))| (name(*probe), *since)).collect(),
            still: still.map(|(probe, _)| name(*probe)).filter(|n| followed.contains(n)).collect(),
            total: self.verdicts.len() as u64,
        }
    }

    /// Judges what is stored. The first time it goes on with the book of the process before.
    pub(crate) fn judge(&mut self, disk: &mut Disk, now: UtcMicros) -> Judged {
        self.catch_up(disk);
        let draft = draft(&self.network);
        if self.standing.set_topology(&self.roster, &draft).is_err() {
            return Judged::default();
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            self.go_on(&disk.book, now);
        }
        let heard: Vec<_> = self.heard.iter().map(|(agent, at)| (*agent, *at)).collect();
        let out = self.out();
        let report = self.standing.judge(&Hearing {
            now,
            roster: &self.roster,
            ledger: &self.ledger,
            heard: &heard,
            reported: &[],
            out: Some(&out),
            budget: None,
        });
        self.note(&mut disk.book, report, now)
    }

    fn go_on(&mut self, book: &Book, now: UtcMicros) {
        if self.defect == Some(Defect::IncidentsForgotten) {
            return;
        }
        if self.defect == Some(Defect::NoticeTwice) {
            self.again.clone_from(&book.last);
        }
        self.standing.restore_blind(book.blind_since);
        let ids = self.standing.restore(&book.incidents, now);
        let ids = ids.into_iter().zip(1..).filter_map(|(id, number)| Some((id?, number)));
        self.numbers = ids.collect();
    }

    fn note(&mut self, book: &mut Book, mut report: Report, now: UtcMicros) -> Judged {
        if let Some(change) = report.sight.monitor {
            book.blind_since = match change {
                MonitorChange::Blind { since, .. } => Some(since),
                MonitorChange::Sees { .. } => None,
            };
        }
        if self.defect == Some(Defect::AllSuppressed) {
            let all: Vec<String> = self.verdicts.keys().map(|p| format!("target{}", p.0)).collect();
            report.incidents.iter_mut().for_each(|told| told.suppressed.clone_from(&all));
        }
        if self.defect == Some(Defect::RootBlamed) {
            let causes = report.incidents.iter_mut().flat_map(|told| &mut told.causes);
            causes.for_each(|cause| cause.elements = vec!["r1".to_owned()]);
        }
        let mut notices: Vec<(u32, Notice)> = self.again.take().into_iter().collect();
        for message in &report.messages {
            let id = message.incident.0;
            let Some(told) = report.incidents.iter().find(|told| told.id == id) else { continue };
            if message.change == Change::Opened && !self.numbers.contains_key(&id) {
                book.incidents.push(Kept::default());
                self.numbers.insert(id, u32::try_from(book.incidents.len()).unwrap_or(u32::MAX));
            }
            // What people do not know is no incident yet.
            let Some(number) = self.numbers.get(&id) else { continue };
            notices.push((*number, Notice { change: message.change, told: told.clone() }));
        }
        book.last = notices.last().cloned().or(book.last.take());
        for told in &report.incidents {
            let Some(number) = self.numbers.get(&told.id) else { continue };
            let place = usize::try_from(*number - 1).unwrap_or(usize::MAX);
            let Some(kept) = book.incidents.get_mut(place) else { continue };
            let pairs = self.standing.pairs_of(told.id);
            let closed_at = (!told.is_open).then(|| kept.closed_at.unwrap_or(now));
            *kept = Kept { pairs, closed_at, ..Kept::from(told) };
        }
        let open = report.incidents.into_iter().filter(|told| told.is_open);
        let open = open.filter_map(|told| Some((*self.numbers.get(&told.id)?, told))).collect();
        let sight = report.sight;
        Judged { notices, monitor: sight.monitor, open, is_waiting: sight.is_waiting }
    }
}

/// What a device is called in the topology.
pub(crate) fn device_id(device: u32) -> String {
    format!("r{device}")
}

/// What the link is called that a device hangs on.
pub(crate) fn link_id(network: &Network, device: u32) -> Option<String> {
    Some(format!("r{}--r{device}", network.parent(device)?))
}

fn draft(network: &Network) -> Draft {
    let count = u32::try_from(network.parents.len()).unwrap_or(0) + 1;
    let devices =
        (1..=count).map(|device| ElementDraft::new(device_id(device), ElementKind::Device));
    let links = (2..=count).filter_map(|device| {
        let parent = device_id(network.parent(device)?);
        Some(ElementDraft::link(&link_id(network, device)?, &parent, &device_id(device)))
    });
    let agents = network.homes.iter().zip(1..).map(|(home, agent)| ElementDraft {
        device: Some(device_id(*home)),
        ..ElementDraft::new(format!("agent{agent}"), ElementKind::Agent)
    });
    let target = |device| TargetDraft::new(format!("target{device}"), Some(device_id(device)));
    Draft {
        elements: devices.chain(links).chain(agents).collect(),
        targets: (1..=count).map(target).collect(),
        ..Draft::default()
    }
}
