//! The thread of traces: orders, answers, packets, reports, and then to sleep.
//!
//! Without a trace it waits for an order and holds no socket.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use model::{Address, Hostname, NotAsked, Tick, TraceEnd, TraceOptions};
use sense::{
    Family, Key,
    trace::{self, End, Marks, Plan, Trace},
};
use tokio::sync::mpsc::Sender;
use wire::v1::CommandState;

use super::{
    Order, Report, TRACES_MAX,
    ports::{Flow, Ports},
};
use crate::{clock::Clock, files, probing::resolver::Resolver};

/// Between two packets of whichever trace: a hundred a second, which no host and no probe notices.
pub(super) const PACKET_SPACING: Duration = Duration::from_millis(10);
/// Between two reports of one trace: what a person sees as at once.
const REPORT_INTERVAL: Duration = Duration::from_millis(200);
/// The longest sleep while something is traced: so soon an order to cancel is heard.
const TURN_MAX: Duration = Duration::from_millis(20);

/// One trace.
struct Run {
    within: (Tick, Duration),
    address: Option<IpAddr>,
    stage: Stage,
    reported_at: Tick,
    /// Its last word, once it has one.
    last: Option<Report>,
}

enum Stage {
    Resolving { name: Hostname, options: TraceOptions },
    Tracing { trace: Box<Trace>, flows: Vec<Flow> },
    Over,
}

/// Everything that the thread owns.
struct Lane {
    clock: Clock,
    ports: Ports,
    resolver: Option<Resolver>,
    runs: BTreeMap<u64, Run>,
    /// The trace that sent last: the next one is the next to send.
    turn_of: u64,
    send_at: Tick,
    packet: Vec<u8>,
}

