//! The record of a target, minute by minute: what is stored, and in words why the rest is not.
//!
//! Every minute of the asked range is told, but for those that have not begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
};

use model::{
    AgentId, Cause, Gap, Minute, MinuteCounts, MinuteTruth, Name, TargetId, UtcMicros, Verdict,
};
use store::{AgentGapRow, AgentRef, AgentRow, MinuteSeries, MonitorGap, Scope, TargetRow};

use super::{
    App, AppError,
    buckets::{self, BUCKETS_MAX, Bucket, Level},
};
use crate::conductor::ProbeStatusView;

/// Minutes of one request: a day.
pub(crate) const MINUTES_MAX: i64 = store::MINUTES_MAX as i64;
/// Days of one request: a quarter, as long as minutes are kept if nobody says otherwise.
const RANGE_DAYS_MAX: i64 = 92;
/// A minute is written down when its last rounds must have come in, a moment after its end; until
/// then it is told from the live verdict. Later than this it is not on its way, it is missing.
const OPEN_MINUTES_MAX: i64 = 3;

/// The minutes of one agent, or of all together.
#[derive(Debug)]
pub(crate) struct PaddedSeries {
    pub(crate) agent: Option<AgentRef>,
    pub(crate) minutes: Vec<PaddedMinute>,
}

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
struct Context<'a> {
    /// The minute in which the target was created, or the agent if it is younger.
    created: Minute,
    /// Whether it is asked now. If not, nobody knows of a time before its first minute or after its
    /// last whether it would have been.
    is_asked: bool,
    now: Minute,
    gaps: &'a [MonitorGap],
    /// The verdict held right now and since when; `None` if nobody holds one.
    held: Option<(Verdict, Cause, UtcMicros)>,
    /// Why a minute is missing that should have been stored.
    missing: Cause,
}

/// The buckets of one agent, or of all together.
#[derive(Debug)]
pub(crate) struct BucketSeries {
    pub(crate) agent: Option<AgentRef>,
    pub(crate) buckets: Vec<Bucket>,
}

/// What is told of a target, whatever part of the range is read.
struct Told {
    target: TargetRow,
    now: Minute,
    gaps: Vec<MonitorGap>,
    lost: Vec<AgentGapRow>,
    held: ProbeStatusView,
    /// Who is to ask it now.
    assigned: Vec<AgentRef>,
    /// When each agent that was not deleted was created.
    created: BTreeMap<AgentId, Minute>,
}

impl Told {
    /// Tells every minute of a part of the range, of one agent or of all.
    fn minutes(
        &self,
        agent: Option<AgentId>,
        stored: Vec<MinuteTruth>,
        range: Range<Minute>,
    ) -> Vec<PaddedMinute> {
        let mut minutes = pad(stored, range, self.context(agent));
        let asked = self.held.pairs.iter().map(|pair| pair.agent);
        let agents: BTreeSet<AgentId> = match agent {
            Some(agent) => BTreeSet::from([agent]),
            None => asked.collect(),
        };
        explain(&mut minutes, self.lost.iter().filter(|row| agents.contains(&row.agent.id)));
        minutes
    }

    fn context(&self, agent: Option<AgentId>) -> Context<'_> {
        let live = match agent {
            None => self.held.consensus.as_ref(),
            Some(agent) => {
                let pair = self.held.pairs.iter().find(|pair| pair.agent == agent);
                pair.map(|pair| &pair.held)
            }
        };
        let target = self.target.created_at.minute();
        let agent_created = agent.and_then(|agent| self.created.get(&agent).copied());
        Context {
            created: agent_created.map_or(target, |minute| minute.max(target)),
            is_asked: agent.is_none() || live.is_some(),
            now: self.now,
            gaps: &self.gaps,
            held: live.map(|held| (held.verdict, held.why.cause, held.since)),
            missing: agent.map_or(Cause::Silent, |_| Cause::NoAgent),
        }
    }
}

impl App {
    /// Returns the consensus first, then every agent that asked or is assigned, by name.
    pub(crate) async fn history(
        &self,
        scope: &Scope,
        id: TargetId,
        range: Range<Minute>,
    ) -> Result<(TargetRow, Vec<PaddedSeries>), AppError> {
        let (told, range) = self.told(scope, id, range).await?;
        let stored = self.store.minutes(scope, told.target.probe, range.start, range.end).await?;
        let mut padded = Vec::new();
        for series in merge(told.assigned.iter().cloned(), stored) {
            let agent = series.agent.as_ref().map(|agent| agent.id);
            let minutes = told.minutes(agent, series.minutes, range.clone());
            padded.push(PaddedSeries { agent: series.agent, minutes });
        }
        Ok((told.target, padded))
    }

