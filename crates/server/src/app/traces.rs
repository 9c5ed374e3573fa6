//! Traces: ordered by people, made by agents, told hop by hop, kept.
//!
//! An agent must not become a scanner: it traces addresses of targets of the organisation, and
//! nothing else; how many at once and how many a minute is bounded for an organisation as a whole,
//! and the agent has limits of its own.
//!
//! Some are made by themselves, as [`engine::live::Scout`] chooses: they take none of what people
//! may ask for, and where an agent makes as many as it can, one of them gives way.
//!
//! What is under way is here, in memory; what is written is that it was asked, and its end. Each
//! has one end: whichever comes first of what the agent says, a person who cancels, and the time.

mod found;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use model::{
    Address, AgentId, OrgId, TargetId, TraceHop, TraceId, TraceOptions, TraceProtocol, TraceState,
    TraceWhy, UtcMicros,
};
use store::{AuditEntry, NewTrace, Scope, StoreError, TraceDone, TraceQuery, TraceRow};
use tokio::sync::mpsc;
use wire::{
    trace::{TRACE, TraceOrder, TraceReport},
    v1,
};

use super::{App, AppError, FieldError};
use crate::diagnosis::{About, TraceTold, TraceWish};

/// Traces under way of one organisation: a few people who look at one outage.
const UNDER_WAY_MAX: usize = 8;
/// Traces under way at one agent: as many as it makes at once.
const AGENT_UNDER_WAY_MAX: usize = 4;
/// Of those that are made by themselves, beside [`UNDER_WAY_MAX`]; and of them at one agent.
const AUTOMATIC_MAX: usize = 4;
const AUTOMATIC_AGENT_MAX: usize = 2;
/// One trace of an organisation costs five seconds, and a minute may be owed: twelve at once, then
/// twelve a minute.
const COST: Duration = Duration::from_secs(5);
const BURST: Duration = Duration::from_secs(60);
/// Orders on their way to one agent: each of its traces, and to cancel each.
const ORDERS_MAX: usize = 16;
/// How one is made that nobody asked for: a few packets, slowly, so that no person's waits.
const AUTOMATIC: TraceOptions = TraceOptions {
    protocol: TraceProtocol::Icmp,
    flows: 1,
    hops_max: 30,
    rounds: 3,
    timeout: Duration::from_secs(1),
    interval: Duration::from_secs(1),
    silent_max: 5,
};
/// What a trace may take beside its rounds and silences.
const TIME_SPARE: Duration = Duration::from_secs(15);
/// For a last word that is on its way when the agent's time is over.
const GRACE: Duration = Duration::from_secs(15);
/// Reports of one agent within a second: five of each of its traces, and as many again.
const REPORTS_A_SECOND_MAX: u32 = 40;
const SECOND: Duration = Duration::from_secs(1);
/// Told of one that is made by itself and was in a person's way.
const GAVE_WAY: &str = "it was made by itself, and gave way to one that a person asked for";
/// Told to the asker of a trace that ended with the process before this one.
const INTERRUPTED: &str = "the server was stopped while it was under way: run it again";

/// What an agent is told.
#[derive(Clone, Debug)]
pub(crate) enum TraceCommand {
    Run(v1::Command),
    Cancel(v1::CommandCancel),
}

/// What is to be traced: a target by its id, or by its address.
#[derive(Clone, Debug)]
pub(crate) enum TraceSubject {
    Target(TargetId),
    Address(Address),
}

/// A trace with what is known of those who answered.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) row: TraceRow,
    /// Grows with everything that is learned while it is under way.
    pub(crate) revision: u64,
    pub(crate) known: BTreeMap<IpAddr, KnownHop>,
}

/// Who stands at an address: the target that has it, and the part of the network it stands behind.
#[derive(Clone, Debug)]
pub(crate) struct KnownHop {
    pub(crate) target: TargetId,
    pub(crate) name: String,
    pub(crate) element: Option<String>,
}

