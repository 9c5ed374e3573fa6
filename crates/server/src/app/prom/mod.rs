//! The history as series that Prometheus's clients read.
//!
//! Names and labels are those of [`figures`]; labels are what they are today, also on old values.
//! A query is read by [`promql`], answered from values that [`plan`] chooses, and worked out away
//! from everybody else's work. It is bounded in series, values and time.

mod figures;
mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use engine::graph::{Topology, document::own_id};
use model::{ElementKind, TargetId, Verdict};
use store::{Scope, TargetQuery, TargetRow, Who};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{
    App, AppError, aside,
    history::{Subject, ToldSeries},
};
use crate::promql::{self, Query, Series, evaluate};
use figures::{Metric, Of, WORDS, facets_of, values};
use plan::{Plan, plan};

pub(crate) use crate::promql::{
    Answer, Fault, FaultKind, Labels, Line, NAME, Selector, Steps, parse as parse_query,
    parse_duration_ms, parse_selector,
};
pub(crate) use figures::{LABELS, metrics};
pub(crate) use plan::POINTS_MAX;

/// Targets whose history one selector may need: each is read by itself.
const TARGETS_MAX: usize = 1_000;
/// Targets that labels are listed of: more than a list shows.
const LISTED_MAX: usize = 10_000;
/// Values held for one query, of all its selectors: 48 MB of them.
const VALUES_MAX: usize = 3_000_000;
/// The longest that one query may take; what is asked again every half minute must not pile up.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Queries at once: a dashboard asks a dozen, and each may take a core.
const AT_ONCE_MAX: usize = 2;
/// How many targets there are is known of the present only.
const NOW_MS: i64 = 5 * 60_000;

/// Why a query has no answer.
#[derive(Debug)]
pub(crate) enum PromError {
    Fault(Fault),
    /// It took longer than [`TIME_MAX`], or did not come to its turn in that time.
    Late,
    App(AppError),
}

impl From<Fault> for PromError {
    fn from(fault: Fault) -> PromError {
        PromError::Fault(fault)
    }
}

impl<E: Into<AppError>> From<E> for PromError {
    fn from(error: E) -> PromError {
        PromError::App(error.into())
    }
}

/// Who may work a query out.
#[derive(Clone, Debug)]
pub(crate) struct Queries(Arc<Semaphore>);

impl Default for Queries {
    fn default() -> Queries {
        Queries(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

/// A target with what its series are labelled by.
#[derive(Clone, Debug)]
struct Labelled {
    id: TargetId,
    subject: Subject,
    labels: Labels,
}

/// What is listed of series, and whether it is all.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) all: T,
    pub(crate) warnings: Vec<String>,
}

/// A selector with what it is answered from.
struct Reading<'a> {
    at: usize,
    selector: &'a Selector,
    metrics: Vec<Metric>,
    plan: Plan,
    targets: Vec<Labelled>,
}

impl App {
    /// Works a query out.
    pub(crate) async fn prom_query(
        &self,
        scope: &Scope,
        query: Query,
        steps: Steps,
    ) -> Result<Answer, PromError> {
        let work = async {
            let permit = self.queries.0.acquire().await;
            let _permit = permit.map_err(AppError::internal)?;
            let read = self.prom_read(scope, &query, steps).await?;
            // A fault is no error of ours: it comes back as it is.
            Ok(aside(move || Ok(evaluate(&query, steps, &read))).await??)
        };
        timeout(TIME_MAX, work).await.map_err(|_| PromError::Late)?
    }

    /// Reads the series of every selector, each target once for all that need the same of it.
    async fn prom_read(
        &self,
        scope: &Scope,
        query: &Query,
        steps: Steps,
    ) -> Result<Vec<Vec<Series>>, PromError> {
        let mut read: Vec<Vec<Series>> = Vec::new();
        let mut readings: Vec<Reading<'_>> = Vec::new();
        for (at, selector) in query.selectors.iter().enumerate() {
            let all: Vec<Metric> =
                metrics().filter(|metric| selector.takes(NAME, metric.name)).collect();
            let (counts, metrics): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|metric| metric.of == Of::Inventory);
            read.push(if counts.is_empty() {
                vec![]
            } else {
                self.counts(scope, selector).await?
            });
            if metrics.is_empty() {
                continue;
            }
            let plan = plan(selector, &metrics, steps, self.now(), &self.config.retention)?;
            let targets = self.labelled(scope, selector, TARGETS_MAX).await?;
            if !targets.warnings.is_empty() {
                return Err(PromError::Fault(Fault::execution(format!(
                    "more than {TARGETS_MAX} targets have {}: narrow it by target, tier, site or \
                     tags, or ask faultline_targets for how many are in which state",
                    selector.name()
                ))));
            }
            readings.push(Reading { at, selector, metrics, plan, targets: targets.all });
        }
        let mut held = 0_usize;
        while let Some(first) = readings.first() {
            let (plan, is_pair) = (first.plan.clone(), first.is_pair());
            let is_alike = |one: &Reading<'_>| one.plan == plan && one.is_pair() == is_pair;
            let (alike, others): (Vec<_>, Vec<_>) = readings.into_iter().partition(is_alike);
            self.read_alike(scope, &plan, &alike, (&mut read, &mut held)).await?;
            readings = others;
        }
        Ok(read)
    }

