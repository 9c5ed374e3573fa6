//! What is accepted and not yet judged and stored, shared among the agents.
//!
//! 1 - All of it together is bounded, so memory is.
//! 2 - Each agent's part is bounded too: what one has accepted lies before what the others send
//!     next, so this is how long it can hold them up.
//! 3 - Whoever has least waits least: an agent that sends without end gets what the others leave.
//! 4 - Among equals the one that waits longest. Nobody smaller overtakes the one whose turn it is,
//!     or large batches would wait for ever.

use std::{
    collections::BTreeMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use model::AgentId;
use tokio::sync::oneshot;

/// Rounds of all agents: about 100 MB.
const ROUNDS_MAX: usize = 1_000_000;
/// Rounds of one agent: two of the largest batches and some, a moment's work for the engine.
const AGENT_ROUNDS_MAX: usize = 50_000;
/// What a round costs in memory; a batch of few rounds and many bytes counts by its bytes.
const BYTES_PER_ROUND: usize = 100;

/// The room for what is in flight. A clone is the same room.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rounds_max: usize,
    agent_rounds_max: usize,
    total: usize,
    held: BTreeMap<AgentId, usize>,
    /// By ticket, which only grows: who came first. At most one for each open stream.
    waiting: BTreeMap<u64, Waiting>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiting {
    agent: AgentId,
    cost: usize,
    granted: oneshot::Sender<Permit>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Budget,
    agent: AgentId,
    cost: usize,
}

/// A place in the queue; whoever goes away leaves it.
struct Ticket<'a> {
    budget: &'a Budget,
    number: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::new(ROUNDS_MAX, AGENT_ROUNDS_MAX)
    }
}

impl Budget {
    fn new(rounds_max: usize, agent_rounds_max: usize) -> Budget {
        Budget(Arc::new(Mutex::new(State {
            rounds_max,
            agent_rounds_max,
            total: 0,
            held: BTreeMap::new(),
            waiting: BTreeMap::new(),
            tickets: 0,
        })))
    }

    /// Waits for room for a batch of an agent.
    pub(crate) async fn acquire(&self, agent: AgentId, rounds: usize, bytes: usize) -> Permit {
        let (granted, is_granted) = oneshot::channel();
        let ticket = {
            let mut state = self.lock();
            let cost = rounds.max(bytes / BYTES_PER_ROUND).max(1).min(state.agent_rounds_max);
            state.tickets += 1;
            let number = state.tickets;
            state.waiting.insert(number, Waiting { agent, cost, granted });
            Ticket { budget: self, number }
        };
        self.grant();
        let permit = is_granted.await;
        drop(ticket);
        match permit {
            Ok(permit) => permit,
            // Its sender stays in the queue for as long as anyone waits.
            Err(_) => future::pending().await,
        }
    }

    /// Gives what room there is to those whose turn it is.
    fn grant(&self) {
        let mut state = self.lock();
        let mut ready = Vec::new();
        while let Some(waiting) = state.next() {
            let Waiting { agent, cost, granted } = waiting;
            state.total += cost;
            *state.held.entry(agent).or_default() += cost;
            ready.push((granted, Permit { budget: self.clone(), agent, cost }));
        }
        // A permit that nobody takes any more comes back here, so not under the lock.
        drop(state);
        for (granted, permit) in ready {
            granted.send(permit).map_or_else(drop, drop);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn held(&self, agent: AgentId) -> usize {
        self.held.get(&agent).copied().unwrap_or(0)
    }

    /// Takes out of the queue whoever is next, if there is room for it.
    fn next(&mut self) -> Option<Waiting> {
        let may =
            |waiting: &Waiting| self.held(waiting.agent) + waiting.cost <= self.agent_rounds_max;
        let allowed = self.waiting.iter().filter(|(_, waiting)| may(waiting));
        let (_, number, cost) = allowed
            .map(|(number, waiting)| (self.held(waiting.agent), *number, waiting.cost))
            .min()?;
        if self.rounds_max < self.total + cost {
            return None;
        }
        self.waiting.remove(&number)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.total -= self.cost;
        let left = state.held(self.agent) - self.cost;
        if left == 0 {
            state.held.remove(&self.agent);
        } else {
            state.held.insert(self.agent, left);
        }
        drop(state);
        self.budget.grant();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.budget.lock().waiting.remove(&self.number);
        // Whoever stood behind it may be able to go now.
        self.budget.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt as _;

    use super::*;

    type Asking<'a> = Pin<Box<dyn Future<Output = Permit> + 'a>>;

    /// Asks for room that must be there at once.
    fn has(budget: &Budget, agent: u32, rounds: usize) -> Permit {
        budget.acquire(AgentId(agent), rounds, 0).now_or_never().unwrap()
    }

    /// Asks for room that must not be there yet.
    fn waits(budget: &Budget, agent: u32, rounds: usize) -> Asking<'_> {
        let mut asking: Asking<'_> = Box::pin(budget.acquire(AgentId(agent), rounds, 0));
        assert!(asking.as_mut().now_or_never().is_none());
        asking
    }

    #[test]
    fn one_agent_fills_its_part_and_no_more() {
        let budget = Budget::new(100, 30);
        let first = has(&budget, 1, 20);
        let mut more = waits(&budget, 1, 20);
        let _other = has(&budget, 2, 20);
        assert!(more.as_mut().now_or_never().is_none());
        drop(first);
        assert!(more.as_mut().now_or_never().is_some());
    }

    #[test]
    fn who_has_least_is_next_and_among_equals_who_waited_longest() {
        let budget = Budget::new(40, 30);
        let greedy = [has(&budget, 1, 10), has(&budget, 1, 10)];
        let _second = has(&budget, 2, 20);
        let mut again = waits(&budget, 1, 10);
        let mut small = waits(&budget, 3, 10);
        let mut late = waits(&budget, 4, 10);
        let [one, two] = greedy;
        drop(one);
        let small = small.as_mut().now_or_never();
        assert!(small.is_some() && late.as_mut().now_or_never().is_none());
        // The first holds no more than the fourth by now, and asked before it.
        drop(two);
        assert!(late.as_mut().now_or_never().is_none() && again.as_mut().now_or_never().is_some());
        drop(small);
        assert!(late.as_mut().now_or_never().is_some());
    }

    #[test]
    fn a_large_batch_is_not_overtaken_for_ever_and_who_goes_away_holds_nobody_up() {
        let budget = Budget::new(40, 30);
        let held = has(&budget, 1, 20);
        let large = waits(&budget, 2, 30);
        let mut small = waits(&budget, 3, 10);
        assert!(small.as_mut().now_or_never().is_none(), "it is the large one's turn");
        drop(large);
        assert!(small.as_mut().now_or_never().is_some());
        drop(held);
        let state = budget.lock();
        assert_eq!((state.total, state.held.len(), state.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn few_rounds_with_many_bytes_count_by_their_bytes() {
        let budget = Budget::new(100_000, 50_000);
        let permit = budget.acquire(AgentId(1), 1, 512 * 1024).now_or_never().unwrap();
        assert_eq!(permit.cost, 5_242);
    }
}
