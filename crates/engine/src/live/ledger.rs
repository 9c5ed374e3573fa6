//! The evidence of the last minutes: the rounds of every pair, and what agents said of themselves.
//!
//! Bounded by the inventory: of one pair it keeps no more than a judgement looks at, and less the
//! more pairs there are, towards [`ASKS_TOTAL_MAX`] rounds over all; never less than a few. What is
//! older goes first.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    AgentId, Confirm, Outcome, ProbeId, Round, RoundBatch, RoundFlags, Rtt, Subject, UtcMicros,
};

use super::roster::Roster;
use crate::rca::Ask;

/// Rounds of all pairs: some 200 MB, which gives each of 100,000 pairs all that is looked at.
pub const ASKS_TOTAL_MAX: usize = 4_000_000;
/// As many rounds of a pair as a judgement looks at.
const PAIR_ASKS_MAX: usize = 32;
/// And so many at least, whatever there are of pairs: a pair without a past says nothing.
const PAIR_ASKS_MIN: usize = 4;
/// Writes that are remembered at least, before who has not read them reads everything.
const WRITTEN_MIN: usize = 1_024;

/// What an agent's gateway did last, and what is behind it.
///
/// Many gateways drop what is asked of themselves and carry the rest: the silence of one that never
/// answered says nothing, nor does that of one past which targets answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gateway {
    /// When it was asked last.
    at: UtcMicros,
    has_answered: bool,
    silent_since: Option<UtcMicros>,
    /// When a target answered last, and when one did not.
    passed_at: UtcMicros,
    lost_at: UtcMicros,
}

/// The rounds of an agent and a probe.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) agent: AgentId,
    pub(super) probe: ProbeId,
    pub(super) asks: Vec<Ask>,
}

/// Rounds by agent and probe.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pages: Vec<Page>,
    places: BTreeMap<(AgentId, ProbeId), u32>,
    /// Changes when pages have other places.
    edition: u64,
    /// Pages that were written on, in order, and how many of that are forgotten.
    written: Vec<u32>,
    forgotten: u64,
    gateways: BTreeMap<AgentId, Gateway>,
    /// From when on rounds of a probe count: before, it asked another address.
    since: BTreeMap<ProbeId, UtcMicros>,
    total: usize,
    /// Probes that some agent asks on its own host: no network is crossed, and nothing follows.
    local: BTreeSet<ProbeId>,
}

impl Ledger {
    /// Takes a batch. Rounds that asked nothing, or that may be bent, say nothing.
    pub fn hear(&mut self, batch: &RoundBatch) {
        for round in &batch.rounds {
            match round.subject {
                Subject::Probe(probe) => {
                    if round.flags.contains(RoundFlags::LOCAL) {
                        self.local.insert(probe);
                    }
                    if let Some(ask) = ask(round) {
                        if !round.flags.contains(RoundFlags::LOCAL) {
                            self.pass(batch.agent, &ask);
                        }
                        self.add((batch.agent, probe), ask);
                    }
                }
                Subject::Gateway => self.gateway(batch.agent, round),
                Subject::Witness(_) => {}
            }
        }
    }

    fn add(&mut self, pair: (AgentId, ProbeId), ask: Ask) {
        if self.since.get(&pair.1).is_some_and(|since| ask.at < *since) {
            return;
        }
        let share = ASKS_TOTAL_MAX / self.pages.len().max(1);
        let asks_max = share.clamp(PAIR_ASKS_MIN, PAIR_ASKS_MAX);
        let next = self.pages.len();
        let place = self.places.entry(pair).or_insert(u32::try_from(next).unwrap_or(u32::MAX));
        if *place as usize == next {
            self.pages.push(Page { agent: pair.0, probe: pair.1, asks: Vec::new() });
        }
        let Some(Page { asks, .. }) = self.pages.get_mut(*place as usize) else { return };
        // A backlog comes late and in its order; a round that comes again counts once.
        let at = asks.partition_point(|known| known.at < ask.at);
        if asks.get(at).is_some_and(|known| known.at == ask.at) {
            return;
        }
        self.written.push(*place);
        // The oldest go first, so that no more room is made than is used.
        let beyond = (asks.len() + 1).saturating_sub(asks_max);
        let Some(place) = at.checked_sub(beyond) else {
            asks.drain(..beyond - 1);
            self.total -= beyond - 1;
            return;
        };
        asks.drain(..beyond);
        asks.insert(place, ask);
        self.total = self.total + 1 - beyond;
        if self.pages.len() * 2 + WRITTEN_MIN < self.written.len() {
            // Who has not read it by now reads everything.
            self.forgotten += self.written.len() as u64;
            self.written.clear();
        }
    }

