//! The record of a target, minute by minute: what is stored, and in words why the rest is not.
//!
//! Every minute of the asked range is told, but for those that have not begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
    time::Duration,
};

use model::{
    AgentId, Cause, Minute, MinuteCounts, MinuteTruth, Name, Rollup, Span, TargetId, UtcMicros,
    Verdict,
};
use store::{AgentGapRow, AgentRef, AgentRow, MonitorGap, Scope, TargetRow};

use super::{
    App, AppError,
    buckets::{self, Bucket, Level, Teller},
};
use crate::{conductor::ProbeStatusView, config::RetentionConfig};

/// Minutes of one request: a day.
pub(crate) const MINUTES_MAX: i64 = store::MINUTES_MAX as i64;
/// Days of one request: five years, as long as days are kept if nobody says otherwise.
const RANGE_DAYS_MAX: i64 = 5 * 366;
/// Pages of gaps of the monitor: a restart each day for five years, and more.
const GAP_PAGES_MAX: u32 = 8;
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
    /// Before this nothing is kept of the series.
    kept: Minute,
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

/// What is told of a target beside what was recorded of it.
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
    retention: RetentionConfig,
}

impl Told {
    /// Tells every minute of the range, of one agent or of all.
    fn minutes(
        &self,
        agent: Option<AgentId>,
        stored: Vec<MinuteTruth>,
        range: Range<Minute>,
    ) -> Vec<PaddedMinute> {
        let mut minutes = pad(stored, range, self.context(agent, Level::Minute));
        let lost = self.lost_of(agent);
        for minute in &mut minutes {
            let PaddedMinute { verdict, cause, is_open, .. } = *minute;
            minute.cause = explained(minute.minute, (verdict, cause, is_open), &lost);
        }
        minutes
    }

    /// Tells every bucket of the range, of one agent or of all.
    fn buckets(
        &self,
        agent: Option<AgentId>,
        stored: &BTreeMap<Minute, Rollup>,
        range: &Range<Minute>,
        span: Span,
    ) -> Vec<Bucket> {
        let context = self.context(agent, Level::Bucket(span));
        let missing = Missing::new(context, range, stored, self.lost_of(agent));
        buckets::tell(stored, range, span, &missing)
    }

    /// What an agent lost, or any that asks the target.
    fn lost_of(&self, agent: Option<AgentId>) -> Vec<&AgentGapRow> {
        let asked = self.held.pairs.iter().map(|pair| pair.agent);
        let agents: BTreeSet<AgentId> = match agent {
            Some(agent) => BTreeSet::from([agent]),
            None => asked.collect(),
        };
        self.lost.iter().filter(|row| agents.contains(&row.agent.id)).collect()
    }

    fn context(&self, agent: Option<AgentId>, level: Level) -> Context<'_> {
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
            kept: (self.now.start() - self.retention.of(level, agent.is_some())).minute(),
            now: self.now,
            gaps: &self.gaps,
            held: live.map(|held| (held.verdict, held.why.cause, held.since)),
            missing: agent.map_or(Cause::Silent, |_| Cause::NoAgent),
        }
    }
}

/// Tells the minutes of buckets of which nothing was recorded.
struct Missing<'a> {
    context: Context<'a>,
    asked: Range<Minute>,
    last_stored: Option<Minute>,
    lost: Vec<&'a AgentGapRow>,
    cuts: Vec<Minute>,
}

impl<'a> Missing<'a> {
    fn new(
        context: Context<'a>,
        range: &Range<Minute>,
        stored: &BTreeMap<Minute, Rollup>,
        lost: Vec<&'a AgentGapRow>,
    ) -> Missing<'a> {
        let first = stored.values().find_map(|rollup| rollup.runs().next()).map(|run| run.start);
        let last = stored.values().rev().find_map(|rollup| rollup.runs().last());
        let last_stored = last.map(|run| Minute(run.end.0.saturating_sub(1)));
        let asked = context.asked(range, first, last_stored);
        let mut cuts = vec![context.created, context.kept, asked.start, asked.end];
        cuts.extend(last_stored.map(Minute::next));
        // Each of the newest is judged by itself.
        cuts.extend((0..=OPEN_MINUTES_MAX).map(|n| Minute(context.now.0 - n)));
        let gaps = context.gaps.iter().map(|gap| (gap.from, gap.to));
        for (from, to) in gaps.chain(lost.iter().map(|row| (row.gap.from, row.gap.to))) {
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
        (verdict, explained(minute, (verdict, untold.cause, is_open), &self.lost), is_open)
    }

