//! Minutes and buckets in words: what was recorded, and why the rest was not. Pure.

use std::{collections::BTreeMap, ops::Range};

use model::{Cause, Minute, MinuteCounts, MinuteTruth, ToldRollup, UtcMicros, Verdict};

use super::spans::{self, Spans};
use crate::app::buckets::Teller;

/// A minute is written down when its last rounds must have come in, a moment after its end; until
/// then it is told from the live verdict. Later than this it is not on its way, it is missing.
const OPEN_MINUTES_MAX: i64 = 3;

/// One minute as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PaddedMinute {
    pub(crate) minute: Minute,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Cause,
    pub(crate) counts: MinuteCounts,
    pub(crate) revision: u16,
    pub(crate) said_first: Option<Verdict>,
    /// Not written down yet: what is held right now, which may still change.
    pub(crate) is_open: bool,
}

/// What is needed to tell why a minute is not stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// The minute in which the target was created, or the agent if it is younger.
    pub(super) created: Minute,
    /// Whether it is asked now. If not, nobody knows of a time before its first minute or after its
    /// last whether it would have been.
    pub(super) is_asked: bool,
    /// Before this nothing is kept of the series.
    pub(super) kept: Minute,
    pub(super) now: Minute,
    pub(super) gaps: &'a Spans,
    /// The verdict held right now and since when; `None` if nobody holds one.
    pub(super) held: Option<(Verdict, Cause, UtcMicros)>,
    /// Why a minute is missing that should have been stored.
    pub(super) missing: Cause,
}

/// Tells the minutes of buckets of which nothing was recorded.
pub(super) struct Missing<'a> {
    context: Context<'a>,
    asked: Range<Minute>,
    last_stored: Option<Minute>,
    lost: &'a Spans,
    cuts: Vec<Minute>,
}

impl<'a> Missing<'a> {
    pub(super) fn new(
        context: Context<'a>,
        range: &Range<Minute>,
        stored: &BTreeMap<Minute, ToldRollup>,
        lost: &'a Spans,
    ) -> Missing<'a> {
        let first = stored.values().find_map(|rollup| rollup.runs().next()).map(|run| run.start);
        let last = stored.values().rev().find_map(|rollup| rollup.runs().last());
        let last_stored = last.map(|run| Minute(run.end.0.saturating_sub(1)));
        let asked = context.asked(range, first, last_stored);
        let mut cuts = vec![context.created, context.kept, asked.start, asked.end];
        cuts.extend(last_stored.map(Minute::next));
        // Each of the newest is judged by itself.
        cuts.extend((0..=OPEN_MINUTES_MAX).map(|n| Minute(context.now.0 - n)));
        for (from, to) in context.gaps.iter().chain(lost.iter()) {
            // Its first and its last minute may be in it in part.
            let (first, last) = (from.minute(), to.minute());
            cuts.extend([first, first.next(), last, last.next()]);
        }
        cuts.sort_unstable();
        cuts.dedup();
        Missing { context, asked, last_stored, lost, cuts }
    }
}

impl Teller for Missing<'_> {
    fn cuts(&self) -> &[Minute] {
        &self.cuts
    }

    fn untold(&self, minute: Minute) -> (Verdict, Cause, bool) {
        let context = self.context.within(&self.asked, minute);
        let untold = untold(minute, self.last_stored, context);
        let (verdict, is_open) = (untold.verdict, untold.is_open);
        (verdict, explained(minute, (verdict, untold.cause, is_open), self.lost), is_open)
    }

    fn cause(&self, minute: Minute, verdict: Verdict, cause: Cause) -> Cause {
        explained(minute, (verdict, cause, false), self.lost)
    }
}