/// Traces under way and the agents that can make them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    lines: BTreeMap<AgentId, Line>,
    lines_total: u64,
    under_way: BTreeMap<TraceId, UnderWay>,
    /// Those that are about to be under way: counted, and not written yet.
    begun: BTreeMap<u64, (OrgId, AgentId, TraceWhy)>,
    begun_total: u64,
    /// Until when what an organisation asked for is paid.
    paid: BTreeMap<OrgId, UtcMicros>,
}

/// The way to a connected agent.
#[derive(Debug)]
struct Line {
    number: u64,
    can_trace: bool,
    commands: mpsc::Sender<TraceCommand>,
    /// Reports within the second that began then.
    reports: (UtcMicros, u32),
}

#[derive(Debug)]
struct UnderWay {
    org: OrgId,
    row: TraceRow,
    revision: u64,
    expires_at: UtcMicros,
    /// Its end is about to be written.
    is_writing: bool,
    about: Option<About>,
}

/// A place among those under way, until the trace itself is, or is not made.
#[derive(Debug)]
struct Begun {
    traces: Traces,
    number: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.traces.lock().begun.remove(&self.number);
    }
}

/// A session's place among the agents that can be told to trace; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct TraceLine {
    traces: Traces,
    agent: AgentId,
    number: u64,
    commands: mpsc::Receiver<TraceCommand>,
}

impl TraceLine {
    /// Waits for what the agent is to be told.
    pub(crate) async fn next(&mut self) -> TraceCommand {
        match self.commands.recv().await {
            Some(command) => command,
            // Another session of the agent has taken its place; this one is about to end.
            None => std::future::pending().await,
        }
    }
}

impl Drop for TraceLine {
    fn drop(&mut self) {
        let mut book = self.traces.lock();
        if book.lines.get(&self.agent).is_some_and(|line| line.number == self.number) {
            book.lines.remove(&self.agent);
        }
    }
}

impl Traces {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the session of an agent.
    pub(crate) fn enter(&self, agent: AgentId, can_trace: bool) -> TraceLine {
        let (commands, told) = mpsc::channel(ORDERS_MAX);
        let mut book = self.lock();
        book.lines_total += 1;
        let number = book.lines_total;
        let reports = (UtcMicros(0), 0);
        book.lines.insert(agent, Line { number, can_trace, commands, reports });
        drop(book);
        TraceLine { traces: self.clone(), agent, number, commands: told }
    }

    /// Takes a place for one that is allowed: as long as that is held, it counts as under way.
    fn begin(&self, book: &mut Book, (org, agent, why): (OrgId, AgentId, TraceWhy)) -> Begun {
        book.begun_total += 1;
        let number = book.begun_total;
        book.begun.insert(number, (org, agent, why));
        Begun { traces: self.clone(), number }
    }
}

impl Book {
    /// Whether an agent can be told to trace now.
    fn check_line(&self, agent: AgentId) -> Result<(), String> {
        match self.lines.get(&agent) {
            None => Err("the agent is not connected: nothing can be traced from it now".to_owned()),
            Some(Line { can_trace: false, .. }) => Err(
                "the agent cannot trace: it is older than traces are, or may not open raw sockets; \
                 update it, and give it CAP_NET_RAW as its systemd unit does"
                    .to_owned(),
            ),
            Some(_) => Ok(()),
        }
    }

    /// Organisation, agent and reason of those under way; one that has its end only waits to be
    /// written.
    fn open(&self) -> impl Iterator<Item = (OrgId, AgentId, TraceWhy)> {
        let open = self.under_way.values().filter(|trace| trace.row.ended_at.is_none());
        let open = open.map(|trace| (trace.org, trace.row.new.agent, trace.row.new.why));
        open.chain(self.begun.values().copied())
    }