    fn cause(&self, minute: Minute, verdict: Verdict, cause: Cause) -> Cause {
        explained(minute, (verdict, cause, false), &self.lost)
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
        let stored = stored.into_iter().map(|series| (series.agent, series.minutes));
        for (agent, minutes) in merge(told.assigned.iter().cloned(), stored) {
            let id = agent.as_ref().map(|agent| agent.id);
            let minutes = told.minutes(id, minutes, range.clone());
            padded.push(PaddedSeries { agent, minutes });
        }
        Ok((told.target, padded))
    }

    /// The same in longer spans: every bucket that has begun is told.
    pub(crate) async fn history_buckets(
        &self,
        scope: &Scope,
        id: TargetId,
        range: Range<Minute>,
        span: Span,
    ) -> Result<(TargetRow, Vec<BucketSeries>), AppError> {
        let whole = range.clone();
        let (told, range) = self.told(scope, id, range).await?;
        let probe = told.target.probe;
        let stored = self.store.rollups(scope, probe, span, whole.start, whole.end).await?;
        let stored = stored.into_iter().map(|series| (series.agent, series.rollups));
        let mut all = Vec::new();
        for (agent, rollups) in merge(told.assigned.iter().cloned(), stored) {
            let id = agent.as_ref().map(|agent| agent.id);
            let buckets = told.buckets(id, &rollups, &range, span);
            all.push(BucketSeries { agent, buckets });
        }
        Ok((told.target, all))
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
        let gaps = self.gaps(scope, from, to).await?;
        let lost = self.store.agent_gaps(scope, from, to).await?;
        let held = self.probe_status(target.probe).await?;
        let ids: BTreeSet<AgentId> = held.pairs.iter().map(|pair| pair.agent).collect();
        let agents = self.store.agent_list(scope).await?;
        let created = agents.iter().map(|agent| (agent.id, agent.created_at.minute())).collect();
        let agents = agents.into_iter().filter(|agent| ids.contains(&agent.id));
        let assigned = agents.map(|AgentRow { id, name, .. }| AgentRef { id, name }).collect();
        let retention = self.config.retention;
        Ok((Told { target, now, gaps, lost, held, assigned, created, retention }, range))
    }

    /// All gaps of the monitor, oldest first.
    async fn gaps(
        &self,
        scope: &Scope,
        mut from: UtcMicros,
        to: UtcMicros,
    ) -> Result<Vec<MonitorGap>, AppError> {
        let mut gaps = Vec::new();
        for _ in 0..GAP_PAGES_MAX {
            let page = self.store.gaps(scope, from, to).await?;
            let is_last = page.len() < store::PAGE_ROWS_MAX as usize;
            gaps.extend(page);
            match gaps.last() {
                Some(gap) if !is_last => from = gap.to,
                Some(_) | None => break,
            }
        }
        Ok(gaps)
    }
}

/// The order of series: all together first. Agents are told apart by their id: one that was deleted
/// and one that has its name now are two.
type AgentKey = Option<(Name, AgentId)>;

fn key(agent: Option<&AgentRef>) -> AgentKey {
    agent.map(|agent| (agent.name.clone(), agent.id))
}