    fn gateway(&mut self, agent: AgentId, round: &Round) {
        let Some(ask) = ask(round) else { return };
        let gateway = self.gateways.entry(agent).or_default();
        if ask.at <= gateway.at {
            return;
        }
        gateway.at = ask.at;
        gateway.has_answered |= !ask.is_dead();
        let before = gateway.silent_since;
        gateway.silent_since = ask.is_dead().then(|| before.unwrap_or(ask.at));
    }

    /// A target was asked through an agent's gateway.
    fn pass(&mut self, agent: AgentId, ask: &Ask) {
        let gateway = self.gateways.entry(agent).or_default();
        let last = if ask.is_dead() { &mut gateway.lost_at } else { &mut gateway.passed_at };
        *last = ask.at.max(*last);
    }

    /// Since when an agent's gateway, which used to answer, does not, nor anything behind it;
    /// unless it was asked last before `fresh_from`.
    pub(super) fn gateway_silent(
        &self,
        agent: AgentId,
        fresh_from: UtcMicros,
    ) -> Option<UtcMicros> {
        let gateway = self.gateways.get(&agent)?;
        let is_silent =
            fresh_from < gateway.at && gateway.has_answered && gateway.passed_at < gateway.lost_at;
        let since = gateway.silent_since.filter(|_| is_silent)?;
        Some(since.max(gateway.passed_at))
    }

    /// Forgets what was heard of addresses that probes ask no longer: it says nothing of another,
    /// however late it comes.
    pub fn forget_addresses(&mut self, roster: &mut Roster, now: UtcMicros) {
        for probe in roster.take_readdressed() {
            self.since.insert(probe, now);
            self.local.remove(&probe);
            self.keep(|page| page.probe != probe);
        }
    }

    /// Forgets who is no longer in the inventory.
    pub fn forget_strangers(&mut self, roster: &Roster) {
        self.keep(|page| roster.has_agent(page.agent) && roster.has_probe(page.probe));
        self.gateways.retain(|agent, _| roster.has_agent(*agent));
        self.since.retain(|probe, _| roster.has_probe(*probe));
        self.local.retain(|probe| roster.has_probe(*probe));
    }

    fn keep(&mut self, is_kept: impl Fn(&Page) -> bool) {
        let before = self.pages.len();
        self.pages.retain(is_kept);
        if self.pages.len() < before {
            let places = self.pages.iter().zip(0u32..);
            self.places = places.map(|(page, at)| ((page.agent, page.probe), at)).collect();
            self.total = self.pages.iter().map(|page| page.asks.len()).sum();
            self.edition += 1;
        }
    }

    /// Probes that an agent asks on its own host.
    pub(super) fn local(&self) -> impl Iterator<Item = ProbeId> + '_ {
        self.local.iter().copied()
    }

    pub(super) fn pages(&self) -> &[Page] {
        &self.pages
    }

    pub(super) fn edition(&self) -> u64 {
        self.edition
    }

    /// How much was written so far.
    pub(super) fn position(&self) -> u64 {
        self.forgotten + self.written.len() as u64
    }

    /// Places of the pages that were written on since a position, some more than once; `None` if
    /// that is no longer known.
    pub(super) fn written_since(&self, position: u64) -> Option<&[u32]> {
        let from = position.checked_sub(self.forgotten)?;
        self.written.get(usize::try_from(from).ok()?..)
    }

    /// Rounds that are kept.
    pub fn rounds(&self) -> usize {
        self.total
    }
}

/// What a round says; `None` if nothing.
///
/// A burst that was answered after a round that was not makes it loss and no outage; one that was
/// not answered either is part of the same silence.
pub fn ask(round: &Round) -> Option<Ask> {
    let bent = RoundFlags::DOUBTFUL.0 | RoundFlags::LOCAL.0;
    let Outcome::Asked { sent, received, rtt, confirm } = round.outcome else { return None };
    if round.flags.0 & bent != 0 || sent == 0 {
        return None;
    }
    let Confirm { sent: again, received: answered } = confirm;
    let (sent, received) = match received {
        0 => (u16::from(sent) + u16::from(again), u16::from(answered)),
        received => (u16::from(sent), u16::from(received)),
    };
    Some(Ask { at: round.at, sent, received, rtt_us: rtt.map(|Rtt { us_mean, .. }| us_mean) })
}