/// Tells every minute of `range`, which ends at the latest after the present one.
///
/// 1 - A stored minute is told as it is stored.
/// 2 - Before the target or the agent existed: Unknown, not yet; before what is kept: Unknown,
///     expired.
/// 3 - Wholly in a gap of the monitor: Unknown, monitor down. Of an agent that does not ask it now
///     only between its first and its last minute.
/// 4 - After the last stored minute and at most [`OPEN_MINUTES_MAX`] ago: the verdict held now,
///     as open; Unknown, not yet, if that verdict began later.
/// 5 - Partly in a gap of the monitor: Unknown, monitor down.
/// 6 - Else it should have been stored and is not: Unknown, with the cause of the series.
pub(super) fn pad(
    stored: Vec<MinuteTruth>,
    range: Range<Minute>,
    context: Context<'_>,
) -> Vec<PaddedMinute> {
    let last_stored = stored.last().map(|truth| truth.minute);
    let first_stored = stored.first().map(|truth| truth.minute);
    let asked = context.asked(&range, first_stored, last_stored);
    let mut stored = stored.into_iter().peekable();
    let mut padded = Vec::new();
    let mut minute = range.start;
    while minute < range.end {
        while stored.next_if(|truth| truth.minute < minute).is_some() {}
        padded.push(match stored.next_if(|truth| truth.minute == minute) {
            Some(truth) => told(truth),
            None => untold(minute, last_stored, context.within(&asked, minute)),
        });
        minute = minute.next();
    }
    padded
}

fn told(truth: MinuteTruth) -> PaddedMinute {
    PaddedMinute {
        minute: truth.minute,
        verdict: truth.verdict,
        cause: truth.cause,
        counts: truth.counts,
        revision: truth.revision,
        said_first: truth.said_first,
        is_open: false,
    }
}

impl Context<'_> {
    /// The time in which it was asked, as far as is known.
    fn asked(
        &self,
        range: &Range<Minute>,
        first_stored: Option<Minute>,
        last_stored: Option<Minute>,
    ) -> Range<Minute> {
        match (self.is_asked, first_stored, last_stored) {
            (true, ..) => range.clone(),
            (false, Some(first), Some(last)) => first..last.next(),
            (false, ..) => range.start..range.start,
        }
    }

    /// Outside the time in which it was asked, the monitor's gaps explain nothing.
    fn within(self, asked: &Range<Minute>, minute: Minute) -> Self {
        let gaps = if asked.contains(&minute) { self.gaps } else { &spans::NONE };
        Context { gaps, ..self }
    }
}

fn untold(minute: Minute, last_stored: Option<Minute>, context: Context<'_>) -> PaddedMinute {
    let is_recent = context.now.0 - OPEN_MINUTES_MAX < minute.0;
    let is_open = is_recent && last_stored.is_none_or(|last| last < minute);
    let (start, end) = (minute.start(), minute.end());
    let until = |before| context.gaps.latest_end(before);
    // One gap begins with it or earlier and lasts to its end or longer; or one touches it.
    let is_in_gap = || until(UtcMicros(start.0.saturating_add(1))).is_some_and(|to| end <= to);
    let touches_gap = || until(end).is_some_and(|to| start < to);
    let (verdict, cause, is_open) = if minute < context.created {
        (Verdict::Unknown, Cause::NotYet, false)
    } else if minute < context.kept {
        (Verdict::Unknown, Cause::Expired, false)
    } else if is_in_gap() {
        (Verdict::Unknown, Cause::MonitorDown, false)
    } else if let Some((verdict, cause, since)) = context.held.filter(|_| is_open) {
        let is_held = since < end;
        let (verdict, cause) =
            if is_held { (verdict, cause) } else { (Verdict::Unknown, Cause::NotYet) };
        (verdict, cause, true)
    } else if touches_gap() {
        (Verdict::Unknown, Cause::MonitorDown, false)
    } else {
        (Verdict::Unknown, context.missing, false)
    };
    let counts = MinuteCounts::default();
    PaddedMinute { minute, verdict, cause, counts, revision: 0, said_first: None, is_open }
}

