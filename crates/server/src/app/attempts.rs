//! Slows down guessing: counts failed attempts to sign in, by name and by address.
//!
//! It holds nothing on disk: a restart forgets, which is cheaper than a write for each guess.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::UtcMicros;

/// Failures of one name within [`WINDOW`]: a person mistypes less often.
const PER_NAME_MAX: u32 = 10;
/// Failures from one address within [`WINDOW`]: an office behind one address mistypes less often.
const PER_ADDRESS_MAX: u32 = 30;
/// How long a failure counts.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Names and addresses remembered at once, so that strangers cannot fill the memory.
const ENTRIES_MAX: usize = 10_000;

/// Failed attempts of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    counts: Mutex<BTreeMap<Key, Count>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Name(String),
    Address(IpAddr),
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
    /// How long to wait, if the name or the address has used up its attempts.
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

    /// Forgets the name's failures after a success; the address keeps all but this attempt.
    pub(crate) fn succeed(&self, name: &str, address: Option<IpAddr>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&Key::Name(name.to_owned()));
        if let Some(count) = address.and_then(|address| counts.get_mut(&Key::Address(address))) {
            count.failures = count.failures.saturating_sub(1);
        }
    }
}

fn keys(name: &str, address: Option<IpAddr>) -> Vec<(Key, u32)> {
    let mut keys = vec![(Key::Name(name.to_owned()), PER_NAME_MAX)];
    keys.extend(address.map(|address| (Key::Address(address), PER_ADDRESS_MAX)));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn at(seconds: u64) -> UtcMicros {
        UtcMicros(0) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_is_locked_for_the_rest_of_the_window() {
        let attempts = Attempts::default();
        for _ in 0..PER_NAME_MAX {
            assert_eq!(attempts.start("ann", None, at(0)), Ok(()));
        }
        assert_eq!(attempts.start("ann", None, at(60)), Err(Duration::from_secs(240)));
        assert_eq!(attempts.start("bob", None, at(60)), Ok(()));
        assert_eq!(attempts.start("ann", None, at(300)), Ok(()));
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
        for n in 0..ENTRIES_MAX + 10 {
            assert_eq!(attempts.start(&format!("user{n}"), None, at(0)), Ok(()));
        }
        assert_eq!(attempts.counts.lock().expect("not poisoned").len(), ENTRIES_MAX);
    }
}
