//! Which agents ask which probe, by rendezvous hashing.
//!
//! Each agent has a weight for each probe that depends on the two ids alone. So every process
//! comes to the same answer, targets spread evenly, and an agent that comes or goes moves only the
//! targets it gains or loses. It does not know who is capable: the caller says so.

use std::{cmp::Reverse, hash::Hasher};

use model::{AgentId, ProbeId, Strategy};
use siphasher::sip::SipHasher13;

/// Arbitrary, and fixed for ever: another key would move every target.
const KEY: (u64, u64) = (0x6661_756c_746c_696e, 0x6173_7369_676e_6d65);

fn weight(probe: ProbeId, agent: AgentId) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
    hasher.write_u32(probe.0);
    hasher.write_u32(agent.0);
    hasher.finish()
}

/// Chooses among the capable agents; the answer is in the order of the ids.
///
/// [`Strategy::Count`] takes the heaviest ones, all of them if there are fewer.
#[must_use]
pub fn agents_for(probe: ProbeId, strategy: Strategy, capable: &[AgentId]) -> Vec<AgentId> {
    let mut agents = capable.to_vec();
    if let Strategy::Count(count) = strategy {
        agents.sort_by_cached_key(|&agent| (Reverse(weight(probe, agent)), agent));
        agents.truncate(usize::from(count));
    }
    agents.sort_unstable();
    agents.dedup();
    agents
}

/// Chooses like [`agents_for`], but takes an agent of a later rank only when those before it are
/// not enough: one that cannot ask, or was never heard, must not leave a target unwatched that
/// another could watch.
pub(crate) fn agents_preferring(
    probe: ProbeId,
    strategy: Strategy,
    ranks: &[&[AgentId]],
) -> Vec<AgentId> {
    let mut agents = Vec::new();
    for rank in ranks {
        let strategy = match strategy {
            Strategy::All => Strategy::All,
            Strategy::Count(count) => {
                let missing = usize::from(count).saturating_sub(agents.len());
                Strategy::Count(u8::try_from(missing).unwrap_or(u8::MAX))
            }
        };
        agents.extend(agents_for(probe, strategy, rank));
    }
    agents.sort_unstable();
    agents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(count: u32) -> Vec<AgentId> {
        (1..=count).map(AgentId).collect()
    }

    #[test]
    fn an_agent_that_leaves_moves_only_its_own_targets() {
        let (all, fewer) = (agents(10), agents(9));
        for probe in (1..=1_000).map(ProbeId) {
            let before = agents_for(probe, Strategy::Count(3), &all);
            let after = agents_for(probe, Strategy::Count(3), &fewer);
            let kept = before.iter().filter(|agent| after.contains(agent)).count();
            let expected = if before.contains(&AgentId(10)) { 2 } else { 3 };
            assert_eq!((kept, after.len()), (expected, 3), "probe {probe}");
        }
    }

    #[test]
    fn targets_spread_evenly() {
        let all = agents(10);
        let mut counts = [0u32; 11];
        for probe in (1..=10_000).map(ProbeId) {
            for agent in agents_for(probe, Strategy::Count(3), &all) {
                counts[agent.0 as usize] += 1;
            }
        }
        assert!(counts[1..].iter().all(|count| (2_800..3_200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_later_rank_fills_up_and_never_displaces() {
        let (first, third) = (agents(2), [AgentId(8), AgentId(9)]);
        let ranks = [first.as_slice(), &[AgentId(5)], &third];
        let choose = |probe, strategy| agents_preferring(probe, strategy, &ranks);
        for probe in (1..=100).map(ProbeId) {
            let one = choose(probe, Strategy::Count(1));
            assert!(one[0].0 < 3 && one.len() == 1);
            assert_eq!(choose(probe, Strategy::Count(3)), [1, 2, 5].map(AgentId));
            let four = choose(probe, Strategy::Count(4));
            assert!(four.len() == 4 && four.starts_with(&[1, 2, 5].map(AgentId)));
            assert_eq!(choose(probe, Strategy::Count(9)), choose(probe, Strategy::All));
            assert_eq!(choose(probe, Strategy::All).len(), 5);
        }
    }

    #[test]
    fn the_weights_are_pinned() {
        let chosen: Vec<u32> = (1..=8)
            .map(|probe| agents_for(ProbeId(probe), Strategy::Count(1), &agents(4))[0].0)
            .collect();
        expect_test::expect!["[2, 3, 4, 2, 2, 4, 1, 4]"].assert_eq(&format!("{chosen:?}"));
    }
}