/// The cause of a minute: also that an agent lost what it had learned of it.
///
/// 1 - Only of a minute that is over, Unknown, and of which nothing was heard: a better reason, as
///     a pause or a blindness, stays.
/// 2 - For one agent by its own losses; for the consensus by those of any agent that asks the
///     target.
pub(super) fn explained(
    minute: Minute,
    (verdict, cause, is_open): (Verdict, Cause, bool),
    lost: &Spans,
) -> Cause {
    let is_asked = verdict == Verdict::Unknown && !is_open;
    let is_unheard =
        matches!(cause, Cause::Silent | Cause::AgentOffline | Cause::NoAgent | Cause::MonitorDown);
    let (start, end) = (minute.start(), minute.end());
    let is_lost = || lost.latest_end(end).is_some_and(|to| start <= to);
    if is_asked && is_unheard && is_lost() { Cause::Dropped } else { cause }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::{Entity, ProbeId, Span, Worst};

    use super::*;
    use crate::app::buckets;

    /// Stored minutes as `minute verdict`, padded over 0..=`now`.
    #[track_caller]
    fn check(stored: &[(i64, Verdict)], context: Context<'_>, expected: Expect) {
        let truth = |&(minute, verdict): &(i64, Verdict)| MinuteTruth {
            entity: Entity::Consensus { probe: ProbeId(1) },
            minute: Minute(minute),
            verdict,
            cause: Cause::Answering,
            counts: MinuteCounts::default(),
            revision: 0,
            said_first: None,
        };
        let range = Minute(0)..context.now.next();
        let padded = pad(stored.iter().map(truth).collect(), range, context);
        let line = |m: &PaddedMinute| {
            let open = if m.is_open { " open" } else { "" };
            format!("{} {} {}{open}\n", m.minute.0, m.verdict, m.cause)
        };
        expected.assert_eq(&padded.iter().map(line).collect::<String>());
    }

    fn context() -> Context<'static> {
        Context {
            created: Minute(0),
            is_asked: true,
            kept: Minute(-9),
            now: Minute(5),
            gaps: &spans::NONE,
            held: Some((Verdict::Down, Cause::NoAnswer, Minute(4).start())),
            missing: Cause::Silent,
        }
    }

    #[test]
    fn each_missing_minute_says_why() {
        let from = UtcMicros(Minute(2).start().0 + 1);
        let gaps = Spans::new([(from, UtcMicros(from.0 + 1))].into_iter());
        let context = Context { created: Minute(1), gaps: &gaps, ..context() };
        check(
            &[(1, Verdict::Up), (4, Verdict::Up)],
            context,
            expect![[r#"
                0 unknown not_yet
                1 up answering
                2 unknown monitor_down
                3 unknown silent
                4 up answering
                5 down no_answer open
            "#]],
        );
    }

    #[test]
    fn a_monitor_that_was_away_explains_no_minute_of_an_agent_that_was_not_there() {
        let gap = |minute: i64| (Minute(minute).start(), Minute(minute).end());
        let gaps = Spans::new([1, 3, 5].into_iter().map(gap));
        let (held, missing) = (None, Cause::NoAgent);
        let gone = Context { is_asked: false, gaps: &gaps, held, missing, ..context() };
        check(
            &[(2, Verdict::Up), (4, Verdict::Up)],
            gone,
            expect![[r#"
            0 unknown no_agent
            1 unknown no_agent
            2 up answering
            3 unknown monitor_down
            4 up answering
            5 unknown no_agent
        "#]],
        );
        check(
            &[],
            gone,
            expect![[r#"
            0 unknown no_agent
            1 unknown no_agent
            2 unknown no_agent
            3 unknown no_agent
            4 unknown no_agent
            5 unknown no_agent
        "#]],
        );
        let young = Context { created: Minute(3), gaps: &gaps, missing, ..context() };
        check(
            &[(4, Verdict::Up)],
            young,
            expect![[r#"
            0 unknown not_yet
            1 unknown not_yet
            2 unknown not_yet
            3 unknown monitor_down
            4 up answering
            5 unknown monitor_down
        "#]],
        );
    }

    #[test]
    fn the_present_is_open_and_an_old_silence_is_not() {
        check(
            &[],
            context(),
            expect![[r#"
                0 unknown silent
                1 unknown silent
                2 unknown silent
                3 unknown not_yet open
                4 down no_answer open
                5 down no_answer open
            "#]],
        );
    }

    #[test]
    fn nobody_holds_a_verdict() {
        let context = Context { held: None, now: Minute(0), missing: Cause::NoAgent, ..context() };
        check(
            &[],
            context,
            expect![[r#"
            0 unknown no_agent
        "#]],
        );
    }

    #[test]
    fn a_minute_that_an_agent_lost_says_so_unless_there_is_a_better_reason() {
        let minutes = [
            (Verdict::Unknown, Cause::Silent, false),
            (Verdict::Unknown, Cause::AgentOffline, false),
            (Verdict::Unknown, Cause::AgentBlind, false),
            (Verdict::Up, Cause::Answering, false),
            (Verdict::Unknown, Cause::Silent, true),
            (Verdict::Unknown, Cause::Silent, false),
        ];
        let (from, to) = (UtcMicros(Minute(1).start().0 + 1), Minute(4).end());
        let lost = Spans::new([(from, to)].into_iter());
        let causes = minutes.into_iter().zip(0..);
        let causes: Vec<Cause> =
            causes.map(|(minute, n)| explained(Minute(n), minute, &lost)).collect();
        let [silent, dropped] = [Cause::Silent, Cause::Dropped];
        let expected = [silent, dropped, Cause::AgentBlind, Cause::Answering, silent, dropped];
        assert_eq!(causes, expected);
    }

    /// Against telling every minute, in every kind of world: what was recorded, when it began,
    /// when nobody watched, what agents lost, what is kept.
    #[test]
    fn buckets_are_what_their_minutes_are_told_as() {
        let mut dice = 7_u64;
        let mut below = |limit: i64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            i64::try_from(dice >> 33).unwrap() % limit
        };
        for _ in 0..300 {
            let now = Minute(200 + below(9));
            let mut time = || {
                let from = below(210 * 60) * 1_000_000;
                (UtcMicros(from), UtcMicros(from + below(1_800) * 1_000_000))
            };
            let gaps = Spans::new([time(), time()].into_iter());
            let lost = Spans::new([time(), time()].into_iter());
            let since = Minute(now.0 - below(5)).start();
            let context = Context {
                created: Minute(below(80)),
                kept: Minute(below(80)),
                is_asked: below(2) == 0,
                now,
                gaps: &gaps,
                held: (below(3) != 0).then_some((Verdict::Down, Cause::NoAnswer, since)),
                missing: Cause::Silent,
            };
            let mut stored = Vec::new();
            let share = 1 + below(9);
            for minute in 0..now.0 - below(4) {
                if below(share) != 0 {
                    continue;
                }
                let causes = [Cause::Silent, Cause::AgentOffline, Cause::Paused, Cause::Loss];
                stored.push(MinuteTruth {
                    entity: Entity::Consensus { probe: ProbeId(1) },
                    minute: Minute(minute),
                    verdict: Verdict::ALL[usize::try_from(below(4)).unwrap()],
                    cause: causes[usize::try_from(below(4)).unwrap()],
                    counts: MinuteCounts { sent: 5, ..MinuteCounts::default() },
                    revision: 0,
                    said_first: None,
                });
            }
            for span in [Span::FiveMinutes, Span::Hour] {
                compare(&stored, span, context, &lost);
            }
        }
    }

    #[track_caller]
    fn compare(stored: &[MinuteTruth], span: Span, context: Context<'_>, lost: &Spans) {
        let range = Minute(0)..context.now.next();
        let mut rollups: BTreeMap<Minute, ToldRollup> = BTreeMap::new();
        for MinuteTruth { minute, verdict, cause, counts, .. } in stored {
            let worst = Worst { verdict: *verdict, cause: *cause, minute: *minute };
            rollups.entry(span.start(*minute)).or_default().add_minute(worst, counts);
        }
        let missing = Missing::new(context, &range, &rollups, lost);
        let told = buckets::tell(&rollups, &range, span, &missing);
        let mut minutes = pad(stored.to_vec(), range, context).into_iter().peekable();
        for bucket in told {
            let mut of: Vec<PaddedMinute> = Vec::new();
            while let Some(minute) = minutes.next_if(|m| span.start(m.minute) == bucket.start) {
                of.push(minute);
            }
            for minute in &mut of {
                let PaddedMinute { verdict, cause, is_open, .. } = *minute;
                minute.cause = explained(minute.minute, (verdict, cause, is_open), lost);
            }
            let first_worst = of.iter().rev().max_by_key(|m| m.verdict.badness()).unwrap();
            let expected = (first_worst.verdict, first_worst.cause);
            assert_eq!((bucket.verdict, bucket.cause), expected, "{of:#?}");
            assert_eq!(bucket.is_open, of.iter().any(|m| m.is_open));
            for verdict in Verdict::ALL {
                let count = of.iter().filter(|m| m.verdict == verdict).count();
                assert_eq!(bucket.rollup.minutes.of(verdict) as usize, count);
            }
            assert_eq!(bucket.rollup.sent, of.iter().map(|m| m.counts.sent).sum::<u32>());
        }
        assert_eq!(minutes.next(), None);
    }
}
