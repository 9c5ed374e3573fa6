//! One stream of one agent.
//!
//! 1 - Hello first. Whether the stream may be the agent's is decided by the rules of the contract
//!     ([`crate::conductor`] holds who holds it); then it gets an epoch.
//! 2 - The certificate is looked up again after the stream is entered on the board: whoever
//!     revoked it in between did not find the stream to end.
//! 3 - A batch: size cap, rate limit, open, place, log. It is acknowledged when it is durable.
//!     Several are on their way at once, so that a slow disk does not cost a round trip each.
//! 4 - What is wrong with a batch is said in a refusal and the stream goes on; an agent that sends
//!     little else is cut off.
//! 5 - Batches of older epochs come between those of the present one, each epoch in its order.
//!     While judging is behind, the agent is told to keep its backlog for later.
//! 6 - While no results are taken (a full disk), the stream ends with a status that says why and
//!     to try again: what is not acknowledged stays in the agent's spool.
//! 7 - Over its rate an agent is not read from: HTTP/2 holds it back, and nothing is lost.

use std::{collections::VecDeque, future, net::SocketAddr, sync::Arc, time::Duration};

use model::{AgentEvent, AgentId, Capabilities, Gap, MetricBatch, UtcMicros};
use store::{AgentHello, AuditEntry, Scope};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};
use wire::{Anchor, BatchHead, BootId, Dropped, boot_id, limits, v1};

use super::{Shared, assignment, limits::Bucket, measures::Measures, unavailable};
use crate::{
    app::traces::{TraceCommand, TraceLine},
    authority::AgentIdentity,
    conductor::{AgentVitals, Claim, ConductError, Held, Link, LinkEnd},
    log::{Appended, BatchBody, Body, Lane, LogUnavailable, Submission},
    place::{self, PlaceError},
};

/// A stream that says nothing first is none of ours.
const HELLO_MAX: Duration = Duration::from_secs(10);
/// Batches of one agent that are not yet durable; each holds its rounds' permits besides.
const IN_FLIGHT_MAX: usize = 16;
/// What may be owed to the rate limit before an agent is held back.
const BURST: Duration = Duration::from_secs(2);
/// Refusals after which a stream is cut off: an honest agent has none.
const REFUSALS_MAX: u32 = 50;
/// The engine hears no more heartbeats than this; the rest only moves the figures.
const HEARTBEAT_SPACING: Duration = Duration::from_secs(1);
/// Steps of an agent's clock are told no more often.
const STEP_SPACING: Duration = Duration::from_secs(600);
/// Changes of an assignment that come together are sent together.
const ASSIGNMENT_DEBOUNCE: Duration = Duration::from_millis(200);
/// Judging further behind than this makes agents keep their backlog: what is live comes first.
const BACKLOG_LAG_MAX: Duration = Duration::from_secs(2);
/// They go on when it is behind by less than this: a quarter, so that it does not flap.
const BACKLOG_LAG_CLEAR: Duration = Duration::from_millis(500);
/// An agent that reads nothing for this long is gone.
const SEND_MAX: Duration = Duration::from_secs(60);

/// Of the refusals of one second process, each so many-th is logged.
const RIVAL_TOLD_EACH: u64 = 20;

/// A batch on its way into the log.
#[derive(Debug)]
struct InFlight {
    epoch: u64,
    seq: u64,
    rounds: usize,
    bytes: usize,
    /// Rounds that it tells were lost.
    lost: u64,
    done: oneshot::Receiver<Result<Appended, LogUnavailable>>,
}

/// A stream that has not said who it is.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: AgentIdentity,
    pub(super) from: Option<SocketAddr>,
    pub(super) frames: mpsc::Sender<Result<v1::ServerFrame, Status>>,
    pub(super) stop: CancellationToken,
}