    /// Reads what selectors need that are answered from the same values.
    async fn read_alike(
        &self,
        scope: &Scope,
        plan: &Plan,
        readings: &[Reading<'_>],
        (read, held): (&mut [Vec<Series>], &mut usize),
    ) -> Result<(), PromError> {
        let around = self.around(scope, plan.range.clone(), plan.level).await?;
        let who = if readings.iter().any(Reading::is_pair) { Who::Each } else { Who::Together };
        let all = readings.iter().flat_map(|reading| &reading.targets);
        let subjects: BTreeMap<TargetId, Subject> =
            all.map(|target| (target.id, target.subject)).collect();
        for (id, subject) in subjects {
            let told = self.history_of(scope, subject, &around, who).await?;
            for reading in readings {
                let Some(target) = reading.targets.iter().find(|target| target.id == id) else {
                    continue;
                };
                for series in &told {
                    let made = reading.series(target, series, around.now.0.div_euclid(1_000));
                    let count: usize = made.iter().map(|series| series.values.len()).sum();
                    *held = held.saturating_add(count);
                    if let Some(all) = read.get_mut(reading.at) {
                        all.extend(made);
                    }
                }
            }
            if VALUES_MAX < *held {
                return Err(PromError::Fault(Fault::execution(format!(
                    "the query needs more than {VALUES_MAX} values: ask for fewer targets, a \
                     longer step or a shorter range"
                ))));
            }
        }
        Ok(())
    }

    /// How many targets are what right now.
    async fn counts(&self, scope: &Scope, selector: &Selector) -> Result<Vec<Series>, PromError> {
        let counts = self.store.target_counts(scope).await?;
        let now_ms = self.now().0.div_euclid(1_000);
        let all = [
            (Verdict::Up.as_str(), counts.up),
            (Verdict::Degraded.as_str(), counts.degraded),
            (Verdict::Down.as_str(), counts.down),
            (Verdict::Unknown.as_str(), counts.unknown),
            ("paused", counts.paused),
        ];
        let series = all.into_iter().map(|(state, count)| {
            let mut labels = Labels::default();
            labels.set(&WORDS.name, &"faultline_targets".into());
            labels.set(&WORDS.state, &state.into());
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            Series {
                labels,
                // Told a while ago and due in a while: clocks and steps are not quite ours.
                start_ms: now_ms - 3 * NOW_MS,
                span_ms: 2 * NOW_MS,
                now_ms: i64::MAX,
                values: vec![Some(f64::from(count))],
                pending_from: 1,
                is_counter: false,
            }
        });
        Ok(series.filter(|series| selector.takes_all(&series.labels)).collect())
    }

    /// The targets that a selector may mean, by name, with their labels; a warning if there are
    /// more.
    async fn labelled(
        &self,
        scope: &Scope,
        selector: &Selector,
        count_max: usize,
    ) -> Result<Listed<Vec<Labelled>>, PromError> {
        // A topology that cannot be read takes the sites away, not the series.
        let held = self.topology(scope).await.ok();
        let topology = held.as_ref().map(|held| &held.topology);
        let mut query = TargetQuery {
            q: selector.only("target").map(str::to_owned),
            limit: store::PAGE_ROWS_MAX,
            ..TargetQuery::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.store.target_list(scope, &query).await?;
            for row in &page.rows {
                if !selector.takes("target", row.name.as_str())
                    || !selector.takes("tier", row.tier.name.as_str())
                {
                    continue;
                }
                let target = labelled(row, topology);
                let is_taken = ["target_id", "site", "tags"]
                    .iter()
                    .all(|label| selector.takes(label, target.labels.get(label)));
                if is_taken && all.len() == count_max {
                    let warnings = vec![format!("only the first {count_max} targets are told")];
                    return Ok(Listed { all, warnings });
                }
                all.extend(is_taken.then_some(target));
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(Listed { all, warnings: Vec::new() });
            }
        }
    }

    /// Lists the labels of the series that there are now.
    pub(crate) async fn prom_series(
        &self,
        scope: &Scope,
        selectors: &[Selector],
    ) -> Result<Listed<BTreeSet<Labels>>, PromError> {
        let mut listed = Listed { all: BTreeSet::new(), warnings: Vec::new() };
        for selector in selectors {
            for series in self.counts(scope, selector).await? {
                listed.all.insert(series.labels);
            }
            let metrics: Vec<Metric> =
                metrics().filter(|metric| selector.takes(NAME, metric.name)).collect();
            let targets = self.labelled(scope, selector, TARGETS_MAX).await?;
            listed.warnings.extend(targets.warnings);
            let is_pair = metrics.iter().any(|metric| metric.of == Of::Pair);
            let agents = if is_pair { self.store.agent_list(scope).await? } else { Vec::new() };
            for target in targets.all {
                let pairs = match is_pair {
                    true => self.probe_status(target.subject.probe).await?.pairs,
                    false => Vec::new(),
                };
                let asking = pairs.iter().filter_map(|pair| {
                    let agent = agents.iter().find(|agent| agent.id == pair.agent)?;
                    Some(store::AgentRef { id: agent.id, name: agent.name.clone() })
                });
                let asking: Vec<_> = asking.collect();
                for metric in &metrics {
                    let of: Vec<_> = match metric.of {
                        Of::Target => vec![None],
                        Of::Pair => asking.iter().map(Some).collect(),
                        Of::Inventory => vec![],
                    };
                    let series = of.into_iter();
                    let series =
                        series.flat_map(|of| facets_of(metric, &target.labels, of, selector));
                    listed.all.extend(series.map(|(_, labels)| labels));
                }
            }
        }
        Ok(listed)
    }

    /// Lists the values that a label has now.
    pub(crate) async fn prom_values(
        &self,
        scope: &Scope,
        label: &str,
    ) -> Result<Listed<BTreeSet<String>>, PromError> {
        let mut listed = Listed { all: BTreeSet::new(), warnings: Vec::new() };
        match label {
            NAME => listed.all.extend(metrics().map(|metric| metric.name.to_owned())),
            "stat" => {
                listed.all.extend(figures::STATS.map(|stat| stat.as_str().to_owned()));
            }
            "state" => {
                listed.all.extend(Verdict::ALL.map(|verdict| verdict.as_str().to_owned()));
                listed.all.insert("paused".to_owned());
            }
            "tier" => {
                let tiers = self.store.tier_list(scope).await?;
                listed.all.extend(tiers.into_iter().map(|row| row.tier.name.to_string()));
            }
            "agent" => {
                let agents = self.store.agent_list(scope).await?;
                listed.all.extend(agents.into_iter().map(|agent| agent.name.to_string()));
            }
            "target" | "target_id" | "site" | "tags" => {
                let any = promql::parse_selector("faultline_target_up")?;
                let targets = self.labelled(scope, &any, LISTED_MAX).await?;
                listed.warnings = targets.warnings;
                let values = targets.all.iter().map(|target| target.labels.get(label).to_owned());
                listed.all.extend(values.filter(|value| !value.is_empty()));
            }
            _ => {}
        }
        Ok(listed)
    }
}

impl Reading<'_> {
    fn is_pair(&self) -> bool {
        self.metrics.iter().any(|metric| metric.of == Of::Pair)
    }

