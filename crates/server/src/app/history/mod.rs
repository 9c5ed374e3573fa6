//! The record of targets, in minutes or longer spans: what is stored, and in words why the rest is
//! not.
//!
//! Every minute of the asked range is told, but for those that have not begun.

mod parts;
mod range;
mod spans;
mod sum;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    ops::Range,
    sync::Arc,
};

use model::{
    AgentId, Cause, Minute, MinuteTruth, Name, ProbeId, Span, TargetId, TierId, ToldRollup,
    UtcMicros,
};
use store::{AgentRef, MonitorGap, Scope, TargetRow, Who};

use super::{
    App, AppError, aside,
    buckets::{self, Bucket, Level},
};
use crate::{conductor::ProbeStatusView, config::RetentionConfig};
use spans::Spans;
use told::{Context, Missing};

pub(crate) use range::{Coming, range};
pub(crate) use sum::{Sum, Summed};
pub(crate) use told::PaddedMinute;

/// Minutes of one request: a day.
pub(crate) const MINUTES_MAX: i64 = store::MINUTES_MAX as i64;
/// Pages of gaps of the monitor: a restart each day for five years, and more.
const GAP_PAGES_MAX: u32 = 8;

/// What is told of one agent, or of all together.
#[derive(Debug)]
pub(crate) struct ToldSeries {
    pub(crate) agent: Option<AgentRef>,
    pub(crate) values: Values,
}

/// Minutes or longer spans, without a hole.
#[derive(Debug)]
pub(crate) enum Values {
    Minutes(Vec<PaddedMinute>),
    Buckets(Vec<Bucket>),
}

/// Whose history is told, and since when there can be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) probe: ProbeId,
    /// How long its history is kept depends on it.
    pub(crate) tier: TierId,
    pub(crate) created: Minute,
}

impl From<&TargetRow> for Subject {
    fn from(target: &TargetRow) -> Subject {
        Subject { probe: target.probe, tier: target.tier.id, created: target.created_at.minute() }
    }
}

/// What is told of every target beside what was recorded of it: the same for all of a request.
#[derive(Clone, Debug)]
pub(crate) struct Around {
    pub(crate) level: Level,
    /// Whole values; its end may not have come yet.
    pub(crate) range: Range<Minute>,
    pub(crate) now: UtcMicros,
    gaps: Arc<Spans>,
    lost: Arc<BTreeMap<AgentId, Vec<(UtcMicros, UtcMicros)>>>,
    agents: Arc<BTreeMap<AgentId, (AgentRef, Minute)>>,
    retention: RetentionConfig,
    /// Of tiers with times of their own.
    retention_by_tier: BTreeMap<TierId, RetentionConfig>,
    /// What the answer leaves out, in words.
    pub(crate) notes: Vec<String>,
}

/// Everything from which one target is told.
struct Teller {
    around: Arc<Around>,
    subject: Subject,
    held: ProbeStatusView,
}

impl Around {
    /// The part of the range that has begun.
    fn begun(&self) -> Range<Minute> {
        let end = self.range.end.min(self.now.minute().next());
        self.range.start..end.max(self.range.start)
    }
}

impl Teller {
    fn minutes(&self, agent: Option<AgentId>, stored: Vec<MinuteTruth>) -> Values {
        let lost = self.lost_of(agent);
        let mut minutes = told::pad(stored, self.around.begun(), self.context(agent));
        for minute in &mut minutes {
            let PaddedMinute { verdict, cause, is_open, .. } = *minute;
            minute.cause = told::explained(minute.minute, (verdict, cause, is_open), &lost);
        }
        Values::Minutes(minutes)
    }

    fn buckets(
        &self,
        agent: Option<AgentId>,
        stored: &BTreeMap<Minute, ToldRollup>,
        span: Span,
    ) -> Values {
        let (lost, range) = (self.lost_of(agent), self.around.begun());
        let missing = Missing::new(self.context(agent), &range, stored, &lost);
        Values::Buckets(buckets::tell(stored, &range, span, &missing))
    }

    /// What an agent lost, or any that asks the target.
    fn lost_of(&self, agent: Option<AgentId>) -> Spans {
        let lost = |agent: &AgentId| self.around.lost.get(agent).into_iter().flatten().copied();
        let asked: BTreeSet<AgentId> = match agent {
            Some(agent) => BTreeSet::from([agent]),
            None => self.held.pairs.iter().map(|pair| pair.agent).collect(),
        };
        Spans::new(asked.iter().flat_map(lost))
    }

    /// Who is to ask it now.
    fn assigned(&self) -> impl Iterator<Item = AgentRef> {
        let ids: BTreeSet<AgentId> = self.held.pairs.iter().map(|pair| pair.agent).collect();
        let known = |id: AgentId| self.around.agents.get(&id).map(|(agent, _)| agent.clone());
        ids.into_iter().filter_map(known)
    }

    fn context(&self, agent: Option<AgentId>) -> Context<'_> {
        let around = &self.around;
        let live = match agent {
            None => self.held.consensus.as_ref(),
            Some(agent) => {
                let pair = self.held.pairs.iter().find(|pair| pair.agent == agent);
                pair.map(|pair| &pair.held)
            }
        };
        let target = self.subject.created;
        let agent_created = agent.and_then(|agent| around.agents.get(&agent)).map(|(_, at)| *at);
        let own = around.retention_by_tier.get(&self.subject.tier);
        let kept = own.unwrap_or(&around.retention).of(around.level, agent.is_some());
        let now = around.now.minute();
        Context {
            created: agent_created.map_or(target, |minute| minute.max(target)),
            is_asked: agent.is_none() || live.is_some(),
            kept: (now.start() - kept).minute(),
            now,
            gaps: &around.gaps,
            held: live.map(|held| (held.verdict, held.why.cause, held.since)),
            missing: agent.map_or(Cause::Silent, |_| Cause::NoAgent),
        }
    }
}

