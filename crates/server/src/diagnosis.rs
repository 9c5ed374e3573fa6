//! What is the matter with the network right now: judged again and again, on a task of its own.
//!
//! It listens to what the conductor has stored, keeps the evidence of the last minutes, and judges
//! it at most once a second and for at most a quarter of the time. Without a topology nothing
//! follows from rounds, and none are kept. It is fed by a queue that drops what does not fit:
//! nothing that counts waits for it. What it says is no decision of the log: it says at which
//! position it was made, and after a restart its evidence begins anew. The incidents that people
//! are told of are stored, and go on after a restart.

mod book;
pub(crate) mod message;
mod scouts;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::{
    graph::{
        Draft,
        document::{Fault, Section},
    },
    live::{Hearing, Ledger, Moved, Out, Report, Reported, Roster, Standing, Told},
    rca::REOPEN_US,
};
use model::{AgentId, IncidentId, LogPosition, OrgId, UtcMicros};
use store::{
    FactRow, FactsLive, IncidentKept, IncidentsKept, ORG_DEFAULT, Scope, Store, StoreError,
    TargetsOut,
};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    conductor::{Conductor, Heard, LiveStream},
    config::PublicUrl,
};
use book::{Book, Judged, WAITING_MAX};
pub(crate) use scouts::{About, TraceTold, TraceWish};
use scouts::{Patrol, TOLD_MAX, WISHES_MAX};
use windows::{Meanwhile, Windows};

/// Not more often: what a person reads does not change faster.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause after a judgement that took long.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// So many times as long as it took, it pauses: a quarter of one core at most.
const PAUSE_PARTS: u32 = 3;
/// Causes weighed in one judgement. What was found by then is said.
const COVERS_MAX: u64 = 200_000;
/// So long the rounds of a slow tier are evidence: 32 of them, one a minute.
const HOLE_AGE: Duration = Duration::from_secs(32 * 60);
/// A fact that was not seen for longer is not shown beside a judgement any more; it weighs nothing
/// long before.
const FACT_AGE: Duration = Duration::from_secs(3600);
/// Heartbeats of longer ago are of agents that are long known to be gone.
const HEARD_AGE: Duration = Duration::from_secs(24 * 3600);

/// What was found for one organisation.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) at: UtcMicros,
    /// Everything up to here was heard, but what did not fit.
    pub(crate) position: LogPosition,
    pub(crate) inventory_version: u64,
    /// Since when evidence is kept.
    pub(crate) since: UtcMicros,
    pub(crate) took_us: u64,
    /// Batches that did not fit into the queue, of the time that evidence is kept for.
    pub(crate) batches_missed: u64,
    /// More was reported lately than a judgement looks at.
    pub(crate) is_facts_cut: bool,
    pub(crate) state: ShownState,
    /// What incidents of the report are called that people were told of.
    pub(crate) numbers: BTreeMap<u32, IncidentId>,
}

#[derive(Clone, Debug)]
pub(crate) enum ShownState {
    /// There is no device in the topology: nothing follows from rounds alone.
    NoTopology,
    /// What is stored cannot be built.
    BadTopology(String),
    Judged(Box<Report>),
}

/// The handle: what was found last. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Diagnosis {
    shown: Arc<Mutex<BTreeMap<OrgId, Arc<Shown>>>>,
    /// Whose facts are others than those that were read last.
    reported: Arc<Mutex<BTreeSet<OrgId>>>,
    /// Whose maintenance windows are others than those that were read last.
    replanned: Arc<Mutex<BTreeSet<OrgId>>>,
    /// What is to be traced, and whom that wakes.
    wishes: Arc<(Mutex<Vec<TraceWish>>, Notify)>,
    /// Traces that came to their end.
    traced: Arc<Mutex<Vec<TraceTold>>>,
}

