//! Traces on the server's order, beside the probes.
//!
//! A thread of its own with sockets of its own, which are open only while something is traced: so
//! probing neither waits for a trace nor reads what comes back to one. What it may use is bounded:
//! [`TRACES_MAX`] at once, one packet every [`lane::PACKET_SPACING`] of all of them together.
//!
//! Deliberately not here: which addresses may be traced, which the server decides; what the hops
//! mean, which `sense` says; keeping anything: a trace that nobody waits for is asked again.

mod lane;
mod ports;

use std::{
    net::IpAddr,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use model::{TraceEnd, TraceHop};
use sense::{Family, TraceNetwork};
use tokio::sync::mpsc;
use wire::{
    trace::{TRACE, TraceOrder, TraceReport},
    v1::{self, CommandState},
};

use crate::{clock::Clock, limited, probing::socket};

/// Traces at the same time: what several people who look at one outage ask for.
pub(crate) const TRACES_MAX: usize = 4;
/// Orders that wait for the thread, which looks many times a second.
const ORDERS_MAX: usize = 64;
/// Reports that wait for the connection.
pub(crate) const REPORTS_MAX: usize = 64;
/// An order without a time, or with a long one, ends after this at the latest: longer than the
/// slowest trace takes.
const DEADLINE_MAX: Duration = Duration::from_secs(400);

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Run { id: u64, order: TraceOrder, within: Duration },
    Cancel { id: u64 },
}

/// What is said of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) id: u64,
    pub(crate) state: CommandState,
    /// Empty if there is nothing to say.
    pub(crate) reason: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) hops: Vec<TraceHop>,
    pub(crate) end: Option<TraceEnd>,
}

impl Report {
    fn new(id: u64, state: CommandState, reason: impl Into<String>) -> Report {
        let (address, hops, end) = (None, Vec::new(), None);
        Report { id, state, reason: reason.into(), address, hops, end }
    }

    /// Whether it is the last of its trace.
    pub(crate) fn is_last(&self) -> bool {
        !matches!(self.state, CommandState::Accepted | CommandState::Progress)
    }

    pub(crate) fn to_update(&self) -> v1::CommandUpdate {
        let (address, hops, end) = (self.address, self.hops.clone(), self.end);
        v1::CommandUpdate {
            id: self.id,
            state: self.state.into(),
            reason: limited(&self.reason).to_owned(),
            output: TraceReport { address, hops, end }.encode(),
        }
    }
}

/// The handle to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Traces {
    orders: Option<SyncSender<Order>>,
    thread: Option<thread::JoinHandle<()>>,
    /// Why this host lets us trace nothing.
    impediment: Option<String>,
}

impl Traces {
    /// Starts the thread; reports come out of the receiver.
    ///
    /// They go through this host's sockets unless there is another network.
    pub(crate) fn start(
        clock: Clock,
        network: Option<Box<dyn TraceNetwork>>,
    ) -> (Traces, mpsc::Receiver<Report>) {
        let impediment = network.is_none().then(impediment).flatten();
        let ports = ports::Ports::new(network);
        let (reports, reported) = mpsc::channel(REPORTS_MAX);
        let (orders, ordered) = sync_channel(ORDERS_MAX);
        let run = move || lane::run(clock, ports, &ordered, &reports);
        let thread = match thread::Builder::new().name("traces".to_owned()).spawn(run) {
            Ok(thread) => Some(thread),
            Err(error) => {
                tracing::error!(%error, "cannot start the thread of traces");
                None
            }
        };
        (Traces { orders: Some(orders), thread, impediment }, reported)
    }

    /// Whether this host lets us trace. It is asked once: a process does not get a capability
    /// while it runs.
    pub(crate) fn can_trace(&self) -> bool {
        self.impediment.is_none()
    }

    /// Begins what a command orders, or returns why not.
    pub(crate) fn handle_command(&self, command: &v1::Command) -> Report {
        let id = command.id;
        let fail = |reason: String| Report::new(id, CommandState::Failed, reason);
        if command.kind != TRACE {
            let reason = format!("this agent knows no command `{}`", limited(&command.kind));
            return Report::new(id, CommandState::Unsupported, reason);
        }
        if let Some(impediment) = &self.impediment {
            return fail(impediment.clone());
        }
        let order = match TraceOrder::decode(&command.arguments) {
            Ok(order) => order,
            Err(error) => return fail(error.to_string()),
        };
        let within = match command.deadline_ms {
            0 => DEADLINE_MAX,
            ms => Duration::from_millis(ms.into()).min(DEADLINE_MAX),
        };
        match self.tell(Order::Run { id, order, within }) {
            Ok(()) => Report::new(id, CommandState::Accepted, ""),
            Err(reason) => fail(reason.to_owned()),
        }
    }

    /// Ends a trace; of one that is not under way nothing is said.
    pub(crate) fn cancel(&self, id: u64) {
        if let Err(reason) = self.tell(Order::Cancel { id }) {
            tracing::warn!(reason, "a trace is not cancelled");
        }
    }

