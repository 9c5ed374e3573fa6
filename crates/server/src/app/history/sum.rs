//! What a whole range of a record adds up to, of each agent and of all together.

use std::{collections::BTreeMap, ops::Range};

use model::{AgentId, Minute, Sketch, Span, StateMinutes, Times, Verdict};
use store::{AgentRef, DayMeans, Scope, StoreError, TargetRow, Who};

use super::{Around, Level, PaddedMinute, Subject, ToldSeries, Values};
use crate::app::{App, AppError, buckets::Bucket};

/// Rounds whose times one request adds up: two weeks of five agents every 3 s.
const TIMES_ROUNDS_MAX: usize = 2_000_000;

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
    /// p50, p95 and p99 of the rounds' means; `None` if nothing tells them any more.
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

/// What the percentiles of a range are told from, of each agent and, as agent 0, of all together.
enum Known {
    /// All its rounds, and with them the other times.
    Rounds(BTreeMap<AgentId, Times>),
    /// What was counted of the whole days that it lies in.
    Days(BTreeMap<AgentId, DayMeans>),
    Nothing,
}

impl Sum {
    /// Adds up what was told of a series.
    ///
    /// 1 - Every minute counts for its verdict, those included of which nothing was recorded.
    /// 2 - Fastest, mean and slowest are those of the values, the mean by answered packets.
    /// 3 - Percentiles do not add up: those of a range are told from its rounds, or from what its
    ///     days counted of them ([`Known`]).
    fn of(values: &Values) -> Sum {
        let (mut sum, mut times) = (Sum::default(), Times::default());
        match values {
            Values::Minutes(minutes) => {
                minutes.iter().for_each(|minute| sum.add_minute(minute, &mut times));
            }
            Values::Buckets(buckets) => {
                buckets.iter().for_each(|bucket| sum.add_bucket(bucket, &mut times));
            }
        }
        sum.rtts = RttSum::of(&times);
        sum
    }

    fn add_minute(&mut self, minute: &PaddedMinute, times: &mut Times) {
        let counts = &minute.counts;
        self.minutes.add(minute.verdict, 1);
        self.add_counts([counts.rounds, counts.not_asked, counts.sent, counts.received]);
        // Of minutes whose rounds are gone the times are gone, too.
        if 0 < counts.rtt_us_max && 0 < counts.received {
            let range = (counts.rtt_us_min, counts.rtt_us_max);
            times.add_packets(u64::from(counts.received), range, counts.rtt_us_sum);
        }
    }

    fn add_bucket(&mut self, bucket: &Bucket, times: &mut Times) {
        let rollup = &bucket.rollup;
        for verdict in Verdict::ALL {
            self.minutes.add(verdict, rollup.minutes.of(verdict));
        }
        self.add_counts([rollup.rounds, rollup.not_asked, rollup.sent, rollup.received]);
        if let Some(rtts) = rollup.times {
            let us_sum = u64::from(rtts.us_mean()).saturating_mul(rtts.packets());
            times.add_packets(rtts.packets(), (rtts.us_min(), rtts.us_max()), us_sum);
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
        let us_quantiles = quantiles(&times.means);
        // The middle of a step may lie beyond the only time in it.
        let us_quantiles = us_quantiles.map(|all| all.map(|us| us.clamp(us_min, us_max)));
        Some(RttSum { us_min, us_mean: times.us_mean()?, us_max, us_quantiles })
    }
}

fn quantiles(means: &Sketch) -> Option<[u32; 3]> {
    let [p50, p95, p99] = [50, 95, 99].map(|percent| means.quantile(percent));
    Some([p50?, p95?, p99?])
}

impl Known {
    /// Tells the times of a series.
    fn tell(&self, agent: AgentId, rtts: Option<RttSum>) -> Option<RttSum> {
        match self {
            Known::Rounds(times) => times.get(&agent).and_then(RttSum::of),
            Known::Days(days) => {
                let days = days.get(&agent).filter(|days| days.uncounted == 0);
                let us_quantiles = days.and_then(|days| quantiles(&days.means));
                rtts.map(|rtts| RttSum { us_quantiles, ..rtts })
            }
            Known::Nothing => rtts,
        }
    }
}

impl App {
    /// Adds a range of a target's history up.
    ///
    /// The level is the one that `history` takes for that range. What is left out, or told of
    /// another time, a note says.
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
        let known = self.known(scope, (target, &around), &mut notes).await?;
        let sum = |series: ToldSeries| {
            let mut sum = Sum::of(&series.values);
            let id = series.agent.as_ref().map_or(AgentId(0), |agent| agent.id);
            sum.rtts = known.tell(id, sum.rtts);
            (series.agent, sum)
        };
        let series = told.into_iter().map(sum).collect();
        Ok(Summed { range: around.range.clone(), level, series, notes })
    }

    /// Finds what tells the percentiles of a range.
    ///
    /// 1 - Its rounds, as long as all of them are kept and not too many.
    /// 2 - Of a range of a day or longer what was counted of its rounds by whole days, which is
    ///     kept as long as days are; of those that it lies in if it is not whole days itself.
    /// 3 - Nothing of a shorter one: the day that an hour lies in says nothing of the hour.
    async fn known(
        &self,
        scope: &Scope,
        (target, around): (&TargetRow, &Around),
        notes: &mut Vec<String>,
    ) -> Result<Known, AppError> {
        let begun = around.begun();
        let (from, to) = (begun.start.start(), begun.end.start());
        let kept = self.retention_of(scope, [target.id]).await?.rounds;
        let why = if from < around.now - kept {
            format!("rounds are kept for {} days", kept.as_secs() / 86_400)
        } else {
            let times = self.store.times(scope, target.probe, from..to, TIMES_ROUNDS_MAX);
            match times.await {
                Ok(times) => return Ok(Known::Rounds(times)),
                Err(StoreError::TooMany { max, .. }) => format!("there are more than {max} rounds"),
                Err(error) => return Err(error.into()),
            }
        };
        if around.range.end.0 - around.range.start.0 < Span::Day.minutes() {
            notes.push(format!(
                "percentiles are not told of less than a day, because {why}: take a longer range, \
                 or those of each 5 minutes or hour in `history`"
            ));
            return Ok(Known::Nothing);
        }
        let days = Level::Bucket(Span::Day).whole(&begun);
        let known = self.store.day_means(scope, target.probe, days.start, days.end).await?;
        let (first, last) = (days.start.start(), days.end.start());
        notes.push(format!(
            "times are told to within 3.2 %, percentiles of the whole days from {first} to {last}, \
             because {why}"
        ));
        let uncounted = known.values().map(|days| days.uncounted).max().unwrap_or(0);
        if 0 < uncounted {
            notes.push(format!(
                "percentiles are null where a day was rolled up before days counted for them: \
                 {uncounted} in this range"
            ));
        }
        Ok(Known::Days(known))
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
