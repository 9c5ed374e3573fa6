//! The incidents of one organisation as they are stored: what a judgement changes of them.
//!
//! 1 - An incident is stored from when people are told of it, under the next number; what is only
//!     suspected is shown and never stored.
//! 2 - It is written again when it becomes another: told of, another cause, over; and when what it
//!     hits or how it fails changes. That is a revision. So is not that it is surer.
//! 3 - What changes only whom it hits is a revision once in a while, not at every judgement.
//! 4 - While it is open its figures are brought up to date from time to time.
//! 5 - One whose causes left the topology is resolved, once the monitor sees: nobody can see it
//!     any more.
//! 6 - How bad it is only grows while it is open.
//! 7 - Whether the monitor itself sees is told in the same way; while it does not, nothing else.
//! 8 - Of what is inside of a maintenance window nobody is told, as [`engine::live::voice`]
//!     decides; what of it did not come back is told of all of a window at once.
//! 9 - What is not stored yet waits, in order; people are told with what is stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::{
    live::{Blame, Kept, Report, Silence, Standing, Told, Voice, voice},
    rca::{Change, REOPEN_US, text},
};
use model::{FaultMode, IncidentId, LogPosition, MaintenanceId, Severity, UtcMicros};
use store::{
    CauseBody, EvidenceBody, ImpactBody, IncidentBody, IncidentKept, IncidentSave, IncidentStep,
    IncidentTraced, IncidentTurn, IncidentsKept, Maintained, NewMessage, SuppressedBody,
};

use super::{message, windows::Meanwhile};
use crate::config::PublicUrl;

/// Between two revisions that only say whom it hits: as long as a failure takes to be seen by all.
const IMPACT_PAUSE_US: i64 = 30_000_000;
/// Between two times that figures are brought up to date.
const REFRESH_PAUSE_US: i64 = 15_000_000;
/// Turns that wait for a database that takes nothing; then nothing further is judged.
pub(super) const WAITING_MAX: usize = 1_000;
/// Why an incident ended though nobody saw it end.
const LEFT_TOPOLOGY: &str = "what it was about is no longer in the topology";
const UNASKED: &str = "nobody asks any more what it hit";
const PART_OF_UNTOLD: &str =
    "it is part of another cause, which is not likely enough that anybody was told of it";

/// An incident that is stored.
#[derive(Clone, Debug)]
struct Followed {
    /// As it was said last.
    said: Said,
    /// As it was written last.
    last: IncidentSave,
    revised_at: UtcMicros,
    saved_at: UtcMicros,
    /// When it was over: it may come back.
    over_at: Option<UtcMicros>,
    /// That people do not know it.
    silence: Option<Silence>,
    /// What a trace said that was to tell its causes apart: the next judgement is made with it.
    because: Option<String>,
}

/// What makes a revision when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    cause: Option<(Vec<String>, FaultMode)>,
    hits: (u32, u32),
    severity: Severity,
}

/// Of when and on what a judgement was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) at: UtcMicros,
    pub(super) inventory_version: u64,
    pub(super) position: LogPosition,
}

/// The stored incidents of one organisation.
#[derive(Debug)]
pub(super) struct Book {
    /// Of this process: turns of another are others.
    run: u64,
    turn: u64,
    next: u32,
    /// By the engine's own id.
    followed: BTreeMap<u32, Followed>,
    /// What messages link to.
    public: Option<PublicUrl>,
    waiting: VecDeque<IncidentTurn>,
    /// What traces told, which goes with the next turn.
    traced: Vec<IncidentTraced>,
}

impl Book {
    /// Goes on with what is stored: the engine restores it too, without telling anybody.
    pub(super) fn open(
        (run, public): (u64, Option<PublicUrl>),
        kept: &IncidentsKept,
        standing: &mut Standing,
        judged: Judged,
    ) -> Book {
        let mut book = Book {
            run,
            turn: 0,
            next: kept.next,
            followed: BTreeMap::new(),
            public,
            waiting: VecDeque::new(),
            traced: Vec::new(),
        };
        book.admit(&kept.incidents, standing, judged);
        book
    }