/// Runs until nobody can order any more.
pub(super) fn run(clock: Clock, ports: Ports, orders: &Receiver<Order>, reports: &Sender<Report>) {
    let now = clock.tick();
    let mut lane = Lane {
        clock,
        ports,
        resolver: None,
        runs: BTreeMap::new(),
        turn_of: 0,
        send_at: now,
        packet: Vec::new(),
    };
    loop {
        if lane.runs.is_empty() {
            lane.ports.close();
            let Ok(order) = orders.recv() else { return };
            lane.handle_order(order);
        }
        loop {
            match orders.try_recv() {
                Ok(order) => lane.handle_order(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let wait = lane.turn(reports);
        if !lane.runs.is_empty() {
            lane.ports.wait(u16::try_from(wait.as_millis()).unwrap_or(1));
        }
    }
}

impl Lane {
    fn handle_order(&mut self, order: Order) {
        let now = self.clock.tick();
        let (id, order, within) = match order {
            Order::Cancel { id } => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.finish(id, CommandState::Cancelled, "cancelled");
                }
                return;
            }
            Order::Run { id, order, within } => (id, order, within),
        };
        if self.runs.contains_key(&id) {
            return;
        }
        let under_way = self.runs.values().filter(|run| run.last.is_none()).count();
        let mut run = Run {
            within: (now, within),
            address: None,
            stage: Stage::Over,
            reported_at: now,
            last: None,
        };
        if TRACES_MAX <= under_way {
            let reason = format!("the agent runs {TRACES_MAX} traces already: try again later");
            run.finish(id, CommandState::Failed, reason);
        } else {
            match order.address {
                Address::Ip(target) => {
                    self.begin(id, &mut run, Plan { target, options: order.options })
                }
                Address::Name(name) => {
                    if self.resolver.is_none() {
                        self.resolver = Resolver::start();
                    }
                    if let Some(resolver) = &self.resolver {
                        resolver.ask(name.clone());
                    }
                    run.stage = Stage::Resolving { name, options: order.options };
                }
            }
        }
        self.runs.insert(id, run);
    }

    fn begin(&mut self, id: u64, run: &mut Run, plan: Plan) {
        run.address = Some(plan.target);
        let begun = self.open(plan).map_err(|reason| run.finish(id, CommandState::Failed, reason));
        if let Ok((trace, flows)) = begun {
            run.stage = Stage::Tracing { trace: Box::new(trace), flows };
        }
    }

    fn open(&mut self, plan: Plan) -> Result<(Trace, Vec<Flow>), String> {
        plan.check().map_err(|error| error.to_string())?;
        let mut key = [0_u8; 16];
        getrandom::fill(&mut key).map_err(|e| format!("the system gives no random key: {e}"))?;
        let kind = (Family::of(plan.target), plan.options.protocol);
        let flows = self.ports.open(kind, plan.options.flows);
        let flows = flows.map_err(|error| format!("cannot open a socket: {error}"))?;
        let marks = Marks {
            ident: self.ports.ident,
            number: u32::from_ne_bytes(files::random()),
            sequence_first: u16::from_ne_bytes(files::random()),
            checksum_first: u16::from_ne_bytes(files::random()),
            source_ports: flows.iter().map(|flow| flow.port).collect(),
        };
        let trace = Trace::new(plan, marks, Key::new(key), self.clock.tick());
        trace.map(|trace| (trace, flows)).map_err(|error| error.to_string())
    }

    /// Does one turn of bounded work and returns how long to sleep.
    fn turn(&mut self, reports: &Sender<Report>) -> Duration {
        self.resolve();
        self.receive();
        let now = self.clock.tick();
        for (id, run) in &mut self.runs {
            run.handle_timeout(*id, now);
        }
        self.send(now);
        self.report(now, reports);
        let now = self.clock.tick();
        let next = self.runs.values().filter_map(Run::next).min();
        let until = next.map_or(TURN_MAX, |next| next.max(self.send_at).since(now));
        until.clamp(Duration::from_millis(1), TURN_MAX)
    }

    fn resolve(&mut self) {
        let Some(resolver) = &self.resolver else { return };
        let Ok(answer) = resolver.poll() else { return };
        let waits = |(id, run): (&u64, &Run)| match &run.stage {
            Stage::Resolving { name, options } if *name == answer.name => Some((*id, *options)),
            Stage::Resolving { .. } | Stage::Tracing { .. } | Stage::Over => None,
        };
        let waiting: Vec<(u64, TraceOptions)> = self.runs.iter().filter_map(waits).collect();
        for (id, options) in waiting {
            let Some(mut run) = self.runs.remove(&id) else { continue };
            run.stage = Stage::Over;
            match answer.addresses.as_ref().ok().and_then(|addresses| addresses.first()) {
                Some(target) => self.begin(id, &mut run, Plan { target: *target, options }),
                None => run.finish(
                    id,
                    CommandState::Failed,
                    "the agent's resolver gives no address for the name",
                ),
            }
            self.runs.insert(id, run);
        }
    }

    fn receive(&mut self) {
        let (clock, runs) = (self.clock, &mut self.runs);
        self.ports.receive(clock, |from, message, at| {
            let Some(answer) = trace::parse(from, message) else { return };
            for run in runs.values_mut() {
                if let Stage::Tracing { trace, .. } = &mut run.stage
                    && trace.handle_answer(from, &answer, at)
                {
                    return;
                }
            }
        });
    }

    /// Sends one packet, if it is time, of the next trace that has one.
    fn send(&mut self, now: Tick) {
        if now < self.send_at {
            return;
        }
        let behind: Vec<u64> = self.runs.keys().copied().collect();
        let first = behind.partition_point(|id| *id <= self.turn_of);
        for at in 0..behind.len() {
            let Some(id) = behind.get((first + at) % behind.len()) else { return };
            let Some(run) = self.runs.get_mut(id) else { return };
            let Stage::Tracing { trace, flows } = &mut run.stage else { continue };
            let Some(transmit) = trace.poll_transmit(now, &mut self.packet) else { continue };
            // Of ICMP there are no flows of their own.
            let flow = flows.get(usize::from(transmit.flow)).map(|flow| (flow, transmit.port));
            let before = self.clock.tick();
            let to = (transmit.to, transmit.ttl);
            let sent = self.ports.send(flow, to, &self.packet, before);
            trace.handle_sent(transmit.token, sent.map(|()| before));
            self.turn_of = *id;
            self.send_at = now + PACKET_SPACING;
            return;
        }
    }

    /// Says what is new; what finds no room is said later, the last word of a trace above all.
    fn report(&mut self, now: Tick, reports: &Sender<Report>) {
        self.runs.retain(|id, run| {
            if let Some(last) = run.last.take() {
                // Closed: nobody listens any more.
                if let Err(tokio::sync::mpsc::error::TrySendError::Full(last)) =
                    reports.try_send(last)
                {
                    run.last = Some(last);
                    return true;
                }
                return false;
            }
            let Stage::Tracing { trace, .. } = &mut run.stage else { return true };
            if now.since(run.reported_at) < REPORT_INTERVAL {
                return true;
            }
            let Ok(permit) = reports.try_reserve() else { return true };
            let hops: Vec<model::TraceHop> = std::iter::from_fn(|| trace.poll_hop()).collect();
            if !hops.is_empty() {
                run.reported_at = now;
                let report = Report::new(*id, CommandState::Progress, "");
                permit.send(Report { address: run.address, hops, ..report });
            }
            true
        });
    }
}

impl Run {
    fn handle_timeout(&mut self, id: u64, now: Tick) {
        if self.last.is_some() {
            return;
        }
        let (begun_at, within) = self.within;
        if let Stage::Tracing { trace, .. } = &mut self.stage {
            trace.handle_timeout(now);
            if trace.is_over() {
                self.finish(id, CommandState::Done, "");
                return;
            }
        }
        if within <= now.since(begun_at) {
            let reason = match self.stage {
                Stage::Resolving { .. } => "its name had no answer in time",
                Stage::Tracing { .. } | Stage::Over => "it was not done in time",
            };
            self.finish(id, CommandState::Expired, reason);
        }
    }

    /// Gives it its last word, with everything that it has found.
    fn finish(&mut self, id: u64, state: CommandState, reason: impl Into<String>) {
        if self.last.is_some() {
            return;
        }
        let mut report = Report { address: self.address, ..Report::new(id, state, reason) };
        if let Stage::Tracing { trace, .. } = &self.stage {
            report.hops = trace.hops();
            if state == CommandState::Done {
                let (end, words) = said(trace.end());
                report.end = Some(end);
                report.reason = words;
            }
        }
        self.stage = Stage::Over;
        self.last = Some(report);
    }

    fn next(&self) -> Option<Tick> {
        match &self.stage {
            Stage::Tracing { trace, .. } => trace.poll_timeout(),
            Stage::Resolving { .. } | Stage::Over => None,
        }
    }
}

/// The end of a trace, and what there is to say of it.
fn said(end: End) -> (TraceEnd, String) {
    match end {
        End::Reached => (TraceEnd::Reached, String::new()),
        End::Unreachable { code } => {
            (TraceEnd::Unreachable, format!("a router refuses to go on (ICMP code {code})"))
        }
        End::Silent => (TraceEnd::Silent, "nobody answers beyond the last hop".to_owned()),
        End::NotAsked(reason) => {
            let words = match reason {
                NotAsked::NoRoute => "the agent's host has no route to it",
                NotAsked::Permission => "the agent's host forbids it to send there",
                NotAsked::BufferFull => "the agent's host has no room to send",
                NotAsked::Resolver | NotAsked::Socket | NotAsked::Overrun => {
                    "the agent's host could not send"
                }
            };
            (TraceEnd::NotAsked, words.to_owned())
        }
    }
}