impl Door {
    /// Lets the stream in, if it may, and runs it until either side ends it.
    pub(super) async fn run(self, mut inbound: Streaming<v1::AgentFrame>) {
        let (agent, frames) = (self.identity.agent, self.frames.clone());
        let ended = match self.enter(&mut inbound).await {
            Ok(session) => session.run(inbound).await,
            Err(status) => Err(status),
        };
        if let Err(status) = ended {
            let reason = status.message();
            tracing::info!(%agent, code = ?status.code(), reason, "an agent's stream ends");
            // An agent that reads nothing more finds out by itself.
            frames.try_send(Err(status)).unwrap_or(());
        }
    }

    async fn enter(self, inbound: &mut Streaming<v1::AgentFrame>) -> Result<Session, Status> {
        let first = tokio::select! {
            () = self.stop.cancelled() => return Err(stopping()),
            first = timeout(HELLO_MAX, inbound.message()) => first,
        };
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let Some(v1::agent_frame::Kind::Hello(hello)) = first.and_then(|frame| frame.kind) else {
            return Err(Status::invalid_argument("the first frame must be a hello"));
        };
        let hello = Greeting::of(hello)?;
        let claim = self.claim(&hello).await?;
        let Door { shared, identity, from: _, frames, stop } = self;
        let (agent, now) = (identity.agent, shared.now());
        let conductor = &shared.app.conductor;
        let link = conductor.link(agent, claim, now, &stop);
        let link = link.map_err(|held| refuse(&shared, agent, &held))?;
        let (intake, assignments) = (conductor.intake(), conductor.assignments());
        let can_trace = hello.hello.capabilities().any(|c| c == v1::Capability::Trace);
        let traces = shared.app.traces.enter(agent, can_trace);
        let mut session = Session {
            shared,
            identity,
            link,
            frames,
            lane: Lane::default(),
            boot: hello.boot,
            epoch: 0,
            is_epoch_used: false,
            backlog_pace: 0,
            in_flight: VecDeque::new(),
            batches: Bucket::default(),
            bytes: Bucket::default(),
            held_until: now,
            refusals: 0,
            heartbeat_at: UtcMicros::default(),
            measures: Measures::new(hello.instance),
            step_told_at: UtcMicros::default(),
            intake,
            assignments,
            assign_at: Some(now),
            assigned: None,
            traces,
        };
        session.shared.check_certificate(&session.identity).await?;
        session.welcome(hello).await?;
        Ok(session)
    }

    async fn claim(&self, hello: &Greeting) -> Result<Claim, Status> {
        let agent = self.identity.agent;
        let known = self.shared.store().epoch_known(agent).await.map_err(unavailable)?;
        let is_copy = known.as_ref().is_some_and(|known| {
            known.spool_id == hello.spool_id && hello.hello.last_epoch < known.used
        });
        let conductor = &self.shared.app.conductor;
        let heard_at = conductor.agent_vitals(agent).and_then(|vitals| vitals.last_heartbeat_at);
        // After a start nobody was heard yet: what was away then is not gone for that.
        let heard_at = heard_at.unwrap_or(conductor.vitals().started_at);
        Ok(Claim {
            from: self.from,
            hostname: hello.hello.hostname.clone(),
            instance: hello.instance,
            original_heard_at: is_copy.then_some(heard_at),
        })
    }
}

/// A hello whose fields are whole.
#[derive(Debug)]
struct Greeting {
    boot: BootId,
    spool_id: [u8; 16],
    instance: [u8; 16],
    hello: v1::Hello,
}

impl Greeting {
    fn of(hello: v1::Hello) -> Result<Greeting, Status> {
        check_hello(&hello)?;
        let id = |bytes: &[u8], field: &str| {
            let invalid =
                |_| Status::invalid_argument(format!("hello field `{field}` must have 16 bytes"));
            boot_id(bytes).map_err(invalid)
        };
        Ok(Greeting {
            boot: id(&hello.boot_id, "boot_id")?,
            spool_id: id(&hello.spool_id, "spool_id")?,
            instance: id(&hello.instance_id, "instance_id")?,
            hello,
        })
    }
}