    /// Goes on with further ones that are stored; the engine has none with causes yet.
    pub(super) fn admit(&mut self, kept: &[IncidentKept], standing: &mut Standing, judged: Judged) {
        let known: Vec<Kept> = kept.iter().map(known).collect();
        let ids = standing.restore(&known, judged.at);
        let mut gone = Vec::new();
        for (one, id) in kept.iter().zip(ids) {
            let followed = Followed {
                said: Said::of_body(&one.body, one.row.severity),
                last: last(one),
                revised_at: one.row.updated_at,
                saved_at: judged.at,
                over_at: (!one.row.is_followed).then_some(one.row.resolved_at).flatten(),
                silence: one
                    .row
                    .maintenance
                    .filter(|of| of.is_silent)
                    .map(|of| Silence::of(of.window)),
                because: None,
            };
            match id {
                Some(id) => drop(self.followed.insert(id, followed)),
                None if one.row.is_followed => {
                    gone.push(followed.end(LEFT_TOPOLOGY, judged, self.public.as_ref()))
                }
                None => {}
            }
        }
        self.put(gone, Vec::new(), judged);
    }

    /// Takes a judgement: what changes with it waits to be stored.
    pub(super) fn take(&mut self, meanwhile: Meanwhile<'_>, standing: &Standing, judged: Judged) {
        let report = meanwhile.report;
        let mut saves = Vec::new();
        let mut done = BTreeSet::new();
        let public = self.public.clone();
        let public = public.as_ref();
        for message in &report.messages {
            let Some(told) = report.incidents.iter().find(|told| told.id == message.incident.0)
            else {
                continue;
            };
            let step = match message.change {
                Change::Opened => IncidentStep::Opened,
                Change::Reopened => IncidentStep::Reopened,
                Change::CauseChanged => IncidentStep::CauseChanged,
                Change::Resolved | Change::Unasked => IncidentStep::Resolved,
                Change::Merged { into } => match self.number(into.0) {
                    Some(into) => IncidentStep::Merged { into },
                    None => {
                        let part = self.followed.remove(&told.id);
                        saves.extend(part.map(|part| part.end(PART_OF_UNTOLD, judged, public)));
                        continue;
                    }
                },
            };
            done.insert(told.id);
            let save = self.step(told, (step, message.change), (standing, meanwhile), judged);
            if let Change::Merged { into } = message.change
                && save.as_ref().is_some_and(|save| save.message.is_some())
            {
                self.is_known_by_its_part(into.0);
            }
            saves.extend(save);
        }
        for told in report.incidents.iter().filter(|told| !done.contains(&told.id)) {
            saves.extend(self.go_on(told, (standing, meanwhile), judged));
        }
        if !report.sight.is_waiting {
            saves.extend(self.forget(report, judged));
        }
        let monitor = report.sight.monitor;
        let told = |change| message::of_monitor(change, judged.at, public);
        let mut tells: Vec<NewMessage> = monitor.map(told).into_iter().collect();
        tells.extend(self.not_back(&saves, meanwhile));
        self.put(saves, tells, judged);
    }

    /// The oldest turn that is not stored yet.
    pub(super) fn waiting(&self) -> Option<&IncidentTurn> {
        self.waiting.front()
    }

    /// How many are not stored yet.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// The oldest is stored.
    pub(super) fn is_stored(&mut self) {
        self.waiting.pop_front();
    }

    /// What an incident of the engine's is called.
    pub(super) fn number(&self, id: u32) -> Option<IncidentId> {
        self.followed.get(&id).map(|followed| followed.last.id)
    }

    /// Puts what a trace told into the timeline of an incident, with the next turn.
    pub(super) fn note_trace(&mut self, traced: IncidentTraced) {
        self.traced.push(traced);
    }

    /// A trace was to tell causes of an incident apart: what is believed with it is a revision.
    pub(super) fn revise_because(&mut self, id: u32, said: String) {
        if let Some(followed) = self.followed.get_mut(&id) {
            followed.because = Some(said);
        }
    }

    fn put(&mut self, saves: Vec<IncidentSave>, tells: Vec<NewMessage>, judged: Judged) {
        let traced = std::mem::take(&mut self.traced);
        if saves.is_empty() && tells.is_empty() && traced.is_empty() {
            return;
        }
        self.turn += 1;
        self.waiting.push_back(IncidentTurn {
            run: self.run,
            turn: self.turn,
            at: judged.at,
            inventory_version: judged.inventory_version,
            log_position: judged.position,
            next: self.next,
            saves,
            tells,
            traced,
        });
    }

