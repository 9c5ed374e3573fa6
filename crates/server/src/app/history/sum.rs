//! What a whole range of a record adds up to, of each agent and of all together.

use std::{collections::BTreeMap, ops::Range};

use model::{AgentId, Minute, StateMinutes, Times, Verdict};
use store::{AgentRef, Scope, StoreError, TargetRow, Who};

use super::{Around, Level, PaddedMinute, Subject, ToldSeries, Values};
use crate::app::{App, AppError, buckets::Bucket};

/// All values of a range, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) minutes: StateMinutes,
    pub(crate) rounds: u64,
    pub(crate) not_asked: u64,
    /// Packets, confirm bursts apart.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// `None` if nothing was received, or nothing of it is known any more.
    pub(crate) rtts: Option<RttSum>,
}

/// The round-trip times of a range, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RttSum {
    pub(crate) us_min: u32,
    pub(crate) us_mean: u64,
    pub(crate) us_max: u32,
    /// p50, p95 and p99 of the rounds' means; `None` if the rounds are not all there any more.
    pub(crate) us_quantiles: Option<[u32; 3]>,
}

/// A range that was added up: all agents together first, then each by name.
#[derive(Debug)]
pub(crate) struct Summed {
    pub(crate) range: Range<Minute>,
    /// What its minutes and packets were added up of.
    pub(crate) level: Level,
    pub(crate) series: Vec<(Option<AgentRef>, Sum)>,
    pub(crate) notes: Vec<String>,
}

/// Packets and their times while they are added up.
#[derive(Default)]
struct Packets {
    count: u64,
    us_min: u32,
    us_sum: u64,
    us_max: u32,
}

impl Packets {
    fn add(&mut self, count: u64, (us_min, us_max): (u32, u32), us_sum: u64) {
        self.us_min = if self.count == 0 { us_min } else { self.us_min.min(us_min) };
        self.us_max = self.us_max.max(us_max);
        self.us_sum = self.us_sum.saturating_add(us_sum);
        self.count = self.count.saturating_add(count);
    }

    fn told(&self) -> Option<RttSum> {
        let Packets { us_min, us_max, .. } = *self;
        let us_mean = self.us_sum.checked_div(self.count)?;
        Some(RttSum { us_min, us_mean, us_max, us_quantiles: None })
    }
}

impl Sum {
    /// Adds up what was told of a series.
    ///
    /// 1 - Every minute counts for its verdict, those included of which nothing was recorded.
    /// 2 - Fastest, mean and slowest are those of the values, the mean by answered packets.
    /// 3 - Percentiles do not add up: those of a range are told from its rounds alone.
    fn of(values: &Values) -> Sum {
        let (mut sum, mut packets) = (Sum::default(), Packets::default());
        match values {
            Values::Minutes(minutes) => {
                minutes.iter().for_each(|minute| sum.add_minute(minute, &mut packets));
            }
            Values::Buckets(buckets) => {
                buckets.iter().for_each(|bucket| sum.add_bucket(bucket, &mut packets));
            }
        }
        sum.rtts = packets.told();
        sum
    }

    fn add_minute(&mut self, minute: &PaddedMinute, packets: &mut Packets) {
        let counts = &minute.counts;
        self.minutes.add(minute.verdict, 1);
        self.add_counts([counts.rounds, counts.not_asked, counts.sent, counts.received]);
        // Of minutes whose rounds are gone the times are gone, too.
        if 0 < counts.rtt_us_max && 0 < counts.received {
            let range = (counts.rtt_us_min, counts.rtt_us_max);
            packets.add(u64::from(counts.received), range, counts.rtt_us_sum);
        }
    }

    fn add_bucket(&mut self, bucket: &Bucket, packets: &mut Packets) {
        let rollup = &bucket.rollup;
        for verdict in Verdict::ALL {
            self.minutes.add(verdict, rollup.minutes.of(verdict));
        }
        self.add_counts([rollup.rounds, rollup.not_asked, rollup.sent, rollup.received]);
        if let Some(rtts) = rollup.times {
            let us_sum = u64::from(rtts.us_mean()).saturating_mul(rtts.packets());
            packets.add(rtts.packets(), (rtts.us_min(), rtts.us_max()), us_sum);
        }
    }

    fn add_counts(&mut self, counts: [u32; 4]) {
        let all = [&mut self.rounds, &mut self.not_asked, &mut self.sent, &mut self.received];
        for (sum, count) in all.into_iter().zip(counts) {
            *sum = sum.saturating_add(u64::from(count));
        }
    }

