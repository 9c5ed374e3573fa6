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
use model::{AgentId, ElementKind, ProbeId, TargetId, Verdict};
use store::{AgentRef, Scope, TargetQuery, TargetRow, Who};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{
    App, AppError, aside,
    history::{Subject, ToldSeries},
    tiers,
};
use crate::promql::{self, Series};
use figures::{Metric, Of, WORDS, facets_of, values};
use plan::{Plan, plan};

pub(crate) use crate::promql::{
    Answer, Fault, FaultKind, Labels, Line, NAME, Selector, Steps, parse_duration_ms,
};
pub(crate) use figures::{LABELS, metrics};
pub(crate) use plan::POINTS_MAX;

/// Targets whose history one selector may need: each is read by itself.
const TARGETS_MAX: usize = 1_000;
/// Targets that labels are listed of: more than a list shows.
const LISTED_MAX: usize = 10_000;
/// Series that are listed: more than anybody chooses from, and some 20 MB.
const LISTED_SERIES_MAX: usize = 20_000;
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
    /// Each is told once.
    pub(crate) warnings: Vec<String>,
    is_cut: bool,
}

impl<T> Listed<T> {
    fn warn(&mut self, warnings: Vec<String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// The agents that there are, and those that ask each probe, as far as it was looked up.
#[derive(Clone, Debug, Default)]
struct Asking {
    agents: BTreeMap<AgentId, AgentRef>,
    of: BTreeMap<ProbeId, Vec<AgentRef>>,
}

/// A query's right to be worked out, until a moment. It is given back when everything that was
/// begun for it has ended, though nobody waits for it any more.
#[derive(Clone, Debug)]
struct Turn {
    _permit: Arc<OwnedSemaphorePermit>,
    until: Instant,
}

impl Turn {
    fn is_late(&self) -> bool {
        self.until <= Instant::now()
    }

    fn in_time(&self) -> Result<(), PromError> {
        if self.is_late() { Err(Fault::late().into()) } else { Ok(()) }
    }

    /// Runs what takes a while away from everybody else's work.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Turn) -> Result<T, PromError> + Send + 'static,
    ) -> Result<T, PromError> {
        let turn = self.clone();
        aside(move || Ok(work(&turn))).await?
    }
}

async fn in_time<T>(
    until: Instant,
    work: impl Future<Output = Result<T, PromError>>,
) -> Result<T, PromError> {
    timeout_at(until, work).await.map_err(|_| Fault::late())?
}

/// A selector with what it is answered from.
struct Reading {
    at: usize,
    selector: Arc<Selector>,
    metrics: Vec<Metric>,
    plan: Plan,
    targets: Vec<Labelled>,
}

/// A selector with the names that it may mean, those of the present apart.
struct Named {
    selector: Arc<Selector>,
    is_counted: bool,
    metrics: Vec<Metric>,
}

impl From<&Selector> for Named {
    fn from(selector: &Selector) -> Named {
        let all = metrics().filter(|metric| selector.takes(NAME, metric.name));
        let (counts, metrics): (Vec<_>, Vec<_>) =
            all.partition(|metric| metric.of == Of::Inventory);
        Named { selector: Arc::new(selector.clone()), is_counted: !counts.is_empty(), metrics }
    }
}

impl Named {
    /// Refuses a window over what has no past.
    fn check(self) -> Result<Named, Fault> {
        if self.is_counted && self.selector.range_ms.is_some() {
            return Err(Fault::bad(
                "faultline_targets is known of the present only: ask it without a window",
            ));
        }
        Ok(self)
    }
}

impl App {
    /// Waits for the turn to work something out.
    async fn turn(&self, until: Instant) -> Result<Turn, PromError> {
        let permit = Arc::clone(&self.queries.0).acquire_owned().await;
        let permit = permit.map_err(AppError::internal)?;
        Ok(Turn { _permit: Arc::new(permit), until })
    }

    /// Works a query out and tells the answer, both away from everybody else's work.
    pub(crate) async fn prom_query<T: Send + 'static>(
        &self,
        scope: &Scope,
        text: String,
        steps: Steps,
        told: impl FnOnce(&Answer) -> Result<T, AppError> + Send + 'static,
    ) -> Result<Listed<T>, PromError> {
        let until = Instant::now() + TIME_MAX;
        let work = async {
            let turn = self.turn(until).await?;
            let parsed = turn.aside(move |_| {
                let query = promql::parse(&text)?;
                let named = query.selectors.iter().map(|selector| Named::from(selector).check());
                let named = named.collect::<Result<Vec<_>, Fault>>()?;
                Ok((query, named))
            });
            let (query, named) = parsed.await?;
            let Listed { all: read, warnings, is_cut } =
                self.prom_read(scope, &turn, named, steps).await?;
            let all = turn.aside(move |turn| {
                let answer = promql::evaluate(&query, steps, &read, &|| turn.is_late())?;
                Ok(told(&answer)?)
            });
            Ok(Listed { all: all.await?, warnings, is_cut })
        };
        in_time(until, work).await
    }