impl Diagnosis {
    /// What was found last for an organisation; `None` before the first time.
    pub(crate) fn of(&self, org: OrgId) -> Option<Arc<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).get(&org).cloned()
    }

    /// Facts of an organisation were stored: the next judgement reads them.
    pub(crate) fn facts_came(&self, org: OrgId) {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).insert(org);
    }

    /// A maintenance window of an organisation was changed: the next judgement reads them.
    pub(crate) fn maintenance_changed(&self, org: OrgId) {
        self.replanned.lock().unwrap_or_else(PoisonError::into_inner).insert(org);
    }

    /// A trace came to its end, or was not made.
    pub(crate) fn trace_ended(&self, told: TraceTold) {
        let mut traced = self.traced.lock().unwrap_or_else(PoisonError::into_inner);
        if traced.len() < TOLD_MAX {
            traced.push(told);
        }
    }

    /// Waits for what is to be traced.
    pub(crate) async fn wishes(&self) -> Vec<TraceWish> {
        let (wishes, wake) = &*self.wishes;
        loop {
            let taken = std::mem::take(&mut *wishes.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            wake.notified().await;
        }
    }

    fn wish(&self, new: Vec<TraceWish>) {
        if new.is_empty() {
            return;
        }
        let (wishes, wake) = &*self.wishes;
        let mut wishes = wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.extend(new);
        wishes.truncate(WISHES_MAX);
        wake.notify_one();
    }

    fn take_traced(&self) -> Vec<TraceTold> {
        std::mem::take(&mut *self.traced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_replanned(&self) -> BTreeSet<OrgId> {
        std::mem::take(&mut *self.replanned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_reported(&self) -> BTreeSet<OrgId> {
        std::mem::take(&mut *self.reported.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Judges until `stop`. A panic of a judgement ends with that judgement; the evidence then
    /// begins anew.
    pub(crate) async fn run(
        self,
        store: Store,
        conductor: Conductor,
        (clock, public): (Clock, Option<PublicUrl>),
        stop: CancellationToken,
    ) {
        let mut heard = conductor.listen();
        let mut live = conductor.live().subscribe(None);
        let mut desk = Desk::new(clock.now(), public.clone());
        let mut pause = PAUSE_MIN;
        let (mut is_behind, mut is_unstored) = (false, false);
        loop {
            if !desk.hear((&mut heard, &mut live), &conductor, pause, &stop).await {
                return;
            }
            // Before what was reported: the facts of a trace are stored before its end is told.
            desk.patrol.handle_ends(self.take_traced());
            desk.unheard.extend(self.take_reported());
            desk.now = clock.now();
            for org in self.take_replanned() {
                desk.windows.entry(org).or_default().renew();
            }
            match desk.catch_up(&store, &conductor).await {
                Ok(()) => is_behind = false,
                Err(error) if !is_behind => {
                    is_behind = true;
                    let error = crate::chain(&error);
                    tracing::warn!(
                        %error,
                        "the diagnosis goes by an older inventory until it can be read"
                    );
                }
                Err(_) => {}
            }
            let (begun, stopwatch) = (clock.now(), Instant::now());
            desk.now = begun;
            let since = UtcMicros(begun.0.saturating_sub(in_micros(HEARD_AGE)));
            desk.heard = conductor.heard_since(since);
            // Whatever was stored up to there is in the queue by now, or did not fit.
            desk.position = conductor.position();
            while let Ok(heard) = heard.try_recv() {
                heard.rounds.iter().for_each(|batch| desk.ledger.hear(batch));
            }
            desk.note_missed(conductor.metrics().diagnosis_missed.get());
            let judged = tokio::task::spawn_blocking(move || {
                let shown = desk.judge();
                (desk, shown)
            });
            let Ok((back, shown)) = judged.await else {
                tracing::error!("a diagnosis panicked: its evidence begins anew");
                conductor.metrics().task_failures.inc();
                desk = Desk::new(clock.now(), public.clone());
                pause = PAUSE_MAX;
                continue;
            };
            desk = back;
            let stored = desk.store(&store, &conductor).await;
            note_unstored(&mut is_unstored, stored);
            // The clock of the wall may be set meanwhile.
            let took = stopwatch.elapsed();
            conductor.metrics().diagnosis_seconds.observe(took.as_secs_f64());
            self.show(shown, took);
            self.wish(desk.patrol.take_wishes());
            conductor.metrics().traces_left.inc_by(desk.patrol.take_left());
            pause = (took * PAUSE_PARTS).clamp(PAUSE_MIN, PAUSE_MAX);
        }
    }

    fn show(&self, shown: BTreeMap<OrgId, Shown>, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let with_time = |(org, shown)| (org, Arc::new(Shown { took_us, ..shown }));
        let all = shown.into_iter().map(with_time);
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
    }
}

/// Says once that incidents wait for the database, and once that they do not any more.
fn note_unstored(is_unstored: &mut bool, stored: Result<(), StoreError>) {
    match &stored {
        Ok(()) if *is_unstored => tracing::info!("incidents are stored and told again"),
        Err(error) if !*is_unstored => {
            let error = crate::chain(error);
            tracing::warn!(%error, "incidents cannot be stored: nobody is told of what is new");
        }
        Ok(()) | Err(_) => {}
    }
    *is_unstored = stored.is_err();
}

pub(crate) fn reported(row: FactRow) -> Reported {
    Reported {
        source: row.source.into(),
        element: row.element,
        end: row.end,
        agent: row.agent,
        kind: row.kind,
        value: row.value,
        since: row.since,
        seen: row.seen,
        until: row.until,
    }
}

fn in_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Everything that a judgement is made of.
struct Desk {
    /// What messages link to.
    public: Option<PublicUrl>,
    roster: Roster,
    ledger: Ledger,
    /// The version of the inventory that `roster` and `drafts` are of; `None` before the first.
    version: Option<u64>,
    drafts: BTreeMap<OrgId, (u64, Arc<Draft>)>,
    /// Whose topology was not looked at since the inventory changed.
    unread: BTreeSet<OrgId>,
    /// Whose topology is another than the one that is judged by.
    changed: BTreeSet<OrgId>,
    standings: BTreeMap<OrgId, Standing>,
    /// What a process before left, and since when people know that it was blind; taken once there
    /// is a topology to go on in.
    kept: BTreeMap<OrgId, (IncidentsKept, Option<UtcMicros>)>,
    /// Of those the ones that wait for a topology that can be read.
    apart: BTreeMap<OrgId, Vec<IncidentKept>>,
    books: BTreeMap<OrgId, Book>,
    /// What was reported lately, by when it began.
    facts: BTreeMap<OrgId, Vec<Reported>>,
    /// Of whom more was reported than that.
    facts_cut: BTreeSet<OrgId>,
    /// Whose facts are to be read.
    unheard: BTreeSet<OrgId>,
    windows: BTreeMap<OrgId, Windows>,
    /// What is traced by itself.
    patrol: Patrol,
    /// Names this desk: its turns are no other's.
    run: u64,
    bad: BTreeMap<OrgId, String>,
    /// What the verdicts say, as it was read last.
    out: BTreeMap<OrgId, Out>,
    since: UtcMicros,
    now: UtcMicros,
    heard: Vec<(AgentId, UtcMicros)>,
    position: LogPosition,
    /// Batches that did not fit, ever, and those of the evidence that is kept.
    missed_total: u64,
    missed: u64,
    missed_at: UtcMicros,
}

impl Desk {
    fn new(now: UtcMicros, public: Option<PublicUrl>) -> Desk {
        Desk {
            public,
            roster: Roster::default(),
            ledger: Ledger::default(),
            version: None,
            drafts: BTreeMap::new(),
            unread: BTreeSet::new(),
            changed: BTreeSet::new(),
            standings: BTreeMap::new(),
            kept: BTreeMap::new(),
            apart: BTreeMap::new(),
            books: BTreeMap::new(),
            facts: BTreeMap::new(),
            facts_cut: BTreeSet::new(),
            unheard: BTreeSet::new(),
            windows: BTreeMap::new(),
            patrol: Patrol::default(),
            run: u64::try_from(now.0).unwrap_or(0),
            bad: BTreeMap::new(),
            out: BTreeMap::new(),
            since: now,
            now,
            heard: Vec::new(),
            position: LogPosition::default(),
            missed_total: 0,
            missed: 0,
            missed_at: now,
        }
    }

    /// A hole is no hole any more when the rounds around it are no evidence any more.
    fn note_missed(&mut self, total: u64) {
        if HOLE_AGE < self.now.since(self.missed_at) {
            self.missed = 0;
        }
        if self.missed_total < total {
            self.missed += total - self.missed_total;
            self.missed_at = self.now;
        }
        self.missed_total = total;
    }

    /// Takes what comes for a while; whether to go on.
    async fn hear(
        &mut self,
        (heard, live): (&mut mpsc::Receiver<Heard>, &mut LiveStream),
        conductor: &Conductor,
        pause: Duration,
        stop: &CancellationToken,
    ) -> bool {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                () = &mut over => return true,
                // Without an end: once the server stops, `stop` says so.
                Some(item) = live.next() => self.patrol.hear(&item.event),
                next = heard.recv() => {
                    let Some(heard) = next else { return false };
                    let is_behind = !self.unread.is_empty()
                        || self.version != Some(conductor.inventory_version());
                    for batch in &heard.rounds {
                        if is_behind || self.is_judged(batch.agent) {
                            self.ledger.hear(batch);
                        }
                    }
                }
            }
        }
    }

    /// Whether the agent stands in a topology. While that may have changed, all are heard.
    fn is_judged(&self, agent: AgentId) -> bool {
        self.standings.values().any(|standing| standing.hears(agent))
    }

    /// Follows the inventory and the topologies as far as the engine has them. What was read stays
    /// read when something later cannot be: that is tried again the next time.
    async fn catch_up(&mut self, store: &Store, conductor: &Conductor) -> Result<(), StoreError> {
        let wanted = conductor.inventory_version();
        if self.version != Some(wanted) {
            let (version, changes) = match self.version {
                Some(version) => store.inventory_since(version).await?,
                None => store.inventory_snapshot().await?,
            };
            let mut is_renamed = false;
            for change in &changes {
                is_renamed |= self.roster.change(change);
            }
            self.ledger.forget_addresses(&mut self.roster, self.now);
            if is_renamed {
                self.ledger.forget_strangers(&self.roster);
                self.changed.extend(self.drafts.keys());
            }
            self.unread = self.roster.orgs();
            self.unread.insert(ORG_DEFAULT);
            self.version = Some(version.max(wanted));
        }
        let mut failed = None;
        for org in self.unread.clone() {
            match self.read(store, org).await {
                Ok(()) => drop(self.unread.remove(&org)),
                Err(error) => failed = Some(error),
            }
        }
        self.unheard.extend(self.drafts.keys().filter(|org| !self.facts.contains_key(org)));
        for org in self.unheard.clone() {
            match self.read_facts(store, org).await {
                Ok(is_cut) => {
                    self.unheard.remove(&org);
                    conductor.metrics().diagnosis_facts_cut.inc_by(u64::from(is_cut));
                }
                Err(error) => failed = Some(error),
            }
        }
        let known = |org: &OrgId| self.windows.get(org);
        let is_due = |org: &OrgId| known(org).is_none_or(|windows| windows.is_due(self.now));
        let orgs = self.drafts.keys().chain(self.bad.keys()).copied();
        let due: BTreeSet<OrgId> = orgs.filter(is_due).collect();
        for org in due {
            match Windows::read(store, &Scope::system(org), self.now).await {
                Ok(windows) => drop(self.windows.insert(org, windows)),
                Err(error) => failed = Some(error),
            }
        }
        for (org, standing) in &self.standings {
            let scope = Scope::system(*org);
            match store.targets_out(&scope, &standing.followed()).await {
                Ok(TargetsOut { down, still }) => {
                    let total = u64::try_from(self.roster.probe_count(*org)).unwrap_or(u64::MAX);
                    self.out.insert(*org, Out { down, still, total });
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Reads what was reported lately of one organisation's devices; whether there is more.
    async fn read_facts(&mut self, store: &Store, org: OrgId) -> Result<bool, StoreError> {
        let seen_after = UtcMicros(self.now.0.saturating_sub(in_micros(FACT_AGE)));
        let FactsLive { rows, is_cut } = store.facts_live(&Scope::system(org), seen_after).await?;
        self.facts.insert(org, rows.into_iter().map(reported).collect());
        if is_cut {
            self.facts_cut.insert(org);
        } else {
            self.facts_cut.remove(&org);
        }
        Ok(is_cut)
    }

    /// Reads the topology of one organisation, if it is another than the one that is known.
    async fn read(&mut self, store: &Store, org: OrgId) -> Result<(), StoreError> {
        let scope = Scope::system(org);
        if !self.books.contains_key(&org) && !self.kept.contains_key(&org) {
            let resolved_after = UtcMicros(self.now.0.saturating_sub(REOPEN_US));
            let kept = store.incidents_kept(&scope, resolved_after).await?;
            let monitor = store.message_last(&scope, message::MONITOR).await?;
            self.kept.insert(org, (kept, message::blind_since(monitor.as_ref())));
        }
        let stored = store.topology_version(&scope).await?;
        if self.drafts.get(&org).map(|(version, _)| *version) == Some(stored) {
            return Ok(());
        }
        let row = store.topology(&scope).await?;
        let version = row.version;
        let read = tokio::task::spawn_blocking(move || {
            let parts = row
                .parts
                .iter()
                .filter_map(|part| Some((Section::parse(&part.section)?, part.body.as_str())));
            Draft::from_parts(parts)
        });
        match read.await {
            Ok(Ok(draft)) => {
                self.drafts.insert(org, (version, Arc::new(draft)));
                self.changed.insert(org);
            }
            Ok(Err(faults)) => {
                let first = faults.first().map(Fault::to_string).unwrap_or_default();
                self.note_bad(org, first);
            }
            Err(_) => self.note_bad(org, "reading it panicked".to_owned()),
        }
        Ok(())
    }

    /// Keeps why a topology cannot be followed; says it once.
    fn note_bad(&mut self, org: OrgId, reason: String) {
        if self.bad.get(&org) != Some(&reason) {
            tracing::error!(
                org = org.0,
                reason,
                "the topology that is stored cannot be read: no cause is named by it; targets that \
                 are down are told all the same. Remedy: import the whole topology again with \
                 `faultline topology import --replace`, or restore a backup"
            );
        }
        self.bad.insert(org, reason);
    }

    /// Stores what changed of incidents, in order; what fails waits for the next time.
    async fn store(&mut self, store: &Store, conductor: &Conductor) -> Result<(), StoreError> {
        for (org, book) in &mut self.books {
            while let Some(turn) = book.waiting() {
                store.incidents_take(&Scope::system(*org), turn).await?;
                let of_saves = turn.saves.iter().map(|save| save.id);
                let of_traces = turn.traced.iter().map(|traced| traced.incident);
                let told: BTreeSet<_> = of_saves.chain(of_traces).collect();
                told.into_iter().for_each(|id| conductor.tell_incident(*org, id));
                book.is_stored();
            }
        }
        Ok(())
    }

    fn judge(&mut self) -> BTreeMap<OrgId, Shown> {
        let seen_after = self.now.0.saturating_sub(in_micros(FACT_AGE));
        self.facts.values_mut().for_each(|facts| facts.retain(|fact| seen_after < fact.seen.0));
        for org in std::mem::take(&mut self.changed) {
            let Some((_, draft)) = self.drafts.get(&org) else { continue };
            let standing = self.standings.entry(org).or_insert_with(|| Standing::new(org));
            match standing.set_topology(&self.roster, draft) {
                Ok(moved) => {
                    self.bad.remove(&org);
                    if let Moved::Followed { links, paths } = moved {
                        tracing::debug!(links, paths, "the topology followed its links");
                    }
                }
                Err(problems) => {
                    let first = problems.first().map(ToString::to_string).unwrap_or_default();
                    self.note_bad(org, first);
                }
            }
        }
        let is_none = |standing: &Standing| standing.net().is_none();
        if self.unread.is_empty() && self.standings.values().all(is_none) {
            self.ledger = Ledger::default();
            self.since = self.now;
        }
        let orgs: BTreeSet<OrgId> = self.drafts.keys().chain(self.bad.keys()).copied().collect();
        // A change that cannot be kept must not happen: what was said last stands until then.
        let has_room = |book: &Book| book.waiting_len() < WAITING_MAX;
        let orgs = orgs.into_iter().filter(|org| self.books.get(org).is_none_or(has_room));
        let orgs: Vec<OrgId> = orgs.collect();
        orgs.into_iter().map(|org| (org, self.shown(org))).collect()
    }

    fn shown(&mut self, org: OrgId) -> Shown {
        let report = self.report(org);
        let state = match (self.bad.get(&org), report) {
            (Some(reason), _) => ShownState::BadTopology(reason.clone()),
            (None, Some(report)) => ShownState::Judged(Box::new(report)),
            (None, None) => ShownState::NoTopology,
        };
        let book = self.books.get(&org);
        let incidents = match &state {
            ShownState::Judged(report) => report.incidents.as_slice(),
            ShownState::NoTopology | ShownState::BadTopology(_) => &[],
        };
        let number = |told: &Told| Some((told.id, book?.number(told.id)?));
        Shown {
            at: self.now,
            position: self.position,
            inventory_version: self.version.unwrap_or(0),
            since: self.since,
            took_us: 0,
            batches_missed: self.missed,
            is_facts_cut: self.facts_cut.contains(&org),
            numbers: incidents.iter().filter_map(number).collect(),
            state,
        }
    }

    /// Judges one organisation's network, and takes into its book what follows. `None` without a
    /// network: what was seen of one that is gone, nobody can see any more.
    fn report(&mut self, org: OrgId) -> Option<Report> {
        let judged = Judged {
            at: self.now,
            inventory_version: self.version.unwrap_or(0),
            position: self.position,
        };
        let none = Windows::default();
        let windows = self.windows.get(&org).unwrap_or(&none);
        let standing = self.standings.entry(org).or_insert_with(|| Standing::new(org));
        let has_network = standing.net().is_some();
        standing.set_works(&windows.open(self.now));
        let is_unreadable = !has_network && self.bad.contains_key(&org);
        if let Some((mut kept, blind_since)) = self.kept.remove(&org) {
            standing.restore_blind(blind_since);
            if is_unreadable {
                // What has a cause waits for a topology to find it in.
                let has_cause = |one: &mut IncidentKept| !one.body.causes.is_empty();
                let apart = kept.incidents.extract_if(.., has_cause).collect();
                self.apart.insert(org, apart);
            }
            self.books
                .insert(org, Book::open((self.run, self.public.clone()), &kept, standing, judged));
        }
        let book = self.books.get_mut(&org)?;
        if !is_unreadable && let Some(apart) = self.apart.remove(&org) {
            book.admit(&apart, standing, judged);
        }
        let hearing = Hearing {
            now: self.now,
            roster: &self.roster,
            ledger: &self.ledger,
            heard: &self.heard,
            reported: self.facts.get(&org).map_or(&[][..], Vec::as_slice),
            out: self.out.get(&org),
            budget: Some(COVERS_MAX),
        };
        let report = standing.judge(&hearing);
        self.patrol.go_on(org, standing, book, &hearing);
        book.take(Meanwhile { now: self.now, report: &report, windows }, standing, judged);
        has_network.then_some(report)
    }
}
