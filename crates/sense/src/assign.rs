//! Taking a new assignment while rounds are under way.
//!
//! 1 - a probe whose address and interval stay keeps its phase, its state and the round under way;
//!     its other timing changes with its next round;
//! 2 - a probe with another address or interval starts anew;
//! 3 - a probe that is gone ends silently: its round under way gives no record, and replies to it
//!     are strangers' from then on.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use model::{Address, ProbeId, Subject, Tick, Tier, TierId, WITNESSES_MAX};

use crate::{
    Assignment, PROBES_MAX, Refusal, TIMINGS_MAX, TierTiming, WITNESS_INTERVAL, WITNESS_TIMEOUT,
    prober::{NONE, Prober},
    schedule,
};

/// The timing of a tier as rounds use it: microseconds that fit, checked ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) interval_us: u32,
    pub(crate) gap_us: u32,
    pub(crate) timeout_us: u32,
    pub(crate) payload_bytes: u16,
    pub(crate) packets: u8,
    pub(crate) is_confirmed: bool,
}

impl Timing {
    /// How the gateway and the witnesses are asked.
    pub(crate) fn witness() -> Timing {
        Timing {
            interval_us: micros(WITNESS_INTERVAL),
            gap_us: micros(Tier::GAP_DEFAULT),
            timeout_us: micros(WITNESS_TIMEOUT),
            payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
            packets: 1,
            is_confirmed: false,
        }
    }

    /// Takes a tier's timing, or says which range it breaks.
    fn of(tier: &TierTiming) -> Result<Timing, &'static str> {
        let is_in = |value: Duration, min: Duration, max: Duration| min <= value && value <= max;
        let rules = [
            (
                is_in(tier.interval, Tier::INTERVAL_MIN, Tier::INTERVAL_MAX),
                "its tier's interval is out of range",
            ),
            (
                (1..=Tier::PACKETS_MAX).contains(&tier.packets),
                "its tier's packets per round are out of range",
            ),
            (is_in(tier.gap, Tier::GAP_MIN, Tier::GAP_MAX), "its tier's gap is out of range"),
            (
                is_in(tier.timeout, Tier::TIMEOUT_MIN, Tier::TIMEOUT_MAX),
                "its tier's timeout is out of range",
            ),
            (
                (Tier::PAYLOAD_BYTES_MIN..=Tier::PAYLOAD_BYTES_MAX).contains(&tier.payload_bytes),
                "its tier's packet size is out of range",
            ),
        ];
        if let Some((_, reason)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(reason);
        }
        Ok(Timing {
            interval_us: micros(tier.interval),
            gap_us: micros(tier.gap),
            timeout_us: micros(tier.timeout),
            payload_bytes: tier.payload_bytes,
            packets: tier.packets,
            is_confirmed: true,
        })
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// Lists the probes to take, in id order, each with the place of its timing in the first list.
///
/// `refuse` hears of every probe that is not taken.
pub(crate) fn accept(
    assignment: &Assignment,
    mut refuse: impl FnMut(Refusal),
) -> (Vec<Timing>, Vec<(ProbeId, usize, &Address)>) {
    let mut timings: Vec<Timing> = Vec::new();
    let mut by_tier: BTreeMap<TierId, Result<usize, &'static str>> = BTreeMap::new();
    for tier in &assignment.tiers {
        let place = Timing::of(tier).and_then(|timing| {
            let place = timings.iter().position(|t| *t == timing).unwrap_or(timings.len());
            if TIMINGS_MAX <= place {
                return Err("the assignment has too many different tiers");
            }
            if place == timings.len() {
                timings.push(timing);
            }
            Ok(place)
        });
        by_tier.insert(tier.id, place);
    }
    let mut tasks: Vec<_> = assignment.probes.iter().collect();
    tasks.sort_by_key(|task| task.id);
    let mut probes: Vec<(ProbeId, usize, &Address)> = Vec::with_capacity(tasks.len());
    for task in tasks {
        let place = match by_tier.get(&task.tier) {
            _ if probes.last().is_some_and(|(id, ..)| *id == task.id) => {
                Err("the assignment names it twice")
            }
            _ if PROBES_MAX <= probes.len() => Err("the agent has as many probes as it can take"),
            None => Err("its tier is not in the assignment"),
            Some(place) => *place,
        };
        match place {
            Ok(place) => probes.push((task.id, place, &task.address)),
            Err(reason) => refuse(Refusal { probe: task.id, reason }),
        }
    }
    (timings, probes)
}

impl Prober {
    /// Replaces the assignment by the rules of the module.
    ///
    /// Probes that [`Assignment::refusals`] lists are left out.
    pub fn set_assignment(&mut self, assignment: &Assignment, now: Tick) {
        let now = self.advance_now(now);
        let (timings, wanted) = accept(assignment, drop);
        let places = self.intern(&timings);
        let held = std::mem::take(&mut self.by_id);
        let mut held = held.into_iter().peekable();
        let mut by_id = Vec::with_capacity(wanted.len());
        let mut added = Vec::new();
        for (id, place, address) in wanted {
            while let Some((_, slot)) = held.next_if(|(old, _)| *old < id) {
                self.remove(slot);
            }
            let timing = places.get(place).copied().unwrap_or(0);
            let mut slot = held.next_if(|(old, _)| *old == id).map(|(_, slot)| slot);
            if let Some(held) = slot
                && !self.keep(held, address, timing)
            {
                self.remove(held);
                slot = None;
            }
            if slot.is_none() {
                added.push((self.phase_us(id, timing), by_id.len(), address, timing));
            }
            by_id.push((id, slot.unwrap_or(NONE)));
        }
        for (_, slot) in held {
            self.remove(slot);
        }
        // In the order in which they will be due: who is asked together stands together in memory.
        added.sort_unstable_by_key(|(phase_us, place, ..)| (*phase_us, *place));
        for (_, place, address, timing) in added {
            if let Some((id, slot)) = by_id.get_mut(place) {
                *slot = self.add(Subject::Probe(*id), Some(address), timing, now);
            }
        }
        self.by_id = by_id;
        self.set_witnesses(&assignment.witnesses, now);
    }