    /// Reads the series of every selector, each target once for all that need the same of it.
    ///
    /// Each is answered from what is kept of the targets that it means: a level counts as kept for
    /// as long as any of their tiers keeps it.
    async fn prom_read(
        &self,
        scope: &Scope,
        turn: &Turn,
        named: Vec<Named>,
        steps: Steps,
    ) -> Result<Listed<Vec<Vec<Series>>>, PromError> {
        let mut listed = Listed { all: Vec::new(), warnings: Vec::new(), is_cut: false };
        let mut readings: Vec<Reading> = Vec::new();
        let (now, others) = (self.now(), self.config.retention);
        let own = self.retention_by_tier(scope).await?;
        for (at, Named { selector, is_counted, metrics }) in named.into_iter().enumerate() {
            let counts =
                if is_counted { self.counts(scope, turn, &selector).await? } else { vec![] };
            listed.all.push(counts);
            if metrics.is_empty() {
                continue;
            }
            let targets = self.labelled(scope, turn, &selector, TARGETS_MAX).await?;
            if targets.is_cut {
                return Err(PromError::Fault(Fault::execution(format!(
                    "more than {TARGETS_MAX} targets have {}: narrow it by target, tier, site or \
                     tags, or ask faultline_targets for how many are in which state",
                    selector.name()
                ))));
            }
            listed.warn(targets.warnings);
            let tiers = targets.all.iter().map(|target| target.subject.tier);
            let kept = tiers::longest(&others, &own, tiers);
            let plan = plan(&selector, &metrics, steps, now, &kept)?;
            readings.push(Reading { at, selector, metrics, plan, targets: targets.all });
        }
        let mut held = 0_usize;
        while let Some(first) = readings.first() {
            let (plan, is_pair) = (first.plan.clone(), first.is_pair());
            let is_alike = |one: &Reading| one.plan == plan && one.is_pair() == is_pair;
            let (alike, others): (Vec<_>, Vec<_>) = readings.into_iter().partition(is_alike);
            let read = (&mut listed.all, &mut held);
            self.read_alike(scope, turn, &plan, alike, read).await?;
            readings = others;
        }
        Ok(listed)
    }