/// Puts the stored series in order and adds an empty one for the consensus and for each of
/// `assigned` that has none.
fn merge<T: Default>(
    assigned: impl Iterator<Item = AgentRef>,
    stored: impl Iterator<Item = (Option<AgentRef>, T)>,
) -> impl Iterator<Item = (Option<AgentRef>, T)> {
    let empty = iter::once(None).chain(assigned.map(Some)).map(|agent| (agent, T::default()));
    let mut all = BTreeMap::<AgentKey, (Option<AgentRef>, T)>::new();
    for (agent, series) in empty.chain(stored) {
        all.insert(key(agent.as_ref()), (agent, series));
    }
    all.into_values()
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
fn pad(stored: Vec<MinuteTruth>, range: Range<Minute>, context: Context<'_>) -> Vec<PaddedMinute> {
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
    } else if minute < context.kept {
        (Verdict::Unknown, Cause::Expired, false)
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

/// The cause of a minute: also that an agent lost what it had learned of it.
///
/// 1 - Only of a minute that is over, Unknown, and of which nothing was heard: a better reason, as
///     a pause or a blindness, stays.
/// 2 - For one agent by its own losses; for the consensus by those of any agent that asks the
///     target.
fn explained(
    minute: Minute,
    (verdict, cause, is_open): (Verdict, Cause, bool),
    lost: &[&AgentGapRow],
) -> Cause {
    let is_asked = verdict == Verdict::Unknown && !is_open;
    let is_unheard =
        matches!(cause, Cause::Silent | Cause::AgentOffline | Cause::NoAgent | Cause::MonitorDown);
    let (start, end) = (minute.start(), minute.end());
    let is_lost = || lost.iter().any(|row| row.gap.from < end && start <= row.gap.to);
    if is_asked && is_unheard && is_lost() { Cause::Dropped } else { cause }
}

/// Parses the range of a request into whole minutes, or whole buckets of a level: from the one of
/// `from` to the one that `to` lies in or ends.
///
/// Without a level, the finest is taken that does not make too many of them and is kept for so
/// long; if none is, the one that is kept longest.
///
/// # Errors
///
/// The field at fault, `to` or `level`, with the reason: `to` is not after `from`, the range is too
/// long, has too many values at this level, or nothing of it is kept at this level.
pub(crate) fn range(
    from: UtcMicros,
    to: UtcMicros,
    level: Option<Level>,
    now: UtcMicros,
    retention: &RetentionConfig,
) -> Result<(Range<Minute>, Level), (&'static str, String)> {
    if to <= from {
        return Err(("to", "must be after `from`".to_owned()));
    }
    // `to` is excluded, so a full minute does not begin another.
    let asked = from.minute()..UtcMicros(to.0 - 1).minute().next();
    if RANGE_DAYS_MAX * MINUTES_MAX < asked.end.0 - asked.start.0 {
        return Err(("to", format!("must be at most {RANGE_DAYS_MAX} days after `from`")));
    }
    let kept = |level: Level| (now - retention.of(level, false)).minute();
    let values = |level: Level| {
        let range = level.whole(&asked);
        (range.end.0 - range.start.0) / level.minutes()
    };
    let fits = |level: &Level| values(*level) <= level.values_max();
    let fitting = || Level::ALL.into_iter().filter(fits);
    let level = match level {
        Some(level) if asked.end <= kept(level) => {
            return Err(("level", format!("is not kept for so long: {}", retention.levels())));
        }
        Some(level) if !fits(&level) => {
            let reason = format!("gives more than {} values in this range", level.values_max());
            return Err(("level", format!("{reason}; take a coarser one, or a shorter range")));
        }
        Some(level) => level,
        None => {
            let longest = || fitting().min_by_key(|level| kept(*level));
            let finest = fitting().find(|level| kept(*level) <= asked.start);
            finest.or_else(longest).unwrap_or(Level::Bucket(Span::Day))
        }
    };
    Ok((level.whole(&asked), level))
}

impl RetentionConfig {
    /// How long a level is kept, of each agent or of all together.
    fn of(&self, level: Level, is_of_agent: bool) -> Duration {
        match (level, is_of_agent) {
            (Level::Minute, _) => self.minutes,
            (Level::Bucket(Span::FiveMinutes), true) => self.agent_5m,
            // Days of an agent are told from its hours.
            (Level::Bucket(Span::Hour | Span::Day), true) => self.agent_1h,
            (Level::Bucket(Span::FiveMinutes), false) => self.target_5m,
            (Level::Bucket(Span::Hour), false) => self.target_1h,
            (Level::Bucket(Span::Day), false) => self.target_1d,
        }
    }

    /// In words, how long each level is kept.
    fn levels(&self) -> String {
        let days = |level, is_of_agent| self.of(level, is_of_agent).as_secs() / 86_400;
        let word = |level: Level| match (days(level, false), days(level, true)) {
            (all, agent) if all == agent => format!("{} for {all} days", level.as_str()),
            (all, agent) => {
                format!("{} for {all} days (of each agent {agent})", level.as_str())
            }
        };
        Level::ALL.map(word).join(", ")
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::{DropCause, Entity, Gap, ProbeId, Worst};

    use super::*;

    #[test]
    fn a_deleted_agent_and_a_new_one_of_its_name_have_a_series_each() {
        let agent = |id| AgentRef { id: AgentId(id), name: Name::parse("fra1").expect("a name") };
        let merged = merge([agent(2)].into_iter(), [(Some(agent(1)), ())].into_iter());
        let ids: Vec<_> = merged.map(|(agent, ())| agent.map(|agent| agent.id.0)).collect();
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
            kept: Minute(-9),
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
        let minutes = [
            (Verdict::Unknown, Cause::Silent, false),
            (Verdict::Unknown, Cause::AgentOffline, false),
            (Verdict::Unknown, Cause::AgentBlind, false),
            (Verdict::Up, Cause::Answering, false),
            (Verdict::Unknown, Cause::Silent, true),
            (Verdict::Unknown, Cause::Silent, false),
        ];
        let (from, to) = (UtcMicros(Minute(1).start().0 + 1), Minute(4).end());
        let gap = Gap { from, to, rounds: 7, cause: DropCause::Size };
        let name = Name::parse("fra1").unwrap();
        let row = AgentGapRow { agent: AgentRef { id: AgentId(1), name }, gap };
        let causes = minutes.into_iter().zip(0..);
        let causes: Vec<Cause> =
            causes.map(|(minute, n)| explained(Minute(n), minute, &[&row])).collect();
        let [silent, dropped] = [Cause::Silent, Cause::Dropped];
        let expected = [silent, dropped, Cause::AgentBlind, Cause::Answering, silent, dropped];
        assert_eq!(causes, expected);
    }

    #[test]
    fn a_range_is_whole_minutes_or_buckets() {
        const FIVE: Level = Level::Bucket(Span::FiveMinutes);
        let minute = |m: i64| Minute(m).start();
        let told = |from, to, level| {
            let told = range(from, to, level, minute(10), &RetentionConfig::default());
            told.map(|(range, level)| (range.start.0..range.end.0, level))
        };
        assert_eq!(told(minute(1), minute(2), None), Ok((1..2, Level::Minute)));
        let inside = told(UtcMicros(minute(1).0 + 5), UtcMicros(minute(2).0 + 5), None);
        assert_eq!(inside, Ok((1..3, Level::Minute)));
        assert_eq!(told(minute(7), minute(16), Some(FIVE)), Ok((5..20, FIVE)));
        assert_eq!(told(minute(0), minute(MINUTES_MAX + 1), None).unwrap().1, FIVE);
        let fault = |from, to, level| told(from, to, level).unwrap_err().0;
        assert_eq!(fault(minute(2), minute(2), None), "to");
        assert_eq!(fault(minute(0), minute(1_831 * 1_440), None), "to");
        assert_eq!(fault(minute(0), minute(MINUTES_MAX + 1), Some(Level::Minute)), "level");
        assert_eq!(fault(minute(0), minute(9 * 1_440), Some(FIVE)), "level");
    }

    #[test]
    fn the_level_is_the_finest_that_fits_and_is_kept() {
        let day = |day: i64| Minute(day * 1_440).start();
        let told =
            |from, to, level| range(day(from), day(to), level, day(0), &RetentionConfig::default());
        let level = |from, to| told(from, to, None).unwrap().1.as_str();
        assert_eq!([level(-1, 0), level(-7, 0), level(-8, 0)], ["1m", "5m", "1h"]);
        assert_eq!([level(-92, 0), level(-400, 0), level(-1_826, 0)], ["1h", "1d", "1d"]);
        // One day, long ago.
        assert_eq!([level(-91, -90), level(-401, -400), level(-1_830, -1_829)], ["5m", "1h", "1h"]);
        let refused = told(-402, -401, Some(Level::Bucket(Span::FiveMinutes))).unwrap_err();
        assert_eq!(
            refused.1,
            "is not kept for so long: 1m for 90 days, 5m for 400 days (of each agent 90), \
             1h for 1826 days (of each agent 400), 1d for 1826 days (of each agent 400)"
        );
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
            let gaps = [time(), time()].map(|(from, to)| MonitorGap {
                from,
                to,
                cause: Cause::MonitorDown,
            });
            let agent = AgentRef { id: AgentId(1), name: Name::parse("fra1").unwrap() };
            let lost = [time(), time()].map(|(from, to)| AgentGapRow {
                agent: agent.clone(),
                gap: Gap { from, to, rounds: 1, cause: DropCause::Size },
            });
            let lost: Vec<&AgentGapRow> = lost.iter().collect();
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
    fn compare(stored: &[MinuteTruth], span: Span, context: Context<'_>, lost: &[&AgentGapRow]) {
        let range = Minute(0)..context.now.next();
        let mut rollups: BTreeMap<Minute, Rollup> = BTreeMap::new();
        for MinuteTruth { minute, verdict, cause, counts, .. } in stored {
            let worst = Worst { verdict: *verdict, cause: *cause, minute: *minute };
            rollups.entry(span.start(*minute)).or_default().add_minute(worst, counts);
        }
        let missing = Missing::new(context, &range, &rollups, lost.to_vec());
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
