//! Slows down guessing: counts failed attempts to sign in, by name and address together, by
//! address and by name.
//!
//! What locks a name soon locks it for one address only: who guesses elsewhere must not keep its
//! owner out. The ceiling of the name alone is there for guesses from many addresses at once.
//!
//! It holds nothing on disk: a restart forgets, which is cheaper than a write for each guess.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::UtcMicros;

use crate::listen::network_of;

/// Failures of one name from one address within [`WINDOW`]: a person mistypes less often.
const PER_NAME_AND_ADDRESS_MAX: u32 = 10;
/// Failures of one name from all addresses within [`WINDOW`]. More than 30 addresses can have
/// under [`PER_ADDRESS_MAX`], so that few cannot lock a name for everyone; and few enough that many
/// addresses find no password of legal length: less than 300,000 guesses a day.
const PER_NAME_MAX: u32 = 1_000;
/// Failures from one address within [`WINDOW`]: an office behind one address mistypes less often.
const PER_ADDRESS_MAX: u32 = 30;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Names and addresses remembered at once, so that strangers cannot fill the memory.
const ENTRIES_MAX: usize = 10_000;

/// Refusals that are told one by one within [`WINDOW`]; the next one tells how many were not.
const TOLD_MAX: u32 = 50;

/// Failed attempts of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    counts: Mutex<BTreeMap<Key, Count>>,
    told: Mutex<Told>,
}

/// What was said of refusals, so that who guesses cannot fill the audit log.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    since: UtcMicros,
    count: u32,
    /// Not told since the last one that was.
    untold: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// Without an address: from wherever the listener cannot name, as if that were one address.
    NameAndAddress(String, Option<IpAddr>),
    Address(IpAddr),
    Name(String),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: UtcMicros,
    failures: u32,
}

impl Attempts {
    /// Counts an attempt before it is judged, so that parallel guesses count too.
    ///
    /// # Errors
    ///
    /// How long to wait, if the name there, the address or the name has used up its attempts.
    pub(crate) fn start(
        &self,
        name: &str,
        address: Option<IpAddr>,
        now: UtcMicros,
    ) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, count| now.since(count.since) < WINDOW);
        let keys = keys(name, address);
        for (key, failures_max) in &keys {
            if let Some(count) = counts.get(key).filter(|count| *failures_max <= count.failures) {
                return Err(WINDOW.saturating_sub(now.since(count.since)));
            }
        }
        for (key, _) in keys {
            if !counts.contains_key(&key) && ENTRIES_MAX <= counts.len() {
                // Full of strangers: the oldest entry goes, the newest guesses stay counted.
                let oldest = counts.iter().min_by_key(|(_, count)| count.since);
                if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                    counts.remove(&oldest);
                }
            }
            counts.entry(key).or_insert(Count { since: now, failures: 0 }).failures += 1;
        }
        Ok(())
    }

    /// Whether a refusal is to be told, with how many before it were not.
    pub(crate) fn tell_refusal(&self, now: UtcMicros) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if WINDOW <= now.since(told.since) {
            *told = Told { since: now, count: 0, ..*told };
        }
        if told.count == TOLD_MAX {
            told.untold += 1;
            return None;
        }
        told.count += 1;
        Some(std::mem::take(&mut told.untold))
    }

    /// Forgets the name's failures there after a success; address and name keep all but this
    /// attempt, so that a success gives nobody who guesses elsewhere new attempts.
    pub(crate) fn succeed(&self, name: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in keys(name, address) {
            if let Key::NameAndAddress(..) = key {
                counts.remove(&key);
            } else if let Some(count) = counts.get_mut(&key) {
                count.failures = count.failures.saturating_sub(1);
            }
        }
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> Vec<(Key, u32)> {
    let address = address.map(network_of);
    let both = Key::NameAndAddress(name.to_owned(), address);
    let mut keys = vec![(both, PER_NAME_AND_ADDRESS_MAX)];
    keys.extend(address.map(|address| (Key::Address(address), PER_ADDRESS_MAX)));
    keys.push((Key::Name(name.to_owned()), PER_NAME_MAX));
    keys
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn at(seconds: u64) -> UtcMicros {
        UtcMicros(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_is_locked_for_the_rest_of_the_window() {
        let attempts = Attempts::default();
        for _ in 0..PER_NAME_AND_ADDRESS_MAX {
            assert_eq!(attempts.start("ann", None, at(0)), Ok(()));
        }
        assert_eq!(attempts.start("ann", None, at(60)), Err(Duration::from_secs(240)));
        assert_eq!(attempts.start("bob", None, at(60)), Ok(()));
        assert_eq!(attempts.start("ann", None, at(300)), Ok(()));
    }

    #[test]
    fn who_guesses_elsewhere_does_not_lock_the_owner_out() {
        let attempts = Attempts::default();
        for last in 0..PER_NAME_AND_ADDRESS_MAX {
            // One host has a whole /64.
            let there = format!("2001:db8::{last:x}").parse().ok();
            assert_eq!(attempts.start("ann", there, at(0)), Ok(()));
        }
        let there = "2001:db8::ffff".parse().ok();
        assert!(attempts.start("ann", there, at(1)).is_err());
        assert_eq!(attempts.start("ann", HERE, at(1)), Ok(()));
    }

    #[test]
    fn a_name_is_locked_when_very_many_addresses_guess_and_a_success_changes_little() {
        let attempts = Attempts::default();
        for n in 0..PER_NAME_MAX {
            assert_eq!(attempts.start("ann", Some(Ipv4Addr::from_bits(n).into()), at(0)), Ok(()));
        }
        assert!(attempts.start("ann", HERE, at(1)).is_err());
        attempts.succeed("ann", Some(Ipv4Addr::from_bits(0).into()));
        assert_eq!(attempts.start("ann", HERE, at(1)), Ok(()));
        assert!(attempts.start("ann", HERE, at(1)).is_err());
    }

    #[test]
    fn an_address_that_tries_many_names_is_locked() {
        let attempts = Attempts::default();
        for n in 0..PER_ADDRESS_MAX {
            assert_eq!(attempts.start(&format!("user{n}"), HERE, at(0)), Ok(()));
        }
        assert!(attempts.start("another", HERE, at(1)).is_err());
        assert_eq!(attempts.start("another", None, at(1)), Ok(()));
    }

    #[test]
    fn refusals_beyond_the_first_of_a_window_are_told_as_a_number() {
        let attempts = Attempts::default();
        let told = |s, count| (0..count).filter_map(|_| attempts.tell_refusal(at(s))).count();
        assert_eq!(told(1_000, TOLD_MAX + 7), 50);
        assert_eq!(attempts.tell_refusal(at(1_299)), None);
        assert_eq!(attempts.tell_refusal(at(1_300)), Some(8));
        assert_eq!(attempts.tell_refusal(at(1_300)), Some(0));
    }

    #[test]
    fn success_forgets() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            assert_eq!(attempts.start("ann", HERE, at(0)), Ok(()));
            attempts.succeed("ann", HERE);
        }
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let attempts = Attempts::default();
        // Two entries each: the name, and the name from nowhere.
        for n in 0..ENTRIES_MAX / 2 + 10 {
            assert_eq!(attempts.start(&format!("user{n}"), None, at(0)), Ok(()));
        }
        assert_eq!(attempts.counts.lock().expect("not poisoned").len(), ENTRIES_MAX);
    }
}