    /// Whether an organisation may ask for one more; it is paid for then. Says which of those that
    /// are made by themselves gives way, if one has to.
    fn pay(
        &mut self,
        org: OrgId,
        agent: AgentId,
        now: UtcMicros,
    ) -> Result<Option<TraceId>, AppError> {
        let busy = |detail: String, retry_after| Err(AppError::Busy { detail, retry_after });
        let asked = self.open().filter(|(_, _, why)| !why.is_automatic());
        if UNDER_WAY_MAX <= asked.filter(|(of, _, _)| *of == org).count() {
            let detail =
                format!("{UNDER_WAY_MAX} traces are under way: wait for one, or cancel it");
            return busy(detail, COST);
        }
        let is_full = AGENT_UNDER_WAY_MAX <= self.open().filter(|(_, of, _)| *of == agent).count();
        let mut newest = self.under_way.iter().rev();
        let is_one = |trace: &UnderWay| {
            let row = &trace.row;
            row.new.agent == agent && row.new.why.is_automatic() && row.ended_at.is_none()
        };
        let gives_way = newest.find(|(_, trace)| is_full && is_one(trace)).map(|(id, _)| *id);
        if is_full && gives_way.is_none() {
            let detail = format!(
                "the agent makes {AGENT_UNDER_WAY_MAX} traces already: wait for one, or cancel it"
            );
            return busy(detail, COST);
        }
        let paid = self.paid.get(&org).copied().unwrap_or_default().max(now) + COST;
        let over = paid.since(now).saturating_sub(BURST);
        if !over.is_zero() {
            let detail = format!(
                "too many traces were asked for; the next one can be in {} s",
                over.as_secs() + 1
            );
            return busy(detail, over);
        }
        self.paid.insert(org, paid);
        Ok(gives_way)
    }

    /// Tells an agent to end a trace. One that cannot be told ends it when its time is over.
    fn cancel(&self, id: TraceId, agent: AgentId) {
        let cancel = TraceCommand::Cancel(v1::CommandCancel { id: id.0.into() });
        if let Some(line) = self.lines.get(&agent)
            && line.commands.try_send(cancel).is_err()
        {
            tracing::debug!(trace = id.0, "the agent is not told that a trace is cancelled");
        }
    }

    /// Whether one may be made by itself, beside those of people.
    fn has_spare(&self, org: OrgId, agent: AgentId) -> bool {
        let own = || self.open().filter(|(_, _, why)| why.is_automatic());
        own().filter(|(of, _, _)| *of == org).count() < AUTOMATIC_MAX
            && own().filter(|(_, of, _)| *of == agent).count() < AUTOMATIC_AGENT_MAX
            && self.open().filter(|(_, of, _)| *of == agent).count() < AGENT_UNDER_WAY_MAX
    }

    /// Whether an agent's report is taken: one of so many a second.
    fn takes_report(&mut self, agent: AgentId, now: UtcMicros) -> bool {
        let Some(line) = self.lines.get_mut(&agent) else { return true };
        let (since, count) = &mut line.reports;
        if SECOND <= now.since(*since) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= REPORTS_A_SECOND_MAX
    }
}

impl App {
    /// Ends what the process before this one left under way.
    pub(crate) async fn traces_begin(&self) -> Result<(), StoreError> {
        let ended = self.store.traces_interrupt(INTERRUPTED, self.clock.now()).await?;
        if ended != 0 {
            tracing::info!(ended, "traces that were under way at the last stop are ended");
        }
        Ok(())
    }

