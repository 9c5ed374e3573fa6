//! What changed, told to whoever watches: ids and versions, not bodies.
//!
//! One bounded ring holds the last events; every subscriber has a place in it. A subscriber that
//! falls out of the ring, or comes back with a position that is no longer in it, gets one
//! [`LiveEvent::Resync`] and reads everything anew. Nothing waits for a slow subscriber.
//! It deliberately holds nothing that is not stored already.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use model::{
    AgentId, AgentState, Decision, DecisionKind, IncidentId, LogPosition, Minute, OrgId, ProbeId,
    TargetId, TraceId, UtcMicros, Verdict,
};
use tokio::sync::watch;

/// Events that a subscriber may be behind: a few minutes of a bad day, about 5 MB.
pub const LIVE_RING_MAX: usize = 65_536;

/// Something that was stored and that a console may want to fetch again.
///
/// What names an object belongs to its organisation; the rest only says that there is something
/// to fetch, and whoever fetches sees what is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveEvent {
    /// A verdict changed: of one agent's pair, or the consensus if `agent` is `None`.
    Verdict {
        position: LogPosition,
        org: OrgId,
        target: TargetId,
        probe: ProbeId,
        agent: Option<AgentId>,
        from: Verdict,
        to: Verdict,
        at: UtcMicros,
    },
    /// An agent's state changed.
    Agent { position: LogPosition, org: OrgId, agent: AgentId, to: AgentState, at: UtcMicros },
    /// The inventory has a new version.
    Inventory { position: LogPosition, version: u64 },
    /// An incident was written, by a judgement or by a person.
    Incident { position: LogPosition, org: OrgId, incident: IncidentId },
    /// A trace was begun, learned something or ended.
    Trace { position: LogPosition, org: OrgId, trace: TraceId },
    /// A minute was closed.
    Minute { position: LogPosition, minute: Minute },
    /// The server lives; sent every few seconds even if nothing happens.
    Tick { position: LogPosition, at: UtcMicros },
    /// The subscriber missed events that are no longer kept: everything must be read anew.
    Resync { position: LogPosition },
}

/// One event as a subscriber gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveItem {
    pub event: LiveEvent,
    /// Everything up to here has been said: where to resume. `None` while more events of the same
    /// position follow, so that a break between them loses none.
    pub id: Option<LogPosition>,
}

#[derive(Debug)]
struct Ring {
    items: VecDeque<LiveItem>,
    /// How many items were ever pushed out at the front: the index of the first one kept.
    first_index: u64,
    /// Everything after this position is in the ring.
    floor: LogPosition,
    /// The last position told.
    last: LogPosition,
    is_closed: bool,
}

/// Where to subscribe.
#[derive(Clone, Debug)]
pub struct Live {
    ring: Arc<Mutex<Ring>>,
    changes: watch::Sender<u64>,
    subscribers: Arc<AtomicUsize>,
}