    /// The same in longer spans, read day by day: every bucket that has begun is told.
    pub(crate) async fn history_buckets(
        &self,
        scope: &Scope,
        id: TargetId,
        range: Range<Minute>,
        level: Level,
    ) -> Result<(TargetRow, Vec<BucketSeries>), AppError> {
        let (told, range) = self.told(scope, id, range).await?;
        let mut all = BTreeMap::<AgentKey, BucketSeries>::new();
        let mut day = range.start;
        while day < range.end {
            let end = Minute(day.0 + MINUTES_MAX).min(range.end);
            let stored = self.store.minutes(scope, told.target.probe, day, end).await?;
            let mut found: BTreeMap<AgentKey, MinuteSeries> = BTreeMap::new();
            for series in merge(told.assigned.iter().cloned(), stored) {
                found.insert(key(series.agent.as_ref()), series);
            }
            // Who is not there on this day, and who was not before it.
            for (key, series) in &all {
                found.entry(key.clone()).or_insert_with(|| nothing(series.agent.clone()));
            }
            for (key, MinuteSeries { agent, minutes, means }) in found {
                let id = agent.as_ref().map(|agent| agent.id);
                let series = all.entry(key).or_insert_with(|| {
                    let before = told.minutes(id, Vec::new(), range.start..day);
                    let mut buckets = Vec::new();
                    buckets::add(&mut buckets, level, &before);
                    BucketSeries { agent, buckets }
                });
                let minutes = told.minutes(id, minutes, day..end);
                buckets::add(&mut series.buckets, level, &minutes);
                buckets::add_times(&mut series.buckets, level, &means);
            }
            day = end;
        }
        Ok((told.target, all.into_values().collect()))
    }

    /// Finds what is told of a target besides its minutes, and the part of the range that has
    /// begun.
    async fn told(
        &self,
        scope: &Scope,
        id: TargetId,
        range: Range<Minute>,
    ) -> Result<(Told, Range<Minute>), AppError> {
        let target = self.store.target_get(scope, id).await?;
        let now = self.clock.now().minute();
        let range = range.start..range.end.min(now.next()).max(range.start);
        let (from, to) = (range.start.start(), range.end.start());
        let gaps = self.store.gaps(scope, from, to).await?;
        let lost = self.store.agent_gaps(scope, from, to).await?;
        let held = self.probe_status(target.probe).await?;
        let ids: BTreeSet<AgentId> = held.pairs.iter().map(|pair| pair.agent).collect();
        let agents = self.store.agent_list(scope).await?;
        let created = agents.iter().map(|agent| (agent.id, agent.created_at.minute())).collect();
        let agents = agents.into_iter().filter(|agent| ids.contains(&agent.id));
        let assigned = agents.map(|AgentRow { id, name, .. }| AgentRef { id, name }).collect();
        Ok((Told { target, now, gaps, lost, held, assigned, created }, range))
    }
}

/// The order of series: all together first. Agents are told apart by their id: one that was deleted
/// and one that has its name now are two.
type AgentKey = Option<(Name, AgentId)>;

fn key(agent: Option<&AgentRef>) -> AgentKey {
    agent.map(|agent| (agent.name.clone(), agent.id))
}

fn nothing(agent: Option<AgentRef>) -> MinuteSeries {
    MinuteSeries { agent, minutes: Vec::new(), means: Vec::new() }
}

/// Puts the stored series in order and adds an empty one for the consensus and for each of
/// `assigned` that has none.
fn merge(assigned: impl Iterator<Item = AgentRef>, stored: Vec<MinuteSeries>) -> Vec<MinuteSeries> {
    let empty = iter::once(None).chain(assigned.map(Some)).map(nothing);
    let mut all = BTreeMap::<AgentKey, MinuteSeries>::new();
    for series in empty.chain(stored) {
        all.insert(key(series.agent.as_ref()), series);
    }
    all.into_values().collect()
}

