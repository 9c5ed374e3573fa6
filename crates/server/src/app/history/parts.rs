//! Long answers, part by part: what is held of one is bounded, however long its range is.
//!
//! A part is told as if it had been asked for by itself, but for what is told beside the record,
//! which is looked up once for all.

use std::{ops::Range, sync::Arc};

use futures_util::{Stream, stream};
use model::{Minute, UtcMicros};
use store::{RoundPage, RoundQuery, Scope, TargetRef, TargetRow, Who};

use super::{Around, MINUTES_MAX, Subject, ToldSeries};
use crate::app::{App, AppError};

/// Values of one part, of all its series: some 20 MB while they are told and written.
const PART_VALUES_MAX: i64 = 100_000;
/// Rounds that are read at once: some 2 MB.
const PART_ROUNDS_MAX: u32 = store::ROUNDS_MAX;

/// What is told of one target in one part.
type Part = (Arc<TargetRef>, Vec<ToldSeries>);

impl Around {
    /// The part of the range that begins at a minute; `None` if nothing of it has begun.
    ///
    /// 1 - It has as many values as one request may have that is answered at once.
    /// 2 - With many agents fewer: all series together have at most [`PART_VALUES_MAX`].
    fn part(&self, from: Minute, who: Who) -> Option<Around> {
        let end = self.begun().end;
        let agents = match who {
            Who::Each => i64::try_from(self.agents.len()).unwrap_or(i64::MAX),
            Who::Together => 0,
        };
        let values = (PART_VALUES_MAX / agents.saturating_add(1)).clamp(1, self.level.values_max());
        let to = Minute(from.0.saturating_add(values * self.level.minutes())).min(self.range.end);
        (from < end).then(|| Around { range: from..to, ..self.clone() })
    }
}

impl App {
    /// Tells targets one after the other, each in parts, oldest first.
    pub(crate) fn histories_in_parts(
        &self,
        scope: &Scope,
        targets: Vec<TargetRow>,
        around: Arc<Around>,
        who: Who,
    ) -> impl Stream<Item = Result<Part, AppError>> + Send + use<> {
        let (app, scope) = (self.clone(), scope.clone());
        let from = around.range.start;
        let rest = (targets.into_iter(), None::<(TargetRow, Minute)>);
        stream::try_unfold((app, scope, rest), move |(app, scope, (mut targets, current))| {
            let around = Arc::clone(&around);
            async move {
                let Some((target, from)) =
                    current.or_else(|| targets.next().map(|target| (target, from)))
                else {
                    return Ok(None);
                };
                let named = Arc::new(TargetRef { id: target.id, name: target.name.clone() });
                let Some(part) = around.part(from, who) else {
                    return Ok(Some(((named, Vec::new()), (app, scope, (targets, None)))));
                };
                let held = app.probe_status(target.probe).await?;
                let (subject, next) = (Subject::from(&target), part.range.end);
                let told = app.history_of(&scope, (subject, held), &Arc::new(part), who).await?;
                Ok(Some(((named, told), (app, scope, (targets, Some((target, next)))))))
            }
        })
    }

    /// Lists all rounds of a range, oldest first.
    pub(crate) fn rounds_in_parts(
        &self,
        scope: &Scope,
        query: RoundQuery,
    ) -> impl Stream<Item = Result<RoundPage, AppError>> + Send + use<> {
        let (app, scope) = (self.clone(), scope.clone());
        let query = RoundQuery { limit: PART_ROUNDS_MAX, ..query };
        stream::try_unfold((app, scope, query), |(app, scope, query)| async move {
            if query.to <= query.from {
                return Ok(None);
            }
            let day = day_of(&query);
            let page = app
                .rounds(&scope, &RoundQuery { from: day.start, to: day.end, ..query.clone() })
                .await?;
            let next = match page.next {
                Some(_) => RoundQuery { after: page.next, ..query },
                None => RoundQuery { from: day.end, after: None, ..query },
            };
            Ok(Some((page, (app, scope, next))))
        })
    }
}

/// The part of a range of rounds that is read at once: a day, less what was read of it.
fn day_of(query: &RoundQuery) -> Range<UtcMicros> {
    let day = Minute(MINUTES_MAX).start().0;
    query.from..query.to.min(UtcMicros(query.from.0.saturating_add(day)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{AgentId, Name, Span};
    use store::AgentRef;

    use super::*;
    use crate::{app::buckets::Level, config::RetentionConfig};

    /// Five years at a level, of so many agents.
    fn around(level: Level, agents: u32) -> Around {
        let range = level.whole(&(Minute(7)..Minute(5 * 366 * MINUTES_MAX)));
        let agent = |id| {
            let name = Name::parse(&format!("a{id}")).expect("a name");
            (AgentId(id), (AgentRef { id: AgentId(id), name }, Minute(0)))
        };
        Around {
            level,
            now: range.end.start(),
            range,
            gaps: Arc::default(),
            lost: Arc::default(),
            agents: Arc::new((1..=agents).map(agent).collect()),
            retention: RetentionConfig::default(),
            retention_by_tier: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// What is held of a table does not grow with its range, nor with agents.
    #[test]
    fn a_part_has_few_values_and_all_parts_are_the_range() {
        let five = Level::Bucket(Span::FiveMinutes);
        for (level, agents) in [(Level::Minute, 1), (Level::Minute, 999), (five, 60), (five, 0)] {
            let around = around(level, agents);
            let (mut from, mut parts) = (around.range.start, 0);
            while let Some(part) = around.part(from, Who::Each) {
                assert_eq!(part.range.start, from, "nothing is left out or told twice");
                let values = (part.range.end.0 - from.0) / level.minutes();
                assert!(0 < values && values <= level.values_max());
                assert!(values * (i64::from(agents) + 1) <= PART_VALUES_MAX);
                (from, parts) = (part.range.end, parts + 1);
            }
            assert!(from == around.range.end && 100 < parts, "{parts}");
        }
    }
}