    /// Lets an agent trace a target.
    pub(crate) async fn trace_run(
        &self,
        scope: &Scope,
        (agent, subject): (AgentId, TraceSubject),
        options: TraceOptions,
    ) -> Result<Traced, AppError> {
        let refused = |field: &str, reason: &str| {
            AppError::Invalid(vec![FieldError::new(field, reason.to_owned())])
        };
        options.check().map_err(|error| refused(error.field, error.must))?;
        let agent = match self.store.agent_get(scope, agent).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(refused("agent", "there is no such agent"));
            }
            found => found?,
        };
        let new = NewTrace {
            agent: agent.id,
            agent_name: agent.name,
            ..self.subject(scope, subject, options).await?
        };
        let (begun, gives_way) = {
            let mut book = self.traces.lock();
            let line = book.check_line(new.agent);
            line.map_err(|reason| AppError::Conflict(FieldError::new("agent", reason)))?;
            let gives_way = book.pay(scope.org, new.agent, self.clock.now())?;
            if let Some(id) = gives_way {
                // In the order of the commands, its place at the agent is free by then.
                book.cancel(id, new.agent);
            }
            (self.traces.begin(&mut book, (scope.org, new.agent, new.why)), gives_way)
        };
        if let Some(id) = gives_way {
            self.trace_finish(id, TraceState::Cancelled, GAVE_WAY);
        }
        // It is ordered, or ends, even if the caller hangs up meanwhile.
        let (app, own) = (self.clone(), scope.clone());
        let task = self.changes.spawn(async move { app.order(&own, new, begun, None).await });
        let id = task.await.map_err(AppError::internal)??;
        self.trace(scope, id).await
    }

    /// Makes a trace that nobody asked for; whether it is under way.
    pub(crate) async fn trace_automatic(&self, wish: TraceWish) {
        let scope = Scope::system(wish.org);
        let about = wish.about;
        let (org, agent, target) = (wish.org, wish.agent, wish.target);
        let why = wish.why;
        let made = self.automatic(&scope, wish).await;
        match made {
            Ok(()) => drop(self.conductor.metrics().traces_automatic.inc()),
            Err(reason) => {
                tracing::debug!(agent = agent.0, target = target.0, reason, "it is not traced");
                let (at, entries) = (self.clock.now(), Vec::new());
                let about = Some(about);
                let told = TraceTold { org, agent, target, at, why, about, entries };
                self.diagnosis.trace_ended(told);
            }
        }
    }

    async fn automatic(&self, scope: &Scope, wish: TraceWish) -> Result<(), String> {
        let said = |error: StoreError| crate::chain(&error).to_string();
        let agent = self.store.agent_get(scope, wish.agent).await.map_err(said)?;
        let target = self.store.target_get(scope, wish.target).await.map_err(said)?;
        let new = NewTrace {
            agent: agent.id,
            agent_name: agent.name,
            target: target.id,
            target_name: target.name,
            address: target.address,
            options: AUTOMATIC,
            why: wish.why,
            why_note: wish.note,
        };
        let begun = {
            let mut book = self.traces.lock();
            book.check_line(new.agent)?;
            if !book.has_spare(scope.org, new.agent) {
                return Err("the agent makes as many traces as it may by itself".to_owned());
            }
            self.traces.begin(&mut book, (scope.org, new.agent, new.why))
        };
        let (app, own, about) = (self.clone(), scope.clone(), Some(wish.about));
        let task = self.changes.spawn(async move { app.order(&own, new, begun, about).await });
        task.await.map_err(|error| error.to_string())?.map(drop).map_err(said)
    }

    /// Writes a trace and tells its agent.
    async fn order(
        &self,
        scope: &Scope,
        new: NewTrace,
        begun: Begun,
        about: Option<About>,
    ) -> Result<TraceId, StoreError> {
        let now = self.clock.now();
        let row = self.store.trace_add(scope, &new, now).await?;
        let id = row.id;
        let within = time_of(&new.options);
        let order = TraceOrder { address: new.address, options: new.options };
        let command = v1::Command {
            id: id.0.into(),
            kind: TRACE.to_owned(),
            arguments: order.encode(),
            deadline_ms: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
        };
        let told = {
            let mut book = self.traces.lock();
            book.begun.remove(&begun.number);
            let expires_at = now + within + GRACE;
            let (org, revision, is_writing) = (scope.org, 0, false);
            let trace = UnderWay { org, row, revision, expires_at, is_writing, about };
            book.under_way.insert(id, trace);
            let line = book.lines.get(&new.agent);
            line.is_some_and(|line| line.commands.try_send(TraceCommand::Run(command)).is_ok())
        };
        if !told {
            let reason = "the agent went away before it could be told";
            self.trace_finish(id, TraceState::Failed, reason);
        }
        self.conductor.tell_trace(scope.org, id);
        Ok(id)
    }

    /// Finds the target that is to be traced: nothing else is.
    async fn subject(
        &self,
        scope: &Scope,
        subject: TraceSubject,
        options: TraceOptions,
    ) -> Result<NewTrace, AppError> {
        let refused = |field: &str, reason: &str| {
            AppError::Invalid(vec![FieldError::new(field, reason.to_owned())])
        };
        let (target, target_name, address) = match subject {
            TraceSubject::Target(id) => match self.store.target_get(scope, id).await {
                Err(StoreError::NotFound { .. }) => {
                    return Err(refused("target", "there is no such target"));
                }
                found => {
                    let found = found?;
                    (found.id, found.name, found.address)
                }
            },
            TraceSubject::Address(address) => {
                let found = self.store.targets_at(scope, std::slice::from_ref(&address)).await?;
                let Some(found) = found.into_iter().next() else {
                    let reason = "is not the address of a target: only targets are traced, so \
                                  create one for it first";
                    return Err(refused("address", reason));
                };
                (found.target, found.name, found.address)
            }
        };
        let (agent, agent_name) = (AgentId(0), target_name.clone());
        let (why, why_note) = (TraceWhy::Asked, String::new());
        Ok(NewTrace { agent, agent_name, target, target_name, address, options, why, why_note })
    }

    /// Takes what an agent says of a trace. Of one that is over, or none of its own, it is left.
    /// What comes faster than [`REPORTS_A_SECOND_MAX`] is dropped, but the last word of a trace:
    /// that says all of it.
    pub(crate) fn trace_hear(&self, agent: AgentId, update: v1::CommandUpdate) {
        let Ok(id) = u32::try_from(update.id).map(TraceId) else { return };
        let state = update.state();
        let is_last = !matches!(state, v1::CommandState::Accepted | v1::CommandState::Progress);
        let now = self.clock.now();
        {
            let mut book = self.traces.lock();
            let known = book.under_way.get(&id);
            let is_own =
                |trace: &UnderWay| trace.row.new.agent == agent && trace.row.ended_at.is_none();
            if !known.is_some_and(is_own) {
                return;
            }
            if !book.takes_report(agent, now) && !is_last {
                self.conductor.metrics().trace_reports_dropped.inc();
                return;
            }
        }
        let report = TraceReport::decode(&update.output);
        let (org, ended) = {
            let mut book = self.traces.lock();
            let of_agent = |trace: &&mut UnderWay| {
                trace.row.new.agent == agent && trace.row.ended_at.is_none()
            };
            let Some(trace) = book.under_way.get_mut(&id).filter(of_agent) else { return };
            trace.revision += 1;
            let done = &mut trace.row.done;
            let ended = match report {
                Ok(report) => hear(done, state, report, update.reason),
                Err(error) => {
                    let reason = format!("the agent's report was refused: {error}");
                    Some((TraceState::Failed, reason))
                }
            };
            (trace.org, ended)
        };
        match ended {
            Some((state, reason)) => self.trace_finish(id, state, &reason),
            None => self.conductor.tell_trace(org, id),
        }
    }

    /// Cancels a trace that is under way.
    pub(crate) async fn trace_cancel(
        &self,
        scope: &Scope,
        id: TraceId,
    ) -> Result<Traced, AppError> {
        let traced = self.trace(scope, id).await?;
        if traced.row.done.state.is_over() {
            let reason = "the trace is over already";
            return Err(AppError::Conflict(FieldError::new("", reason)));
        }
        let now = self.clock.now();
        let entry = AuditEntry {
            action: "trace.cancel",
            object_kind: "trace",
            object_id: Some(id.0),
            object_name: traced.row.new.target_name.as_str(),
            before: None,
            after: None,
        };
        self.store.audit_append(scope, &entry, now).await?;
        {
            let book = self.traces.lock();
            book.cancel(id, traced.row.new.agent);
        }
        let reason = format!("cancelled by {}", scope.actor.source());
        self.trace_finish(id, TraceState::Cancelled, &reason);
        self.trace(scope, id).await
    }

    /// Ends what its agent did not end in time, and writes ends that could not be written.
    pub(crate) fn traces_turn(&self, now: UtcMicros) {
        let mut due = Vec::new();
        {
            let book = self.traces.lock();
            for (id, trace) in &book.under_way {
                if trace.row.ended_at.is_none() && now < trace.expires_at {
                    continue;
                }
                let reason = match book.lines.contains_key(&trace.row.new.agent) {
                    true => "the agent did not say in time what became of it",
                    false => "the agent's connection was lost, and it did not come back in time",
                };
                due.push((*id, reason));
            }
        }
        for (id, reason) in due {
            self.trace_finish(id, TraceState::Expired, reason);
        }
    }

    /// Gives a trace its end, if it has none, and lets it be written: nobody waits for that. What
    /// cannot be written stays for the next turn.
    fn trace_finish(&self, id: TraceId, state: TraceState, reason: &str) {
        let now = self.clock.now();
        let org = {
            let mut book = self.traces.lock();
            let Some(trace) = book.under_way.get_mut(&id) else { return };
            let row = &mut trace.row;
            if row.ended_at.is_none() {
                (row.done.state, row.ended_at) = (state, Some(now));
                row.done.reason = reason.to_owned();
                trace.revision += 1;
            }
            if std::mem::replace(&mut trace.is_writing, true) {
                return;
            }
            trace.org
        };
        self.conductor.tell_trace(org, id);
        let app = self.clone();
        self.changes.spawn(async move { app.trace_write(id).await });
    }

    /// Writes the end of a trace, and tells those who wait for it.
    async fn trace_write(&self, id: TraceId) {
        let found = {
            let book = self.traces.lock();
            let trace = book.under_way.get(&id);
            trace.map(|trace| (trace.org, trace.row.clone(), trace.about))
        };
        let Some((org, row, about)) = found else { return };
        let (scope, at) = (Scope::system(org), row.ended_at.unwrap_or(self.clock.now()));
        let written = self.store.trace_end(&scope, id, &row.done, at).await;
        {
            let mut book = self.traces.lock();
            match &written {
                Ok(()) => drop(book.under_way.remove(&id)),
                Err(_) => {
                    let trace = book.under_way.get_mut(&id);
                    trace.into_iter().for_each(|trace| trace.is_writing = false);
                }
            }
        }
        match written {
            Ok(()) => self.trace_tell(&scope, &row, about).await,
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(trace = id.0, %error, "the end of a trace is not written yet");
            }
        }
        self.conductor.tell_trace(org, id);
    }

    /// A trace as it is now.
    pub(crate) async fn trace(&self, scope: &Scope, id: TraceId) -> Result<Traced, AppError> {
        let under_way = self.trace_under_way(scope, id);
        let (row, revision) = match under_way {
            Some(found) => found,
            None => (self.store.trace_get(scope, id).await?, 0),
        };
        let known = self.known_hops(scope, &row.done.hops).await?;
        Ok(Traced { row, revision, known })
    }

    fn trace_under_way(&self, scope: &Scope, id: TraceId) -> Option<(TraceRow, u64)> {
        let book = self.traces.lock();
        let trace = book.under_way.get(&id).filter(|trace| trace.org == scope.org)?;
        Some((trace.row.clone(), trace.revision))
    }

    /// Traces, the newest first, without their hops.
    pub(crate) async fn traces(
        &self,
        scope: &Scope,
        query: &TraceQuery,
    ) -> Result<Vec<TraceRow>, AppError> {
        let mut rows = self.store.trace_list(scope, query).await?;
        for row in &mut rows {
            if let Some((now, _)) = self.trace_under_way(scope, row.id) {
                row.done = TraceDone { hops: Vec::new(), ..now.done };
                row.ended_at = now.ended_at;
            }
        }
        Ok(rows)
    }

    /// Who stands at the addresses of hops, as far as targets and topology know.
    pub(super) async fn known_hops(
        &self,
        scope: &Scope,
        hops: &[TraceHop],
    ) -> Result<BTreeMap<IpAddr, KnownHop>, AppError> {
        let answers = hops.iter().flat_map(|hop| &hop.answers);
        let mut addresses: Vec<IpAddr> = answers.map(|answer| answer.from).collect();
        addresses.sort_unstable();
        addresses.dedup();
        self.known_at(scope, addresses).await
    }

    /// Who stands at addresses.
    async fn known_at(
        &self,
        scope: &Scope,
        addresses: Vec<IpAddr>,
    ) -> Result<BTreeMap<IpAddr, KnownHop>, AppError> {
        let addresses: Vec<Address> = addresses.into_iter().map(Address::Ip).collect();
        let targets = self.store.targets_at(scope, &addresses).await?;
        if targets.is_empty() {
            return Ok(BTreeMap::new());
        }
        // One that cannot be read is said elsewhere.
        let held = self.topology(scope).await.ok();
        let element_of = |name: &str| {
            let topology = &held.as_ref()?.topology;
            Some(topology.id(topology.host(topology.find(name)?)?).to_owned())
        };
        let known = targets.into_iter().filter_map(|at| {
            let Address::Ip(address) = at.address else { return None };
            let (element, name) = (element_of(at.name.as_str()), at.name.to_string());
            Some((address, KnownHop { target: at.target, name, element }))
        });
        Ok(known.collect())
    }
}