/// Tells every minute of `range`, which ends at the latest after the present one.
///
/// 1 - A stored minute is told as it is stored.
/// 2 - Before the target or the agent existed: Unknown, not yet.
/// 3 - Wholly in a gap of the monitor: Unknown, monitor down. Of an agent that does not ask it now
///     only between its first and its last minute.
/// 4 - After the last stored minute and at most [`OPEN_MINUTES_MAX`] ago: the verdict held now,
///     as open; Unknown, not yet, if that verdict began later.
/// 5 - Partly in a gap of the monitor: Unknown, monitor down.
/// 6 - Else it should have been stored and is not: Unknown, with the cause of the series.
fn pad(stored: Vec<MinuteTruth>, range: Range<Minute>, context: Context<'_>) -> Vec<PaddedMinute> {
    let last_stored = stored.last().map(|truth| truth.minute);
    let asked = match (context.is_asked, stored.first(), last_stored) {
        (true, ..) => range.clone(),
        (false, Some(first), Some(last)) => first.minute..last.next(),
        (false, ..) => range.start..range.start,
    };
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
    /// Outside the time in which it was asked, the monitor's gaps explain nothing.
    fn within(self, asked: &Range<Minute>, minute: Minute) -> Self {
        let gaps = if asked.contains(&minute) { self.gaps } else { &[] };
        Context { gaps, ..self }
    }
}

fn untold(minute: Minute, last_stored: Option<Minute>, context: Context<'_>) -> PaddedMinute {
    let is_recent = context.now.0 - OPEN_MINUTES_MAX < minute.0;
    let is_open = is_recent && last_stored.is_none_or(|last| last < minute);
    let (start, end) = (minute.start(), minute.end());
    let in_gap = |is_in: fn(&MonitorGap, UtcMicros, UtcMicros) -> bool| {
        context.gaps.iter().any(|gap| is_in(gap, start, end))
    };
    let (verdict, cause, is_open) = if minute < context.created {
        (Verdict::Unknown, Cause::NotYet, false)
    } else if in_gap(|gap, start, end| gap.from <= start && end <= gap.to) {
        (Verdict::Unknown, Cause::MonitorDown, false)
    } else if let Some((verdict, cause, since)) = context.held.filter(|_| is_open) {
        let is_held = since < end;
        let (verdict, cause) =
            if is_held { (verdict, cause) } else { (Verdict::Unknown, Cause::NotYet) };
        (verdict, cause, true)
    } else if in_gap(|gap, start, end| gap.from < end && start < gap.to) {
        (Verdict::Unknown, Cause::MonitorDown, false)
    } else {
        (Verdict::Unknown, context.missing, false)
    };
    let counts = MinuteCounts::default();
    PaddedMinute { minute, verdict, cause, counts, revision: 0, said_first: None, is_open }
}

/// Says where a minute is Unknown because an agent lost what it had learned.
///
/// 1 - Only of a minute that is over, Unknown, and of which nothing was heard: a better reason, as
///     a pause or a blindness, stays.
/// 2 - For one agent by its own losses; for the consensus by those of any agent that asks the
///     target.
fn explain<'a>(minutes: &mut [PaddedMinute], lost: impl Iterator<Item = &'a AgentGapRow>) {
    let gaps: Vec<&Gap> = lost.map(|row| &row.gap).collect();
    let is_unheard = |cause| {
        matches!(cause, Cause::Silent | Cause::AgentOffline | Cause::NoAgent | Cause::MonitorDown)
    };
    for minute in minutes {
        let is_asked = minute.verdict == Verdict::Unknown && !minute.is_open;
        let (start, end) = (minute.minute.start(), minute.minute.end());
        let is_lost = || gaps.iter().any(|gap| gap.from < end && start <= gap.to);
        if is_asked && is_unheard(minute.cause) && is_lost() {
            minute.cause = Cause::Dropped;
        }
    }
}