/// Says to the refused process, and to whoever reads the log, who holds the agent.
fn refuse(shared: &Shared, agent: AgentId, held: &Held) -> Status {
    let conductor = &shared.app.conductor;
    let rival = conductor.agent_vitals(agent).and_then(|vitals| vitals.rival);
    let text = |address: Option<SocketAddr>| {
        address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string())
    };
    let (from, hostname, refusals) = match &rival {
        Some(rival) => (text(rival.from), rival.hostname.clone(), rival.refusals),
        None => (text(None), String::new(), 1),
    };
    let reason = match held {
        Held::By { from: holder, hostname } => format!(
            "another process with this agent's identity is connected from {} (host {hostname})",
            text(*holder)
        ),
        Held::ForOriginal => {
            let hostname = conductor.agent_vitals(agent).unwrap_or_default().hostname;
            format!(
                "this spool is a copy, or was restored from an older state, and the agent it was \
                 copied from (host {hostname}) was connected less than 5 minutes ago"
            )
        }
    };
    shared.app.conductor.metrics().rivals.inc();
    // It comes again every 15 s: once in five minutes is enough to be seen.
    if refusals % RIVAL_TOLD_EACH == 1 {
        tracing::warn!(
            %agent,
            refused = from,
            refused_host = hostname,
            refusals,
            reason,
            "a second process with an agent's identity is refused: if its state directory is a \
             copy, enrol it as an agent of its own"
        );
    }
    Status::already_exists(reason)
}

#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    identity: AgentIdentity,
    link: Link,
    frames: mpsc::Sender<Result<v1::ServerFrame, Status>>,
    /// Marks what this stream has queued in the log.
    lane: Lane,
    boot: BootId,
    epoch: u64,
    /// Whether the agent is known to have its epoch: it said something since.
    is_epoch_used: bool,
    /// What its backlog may use a second, as it was last told.
    backlog_pace: u64,
    in_flight: VecDeque<InFlight>,
    batches: Bucket,
    bytes: Bucket,
    /// Not read from before this.
    held_until: UtcMicros,
    refusals: u32,
    heartbeat_at: UtcMicros,
    measures: Measures,
    /// When a step of its clock was last told.
    step_told_at: UtcMicros,
    /// Why no results are taken.
    intake: watch::Receiver<Option<Arc<str>>>,
    assignments: watch::Receiver<u64>,
    assign_at: Option<UtcMicros>,
    assigned: Option<[u8; 32]>,
    /// What the agent is told to trace.
    traces: TraceLine,
}

impl Session {
    /// Runs until either side ends it.
    async fn run(mut self, mut inbound: Streaming<v1::AgentFrame>) -> Result<(), Status> {
        self.shared.app.conductor.metrics().sessions.inc();
        let panics = self.shared.app.conductor.metrics().panics.clone();
        let served = panics.catch("stream of an agent", self.serve(&mut inbound)).await;
        let ended = served.unwrap_or_else(|| Err(Status::internal("the server failed on it")));
        if !matches!(self.link.end(), Some(LinkEnd::Newer { .. })) {
            let (agent, event) = (self.identity.agent, AgentEvent::Disconnected);
            let told = self.shared.app.conductor.agent_event(agent, event).await;
            told.unwrap_or(());
        }
        ended
    }

    async fn serve(&mut self, inbound: &mut Streaming<v1::AgentFrame>) -> Result<(), Status> {
        let mut was_listening = true;
        loop {
            let now = self.shared.now();
            let held = self.held_until.since(now);
            let is_listening = self.in_flight.len() < IN_FLIGHT_MAX && held.is_zero();
            if is_listening != was_listening {
                was_listening = is_listening;
                if is_listening { self.link.heard(now) } else { self.link.not_listening() }
            }
            let assign_in = self.assign_at.map(|at| at.since(now));
            tokio::select! {
                biased;
                status = cut_off(&self.link, &self.intake) => return Err(status),
                done = first_done(&mut self.in_flight) => self.acknowledge(done).await?,
                () = sleep_some(assign_in) => self.assign().await?,
                changed = self.assignments.changed() => {
                    changed.map_err(|_| stopping())?;
                    self.assign_at.get_or_insert(now + ASSIGNMENT_DEBOUNCE);
                }
                command = self.traces.next() => self.send(match command {
                    TraceCommand::Run(command) => v1::server_frame::Kind::Command(command),
                    TraceCommand::Cancel(cancel) => v1::server_frame::Kind::CommandCancel(cancel),
                }).await?,
                () = sleep(held), if !held.is_zero() => (),
                frame = inbound.message(), if is_listening => match self.fitting(frame)? {
                    Some(frame) => {
                        self.link.not_listening();
                        self.hear(frame).await?;
                        self.link.heard(self.shared.now());
                    }
                    None => return Ok(()),
                },
            }
        }
    }