    /// Something that people are told.
    fn step(
        &mut self,
        told: &Told,
        (step, change): (IncidentStep, Change),
        (standing, meanwhile): (&Standing, Meanwhile<'_>),
        judged: Judged,
    ) -> Option<IncidentSave> {
        if step == IncidentStep::Opened && !self.followed.contains_key(&told.id) {
            self.followed.insert(told.id, Followed::new(IncidentId(self.next), told, judged.at));
            self.next += 1;
        }
        // What people do not know is no incident yet.
        let followed = self.followed.get_mut(&told.id)?;
        let is_over = matches!(step, IncidentStep::Resolved | IncidentStep::Merged { .. });
        followed.over_at = is_over.then_some(judged.at);
        let voice = followed.voice(told.id, Some(change), meanwhile);
        let mut save = followed.revise(told, step, standing, judged.at);
        if change == Change::Unasked {
            UNASKED.clone_into(&mut save.note);
        }
        if let Some(silence) = followed.silence
            && matches!(step, IncidentStep::Opened | IncidentStep::Reopened)
        {
            let called = meanwhile.windows.called(silence.window);
            save.note = format!("in {called}, nobody is told: {}", save.note);
        }
        save.message = message::in_voice(voice, &save, judged.at, self.public.as_ref());
        Some(save)
    }

    /// People were told that it is what became of another: they wait for its all-clear.
    fn is_known_by_its_part(&mut self, id: u32) {
        if let Some(followed) = self.followed.get_mut(&id)
            && followed.silence.take().is_some()
        {
            // It is written at once.
            followed.saved_at = UtcMicros(0);
        }
    }

    /// What people are told of windows that are over: one message each, with what did not come
    /// back.
    fn not_back(&self, saves: &[IncidentSave], meanwhile: Meanwhile<'_>) -> Vec<NewMessage> {
        let mut windows: BTreeMap<MaintenanceId, Vec<&IncidentSave>> = BTreeMap::new();
        for save in saves.iter().filter(|save| save.step == IncidentStep::NotBack) {
            if let Some(of) = save.maintenance {
                windows.entry(of.window).or_default().push(save);
            }
        }
        let told = windows.into_iter().map(|(id, saves)| {
            let window = (id, meanwhile.windows.ended(id));
            message::of_return(window, &saves, meanwhile.now, self.public.as_ref())
        });
        told.collect()
    }

    /// Nothing that people are told: it may be a revision, or new figures.
    fn go_on(
        &mut self,
        told: &Told,
        (standing, meanwhile): (&Standing, Meanwhile<'_>),
        judged: Judged,
    ) -> Option<IncidentSave> {
        let followed = self.followed.get_mut(&told.id)?;
        if followed.over_at.is_some() || !told.is_open || !has_evidence(told) {
            return None;
        }
        let voice = followed.voice(told.id, None, meanwhile);
        match voice {
            Voice::NotBack(_) => {
                return Some(followed.revise(told, IncidentStep::NotBack, standing, judged.at));
            }
            Voice::AsNews => {
                let mut save = followed.revise(told, IncidentStep::Revised, standing, judged.at);
                "it is not what is worked on: told now".clone_into(&mut save.note);
                save.message = message::in_voice(voice, &save, judged.at, self.public.as_ref());
                return Some(save);
            }
            Voice::Speaks | Voice::Silent => {}
        }
        let said = Said::of(told, followed.last.severity);
        let is_other = said.cause != followed.said.cause;
        let is_due = said.hits != followed.said.hits
            && IMPACT_PAUSE_US <= judged.at.0 - followed.revised_at.0;
        if said.severity < followed.said.severity {
            let mut save = followed.revise(told, IncidentStep::Worsened, standing, judged.at);
            // Told only if it was closed, which the store knows.
            save.message = message::in_voice(voice, &save, judged.at, self.public.as_ref());
            return Some(save);
        }
        if let Some(because) = followed.because.take() {
            let mut save = followed.revise(told, IncidentStep::Revised, standing, judged.at);
            save.note = because;
            return Some(save);
        }
        if is_other || is_due {
            return Some(followed.revise(told, IncidentStep::Revised, standing, judged.at));
        }
        if judged.at.0 - followed.saved_at.0 < REFRESH_PAUSE_US {
            return None;
        }
        Some(followed.save(told, IncidentStep::Refreshed, standing, judged.at))
    }

    /// What the engine has no longer: over for long, or without its causes.
    fn forget(&mut self, report: &Report, judged: Judged) -> Vec<IncidentSave> {
        let known: BTreeSet<u32> = report.incidents.iter().map(|told| told.id).collect();
        let is_gone = |id: &u32, one: &mut Followed| match one.over_at {
            Some(at) => 2 * REOPEN_US < judged.at.0 - at.0,
            None => !known.contains(id),
        };
        let gone = self.followed.extract_if(.., is_gone);
        let gone = gone.filter(|(_, followed)| followed.over_at.is_none());
        gone.map(|(_, followed)| followed.end(LEFT_TOPOLOGY, judged, self.public.as_ref()))
            .collect()
    }
}

impl Followed {
    fn new(id: IncidentId, told: &Told, at: UtcMicros) -> Followed {
        let severity = severity(told);
        Followed {
            said: Said::of(told, severity),
            last: IncidentSave {
                id,
                step: IncidentStep::Opened,
                note: String::new(),
                revision: 0,
                severity,
                onset: told.onset,
                sentence: told.sentence.clone(),
                body: IncidentBody::default(),
                pairs: Vec::new(),
                message: None,
                maintenance: None,
            },
            revised_at: at,
            saved_at: at,
            over_at: None,
            silence: None,
            because: None,
        }
    }

    /// Whether people are told, which is written with it.
    fn voice(&mut self, id: u32, change: Option<Change>, meanwhile: Meanwhile<'_>) -> Voice {
        let place = meanwhile.place(id, self.silence);
        let voice = voice(&mut self.silence, change, place);
        let silent = self.silence.map(|silence| silence.window);
        let window = silent.or(self.last.maintenance.map(|of| of.window));
        let is_silent = silent.is_some();
        self.last.maintenance = window.map(|window| Maintained { window, is_silent });
        voice
    }

    fn revise(
        &mut self,
        told: &Told,
        step: IncidentStep,
        standing: &Standing,
        at: UtcMicros,
    ) -> IncidentSave {
        self.last.revision += 1;
        self.revised_at = at;
        let note = note(step, told, &self.said);
        self.save(told, step, standing, at);
        self.said = Said::of(told, self.last.severity);
        self.last.note.clone_from(&note);
        self.last.clone()
    }

    fn save(
        &mut self,
        told: &Told,
        step: IncidentStep,
        standing: &Standing,
        at: UtcMicros,
    ) -> IncidentSave {
        self.saved_at = at;
        self.last.step = step;
        self.last.severity = self.last.severity.min(severity(told));
        self.last.onset = told.onset;
        self.last.sentence.clone_from(&told.sentence);
        // After a restart nothing more is known of it than what is stored.
        if has_evidence(told) {
            self.last.body = body(told, &standing.agents_by_target(told.id));
            self.last.pairs = standing.pairs_of(told.id);
        }
        self.last.clone()
    }

    /// Resolved, for another reason than that what it hit answers again.
    fn end(mut self, note: &str, judged: Judged, public: Option<&PublicUrl>) -> IncidentSave {
        self.last.step = IncidentStep::Resolved;
        self.last.revision += 1;
        note.clone_into(&mut self.last.note);
        let voice = if self.silence.is_some() { Voice::Silent } else { Voice::Speaks };
        self.last.message = message::in_voice(voice, &self.last, judged.at, public);
        self.last
    }
}

/// After a restart, and when the topology is another, an incident waits for its evidence. What
/// verdicts say needs none.
fn has_evidence(told: &Told) -> bool {
    told.causes.is_empty() || told.causes.iter().any(|cause| !cause.evidence.is_empty())
}

fn severity(told: &Told) -> Severity {
    let hit = &told.hit;
    Severity::of(hit.targets_down, hit.targets_degraded, hit.weight, hit.weight_total)
}

impl Said {
    fn of(told: &Told, at_least: Severity) -> Said {
        let cause = told.causes.first().map(|cause| (cause.elements.clone(), cause.mode));
        let hits = (told.hit.targets_down, told.hit.targets_degraded);
        Said { cause, hits, severity: at_least.min(severity(told)) }
    }

    fn of_body(body: &IncidentBody, severity: Severity) -> Said {
        let cause = body.causes.first().map(|cause| (cause.elements.clone(), cause.mode));
        let hits = (body.impact.targets_down, body.impact.targets_degraded);
        Said { cause, hits, severity }
    }

    fn cause(&self) -> String {
        let Some((elements, mode)) = &self.cause else { return "nothing known".to_owned() };
        format!("{} {}", elements.join(" or "), mode.as_str().replace('_', " "))
    }

    fn hits(&self) -> String {
        match self.hits {
            (0, 0) => "no target down or degraded".to_owned(),
            (down, 0) => format!("{down} down"),
            (0, degraded) => format!("{degraded} degraded"),
            (down, degraded) => format!("{down} down, {degraded} degraded"),
        }
    }
}

/// What the timeline says of a step.
fn note(step: IncidentStep, told: &Told, before: &Said) -> String {
    let now = Said::of(told, before.severity);
    match step {
        IncidentStep::Opened | IncidentStep::Reopened => told.sentence.clone(),
        IncidentStep::Resolved => "what it hit answers as before".to_owned(),
        IncidentStep::Merged { into } => format!("it is part of #{into}"),
        IncidentStep::NotBack => "it was not back when the maintenance was over".to_owned(),
        IncidentStep::CauseChanged => {
            format!("now {}; it was taken for {}", now.cause(), before.cause())
        }
        IncidentStep::Refreshed | IncidentStep::Revised | IncidentStep::Worsened
            if now.cause != before.cause =>
        {
            format!("now {}; before it was {}", now.cause(), before.cause())
        }
        IncidentStep::Refreshed | IncidentStep::Revised | IncidentStep::Worsened => {
            format!("targets: {}; before {}", now.hits(), before.hits())
        }
    }
}

/// What a process before left of an incident.
fn last(kept: &IncidentKept) -> IncidentSave {
    IncidentSave {
        id: kept.row.id,
        step: IncidentStep::Refreshed,
        note: String::new(),
        revision: kept.row.revision,
        severity: kept.row.severity,
        onset: kept.row.onset,
        sentence: kept.row.sentence.clone(),
        body: kept.body.clone(),
        pairs: kept.pairs.clone(),
        message: None,
        maintenance: kept.row.maintenance,
    }
}

fn known(kept: &IncidentKept) -> Kept {
    let blame = |cause: &CauseBody| Blame {
        elements: cause.elements.clone(),
        kind: cause.kind,
        mode: cause.mode,
        loss_ppm: cause.loss_ppm,
        rtt_us_added: cause.rtt_us_added,
        probability: cause.probability,
        evidence: Vec::new(),
        to_disambiguate: cause.to_disambiguate.clone(),
    };
    Kept {
        revision: kept.row.revision,
        causes: kept.body.causes.iter().map(blame).collect(),
        other_probability: kept.body.other_probability,
        onset: kept.row.onset,
        targets_down: kept.body.impact.targets_down,
        targets_degraded: kept.body.impact.targets_degraded,
        pairs: kept.pairs.clone(),
        closed_at: if kept.row.is_followed { None } else { kept.row.resolved_at },
    }
}

fn body(told: &Told, agents: &BTreeMap<String, u32>) -> IncidentBody {
    let cause = told.causes.first();
    let suppressed = |target: &String| SuppressedBody {
        target: target.clone(),
        reason: reason(cause, agents.get(target).copied()),
    };
    IncidentBody {
        causes: told.causes.iter().map(cause_body).collect(),
        other_probability: told.other_probability,
        impact: ImpactBody {
            targets_down: told.hit.targets_down,
            targets_degraded: told.hit.targets_degraded,
            weight: told.hit.weight,
            weight_total: told.hit.weight_total,
            devices: told.hit.devices.clone(),
            devices_total: told.hit.devices_total,
            devices_exposed: told.hit.devices_exposed.clone(),
            devices_exposed_total: told.hit.devices_exposed_total,
            customers: told.hit.customers,
            services: told.hit.services,
        },
        suppressed: told.suppressed.iter().map(suppressed).collect(),
        suppressed_total: told.suppressed_total,
    }
}

/// Why nobody is told of a target by itself.
fn reason(cause: Option<&Blame>, agents: Option<u32>) -> String {
    let Some(cause) = cause else { return "it is down, and this incident tells of it".to_owned() };
    let seen = match agents {
        None => "it is out".to_owned(),
        Some(1) => "1 agent does not reach it".to_owned(),
        Some(agents) => format!("{agents} agents do not reach it"),
    };
    let names = cause.elements.join(" or ");
    format!("{seen} over {names}, which explains it ({})", text::probability(cause.probability))
}

fn cause_body(blame: &Blame) -> CauseBody {
    let piece = |clue: &engine::live::Clue| EvidenceBody {
        supports: clue.supports,
        log_ratio: clue.log_ratio,
        text: clue.text.clone(),
        refs: clue.refs.clone(),
    };
    CauseBody {
        elements: blame.elements.clone(),
        kind: blame.kind,
        mode: blame.mode,
        loss_ppm: blame.loss_ppm,
        rtt_us_added: blame.rtt_us_added,
        probability: blame.probability,
        evidence: blame.evidence.iter().map(piece).collect(),
        to_disambiguate: blame.to_disambiguate.clone(),
    }
}