/// Takes a report into what is known; returns the end, if it is one.
fn hear(
    done: &mut TraceDone,
    state: v1::CommandState,
    report: TraceReport,
    reason: String,
) -> Option<(TraceState, String)> {
    done.resolved = report.address.or(done.resolved);
    let end = match state {
        v1::CommandState::Accepted | v1::CommandState::Progress => {
            done.state = TraceState::Running;
            None
        }
        v1::CommandState::Done => Some(TraceState::Done),
        v1::CommandState::Cancelled => Some(TraceState::Cancelled),
        v1::CommandState::Expired => Some(TraceState::Expired),
        v1::CommandState::Failed
        | v1::CommandState::Unsupported
        | v1::CommandState::Unspecified => Some(TraceState::Failed),
    };
    if state == v1::CommandState::Done {
        (done.hops, done.end) = (report.hops, report.end);
    } else {
        for hop in report.hops {
            let place = done.hops.binary_search_by_key(&(hop.flow, hop.ttl), |h| (h.flow, h.ttl));
            match place {
                Ok(at) => {
                    if let Some(known) = done.hops.get_mut(at) {
                        *known = hop;
                    }
                }
                Err(at) => done.hops.insert(at, hop),
            }
        }
    }
    let mut reason = reason;
    reason.truncate(reason.floor_char_boundary(wire::limits::TEXT_BYTES_MAX));
    end.map(|end| (end, reason))
}

/// What a trace may take at the most, if every other hop is silent: rounds, silences, and a spare.
fn time_of(options: &TraceOptions) -> Duration {
    let rounds = u32::from(options.flows) * u32::from(options.rounds);
    let silences =
        u32::from(options.hops_max.max(options.silent_max)) / 2 + u32::from(options.flows);
    TIME_SPARE + options.interval * rounds + options.timeout * silences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_that_come_faster_than_a_person_reads_are_not_taken_until_the_next_second() {
        let traces = Traces::default();
        let agent = AgentId(1);
        let _line = traces.enter(agent, true);
        let at = |ms: i64| UtcMicros(10_000_000 + ms * 1_000);
        let mut book = traces.lock();
        let taken = (0..300).filter(|ms| book.takes_report(agent, at(*ms))).count();
        assert_eq!(taken, 40);
        assert!(!book.takes_report(agent, at(999)));
        assert!(book.takes_report(agent, at(1_000)));
    }
}