    async fn welcome(&mut self, greeting: Greeting) -> Result<(), Status> {
        let agent = self.identity.agent;
        let Greeting { spool_id, hello, .. } = greeting;
        let capabilities = capabilities_of(&hello);
        let now = self.shared.now();
        let store = self.shared.store();
        let grant = store.epoch_grant(agent, &spool_id, hello.last_epoch, now).await;
        let grant = grant.map_err(unavailable)?;
        let known = AgentHello {
            version: hello.software_version.clone(),
            os: hello.os.clone(),
            hostname: hello.hostname.clone(),
        };
        store.agent_hello(agent, &known, now).await.map_err(unavailable)?;
        let have = self.shared.app.conductor.marks_of(agent, limits::MARKS_MAX);
        let have = have.into_iter().map(|(epoch, seq)| v1::Mark { epoch, seq });
        self.epoch = grant.epoch;
        self.backlog_pace = self.pace();
        if grant.is_new_spool && hello.last_epoch != 0 {
            tracing::warn!(%agent, "the agent's spool is another one than before");
        }
        let stepped_us = self.observe(hello.clock, |vitals| {
            vitals.software_version = hello.software_version;
            vitals.os = hello.os;
            vitals.hostname = hello.hostname;
            vitals.backlog_batches = hello.backlog_batches;
            vitals.backlog_bytes = hello.backlog_bytes;
            vitals.assignment_version = hello.assignment_version;
        });
        self.note_step(stepped_us).await;
        self.tell(AgentEvent::Hello(capabilities), now).await?;
        let rate = self.shared.limits();
        let welcome = v1::Welcome {
            epoch: self.epoch,
            server_wall_us: self.shared.now().0.unsigned_abs(),
            heartbeat_interval_ms: in_ms(limits::HEARTBEAT_INTERVAL),
            batches_per_second_max: rate.batches_per_second_max,
            bytes_per_second_max: rate.bytes_per_second_max,
            backlog_bytes_per_second_max: self.backlog_pace,
            have: have.collect(),
        };
        self.send(v1::server_frame::Kind::Welcome(welcome)).await
    }

    async fn hear(&mut self, frame: v1::AgentFrame) -> Result<(), Status> {
        self.pay(&frame);
        if !self.is_epoch_used {
            let used = self.shared.store().epoch_used(self.identity.agent, self.epoch).await;
            used.map_err(unavailable)?;
            self.is_epoch_used = true;
        }
        match frame.kind {
            Some(v1::agent_frame::Kind::Batch(batch)) => self.take(batch).await,
            Some(v1::agent_frame::Kind::Heartbeat(heartbeat)) => {
                self.hear_heartbeat(heartbeat).await
            }
            Some(v1::agent_frame::Kind::AssignmentApplied(applied)) => {
                self.note_applied(applied);
                Ok(())
            }
            Some(v1::agent_frame::Kind::CommandUpdate(update)) => {
                self.shared.app.trace_hear(self.identity.agent, update);
                Ok(())
            }
            Some(v1::agent_frame::Kind::Hello(_)) => self.count_refusal("hello"),
            None => self.count_refusal("nothing"),
        }
    }

    /// What the backlog of this agent may use a second, as judging keeps up or does not.
    fn pace(&self) -> u64 {
        let lag = Duration::from_micros(self.shared.app.conductor.vitals().ingest_lag_us);
        let lag_max = match self.backlog_pace {
            0 if self.is_epoch_used => BACKLOG_LAG_CLEAR,
            _ => BACKLOG_LAG_MAX,
        };
        if lag_max < lag { 0 } else { self.shared.limits().backlog_bytes_per_second_max }
    }

