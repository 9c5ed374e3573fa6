//! Which way packets take, as traces see it, and whether it is another than before.
//!
//! 1 - A hop is known by who answered it. One that nobody answers is neither the same as another
//!     nor a different one.
//! 2 - A way is another than before where both know a hop and nobody answers both times from one
//!     address of it: a router that spreads packets answers from several.
//! 3 - A trace that ends early speaks for the hops it has: what is out has no other way.
//! 4 - What is the same way fills what the other knew nothing of, and may get longer by it.

use std::{collections::BTreeSet, net::IpAddr};

/// Hops of one way: longer ones are cut.
pub const WAY_HOPS_MAX: usize = 64;
/// Addresses that are kept of one hop.
const ADDRESSES_MAX: usize = 8;

/// Who answered at each hop, from the first on; nobody where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WayHops(pub Vec<BTreeSet<IpAddr>>);

/// The first hop at which a way is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayChange {
    /// From 1.
    pub hop: usize,
    pub was: IpAddr,
    pub is: IpAddr,
}

impl WayHops {
    /// Whether nobody answered at all: such a way says nothing.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }

    /// Where a way that was seen later is another.
    pub fn change(&self, later: &WayHops) -> Option<WayChange> {
        let both = self.0.iter().zip(&later.0).enumerate();
        let mut both = both.filter(|(_, (was, is))| !was.is_empty() && !is.is_empty());
        let (at, (was, is)) = both.find(|(_, (was, is))| was.is_disjoint(is))?;
        Some(WayChange { hop: at + 1, was: *was.first()?, is: *is.first()? })
    }

    /// Takes what another sight of the same way knows.
    pub fn fill(&mut self, other: &WayHops) {
        if self.0.len() < other.0.len() {
            self.0.resize_with(other.0.len().min(WAY_HOPS_MAX), BTreeSet::new);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            own.extend(other);
            while ADDRESSES_MAX < own.len() {
                own.pop_last();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hops with blanks between, `*` for nobody, `1/2` for two addresses of one hop.
    fn way(text: &str) -> WayHops {
        let address = |last: &str| format!("192.0.2.{last}").parse().expect("an address");
        let hop = |hop: &str| match hop {
            "*" => BTreeSet::new(),
            hop => hop.split('/').map(address).collect(),
        };
        WayHops(text.split_whitespace().map(hop).collect())
    }

    fn said(before: &str, later: &str) -> String {
        match way(before).change(&way(later)) {
            None => "the same".to_owned(),
            Some(WayChange { hop, was, is }) => format!("hop {hop}: {was}, now {is}"),
        }
    }

    #[test]
    fn a_way_is_another_where_another_answers() {
        assert_eq!(said("1 2 3 9", "1 2 3 9"), "the same");
        assert_eq!(said("1 2 3 9", "1 2 4 9"), "hop 3: 192.0.2.3, now 192.0.2.4");
        assert_eq!(said("1 2 9", "1 2 3 9"), "hop 3: 192.0.2.9, now 192.0.2.3");
    }

    #[test]
    fn who_does_not_answer_is_nobody_else() {
        assert_eq!(said("1 * 3 9", "1 2 3 9"), "the same");
        assert_eq!(said("1 2 3 9", "1 * * 9"), "the same");
        assert_eq!(said("1 2 3 9", "* * 4 9"), "hop 3: 192.0.2.3, now 192.0.2.4");
    }

    #[test]
    fn what_ends_early_is_no_other_way() {
        assert_eq!(said("1 2 3 9", "1 2"), "the same");
        assert_eq!(said("1 2 3 9", ""), "the same");
    }

    #[test]
    fn a_router_that_spreads_packets_is_one_hop() {
        assert_eq!(said("1 2/3 9", "1 3 9"), "the same");
        assert_eq!(said("1 2/3 9", "1 4/5 9"), "hop 2: 192.0.2.2, now 192.0.2.4");
    }

    #[test]
    fn the_same_way_fills_what_was_not_known_and_gets_longer() {
        let mut known = way("1 * 3");
        known.fill(&way("1 2 * 9"));
        assert_eq!(known, way("1 2 3 9"));
    }
}