    /// The series of one target that are asked for, of all agents together or of one.
    fn series(&self, target: &Labelled, told: &ToldSeries, now_ms: i64) -> Vec<Series> {
        let of = if told.agent.is_some() { Of::Pair } else { Of::Target };
        let mut all = Vec::new();
        for metric in self.metrics.iter().filter(|metric| metric.of == of) {
            let facets = facets_of(metric, &target.labels, told.agent.as_ref(), self.selector);
            for (facet, labels) in facets {
                let (values, pending_from) = values(told, metric.figure, facet);
                all.push(Series {
                    labels,
                    start_ms: self.plan.range.start.start().0.div_euclid(1_000),
                    span_ms: self.plan.level.minutes().saturating_mul(60_000),
                    now_ms,
                    values,
                    pending_from,
                    is_counter: metric.is_counter,
                });
            }
        }
        all
    }
}

/// The labels of a target as it is now.
///
/// Tags are one label, each between commas, so that `tags=~".*,core,.*"` finds one of them.
fn labelled(row: &TargetRow, topology: Option<&Topology>) -> Labelled {
    let words = &*WORDS;
    let mut labels = Labels::default();
    labels.set(&words.target, &row.name.as_str().into());
    labels.set(&words.target_id, &row.id.to_string().into());
    labels.set(&words.tier, &row.tier.name.as_str().into());
    if !row.tags.is_empty() {
        let tags: Vec<&str> = row.tags.iter().map(model::Name::as_str).collect();
        labels.set(&words.tags, &format!(",{},", tags.join(",")).into());
    }
    if let Some(site) = topology.and_then(|topology| site_of(topology, row.name.as_str())) {
        labels.set(&words.site, &site.into());
    }
    Labelled { id: row.id, subject: Subject::from(row), labels }
}

/// Where the device stands that a target stands behind.
fn site_of<'a>(topology: &'a Topology, target: &str) -> Option<&'a str> {
    let is_other =
        |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
    let target = topology.find(&own_id(target, is_other))?;
    let host = topology.host(target)?;
    Some(topology.id(topology.get(host)?.site?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_is_there_for_each_name_and_each_name_is_one() {
        let names: BTreeSet<&str> = metrics().map(|metric| metric.name).collect();
        assert_eq!(names.len(), metrics().count());
        for metric in metrics() {
            assert_eq!(metric.name.ends_with("_total"), metric.is_counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