    /// Tells the agent if that has changed.
    async fn tell_pace(&mut self) -> Result<(), Status> {
        let pace = self.pace();
        if pace == self.backlog_pace {
            return Ok(());
        }
        self.backlog_pace = pace;
        let backlog_bytes_per_second_max = pace;
        self.send(v1::server_frame::Kind::Pace(v1::Pace { backlog_bytes_per_second_max })).await
    }

    /// Counts a frame against the agent's rate; over it, the agent is held back.
    fn pay(&mut self, frame: &v1::AgentFrame) {
        let now = self.shared.now();
        let rate = self.shared.limits();
        let bytes = match &frame.kind {
            Some(v1::agent_frame::Kind::Batch(batch)) => batch.payload_zstd.len(),
            Some(_) | None => 0,
        };
        let second_us = 1_000_000;
        let frame_cost = Duration::from_micros(second_us / u64::from(rate.batches_per_second_max));
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let bytes_cost = Duration::from_micros(bytes * second_us / rate.bytes_per_second_max);
        let wait = self.batches.take(frame_cost, BURST, now);
        let wait = wait.max(self.bytes.take(bytes_cost, BURST, now));
        if !wait.is_zero() {
            self.shared.app.conductor.metrics().waits.inc();
            self.held_until = now + wait;
        }
    }

    async fn take(&mut self, batch: v1::Batch) -> Result<(), Status> {
        let (epoch, seq) = (batch.epoch, batch.seq);
        match self.open(batch) {
            Ok((body, rounds)) => self.submit(body, rounds).await,
            Err(error) => {
                let reason = error.to_string();
                tracing::debug!(agent = %self.identity.agent, epoch, seq, reason, "refused");
                let refusal = v1::Refusal { epoch, seq, reason };
                self.send(v1::server_frame::Kind::Refusal(refusal)).await?;
                self.count_refusal("batch")
            }
        }
    }

    /// Turns a batch into what the log takes.
    fn open(&self, batch: v1::Batch) -> Result<(BatchBody, model::RoundBatch), PlaceError> {
        let agent = self.identity.agent;
        let head = BatchHead::of(&batch)?;
        if self.epoch < head.epoch {
            return Err(PlaceError::Epoch);
        }
        if self.shared.app.conductor.is_forgotten(agent, head.epoch) {
            return Err(PlaceError::Forgotten);
        }
        let offset_us = self.shared.placer(agent, |placer| placer.offset_us(&head));
        let offset_us = offset_us.ok_or(PlaceError::NoAnchor)?;
        let rounds = place::open_and_place(agent, &batch.payload_zstd, offset_us)?;
        let now = self.shared.now();
        place::check_future(&rounds, now)?;
        let dropped = Dropped::all_of(&batch)?;
        let place = |placer: &mut place::Placer| -> Vec<Gap> {
            dropped.iter().map(|dropped| placer.gap(dropped, now)).collect()
        };
        let gaps = self.shared.placer(agent, place);
        let body = BatchBody {
            agent,
            epoch: head.epoch,
            seq: head.seq,
            offset_us,
            payload_zstd: batch.payload_zstd.into(),
            gaps,
        };
        Ok((body, rounds))
    }

    async fn submit(&mut self, body: BatchBody, rounds: model::RoundBatch) -> Result<(), Status> {
        let (agent, bytes) = (self.identity.agent, body.payload_zstd.len());
        let permit = tokio::select! {
            status = cut_off(&self.link, &self.intake) => return Err(status),
            permit = self.shared.budget.acquire(agent, rounds.rounds.len(), bytes) => permit,
        };
        let (epoch, seq) = (body.epoch, body.seq);
        let count = rounds.rounds.len();
        let lost = body.gaps.iter().map(|gap| gap.rounds).fold(0, u64::saturating_add);
        let submission = Submission::of_batch(body, rounds, permit, self.lane.clone());
        let conductor = &self.shared.app.conductor;
        let done = tokio::select! {
            status = cut_off(&self.link, &self.intake) => return Err(status),
            done = conductor.submit(submission) => done.map_err(|_| stopping())?,
        };
        self.in_flight.push_back(InFlight { epoch, seq, rounds: count, bytes, lost, done });
        Ok(())
    }

