//! DNS names and what they stand for at the moment.
//!
//! It decides when a name is asked again; who asks, and whom, is the driver's affair.
//!
//! 1 - a name is asked at once when it is first needed, and again when its answer's time to live is
//!     over, held within [`TTL_MIN`] and [`TTL_MAX`];
//! 2 - of several addresses the one in use is kept as long as it is in the answer: a resolver that
//!     turns its list around must not look like a moved target;
//! 3 - "no such address" takes the address away; a resolver that does not answer leaves it in use
//!     for [`STALE_MAX`], and is asked again after [`RESOLVE_RETRY`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use model::{Hostname, Tick};

/// Names with shorter answers are asked this often: a resolver is not ours to load.
pub const TTL_MIN: Duration = Duration::from_secs(30);
/// Names with longer answers are asked this often, so that a moved target is noticed the same hour.
pub const TTL_MAX: Duration = Duration::from_secs(1800);
/// After a failure, and after a name without an address.
pub const RESOLVE_RETRY: Duration = Duration::from_secs(30);
/// An answer that the driver never gave is asked for again after this.
pub const RESOLVE_PATIENCE: Duration = Duration::from_secs(60);
/// How long an address stays in use while no resolver answers.
pub const STALE_MAX: Duration = Duration::from_secs(3600);

/// Why a name has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveFailure {
    /// The answer is that there is none: no such name, or no address.
    NoAddress,
    /// No resolver answered, or none that could.
    Unanswered,
}

#[derive(Debug)]
struct Entry {
    hostname: Hostname,
    address: Option<IpAddr>,
    /// Until when the address may be used without a new answer.
    stale_at: Tick,
    /// When it is asked next.
    ask_at: Tick,
    /// Probes that use it; 0 if the entry is free.
    users: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_name: BTreeMap<Hostname, u32>,
    asks: BTreeSet<(Tick, u32)>,
    wanted: VecDeque<u32>,
    /// Which families the host can use.
    has_v4: bool,
    has_v6: bool,
}

impl Names {
    pub(crate) fn set_families(&mut self, v4: bool, v6: bool) {
        (self.has_v4, self.has_v6) = (v4, v6);
    }

    /// Adds one user of a name and returns its index.
    pub(crate) fn acquire(&mut self, hostname: &Hostname, now: Tick) -> u32 {
        if let Some(index) = self.by_name.get(hostname).copied() {
            if let Some(entry) = self.entries.get_mut(index as usize) {
                entry.users += 1;
            }
            return index;
        }
        let entry = Entry {
            hostname: hostname.clone(),
            address: None,
            stale_at: now,
            ask_at: now,
            users: 1,
        };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.entries.get_mut(index as usize) {
                    *place = entry;
                }
                index
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.by_name.insert(hostname.clone(), index);
        self.asks.insert((now, index));
        index
    }

    /// Takes one user of a name away, and the name with its last one.
    pub(crate) fn release(&mut self, index: u32) {
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        entry.users = entry.users.saturating_sub(1);
        if entry.users == 0 {
            self.by_name.remove(&entry.hostname);
            self.asks.remove(&(entry.ask_at, index));
            self.wanted.retain(|wanted| *wanted != index);
            self.free.push(index);
        }
    }

    /// Says whether `index` is this name's.
    pub(crate) fn is(&self, index: u32, hostname: &Hostname) -> bool {
        self.entries.get(index as usize).is_some_and(|entry| entry.hostname == *hostname)
    }

    /// Returns what a name stands for now; `None` if that is not known, or not any more.
    pub(crate) fn address(&self, index: u32, now: Tick) -> Option<IpAddr> {
        let entry = self.entries.get(index as usize)?;
        entry.address.filter(|_| now < entry.stale_at)
    }

    pub(crate) fn handle_timeout(&mut self, now: Tick) {
        while let Some((at, index)) = self.asks.first().copied().filter(|(at, _)| *at <= now) {
            self.asks.remove(&(at, index));
            self.wanted.push_back(index);
            self.ask_again(index, now + RESOLVE_PATIENCE);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Hostname> {
        let index = self.wanted.pop_front()?;
        self.entries.get(index as usize).map(|entry| entry.hostname.clone())
    }

    /// Says whether `poll` has something.
    pub(crate) fn is_wanting(&self) -> bool {
        !self.wanted.is_empty()
    }

    pub(crate) fn next(&self) -> Option<Tick> {
        self.asks.first().map(|(at, _)| *at)
    }

    /// Takes an answer by the rules of the module.
    pub(crate) fn handle_answer(
        &mut self,
        hostname: &Hostname,
        answer: Result<&[IpAddr], ResolveFailure>,
        ttl: Duration,
        now: Tick,
    ) {
        let Some(index) = self.by_name.get(hostname).copied() else {
            return;
        };
        let (has_v4, has_v6) = (self.has_v4, self.has_v6);
        let Some(entry) = self.entries.get_mut(index as usize) else {
            return;
        };
        let chosen = answer.map(|addresses| choose(addresses, entry.address, has_v4, has_v6));
        let again = match chosen {
            Ok(Some(address)) => {
                let ttl = ttl.clamp(TTL_MIN, TTL_MAX);
                entry.address = Some(address);
                entry.stale_at = now + ttl + STALE_MAX;
                now + ttl
            }
            Ok(None) | Err(ResolveFailure::NoAddress) => {
                entry.address = None;
                now + RESOLVE_RETRY
            }
            Err(ResolveFailure::Unanswered) => now + RESOLVE_RETRY,
        };
        self.ask_again(index, again);
    }

    fn ask_again(&mut self, index: u32, at: Tick) {
        if let Some(entry) = self.entries.get_mut(index as usize) {
            self.asks.remove(&(entry.ask_at, index));
            entry.ask_at = at;
            self.asks.insert((at, index));
        }
    }
}

/// Chooses one address: the one in use; otherwise the lowest of version 4, then of version 6,
/// among the families that the host can use. The lowest, so that all agents ask the same one.
fn choose(
    addresses: &[IpAddr],
    in_use: Option<IpAddr>,
    has_v4: bool,
    has_v6: bool,
) -> Option<IpAddr> {
    let is_usable = |address: &&IpAddr| match address {
        IpAddr::V4(_) => has_v4 || !has_v6,
        IpAddr::V6(_) => has_v6 || !has_v4,
    };
    let usable = || addresses.iter().filter(is_usable);
    usable().find(|address| in_use == Some(**address)).or_else(|| usable().min()).copied()
}