    /// Reads what selectors need that are answered from the same values.
    async fn read_alike(
        &self,
        scope: &Scope,
        turn: &Turn,
        plan: &Plan,
        readings: Vec<Reading>,
        (read, held): (&mut Vec<Vec<Series>>, &mut usize),
    ) -> Result<(), PromError> {
        let around = self.around(scope, plan.range.clone(), plan.level).await?;
        let now_ms = around.now.0.div_euclid(1_000);
        let who = if readings.iter().any(Reading::is_pair) { Who::Each } else { Who::Together };
        let all = readings.iter().flat_map(|reading| &reading.targets);
        let subjects: BTreeMap<TargetId, Subject> =
            all.map(|target| (target.id, target.subject)).collect();
        let probes: Vec<ProbeId> = subjects.values().map(|subject| subject.probe).collect();
        let statuses = self.probe_statuses(&probes).await?;
        let readings = Arc::new(readings);
        for ((id, subject), status) in subjects.into_iter().zip(statuses) {
            let told = self.history_of(scope, (subject, status), &around, who).await?;
            let readings = Arc::clone(&readings);
            let made = turn.aside(move |turn| {
                turn.in_time()?;
                Ok(readings.iter().map(|one| (one.at, one.told(id, &told, now_ms))).collect())
            });
            let made: Vec<(usize, Vec<Series>)> = made.await?;
            for (at, made) in made {
                let count: usize = made.iter().map(|series| series.values.len()).sum();
                *held = held.saturating_add(count);
                if let Some(all) = read.get_mut(at) {
                    all.extend(made);
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
    async fn counts(
        &self,
        scope: &Scope,
        turn: &Turn,
        selector: &Arc<Selector>,
    ) -> Result<Vec<Series>, PromError> {
        let counts = self.store.target_counts(scope).await?;
        let now_ms = self.now().0.div_euclid(1_000);
        let all = [
            (Verdict::Up.as_str(), counts.up),
            (Verdict::Degraded.as_str(), counts.degraded),
            (Verdict::Down.as_str(), counts.down),
            (Verdict::Unknown.as_str(), counts.unknown),
            ("paused", counts.paused),
        ];
        let series = all.into_iter().map(move |(state, count)| {
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
        let selector = Arc::clone(selector);
        let taken = series.filter(move |series| selector.takes_all(&series.labels));
        turn.aside(move |_| Ok(taken.collect())).await
    }

    /// The targets that a selector may mean, by name, with their labels; a warning if there are
    /// more, or if their sites are not known.
    async fn labelled(
        &self,
        scope: &Scope,
        turn: &Turn,
        selector: &Arc<Selector>,
        count_max: usize,
    ) -> Result<Listed<Vec<Labelled>>, PromError> {
        let mut listed = Listed { all: Vec::new(), warnings: Vec::new(), is_cut: false };
        let held = match self.topology(scope).await {
            Ok(held) => Some(held),
            Err(error) if selector.names("site") => return Err(error.into()),
            // A topology that cannot be read takes the sites away, not the series.
            Err(error) => {
                tracing::warn!(?error, "series are told without sites: no topology");
                listed.warnings.push(
                    "the label site is left out: the topology cannot be read, the server's log \
                     says why"
                        .to_owned(),
                );
                None
            }
        };
        let mut query = TargetQuery {
            q: selector.only("target").map(str::to_owned),
            limit: store::PAGE_ROWS_MAX,
            ..TargetQuery::default()
        };
        loop {
            let page = self.store.target_list(scope, &query).await?;
            let (selector, held) = (Arc::clone(selector), held.clone());
            let taken = turn.aside(move |turn| {
                let topology = held.as_ref().map(|held| &held.topology);
                let mut all = Vec::new();
                for row in &page.rows {
                    turn.in_time()?;
                    all.extend(taken(&selector, row, topology));
                }
                Ok(all)
            });
            listed.all.extend(taken.await?);
            if count_max < listed.all.len() {
                listed.all.truncate(count_max);
                listed.is_cut = true;
                listed.warnings.push(format!("only the first {count_max} targets are told"));
                return Ok(listed);
            }
            query.after = page.next;
            if query.after.is_none() {
                return Ok(listed);
            }
        }
    }

    /// Lists the labels of the series that there are now, and tells them.
    pub(crate) async fn prom_series<T: Send + 'static>(
        &self,
        scope: &Scope,
        texts: Vec<String>,
        told: impl FnOnce(&BTreeSet<Labels>) -> Result<T, AppError> + Send + 'static,
    ) -> Result<Listed<T>, PromError> {
        let until = Instant::now() + TIME_MAX;
        let work = async {
            let turn = self.turn(until).await?;
            let named = turn.aside(move |_| {
                let selectors = promql::parse_selectors(&texts)?;
                Ok(selectors.iter().map(Named::from).collect::<Vec<_>>())
            });
            let mut listed = Listed { all: BTreeSet::new(), warnings: Vec::new(), is_cut: false };
            let mut asking = Asking::default();
            for named in named.await? {
                if named.is_counted {
                    let counts = self.counts(scope, &turn, &named.selector).await?;
                    listed.all.extend(counts.into_iter().map(|series| series.labels));
                }
                if !named.metrics.is_empty() && !listed.is_cut {
                    listed = self.series_of(scope, &turn, named, listed, &mut asking).await?;
                }
            }
            let Listed { all, warnings, is_cut } = listed;
            let all = turn.aside(move |_| Ok(told(&all)?)).await?;
            Ok(Listed { all, warnings, is_cut })
        };
        in_time(until, work).await
    }

    /// Adds the labels of the series of targets that a selector means.
    async fn series_of(
        &self,
        scope: &Scope,
        turn: &Turn,
        named: Named,
        mut listed: Listed<BTreeSet<Labels>>,
        asking: &mut Asking,
    ) -> Result<Listed<BTreeSet<Labels>>, PromError> {
        let targets = self.labelled(scope, turn, &named.selector, TARGETS_MAX).await?;
        listed.warn(targets.warnings);
        let targets = targets.all;
        if named.metrics.iter().any(|metric| metric.of == Of::Pair) {
            self.find_asking(scope, &targets, asking).await?;
        }
        let asking = asking.clone();
        turn.aside(move |turn| {
            for target in &targets {
                turn.in_time()?;
                let agents = asking.of.get(&target.subject.probe).map_or(&[][..], Vec::as_slice);
                for metric in &named.metrics {
                    let of: Vec<_> = match metric.of {
                        Of::Target => vec![None],
                        Of::Pair => agents.iter().map(Some).collect(),
                        Of::Inventory => vec![],
                    };
                    let facets = of
                        .into_iter()
                        .flat_map(|of| facets_of(metric, &target.labels, of, &named.selector));
                    listed.all.extend(facets.map(|(_, labels)| labels));
                }
                if LISTED_SERIES_MAX < listed.all.len() {
                    listed.is_cut = true;
                    break;
                }
            }
            while LISTED_SERIES_MAX < listed.all.len() {
                listed.all.pop_last();
            }
            if listed.is_cut {
                listed.warn(vec![format!("only {LISTED_SERIES_MAX} series are told")]);
            }
            Ok(listed)
        })
        .await
    }

    /// Finds the agents that ask targets, of each probe once.
    async fn find_asking(
        &self,
        scope: &Scope,
        targets: &[Labelled],
        asking: &mut Asking,
    ) -> Result<(), PromError> {
        if asking.agents.is_empty() {
            let agents = self.store.agent_list(scope).await?.into_iter();
            let agents =
                agents.map(|agent| (agent.id, AgentRef { id: agent.id, name: agent.name }));
            asking.agents = agents.collect();
        }
        let probes = targets.iter().map(|target| target.subject.probe);
        let probes: Vec<_> = probes.filter(|probe| !asking.of.contains_key(probe)).collect();
        for status in self.probe_statuses(&probes).await? {
            let agents = status.pairs.iter().filter_map(|pair| asking.agents.get(&pair.agent));
            asking.of.insert(status.probe, agents.cloned().collect());
        }
        Ok(())
    }

    /// Lists the values that a label has now.
    pub(crate) async fn prom_values(
        &self,
        scope: &Scope,
        label: &str,
    ) -> Result<Listed<BTreeSet<String>>, PromError> {
        let until = Instant::now() + TIME_MAX;
        in_time(until, self.values_of(scope, label, until)).await
    }

    async fn values_of(
        &self,
        scope: &Scope,
        label: &str,
        until: Instant,
    ) -> Result<Listed<BTreeSet<String>>, PromError> {
        let mut listed = Listed { all: BTreeSet::new(), warnings: Vec::new(), is_cut: false };
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
            "agent_id" => {
                let agents = self.store.agent_list(scope).await?;
                listed.all.extend(agents.into_iter().map(|agent| agent.id.to_string()));
            }
            "target" | "target_id" | "site" | "tags" => {
                let turn = self.turn(until).await?;
                let any = Arc::new(Selector::any());
                let targets = self.labelled(scope, &turn, &any, LISTED_MAX).await?;
                listed.warnings = targets.warnings;
                let values = targets.all.iter().map(|target| target.labels.get(label).to_owned());
                listed.all.extend(values.filter(|value| !value.is_empty()));
            }
            _ => {}
        }
        Ok(listed)
    }
}

impl Reading {
    fn is_pair(&self) -> bool {
        self.metrics.iter().any(|metric| metric.of == Of::Pair)
    }

    /// The series of one target, if it is asked for.
    fn told(&self, id: TargetId, told: &[ToldSeries], now_ms: i64) -> Vec<Series> {
        let target = self.targets.iter().find(|target| target.id == id);
        let all = target.into_iter().flat_map(|target| told.iter().map(move |one| (target, one)));
        all.flat_map(|(target, one)| self.series(target, one, now_ms)).collect()
    }

    /// The series of one target that are asked for, of all agents together or of one.
    fn series(&self, target: &Labelled, told: &ToldSeries, now_ms: i64) -> Vec<Series> {
        let of = if told.agent.is_some() { Of::Pair } else { Of::Target };
        let mut all = Vec::new();
        for metric in self.metrics.iter().filter(|metric| metric.of == of) {
            let facets = facets_of(metric, &target.labels, told.agent.as_ref(), &self.selector);
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

/// A target with its labels, if a selector may mean it.
fn taken(selector: &Selector, row: &TargetRow, topology: Option<&Topology>) -> Option<Labelled> {
    if !selector.takes("target", row.name.as_str())
        || !selector.takes("tier", row.tier.name.as_str())
    {
        return None;
    }
    let target = labelled(row, topology);
    let mut labels = ["target_id", "site", "tags"].iter();
    labels.all(|label| selector.takes(label, target.labels.get(label))).then_some(target)
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