    /// Acknowledges the oldest batch on its way and whatever became durable with it.
    async fn acknowledge(
        &mut self,
        (first, done): (InFlight, Option<Result<Appended, LogUnavailable>>),
    ) -> Result<(), Status> {
        let mut acks: Vec<v1::Ack> = Vec::new();
        let mut next = Some((first, done));
        while let Some((batch, done)) = next.take() {
            let appended = done.ok_or_else(stopping)?;
            match appended.map_err(|error| Status::unavailable(error.to_string()))? {
                Appended::New(_) => self.count_taken(&batch),
                Appended::Duplicate(_) => {
                    self.shared.app.conductor.metrics().duplicates.inc();
                }
            }
            match acks.last_mut() {
                Some(ack) if ack.epoch == batch.epoch => ack.seq = ack.seq.max(batch.seq),
                Some(_) | None => acks.push(v1::Ack { epoch: batch.epoch, seq: batch.seq }),
            }
            if let Some(front) = self.in_flight.front_mut()
                && let Ok(done) = front.done.try_recv()
            {
                next = self.in_flight.pop_front().map(|batch| (batch, Some(done)));
            }
        }
        for ack in acks {
            self.send(v1::server_frame::Kind::Ack(ack)).await?;
        }
        Ok(())
    }

    fn count_taken(&self, batch: &InFlight) {
        let metrics = self.shared.app.conductor.metrics();
        let in_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        metrics.batches.inc();
        metrics.rounds.inc_by(in_u64(batch.rounds));
        metrics.bytes.inc_by(in_u64(batch.bytes));
        metrics.results_dropped.inc_by(batch.lost);
    }

    async fn hear_heartbeat(&mut self, heartbeat: v1::Heartbeat) -> Result<(), Status> {
        if limits::TEXT_BYTES_MAX < heartbeat.impediment.len() {
            return self.count_refusal("heartbeat");
        }
        self.shared.app.conductor.metrics().heartbeats.inc();
        let measured = self.measures.hear(self.identity.agent, &heartbeat, self.shared.now());
        let stepped_us = self.observe(heartbeat.clock, |vitals| {
            vitals.backlog_batches = heartbeat.backlog_batches;
            vitals.backlog_bytes = heartbeat.backlog_bytes;
            vitals.rounds_total = heartbeat.rounds_total;
            vitals.packets_sent_total = heartbeat.packets_sent_total;
            vitals.replies_total = heartbeat.replies_total;
            vitals.strange_replies_total = heartbeat.strange_replies_total;
            vitals.kernel_drops_total = heartbeat.kernel_drops_total;
            vitals.socket_errors_total = heartbeat.socket_errors_total;
            vitals.results_dropped_total = heartbeat.results_dropped_total;
            vitals.send_lag_us_p50 = heartbeat.send_lag_us_p50;
            vitals.send_lag_us_max = heartbeat.send_lag_us_max;
            vitals.probes = heartbeat.probes;
            vitals.rss_bytes = heartbeat.rss_bytes;
            vitals.cpu_us_total = heartbeat.cpu_us_total;
            let impediment = heartbeat.impediment;
            vitals.impediment = (!impediment.is_empty()).then_some(impediment);
        });
        self.note_step(stepped_us).await;
        if let Some(batch) = measured {
            self.keep(batch).await?;
        }
        self.tell_pace().await?;
        let now = self.shared.now();
        if now.since(self.heartbeat_at) < HEARTBEAT_SPACING {
            return Ok(());
        }
        self.tell(AgentEvent::Heartbeat, now).await
    }

    /// Puts what was measured into the log; nobody waits until it is durable.
    async fn keep(&self, batch: MetricBatch) -> Result<(), Status> {
        let submission = Submission::of(Body::Metrics(batch));
        let kept = tokio::select! {
            status = cut_off(&self.link, &self.intake) => return Err(status),
            kept = self.shared.app.conductor.submit(submission) => kept,
        };
        kept.map(drop).map_err(conduct_status)
    }