    /// Sets the agent's own next hop; `None` if the host has no default route.
    pub fn set_gateway(&mut self, gateway: Option<IpAddr>, now: Tick) {
        let now = self.advance_now(now);
        let address = gateway.map(Address::Ip);
        if let Some(slot) = self.gateway {
            if self.address_of(slot) == gateway {
                return;
            }
            self.remove(slot);
        }
        self.gateway = Some(self.add(Subject::Gateway, address.as_ref(), 0, now));
    }

    fn set_witnesses(&mut self, witnesses: &[IpAddr], now: Tick) {
        let witnesses = witnesses.get(..WITNESSES_MAX).unwrap_or(witnesses);
        for slot in self.witnesses.split_off(witnesses.len().min(self.witnesses.len())) {
            self.remove(slot);
        }
        for (index, address) in (0_u8..).zip(witnesses) {
            let held = self.witnesses.get(usize::from(index)).copied();
            if held.is_some_and(|slot| self.address_of(slot) == Some(*address)) {
                continue;
            }
            let task = Address::Ip(*address);
            let slot = self.add(Subject::Witness(index), Some(&task), 0, now);
            match held {
                Some(held) => {
                    self.remove(held);
                    if let Some(place) = self.witnesses.get_mut(usize::from(index)) {
                        *place = slot;
                    }
                }
                None => self.witnesses.push(slot),
            }
        }
    }

    /// Puts timings into the table, over those that nothing uses any more; returns their places.
    fn intern(&mut self, timings: &[Timing]) -> Vec<u16> {
        let mut is_used = vec![false; self.timings.len()];
        let in_use = self.probes.iter().map(|probe| probe.timing).chain(self.flights.timings());
        for place in in_use.chain([0]) {
            if let Some(used) = is_used.get_mut(usize::from(place)) {
                *used = true;
            }
        }
        let mut places = Vec::with_capacity(timings.len());
        for timing in timings {
            let known = self.timings.iter().position(|t| t == timing);
            let place = known.or_else(|| is_used.iter().position(|used| !used));
            let place = place.unwrap_or(self.timings.len());
            match self.timings.get_mut(place) {
                Some(entry) => *entry = *timing,
                None => {
                    self.timings.push(*timing);
                    is_used.push(true);
                }
            }
            if let Some(used) = is_used.get_mut(place) {
                *used = true;
            }
            places.push(u16::try_from(place).unwrap_or(0));
        }
        places
    }

    /// Keeps a probe as it is, if rule 1 of the module holds.
    fn keep(&mut self, slot: u32, address: &Address, timing: u16) -> bool {
        let interval_us = |place: u16| self.timings.get(usize::from(place)).map(|t| t.interval_us);
        let Some(probe) = self.probes.get(slot as usize) else {
            return false;
        };
        let is_same_address = match address {
            Address::Ip(ip) => probe.name == NONE && probe.address == Some(*ip),
            Address::Name(name) => self.names.is(probe.name, name),
        };
        if !is_same_address || interval_us(probe.timing) != interval_us(timing) {
            return false;
        }
        if let Some(probe) = self.probes.get_mut(slot as usize) {
            probe.timing = timing;
        }
        true
    }

    fn phase_us(&self, id: ProbeId, timing: u16) -> u32 {
        let interval_us = self.timings.get(usize::from(timing)).map_or(0, |t| t.interval_us);
        schedule::phase_us(Subject::Probe(id), interval_us)
    }

    fn address_of(&self, slot: u32) -> Option<IpAddr> {
        self.probes.get(slot as usize)?.address
    }
}