impl Live {
    /// Starts empty at `position`: whoever knows that position has missed nothing.
    pub(crate) fn new(position: LogPosition) -> Live {
        let ring = Ring {
            items: VecDeque::new(),
            first_index: 0,
            floor: position,
            last: position,
            is_closed: false,
        };
        Live {
            ring: Arc::new(Mutex::new(ring)),
            changes: watch::Sender::new(0),
            subscribers: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Tells events that belong to `position` and are stored, or that there were none up to it.
    /// Positions never decrease.
    pub(crate) fn tell(&self, position: LogPosition, events: Vec<LiveEvent>) {
        let mut ring = self.lock();
        ring.last = position;
        let count = events.len();
        for (index, event) in events.into_iter().enumerate() {
            let id = (index + 1 == count).then_some(position);
            ring.push(LiveItem { event, id });
        }
        self.publish(ring);
    }

    /// Tells that the server lives, at the last position told.
    pub(crate) fn tell_tick(&self, at: UtcMicros) {
        let mut ring = self.lock();
        let position = ring.last;
        ring.push(LiveItem { event: LiveEvent::Tick { position, at }, id: Some(position) });
        self.publish(ring);
    }

    /// Tells that an incident was written, at the last position told.
    pub(crate) fn tell_incident(&self, org: OrgId, incident: IncidentId) {
        let mut ring = self.lock();
        let position = ring.last;
        let event = LiveEvent::Incident { position, org, incident };
        ring.push(LiveItem { event, id: Some(position) });
        self.publish(ring);
    }

    /// Tells that there is something new of a trace, at the last position told.
    pub(crate) fn tell_trace(&self, org: OrgId, trace: TraceId) {
        let mut ring = self.lock();
        let position = ring.last;
        let event = LiveEvent::Trace { position, org, trace };
        ring.push(LiveItem { event, id: Some(position) });
        self.publish(ring);
    }

    /// Ends every subscription once it has read what is there.
    pub(crate) fn close(&self) {
        let mut ring = self.lock();
        ring.is_closed = true;
        self.publish(ring);
    }

    fn publish(&self, ring: MutexGuard<'_, Ring>) {
        drop(ring);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Subscribes to what comes, or to everything after a position that was seen before.
    pub fn subscribe(&self, after: Option<LogPosition>) -> LiveStream {
        let ring = self.lock();
        let next_index = match after {
            None => Some(ring.end_index()),
            Some(after) if after < ring.floor || ring.last < after => None,
            Some(after) => {
                let skipped = ring.items.partition_point(|i| i.event.position() < after);
                let is_new = |item: &LiveItem| {
                    let event = &item.event;
                    let is_between =
                        matches!(event, LiveEvent::Incident { .. } | LiveEvent::Trace { .. });
                    is_between || after < event.position()
                };
                // Incidents and traces are told between positions: one may have come after the
                // last event of this one that was seen, and is told again rather than never.
                let seen = ring.items.range(skipped..).take_while(|item| !is_new(item)).count();
                Some(ring.first_index + u64::try_from(skipped + seen).unwrap_or(u64::MAX))
            }
        };
        // Before the lock is left: what is told from now on is seen as a change.
        let changes = self.changes.subscribe();
        drop(ring);
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        LiveStream { live: self.clone(), changes, next_index }
    }

    /// How many subscribers there are.
    pub fn subscribers(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn end_index(&self) -> u64 {
        self.first_index + u64::try_from(self.items.len()).unwrap_or(u64::MAX)
    }

    fn push(&mut self, item: LiveItem) {
        if self.items.len() == LIVE_RING_MAX
            && let Some(gone) = self.items.pop_front()
        {
            self.first_index += 1;
            self.floor = self.floor.max(gone.event.position());
        }
        self.items.push_back(item);
    }
}

impl LiveEvent {
    /// The place in the log that this event belongs to.
    pub fn position(&self) -> LogPosition {
        match self {
            LiveEvent::Verdict { position, .. }
            | LiveEvent::Agent { position, .. }
            | LiveEvent::Inventory { position, .. }
            | LiveEvent::Incident { position, .. }
            | LiveEvent::Trace { position, .. }
            | LiveEvent::Minute { position, .. }
            | LiveEvent::Tick { position, .. }
            | LiveEvent::Resync { position } => *position,
        }
    }

    /// The event of a decision. A minute is told once for all probes, not here, and with it what a
    /// name stands for; of a probe that has just been deleted nothing is told.
    pub(crate) fn of(
        position: LogPosition,
        decision: &Decision,
        target_of: impl Fn(ProbeId) -> Option<TargetId>,
    ) -> Option<LiveEvent> {
        match &decision.kind {
            DecisionKind::Verdict(change) => Some(LiveEvent::Verdict {
                position,
                org: decision.org,
                target: target_of(change.entity.probe())?,
                probe: change.entity.probe(),
                agent: change.entity.agent(),
                from: change.from,
                to: change.to,
                at: change.at,
            }),
            DecisionKind::Agent(change) => Some(LiveEvent::Agent {
                position,
                org: decision.org,
                agent: change.agent,
                to: change.to,
                at: change.at,
            }),
            DecisionKind::Minute(_) | DecisionKind::Name(_) => None,
        }
    }
}

/// One subscriber's place.
#[derive(Debug)]
pub struct LiveStream {
    live: Live,
    changes: watch::Receiver<u64>,
    /// `None`: its place is gone and it must be told so.
    next_index: Option<u64>,
}

impl LiveStream {
    /// Waits for the next event; `None` once the server stops.
    pub async fn next(&mut self) -> Option<LiveItem> {
        loop {
            if let Some(item) = self.take() {
                return Some(item);
            }
            if self.live.lock().is_closed {
                return None;
            }
            self.changes.changed().await.ok()?;
        }
    }

    /// The next event that was told already; `None` if there is none yet.
    pub(crate) fn take(&mut self) -> Option<LiveItem> {
        let ring = self.live.lock();
        let kept = self.next_index.filter(|&index| ring.first_index <= index);
        let Some(index) = kept else {
            self.next_index = Some(ring.end_index());
            let position = ring.last;
            return Some(LiveItem { event: LiveEvent::Resync { position }, id: Some(position) });
        };
        let offset = usize::try_from(index - ring.first_index).ok()?;
        let item = ring.items.get(offset)?.clone();
        self.next_index = Some(index + 1);
        Some(item)
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.live.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(position: u64) -> LiveEvent {
        LiveEvent::Inventory { position: LogPosition(position), version: position }
    }

    fn drain(stream: &mut LiveStream) -> Vec<(LiveEvent, Option<u64>)> {
        std::iter::from_fn(|| stream.take()).map(|i| (i.event, i.id.map(|p| p.0))).collect()
    }

    #[test]
    fn a_subscriber_resumes_behind_what_it_has_seen() {
        let live = Live::new(LogPosition(4));
        live.tell(LogPosition(5), vec![inventory(5), inventory(5)]);
        live.tell(LogPosition(7), vec![inventory(7)]);
        let expected = vec![(inventory(7), Some(7))];
        assert_eq!(drain(&mut live.subscribe(Some(LogPosition(5)))), expected);
        assert_eq!(drain(&mut live.subscribe(Some(LogPosition(6)))), expected);
        assert_eq!(drain(&mut live.subscribe(Some(LogPosition(7)))), vec![]);
        let all = drain(&mut live.subscribe(Some(LogPosition(4))));
        assert_eq!(all.iter().map(|i| i.1).collect::<Vec<_>>(), vec![None, Some(5), Some(7)]);
    }

    #[test]
    fn an_incident_of_the_position_that_was_seen_is_told_again_rather_than_never() {
        let live = Live::new(LogPosition(4));
        live.tell(LogPosition(5), vec![inventory(5)]);
        live.tell_incident(OrgId(1), IncidentId(7));
        let told = drain(&mut live.subscribe(Some(LogPosition(5))));
        let position = LogPosition(5);
        let incident = LiveEvent::Incident { position, org: OrgId(1), incident: IncidentId(7) };
        assert_eq!(told, vec![(incident, Some(5))]);
    }

    #[test]
    fn a_position_without_events_is_known_all_the_same() {
        let live = Live::new(LogPosition(4));
        live.tell(LogPosition(9), Vec::new());
        assert_eq!(drain(&mut live.subscribe(Some(LogPosition(9)))), vec![]);
    }

    #[test]
    fn a_position_that_is_gone_or_never_was_means_resync() {
        let live = Live::new(LogPosition(4));
        live.tell(LogPosition(5), vec![inventory(5)]);
        let resync = LiveEvent::Resync { position: LogPosition(5) };
        for position in [3, 6] {
            let told = drain(&mut live.subscribe(Some(LogPosition(position))));
            assert_eq!(told, vec![(resync.clone(), Some(5))]);
        }
    }

    #[test]
    fn a_slow_subscriber_is_told_that_it_missed_something() {
        let live = Live::new(LogPosition(0));
        let mut slow = live.subscribe(None);
        for position in 1..=LIVE_RING_MAX as u64 + 1 {
            live.tell(LogPosition(position), vec![inventory(position)]);
        }
        assert!(matches!(drain(&mut slow)[..], [(LiveEvent::Resync { .. }, Some(_))]));
        assert_eq!(live.subscribers(), 1);
        drop(slow);
        assert_eq!(live.subscribers(), 0);
    }
}