    /// Lets the engine hear a sign of life.
    async fn tell(&mut self, event: AgentEvent, now: UtcMicros) -> Result<(), Status> {
        self.heartbeat_at = now;
        let conductor = &self.shared.app.conductor;
        let told = tokio::select! {
            status = cut_off(&self.link, &self.intake) => return Err(status),
            told = conductor.agent_event(self.identity.agent, event) => told,
        };
        told.map_err(conduct_status)
    }

    /// Takes a reading of the agent's clocks and what came with it.
    /// Returns by how much its wall clock was stepped, in microseconds, if it was.
    fn observe(
        &self,
        clock: Option<v1::Clock>,
        edit: impl FnOnce(&mut AgentVitals),
    ) -> Option<i64> {
        let (agent, now) = (self.identity.agent, self.shared.now());
        let jumps = self.shared.app.clock.jumps();
        let (stepped_us, wall_error_us) = self.shared.placer(agent, |placer| {
            let observe = |clock| placer.observe(self.boot, Anchor::of(clock), now, jumps);
            (clock.and_then(observe), placer.wall_error_us())
        });
        self.shared.app.conductor.note(agent, |vitals| {
            edit(vitals);
            vitals.last_heartbeat_at = Some(now);
            vitals.clock_offset_us = wall_error_us;
        });
        stepped_us
    }

    /// Counts, logs and audits a step of the agent's wall clock, the last not more often than now
    /// and then: a clock that steps all the time must not fill the audit.
    async fn note_step(&mut self, stepped_us: Option<i64>) {
        let Some(by_us) = stepped_us else {
            return;
        };
        let (agent, now) = (self.identity.agent, self.shared.now());
        self.shared.app.conductor.metrics().agent_clock_steps.inc();
        if now.since(self.step_told_at) < STEP_SPACING {
            return;
        }
        self.step_told_at = now;
        tracing::warn!(%agent, by_us, "an agent's wall clock was stepped; no round was");
        let by = serde_json::json!({ "forward": 0 < by_us, "by_us": by_us.unsigned_abs() });
        let entry = AuditEntry {
            action: "clock.step",
            object_kind: "agent",
            object_id: Some(agent.0),
            object_name: "wall clock",
            before: None,
            after: Some(by),
        };
        let scope = Scope::system(self.identity.org);
        if let Err(error) = self.shared.store().audit_append(&scope, &entry, now).await {
            let error = crate::chain(&error);
            tracing::warn!(%error, "a step of an agent's clock is not in the audit log");
        }
    }

    fn note_applied(&self, applied: v1::AssignmentApplied) {
        let is_short = |reason: &String| reason.len() <= limits::TEXT_BYTES_MAX;
        let mut refused = applied.refused;
        refused.truncate(limits::APPLIED_REFUSED_MAX);
        refused.retain(is_short);
        self.shared.app.conductor.note(self.identity.agent, |vitals| {
            vitals.assignment_version = applied.version;
            vitals.probes = applied.probes;
            vitals.assignment_refused = refused;
        });
    }

    /// Counts a frame that was refused for its size before it was decoded; the stream ends with it.
    fn fitting<T>(&self, frame: Result<T, Status>) -> Result<T, Status> {
        frame.inspect_err(|status| {
            if status.code() == Code::OutOfRange {
                self.shared.app.conductor.metrics().refused("frame");
            }
        })
    }

    /// Counts something that was not taken; too many end the stream.
    fn count_refusal(&mut self, what: &'static str) -> Result<(), Status> {
        self.shared.app.conductor.metrics().refused(what);
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX {
            return Ok(());
        }
        Err(Status::invalid_argument("too much of what was sent had to be refused"))
    }

    /// Sends the assignment if it says something else than the one before.
    async fn assign(&mut self) -> Result<(), Status> {
        self.assign_at = None;
        let agent = self.identity.agent;
        let conductor = &self.shared.app.conductor;
        let assignment = conductor.assignment(agent).await.map_err(conduct_status)?;
        let scope = Scope::system(self.identity.org);
        let row = self.shared.store().agent_get(&scope, agent).await.map_err(unavailable)?;
        let cut = assignment::parts(&assignment, &row.witnesses);
        if self.assigned == Some(cut.digest) {
            return Ok(());
        }
        for part in cut.parts {
            self.send(v1::server_frame::Kind::Assignment(part)).await?;
        }
        self.assigned = Some(cut.digest);
        Ok(())
    }