    fn tell(&self, order: Order) -> Result<(), &'static str> {
        let sent = self.orders.as_ref().map(|orders| orders.try_send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err("too many orders wait: try again"),
            Some(Err(TrySendError::Disconnected(_))) | None => {
                Err("the agent's thread of traces has ended: restart the agent")
            }
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of traces panicked");
        }
    }
}

/// Says why nothing can be traced; `None` if one family can.
fn impediment() -> Option<String> {
    let open = |family| socket::open_raw(family, 0);
    match (open(Family::V4), open(Family::V6)) {
        (Ok(_), _) | (_, Ok(_)) => None,
        (Err(error), Err(_)) => Some(format!(
            "traces need a raw socket, which this agent may not open ({error}): give it \
             CAP_NET_RAW, as its systemd unit does, and restart it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Address, HopEnding, TraceOptions, TraceProtocol};

    use super::*;

    fn command(id: u64, address: &str, protocol: TraceProtocol) -> v1::Command {
        let interval = TraceOptions::INTERVAL_MIN;
        let options = TraceOptions { protocol, rounds: 3, interval, ..TraceOptions::default() };
        let address = Address::parse(address).expect("an address");
        let arguments = TraceOrder { address, options }.encode();
        v1::Command { id, kind: TRACE.to_owned(), arguments, deadline_ms: 20_000 }
    }

    fn last(reports: &mut mpsc::Receiver<Report>) -> Report {
        loop {
            let report = reports.blocking_recv().expect("the thread runs");
            if report.is_last() {
                return report;
            }
        }
    }

    /// Which of both is expected depends on what this host permits, not on what tracing does.
    #[test]
    fn loopback_is_the_first_hop_or_the_impediment_says_what_is_missing() {
        let (traces, mut reports) = Traces::start(Clock, None);
        for (id, address) in [(1, "127.0.0.1"), (2, "::1"), (3, "localhost")] {
            for protocol in [TraceProtocol::Icmp, TraceProtocol::Udp] {
                let begun = traces.handle_command(&command(id, address, protocol));
                if !traces.can_trace() {
                    assert_eq!(begun.state, CommandState::Failed);
                    assert!(begun.reason.contains("CAP_NET_RAW"), "{}", begun.reason);
                    continue;
                }
                assert_eq!(begun.state, CommandState::Accepted);
                let done = last(&mut reports);
                assert_eq!((done.id, done.state), (id, CommandState::Done), "{}", done.reason);
                assert_eq!(done.end, Some(TraceEnd::Reached), "{address} {protocol}: {done:?}");
                let [hop] = &done.hops[..] else { panic!("one hop: {:?}", done.hops) };
                assert_eq!((hop.ttl, hop.ending), (1, Some(HopEnding::Reached)));
                assert_eq!((hop.sent, hop.received()), (3, 3));
                assert_eq!(done.address, Some(hop.answers[0].from));
            }
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_a_reason() {
        let (traces, _reports) = Traces::start(Clock, None);
        let other =
            v1::Command { kind: "reboot".to_owned(), ..command(1, "::1", TraceProtocol::Icmp) };
        let refused = traces.handle_command(&other);
        assert_eq!(refused.state, CommandState::Unsupported);
        assert!(refused.reason.contains("reboot"));
        if !traces.can_trace() {
            return;
        }
        let broken =
            v1::Command { arguments: vec![1, 2, 3], ..command(2, "::1", TraceProtocol::Icmp) };
        assert_eq!(traces.handle_command(&broken).state, CommandState::Failed);
    }

    #[test]
    fn a_trace_ends_when_it_is_cancelled_when_its_time_is_over_and_when_there_are_too_many() {
        let (traces, mut reports) = Traces::start(Clock, None);
        if !traces.can_trace() {
            return;
        }
        // Documentation's own addresses: nobody is there, on whatever host.
        let far = |id| command(id, "192.0.2.1", TraceProtocol::Udp);
        let short = v1::Command { deadline_ms: 1, ..far(1) };
        traces.handle_command(&short);
        let report = last(&mut reports);
        // A host without a route has its answer sooner.
        let is_over = [CommandState::Expired, CommandState::Done].contains(&report.state);
        assert!(is_over, "{report:?}");
        for id in 10..10 + TRACES_MAX as u64 + 1 {
            traces.handle_command(&far(id));
        }
        for id in 10..10 + TRACES_MAX as u64 {
            traces.cancel(id);
        }
        let mut over: Vec<Report> = (0..=TRACES_MAX).map(|_| last(&mut reports)).collect();
        over.sort_by_key(|report| report.id);
        let states: Vec<CommandState> = over.iter().map(|report| report.state).collect();
        if states.contains(&CommandState::Done) {
            return; // No route: they ended before they could be too many.
        }
        assert_eq!(states[TRACES_MAX], CommandState::Failed);
        assert!(over[TRACES_MAX].reason.contains("4 traces"), "{}", over[TRACES_MAX].reason);
        assert!(states[..TRACES_MAX].iter().all(|state| *state == CommandState::Cancelled));
    }

    #[test]
    fn the_budget_leaves_probing_its_host() {
        let second = Duration::from_secs(1);
        assert_eq!(second.as_millis() / lane::PACKET_SPACING.as_millis(), 100);
    }
}