    /// The share of the minutes known to be up or down in which it was up or degraded; `None` if
    /// nothing is known.
    pub(crate) fn availability(&self) -> Option<f64> {
        let StateMinutes { up, degraded, down, unknown: _ } = self.minutes;
        let answered = f64::from(up) + f64::from(degraded);
        let known = answered + f64::from(down);
        (0.0 < known).then(|| answered / known)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// The share of the sent packets that were lost; `None` if none was sent.
    pub(crate) fn loss_ratio(&self) -> Option<f64> {
        (0 < self.sent).then(|| self.lost() as f64 / self.sent as f64)
    }
}

impl RttSum {
    fn of(times: &Times) -> Option<RttSum> {
        let (us_min, us_max) = times.us_range()?;
        let quantile = |percent| times.means.quantile(percent);
        let quantiles = (quantile(50), quantile(95), quantile(99));
        let us_quantiles = match quantiles {
            (Some(p50), Some(p95), Some(p99)) => Some([p50, p95, p99]),
            _ => None,
        };
        Some(RttSum { us_min, us_mean: times.us_mean()?, us_max, us_quantiles })
    }
}

impl App {
    /// Adds a range of a target's history up.
    ///
    /// The level is the one that `history` takes for that range. Percentiles are told as long as
    /// all rounds of the range are kept and not too many; what is left out, a note says.
    pub(crate) async fn summed(
        &self,
        scope: &Scope,
        target: &TargetRow,
        (range, level): (Range<Minute>, Level),
    ) -> Result<Summed, AppError> {
        let around = self.around(scope, range, level).await?;
        let held = self.probe_status(target.probe).await?;
        let subject = Subject::from(target);
        let told = self.history_of(scope, (subject, held), &around, Who::Each).await?;
        let mut notes = around.notes.clone();
        let times = self.times(scope, (target, &around), &mut notes).await?;
        let sum = |series: ToldSeries| {
            let mut sum = Sum::of(&series.values);
            if let Some(times) = &times {
                let id = series.agent.as_ref().map_or(AgentId(0), |agent| agent.id);
                sum.rtts = times.get(&id).and_then(RttSum::of);
            }
            (series.agent, sum)
        };
        let series = told.into_iter().map(sum).collect();
        Ok(Summed { range: around.range.clone(), level, series, notes })
    }

    /// The times of the rounds of a range; `None`, with a note, if not all of them can be read.
    async fn times(
        &self,
        scope: &Scope,
        (target, around): (&TargetRow, &Around),
        notes: &mut Vec<String>,
    ) -> Result<Option<BTreeMap<AgentId, Times>>, AppError> {
        let begun = around.begun();
        let kept = self.retention_of(scope, [target.id]).await?.rounds;
        let since = around.now - kept;
        if begun.start.start() < since {
            notes.push(format!(
                "percentiles are told of rounds, which are kept for {} days: take a range that \
                 begins after {since}",
                kept.as_secs() / 86_400
            ));
            return Ok(None);
        }
        let (from, to) = (begun.start.start(), begun.end.start());
        match self.store.times(scope, target.probe, from, to).await {
            Ok(times) => Ok(Some(times)),
            Err(StoreError::TooMany { max, .. }) => {
                notes.push(format!(
                    "percentiles are not told of more than {max} rounds: take a shorter range"
                ));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Cause, MinuteCounts, RttSteps, Rtts, Scale};

    use super::*;

    fn minute(n: i64, verdict: Verdict, received: u32, us: u32) -> PaddedMinute {
        let counts = MinuteCounts {
            rounds: 1,
            sent: 5,
            received,
            rtt_us_min: us,
            rtt_us_sum: u64::from(us) * u64::from(received),
            rtt_us_max: us,
            ..MinuteCounts::default()
        };
        let (minute, cause, said_first) = (Minute(n), Cause::Answering, None);
        PaddedMinute { minute, verdict, cause, counts, revision: 0, said_first, is_open: false }
    }

    #[test]
    fn minutes_add_up_and_what_is_unknown_counts_for_no_availability() {
        let sum = Sum::of(&Values::Minutes(vec![
            minute(0, Verdict::Up, 5, 300),
            minute(1, Verdict::Down, 0, 0),
            minute(2, Verdict::Degraded, 1, 900),
            minute(3, Verdict::Unknown, 0, 0),
            minute(4, Verdict::Up, 4, 0),
        ]));
        assert_eq!((sum.rounds, sum.sent, sum.lost()), (5, 25, 15));
        assert_eq!((sum.availability(), sum.loss_ratio()), (Some(0.75), Some(0.6)));
        // Of six packets: those of the last minute are gone.
        let rtts = RttSum { us_min: 300, us_mean: 400, us_max: 900, us_quantiles: None };
        assert_eq!(sum.rtts, Some(rtts));
        let none = Sum::of(&Values::Minutes(vec![]));
        assert_eq!((none.availability(), none.loss_ratio(), none.rtts), (None, None, None));
    }

    #[test]
    fn buckets_add_up_by_their_packets() {
        let bucket = |start, packets, us: u32| {
            let fine = Scale::Fine.step_of(us);
            let coarse = Scale::Coarse.step_of(us);
            let steps = RttSteps {
                min: fine,
                mean: fine,
                max: coarse,
                p50: coarse,
                p95: coarse,
                p99: coarse,
            };
            let mut rollup = model::ToldRollup::default();
            rollup.add_minutes(Minute(start)..Minute(start + 60), Verdict::Up, Cause::Answering);
            (rollup.sent, rollup.received) = (10, 10);
            rollup.times = Some(Rtts::from_steps(packets, steps));
            let (verdict, cause) = (Verdict::Up, Cause::Answering);
            Bucket { start: Minute(start), verdict, cause, rollup, is_open: false }
        };
        let sum = Sum::of(&Values::Buckets(vec![bucket(0, 30, 1_000), bucket(60, 10, 2_000)]));
        assert_eq!((sum.minutes.up, sum.sent), (120, 20));
        let rtts = sum.rtts.unwrap();
        assert!(rtts.us_mean.abs_diff(1_250) <= 5 && rtts.us_quantiles.is_none(), "{rtts:?}");
        assert!(rtts.us_min.abs_diff(1_000) <= 4 && rtts.us_max.abs_diff(2_000) <= 64, "{rtts:?}");
    }
}