    async fn send(&self, kind: v1::server_frame::Kind) -> Result<(), Status> {
        let frame = v1::ServerFrame { kind: Some(kind) };
        let sent = tokio::select! {
            status = cut_off(&self.link, &self.intake) => return Err(status),
            sent = timeout(SEND_MAX, self.frames.send(Ok(frame))) => sent,
        };
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the agent has gone")),
            Err(_) => Err(Status::deadline_exceeded("the agent reads nothing")),
        }
    }
}

/// Waits until this side has to end the stream, and says why.
async fn cut_off(link: &Link, intake: &watch::Receiver<Option<Arc<str>>>) -> Status {
    let mut intake = intake.clone();
    tokio::select! {
        biased;
        () = link.ended.cancelled() => match link.end() {
            Some(LinkEnd::Revoked) => Status::permission_denied("the certificate was revoked"),
            Some(LinkEnd::Newer { from }) => {
                let from = from.map_or_else(String::new, |from| format!(" from {from}"));
                Status::aborted(format!("a newer session of this agent began{from}"))
            }
            None => stopping(),
        },
        closed = intake.wait_for(Option::is_some) => match closed.as_deref() {
            Ok(Some(reason)) => not_taken(reason),
            Ok(None) | Err(_) => stopping(),
        },
    }
}

/// What an agent hears while no results are taken.
pub(super) fn not_taken(reason: &str) -> Status {
    Status::unavailable(format!("the server takes no results now: {reason}"))
}

fn check_hello(hello: &v1::Hello) -> Result<(), Status> {
    if hello.protocol_version != limits::PROTOCOL_VERSION {
        return Err(Status::failed_precondition(format!(
            "this server speaks version {} of the protocol, the agent version {}: update the older",
            limits::PROTOCOL_VERSION,
            hello.protocol_version
        )));
    }
    let texts = [&hello.software_version, &hello.os, &hello.hostname];
    if texts.iter().any(|text| limits::TEXT_BYTES_MAX < text.len()) {
        return Err(Status::invalid_argument("a text of the hello has more than 256 bytes"));
    }
    if hello.clock.is_none() {
        return Err(Status::invalid_argument("hello field `clock` is missing"));
    }
    Ok(())
}

/// What the engine knows of what the agent can; the rest is for doors that are not built yet.
fn capabilities_of(hello: &v1::Hello) -> Capabilities {
    hello.capabilities().fold(Capabilities::default(), |known, capability| match capability {
        v1::Capability::IcmpV4 => known.with(Capabilities::ICMP_V4),
        v1::Capability::IcmpV6 => known.with(Capabilities::ICMP_V6),
        v1::Capability::Unspecified
        | v1::Capability::Trace
        | v1::Capability::Tcp
        | v1::Capability::Http
        | v1::Capability::Dns
        | v1::Capability::Snmp
        | v1::Capability::Routeros
        | v1::Capability::Syslog => known,
    })
}

/// Waits for the oldest batch on its way; for ever if there is none.
async fn first_done(
    in_flight: &mut VecDeque<InFlight>,
) -> (InFlight, Option<Result<Appended, LogUnavailable>>) {
    let Some(front) = in_flight.front_mut() else {
        return future::pending().await;
    };
    let done = (&mut front.done).await.ok();
    match in_flight.pop_front() {
        Some(batch) => (batch, done),
        None => future::pending().await,
    }
}

async fn sleep_some(duration: Option<Duration>) {
    match duration {
        Some(duration) => sleep(duration).await,
        None => future::pending().await,
    }
}

fn stopping() -> Status {
    Status::unavailable("the server is stopping")
}

fn conduct_status(error: ConductError) -> Status {
    Status::unavailable(error.to_string())
}

fn in_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