impl App {
    /// Returns the consensus first, then, if asked for, every agent that asked or is assigned, by
    /// name.
    pub(crate) async fn history(
        &self,
        scope: &Scope,
        id: TargetId,
        around: &Arc<Around>,
        who: Who,
    ) -> Result<(TargetRow, Vec<ToldSeries>), AppError> {
        let target = self.store.target_get(scope, id).await?;
        let held = self.probe_status(target.probe).await?;
        let series = self.history_of(scope, (Subject::from(&target), held), around, who).await?;
        Ok((target, series))
    }

    /// As [`App::history`], of a target that is known with what is held of it now.
    pub(crate) async fn history_of(
        &self,
        scope: &Scope,
        (subject, held): (Subject, ProbeStatusView),
        around: &Arc<Around>,
        who: Who,
    ) -> Result<Vec<ToldSeries>, AppError> {
        let teller = Teller { around: Arc::clone(around), subject, held };
        let (probe, Range { start, end }) = (subject.probe, around.range.clone());
        match around.level {
            Level::Minute => {
                let end = around.begun().end;
                let stored = self.store.minutes(scope, probe, who, start, end).await?;
                let stored = stored.into_iter().map(|series| (series.agent, series.minutes));
                let stored = stored.collect();
                tell(teller, who, stored, Teller::minutes).await
            }
            Level::Bucket(span) => {
                let stored = self.store.rollups(scope, probe, who, span, start, end).await?;
                let stored = stored.into_iter().map(|series| (series.agent, series.rollups));
                let stored = stored.collect();
                let buckets = move |teller: &Teller, agent, stored: BTreeMap<_, _>| {
                    teller.buckets(agent, &stored, span)
                };
                tell(teller, who, stored, buckets).await
            }
        }
    }

    /// Finds what is told of any target besides what was recorded.
    pub(crate) async fn around(
        &self,
        scope: &Scope,
        range: Range<Minute>,
        level: Level,
    ) -> Result<Arc<Around>, AppError> {
        let now = self.clock.now();
        let end = range.end.min(now.minute().next()).max(range.start);
        let (from, to) = (range.start.start(), end.start());
        let mut notes = Vec::new();
        let (gaps, gaps_until) = self.gaps(scope, from, to).await?;
        if let Some(until) = gaps_until {
            notes.push(format!(
                "times in which no server ran are told up to {until} only, there are too many: \
                 take a shorter range"
            ));
        }
        let found = self.store.agent_gaps(scope, from, to).await?;
        if let Some(since) = found.known_from {
            notes.push(format!(
                "what agents lost is told since {since} only, there is too much: of older minutes \
                 the cause `dropped` may be missing; take a shorter range"
            ));
        }
        let mut lost: BTreeMap<AgentId, Vec<_>> = BTreeMap::new();
        for row in found.rows {
            lost.entry(row.agent.id).or_default().push((row.gap.from, row.gap.to));
        }
        let agents = self.store.agent_list(scope).await?.into_iter().map(|agent| {
            let created = agent.created_at.minute();
            (agent.id, (AgentRef { id: agent.id, name: agent.name }, created))
        });
        Ok(Arc::new(Around {
            level,
            range,
            now,
            gaps: Arc::new(Spans::new(gaps.iter().map(|gap| (gap.from, gap.to)))),
            lost: Arc::new(lost),
            agents: Arc::new(agents.collect()),
            retention: self.config.retention,
            retention_by_tier: self.retention_by_tier(scope).await?,
            notes,
        }))
    }

    /// The gaps of the monitor, oldest first, and up to when they are known if not all fit.
    pub(super) async fn gaps(
        &self,
        scope: &Scope,
        mut from: UtcMicros,
        to: UtcMicros,
    ) -> Result<(Vec<MonitorGap>, Option<UtcMicros>), AppError> {
        let mut gaps: Vec<MonitorGap> = Vec::new();
        for _ in 0..GAP_PAGES_MAX {
            let page = self.store.gaps(scope, from, to).await?;
            let is_last = page.len() < store::PAGE_ROWS_MAX as usize;
            gaps.extend(page);
            match gaps.last() {
                Some(gap) if !is_last => from = gap.to,
                Some(_) | None => return Ok((gaps, None)),
            }
        }
        let until = gaps.last().map(|gap| gap.to);
        Ok((gaps, until))
    }
}

/// Tells every series away from everybody else's work: a day of minutes of a hundred agents takes
/// a while.
async fn tell<T: Default + Send + 'static>(
    teller: Teller,
    who: Who,
    stored: Vec<(Option<AgentRef>, T)>,
    values: impl Fn(&Teller, Option<AgentId>, T) -> Values + Send + 'static,
) -> Result<Vec<ToldSeries>, AppError> {
    aside(move || {
        let assigned = teller.assigned().filter(|_| who == Who::Each);
        let told = |(agent, stored): (Option<AgentRef>, T)| {
            let id = agent.as_ref().map(|agent| agent.id);
            ToldSeries { values: values(&teller, id, stored), agent }
        };
        Ok(merge(assigned, stored.into_iter()).map(told).collect())
    })
    .await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_agent_and_a_new_one_of_its_name_have_a_series_each() {
        let agent = |id| AgentRef { id: AgentId(id), name: Name::parse("fra1").expect("a name") };
        let merged = merge([agent(2)].into_iter(), [(Some(agent(1)), ())].into_iter());
        let ids: Vec<_> = merged.map(|(agent, ())| agent.map(|agent| agent.id.0)).collect();
        assert_eq!(ids, [None, Some(1), Some(2)]);
    }
}
