//! For how long the history is kept, by its levels: of an installation, and of a tier.

use std::time::Duration;

/// For how long each level of the history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub rounds: Duration,
    pub minutes: Duration,
    pub agent_5m: Duration,
    /// Also the days of each agent.
    pub agent_1h: Duration,
    pub target_5m: Duration,
    pub target_1h: Duration,
    pub target_1d: Duration,
}

impl Kept {
    pub const NOTHING: Kept = Kept {
        rounds: Duration::ZERO,
        minutes: Duration::ZERO,
        agent_5m: Duration::ZERO,
        agent_1h: Duration::ZERO,
        target_5m: Duration::ZERO,
        target_1h: Duration::ZERO,
        target_1d: Duration::ZERO,
    };

    /// Each level for the longer of two times.
    pub fn or_longer(&self, other: &Kept) -> Kept {
        Kept {
            rounds: self.rounds.max(other.rounds),
            minutes: self.minutes.max(other.minutes),
            agent_5m: self.agent_5m.max(other.agent_5m),
            agent_1h: self.agent_1h.max(other.agent_1h),
            target_5m: self.target_5m.max(other.target_5m),
            target_1h: self.target_1h.max(other.target_1h),
            target_1d: self.target_1d.max(other.target_1d),
        }
    }
}

/// For how many days a tier keeps what is recorded of its targets; a level without a number is kept
/// for as long as the installation keeps it.
///
/// Invariant: the range of [`KeptDays::check`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptDays {
    pub rounds: Option<u32>,
    pub minutes: Option<u32>,
    pub agent_5m: Option<u32>,
    /// Also the days of each agent.
    pub agent_1h: Option<u32>,
    pub target_5m: Option<u32>,
    pub target_1h: Option<u32>,
    pub target_1d: Option<u32>,
}

/// Which level of [`KeptDays`] is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 1 to 36500 days, or null for as long as the server keeps it")]
pub struct KeptError {
    /// As [`KeptDays`] and the configuration name it.
    pub level: &'static str,
}

impl KeptDays {
    /// A hundred years: as long as the configuration may say.
    pub const DAYS_MAX: u32 = 36_500;

    /// Whether nothing is kept otherwise than the installation keeps it.
    pub fn is_default(&self) -> bool {
        *self == KeptDays::default()
    }

    /// Each level with its name.
    pub fn levels(&self) -> [(&'static str, Option<u32>); 7] {
        let KeptDays { rounds, minutes, agent_5m, agent_1h, target_5m, target_1h, target_1d } =
            *self;
        [
            ("rounds", rounds),
            ("minutes", minutes),
            ("agent_5m", agent_5m),
            ("agent_1h", agent_1h),
            ("target_5m", target_5m),
            ("target_1h", target_1h),
            ("target_1d", target_1d),
        ]
    }

    /// Sets a level by its name; says whether there is one of that name.
    pub fn set(&mut self, level: &str, days: Option<u32>) -> bool {
        let of = match level {
            "rounds" => &mut self.rounds,
            "minutes" => &mut self.minutes,
            "agent_5m" => &mut self.agent_5m,
            "agent_1h" => &mut self.agent_1h,
            "target_5m" => &mut self.target_5m,
            "target_1h" => &mut self.target_1h,
            "target_1d" => &mut self.target_1d,
            _ => return false,
        };
        *of = days;
        true
    }

    /// Returns every level that is out of range.
    pub fn broken(&self) -> impl Iterator<Item = KeptError> + use<> {
        let is_broken = |days: u32| !(1..=KeptDays::DAYS_MAX).contains(&days);
        let broken = self.levels().into_iter().filter(move |(_, days)| days.is_some_and(is_broken));
        broken.map(|(level, _)| KeptError { level })
    }

    /// Checks every range.
    ///
    /// # Errors
    ///
    /// The first of [`KeptDays::broken`].
    pub fn check(&self) -> Result<(), KeptError> {
        self.broken().next().map_or(Ok(()), Err)
    }

    /// Returns for how long each level is kept where an installation keeps `kept`.
    pub fn or(&self, kept: &Kept) -> Kept {
        let of = |own: Option<u32>, kept| own.map_or(kept, days);
        Kept {
            rounds: of(self.rounds, kept.rounds),
            minutes: of(self.minutes, kept.minutes),
            agent_5m: of(self.agent_5m, kept.agent_5m),
            agent_1h: of(self.agent_1h, kept.agent_1h),
            target_5m: of(self.target_5m, kept.target_5m),
            target_1h: of(self.target_1h, kept.target_1h),
            target_1d: of(self.target_1d, kept.target_1d),
        }
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(86_400 * u64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_without_a_number_is_kept_as_long_as_the_installation_keeps_it() {
        let kept = Kept {
            rounds: days(14),
            minutes: days(90),
            agent_5m: days(90),
            agent_1h: days(400),
            target_5m: days(400),
            target_1h: days(1_826),
            target_1d: days(1_826),
        };
        assert_eq!(KeptDays::default().or(&kept), kept);
        let own = KeptDays { rounds: Some(3), target_1d: Some(30), ..KeptDays::default() };
        let expected = Kept { rounds: days(3), target_1d: days(30), ..kept };
        assert_eq!((own.or(&kept), own.is_default()), (expected, false));
    }

    #[test]
    fn each_level_is_set_by_its_name() {
        for (name, _) in KeptDays::default().levels() {
            let mut kept = KeptDays::default();
            assert!(kept.set(name, Some(7)));
            assert!(kept.levels().contains(&(name, Some(7))), "{name}");
        }
        assert!(!KeptDays::default().set("agent_1d", Some(7)));
    }

    #[test]
    fn a_level_is_kept_for_a_day_to_a_hundred_years() {
        let of = |minutes| KeptDays { minutes, ..KeptDays::default() };
        for good in [None, Some(1), Some(36_500)] {
            assert_eq!(of(good).check(), Ok(()));
        }
        for bad in [0, 36_501] {
            assert_eq!(of(Some(bad)).check(), Err(KeptError { level: "minutes" }));
        }
    }
}