/// Parses the range of a request into whole minutes, or whole buckets of a level: from the one of
/// `from` to the one that `to` lies in or ends. Without a level, the finest is taken that does not
/// make too many of them.
///
/// # Errors
///
/// The field at fault, `to` or `level`, with the reason: `to` is not after `from`, the range is too
/// long, or has too many values at this level.
pub(crate) fn range(
    from: UtcMicros,
    to: UtcMicros,
    level: Option<Level>,
) -> Result<(Range<Minute>, Level), (&'static str, String)> {
    if to <= from {
        return Err(("to", "must be after `from`".to_owned()));
    }
    let start = from.minute();
    // `to` is excluded, so a full minute does not begin another.
    let end = UtcMicros(to.0 - 1).minute().next();
    if RANGE_DAYS_MAX * MINUTES_MAX < end.0 - start.0 {
        return Err(("to", format!("must be at most {RANGE_DAYS_MAX} days after `from`")));
    }
    let level = level.unwrap_or_else(|| Level::of(end.0 - start.0));
    let first = level.start(start);
    let last = level.start(Minute(end.0 - 1));
    let range = first..Minute(last.0 + level.minutes());
    let values_max = if level == Level::Minute { MINUTES_MAX } else { BUCKETS_MAX };
    if values_max < (range.end.0 - range.start.0) / level.minutes() {
        let reason = format!("gives more than {values_max} values in this range; take a coarser");
        return Err(("level", format!("{reason} one, or a shorter range")));
    }
    Ok((range, level))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::{DropCause, Entity, ProbeId};

    use super::*;

    #[test]
    fn a_deleted_agent_and_a_new_one_of_its_name_have_a_series_each() {
        let agent = |id| AgentRef { id: AgentId(id), name: Name::parse("fra1").expect("a name") };
        let stored = nothing(Some(agent(1)));
        let merged = merge([agent(2)].into_iter(), vec![stored]);
        let ids: Vec<_> = merged.iter().map(|s| s.agent.as_ref().map(|a| a.id.0)).collect();
        assert_eq!(ids, [None, Some(1), Some(2)]);
    }

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
            now: Minute(5),
            gaps: &[],
            held: Some((Verdict::Down, Cause::NoAnswer, Minute(4).start())),
            missing: Cause::Silent,
        }
    }

    #[test]
    fn each_missing_minute_says_why() {
        let gaps = [MonitorGap {
            from: UtcMicros(Minute(2).start().0 + 1),
            to: UtcMicros(Minute(2).start().0 + 2),
            cause: Cause::MonitorDown,
        }];
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
        let gap = |minute: i64| MonitorGap {
            from: Minute(minute).start(),
            to: Minute(minute).end(),
            cause: Cause::MonitorDown,
        };
        let gaps = [gap(1), gap(3), gap(5)];
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
        let minute = |n: i64, verdict, cause, is_open| PaddedMinute {
            minute: Minute(n),
            verdict,
            cause,
            counts: MinuteCounts::default(),
            revision: 0,
            said_first: None,
            is_open,
        };
        let mut minutes = vec![
            minute(0, Verdict::Unknown, Cause::Silent, false),
            minute(1, Verdict::Unknown, Cause::AgentOffline, false),
            minute(2, Verdict::Unknown, Cause::AgentBlind, false),
            minute(3, Verdict::Up, Cause::Answering, false),
            minute(4, Verdict::Unknown, Cause::Silent, true),
            minute(5, Verdict::Unknown, Cause::Silent, false),
        ];
        let (from, to) = (UtcMicros(Minute(1).start().0 + 1), Minute(4).end());
        let gap = Gap { from, to, rounds: 7, cause: DropCause::Size };
        let name = Name::parse("fra1").unwrap();
        let row = AgentGapRow { agent: AgentRef { id: AgentId(1), name }, gap };
        explain(&mut minutes, [row].iter());
        let causes: Vec<Cause> = minutes.iter().map(|minute| minute.cause).collect();
        let [silent, dropped] = [Cause::Silent, Cause::Dropped];
        let expected = [silent, dropped, Cause::AgentBlind, Cause::Answering, silent, dropped];
        assert_eq!(causes, expected);
    }

    #[test]
    fn a_range_is_whole_minutes_or_buckets() {
        let minute = |m: i64| Minute(m).start();
        let told = |from, to, level| range(from, to, level).map(|(r, l)| (r.start.0..r.end.0, l));
        assert_eq!(told(minute(1), minute(2), None), Ok((1..2, Level::Minute)));
        let inside = told(UtcMicros(minute(1).0 + 5), UtcMicros(minute(2).0 + 5), None);
        assert_eq!(inside, Ok((1..3, Level::Minute)));
        assert_eq!(
            told(minute(7), minute(16), Some(Level::FiveMinutes)),
            Ok((5..20, Level::FiveMinutes))
        );
        assert_eq!(told(minute(0), minute(MINUTES_MAX + 1), None).unwrap().1, Level::FiveMinutes);
        let fault = |from, to, level| range(from, to, level).unwrap_err().0;
        assert_eq!(fault(minute(2), minute(2), None), "to");
        assert_eq!(fault(minute(0), minute(93 * 1_440), None), "to");
        assert_eq!(fault(minute(0), minute(MINUTES_MAX + 1), Some(Level::Minute)), "level");
        assert_eq!(fault(minute(0), minute(9 * 1_440), Some(Level::FiveMinutes)), "level");
    }
}
