//! Maintenance: windows planned, changed, ended and looked at beforehand.
//!
//! What has begun is history: its time and what it covers stay, so that minutes which were marked
//! as maintenance stay marked. It can be ended, extended and cancelled; another one can be planned.

use std::collections::BTreeSet;

use engine::{
    graph::{Topology, document::name_of},
    live::{Reach, Works},
};
use model::{
    Amended, Cover, CoverKind, Day, ElementKind, IncidentId, MaintenanceId, Occurrence, TargetId,
    UtcMicros, Window,
    maintenance::{AMENDED_MAX, DURATION_MAX},
};
use store::{MaintenanceDraft, MaintenanceRow, Scope, TargetRow};

use super::{App, AppError, FieldError, Fields, aside, diagnosis::ShownState, topology::Held};

/// Occurrences that a preview shows.
const NEXT_MAX: usize = 10;
/// Names that a preview lists of each kind; how many there are is said beside it.
const NAMES_MAX: usize = 100;
/// So long ago a window may begin when it is made: whoever began to work and thought of it then.
const BACKDATED_US_MAX: i64 = 86_400_000_000;
/// The longest time that spans are asked for: more than a year is a report.
pub(crate) const SPANS_US_MAX: i64 = 400 * 86_400_000_000;

/// What would be silent, what would still be recorded, and what stands against it.
#[derive(Debug, Default)]
pub(crate) struct Preview {
    pub(crate) is_all: bool,
    pub(crate) targets: Vec<String>,
    pub(crate) targets_total: usize,
    pub(crate) devices: Vec<String>,
    pub(crate) devices_total: usize,
    pub(crate) customers: u64,
    /// What names nothing that there is.
    pub(crate) unknown: Vec<Cover>,
    pub(crate) occurrences: Vec<Occurrence>,
    /// Open incidents that it reaches: people know them, and their all-clear will speak.
    pub(crate) open: Vec<(IncidentId, String)>,
}

/// When a window covers something.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) id: MaintenanceId,
    pub(crate) title: String,
    pub(crate) time: Occurrence,
}

fn conflict(reason: &str) -> AppError {
    AppError::Conflict(FieldError::new("", reason))
}

fn names(covers: &[Cover], kind: CoverKind) -> Vec<String> {
    let of_kind = covers.iter().filter(|cover| cover.kind() == kind);
    of_kind.map(|cover| cover.name().to_owned()).collect()
}

impl App {
    /// Windows that are open or planned, by their start.
    pub(crate) async fn maintenance_live(
        &self,
        scope: &Scope,
    ) -> Result<Vec<MaintenanceRow>, AppError> {
        let time = Occurrence { start: self.clock.now(), end: UtcMicros(i64::MAX) };
        Ok(self.store.maintenance_within(scope, time).await?)
    }

    /// Windows that are over, the newest first.
    pub(crate) async fn maintenance_past(
        &self,
        scope: &Scope,
        page: (Option<u64>, u32),
    ) -> Result<Vec<MaintenanceRow>, AppError> {
        Ok(self.store.maintenance_past(scope, self.clock.now(), page).await?)
    }

    pub(crate) async fn maintenance(
        &self,
        scope: &Scope,
        id: MaintenanceId,
    ) -> Result<MaintenanceRow, AppError> {
        Ok(self.store.maintenance_get(scope, id).await?)
    }

    pub(crate) async fn maintenance_create(
        &self,
        scope: &Scope,
        draft: &MaintenanceDraft,
    ) -> Result<MaintenanceRow, AppError> {
        let now = self.clock.now();
        check_time(&draft.window, now)?;
        let row = self.store.maintenance_create(scope, draft, now).await?;
        self.diagnosis.maintenance_changed(scope.org);
        Ok(row)
    }

    /// Makes a window what `draft` says.
    ///
    /// # Errors
    ///
    /// [`AppError::Conflict`] if it has begun and more than words and later days would change.
    pub(crate) async fn maintenance_update(
        &self,
        scope: &Scope,
        before: &MaintenanceRow,
        draft: &MaintenanceDraft,
    ) -> Result<MaintenanceRow, AppError> {
        let now = self.clock.now();
        let (old, new) = (&before.draft.window, &draft.window);
        let has_begun = old.start() <= now;
        if has_begun {
            let time = |window: &Window| {
                let rule = window.rule().map(ToString::to_string);
                (window.start(), window.end(), window.zone().as_str().to_owned(), rule)
            };
            if time(old) != time(new) || before.draft.covers != draft.covers {
                return Err(conflict(
                    "it has begun: its time and what it covers stay, so that what was recorded \
                     stays true; end or cancel it, and plan another one",
                ));
            }
            if past_days(old, now) != past_days(new, now) {
                return Err(conflict("days that are past stay as they were"));
            }
        } else {
            check_time(new, now)?;
        }
        let kept = (old.amendments().to_vec(), old.cancelled_at());
        let window = draft.window.clone().amended(kept.0, kept.1);
        let draft = MaintenanceDraft { window, ..draft.clone() };
        self.maintenance_put(scope, before, &draft, "maintenance.update", now).await
    }

    /// Calls a window off: what runs ends now, and there is nothing more of it.
    pub(crate) async fn maintenance_cancel(
        &self,
        scope: &Scope,
        id: MaintenanceId,
    ) -> Result<MaintenanceRow, AppError> {
        let now = self.clock.now();
        let before = self.store.maintenance_get(scope, id).await?;
        let window = &before.draft.window;
        if window.cancelled_at().is_some() {
            return Err(conflict("it is cancelled already"));
        }
        if window.ends().is_some_and(|ends| ends <= now) {
            return Err(conflict("it is over: there is nothing to cancel"));
        }
        let window = window.clone().amended(window.amendments().to_vec(), Some(now));
        let draft = MaintenanceDraft { window, ..before.draft.clone() };
        self.maintenance_put(scope, &before, &draft, "maintenance.cancel", now).await
    }

    /// Lets what runs of it end at `until`, or now: then all that runs ends.
    pub(crate) async fn maintenance_end_at(
        &self,
        scope: &Scope,
        id: MaintenanceId,
        until: Option<UtcMicros>,
    ) -> Result<MaintenanceRow, AppError> {
        let now = self.clock.now();
        let before = self.store.maintenance_get(scope, id).await?;
        let window = &before.draft.window;
        let mut ended = window.running(now);
        let Some(running) = ended.last().copied() else {
            return Err(conflict("it is not open now"));
        };
        if until.is_some() {
            ended = vec![running];
        }
        let end = until.unwrap_or(now);
        let mut fields = Fields::default();
        if until.is_some() && end <= running.end {
            fields.refuse("until", format!("is not later than its end, {}", running.end));
        }
        if DURATION_MAX < end.since(running.start) {
            fields.refuse("until", "is more than 31 days after its start: plan another window");
        }
        fields.check()?;
        let mut amended = window.amendments().to_vec();
        amended.retain(|one| ended.iter().all(|ended| ended.start != one.start));
        if AMENDED_MAX < amended.len() + ended.len() {
            return Err(conflict("it was ended early or extended 1,000 times: plan another one"));
        }
        amended.extend(ended.iter().map(|one| Amended { start: one.start, end }));
        let window = window.clone().amended(amended, window.cancelled_at());
        let draft = MaintenanceDraft { window, ..before.draft.clone() };
        let action = if until.is_some() { "maintenance.extend" } else { "maintenance.end" };
        self.maintenance_put(scope, &before, &draft, action, now).await
    }

    async fn maintenance_put(
        &self,
        scope: &Scope,
        before: &MaintenanceRow,
        draft: &MaintenanceDraft,
        action: &str,
        now: UtcMicros,
    ) -> Result<MaintenanceRow, AppError> {
        let row = self.store.maintenance_set(scope, before, draft, (action, now)).await?;
        self.diagnosis.maintenance_changed(scope.org);
        Ok(row)
    }

    /// Says what a window would do.
    pub(crate) async fn maintenance_preview(
        &self,
        scope: &Scope,
        draft: &MaintenanceDraft,
    ) -> Result<Preview, AppError> {
        let now = self.clock.now();
        let time = (now, UtcMicros(i64::MAX));
        let occurrences = draft.window.occurrences(time, NEXT_MAX);
        let covers = &draft.covers;
        let (mut targets, mut unknown) = self.maintenance_named(scope, covers).await?;
        let mut preview = Preview { occurrences, ..Preview::default() };
        preview.is_all = covers.iter().any(|cover| cover.kind() == CoverKind::All);
        if let Ok(held) = self.topology(scope).await {
            let topology = &held.topology;
            let is_unknown = |id: &String| topology.find(id).is_none();
            let elements = names(covers, CoverKind::Element).into_iter().filter(is_unknown);
            unknown.extend(elements.filter_map(|id| Cover::parse(CoverKind::Element, &id).ok()));
            let named: Vec<String> = targets.iter().cloned().collect();
            let reach = Reach::of(topology, &works(covers, named));
            let reached = reach.of_kind(topology, ElementKind::Target);
            targets.extend(reached.into_iter().map(|ix| name_of(topology, ix).to_owned()));
            let devices = reach.devices(topology);
            preview.devices_total = devices.len();
            let customers = devices.iter().filter_map(|ix| topology.get(*ix));
            preview.customers = customers.map(|device| device.customers).sum();
            let ids = devices.iter().map(|ix| topology.id(*ix).to_owned());
            preview.devices = ids.take(NAMES_MAX).collect();
            preview.open = self.reached_now(scope, topology, &reach);
        }
        preview.targets_total = targets.len();
        if preview.is_all {
            let counts = self.store.target_counts(scope).await?;
            preview.targets_total = usize::try_from(counts.total).unwrap_or(usize::MAX);
        }
        preview.targets = targets.into_iter().take(NAMES_MAX).collect();
        preview.unknown = unknown;
        Ok(preview)
    }

    /// Targets that are covered by name or tag, and covers of that sort that name nothing.
    async fn maintenance_named(
        &self,
        scope: &Scope,
        covers: &[Cover],
    ) -> Result<(BTreeSet<String>, Vec<Cover>), AppError> {
        let wanted = names(covers, CoverKind::Target);
        let there = self.store.targets_by_name(scope, &wanted).await?;
        let mut targets: BTreeSet<String> =
            there.into_iter().map(|of| of.name.to_string()).collect();
        let is_missing = |name: &&String| !targets.contains(*name);
        let missing = wanted.iter().filter(is_missing);
        let mut unknown: Vec<Cover> =
            missing.filter_map(|name| Cover::parse(CoverKind::Target, name).ok()).collect();
        for tag in names(covers, CoverKind::Tag) {
            let tagged = self.store.target_names_tagged(scope, std::slice::from_ref(&tag)).await?;
            if tagged.is_empty() {
                unknown.extend(Cover::parse(CoverKind::Tag, &tag).ok());
            }
            targets.extend(tagged);
        }
        Ok((targets, unknown))
    }

    /// Open incidents whose likeliest cause a window reaches.
    fn reached_now(
        &self,
        scope: &Scope,
        topology: &Topology,
        reach: &Reach,
    ) -> Vec<(IncidentId, String)> {
        let Some(shown) = self.diagnosis.of(scope.org) else { return Vec::new() };
        let ShownState::Judged(report) = &shown.state else { return Vec::new() };
        let open = report.incidents.iter().filter(|told| told.is_open);
        let reached = open.filter_map(|told| {
            let id = *shown.numbers.get(&told.id)?;
            let elements = told.causes.first()?.elements.iter();
            let elements: Vec<_> = elements.filter_map(|id| topology.find(id)).collect();
            reach.holds_one(&elements).then(|| (id, told.sentence.clone()))
        });
        reached.take(NAMES_MAX).collect()
    }

    /// When windows cover a target, by their start: the marks of its minutes.
    ///
    /// What stands behind what is by the topology as it is now.
    pub(crate) async fn maintenance_spans(
        &self,
        scope: &Scope,
        target: TargetId,
        time: Occurrence,
    ) -> Result<Vec<Span>, AppError> {
        let row = self.store.target_get(scope, target).await?;
        let held = self.topology(scope).await.ok();
        let windows = self.store.maintenance_within(scope, time).await?;
        aside(move || Ok(spans_of(&row, &windows, held.as_deref(), time))).await
    }
}

/// When these windows cover a target.
fn spans_of(
    row: &TargetRow,
    windows: &[MaintenanceRow],
    held: Option<&Held>,
    time: Occurrence,
) -> Vec<Span> {
    let covers = |window: &&MaintenanceRow| {
        is_covered(&window.draft.covers, row.name.as_str(), &row.tags, held)
    };
    let spans = windows.iter().filter(covers).flat_map(|window| {
        let MaintenanceDraft { window: times, title, .. } = &window.draft;
        let times = times.occurrences((time.start, time.end), usize::MAX);
        times.into_iter().map(|time| Span { id: window.id, title: title.clone(), time })
    });
    let mut spans: Vec<Span> = spans.collect();
    spans.sort_by_key(|span| (span.time, span.id));
    spans
}

/// A window without its time.
fn works(covers: &[Cover], targets: Vec<String>) -> Works {
    Works {
        id: MaintenanceId(0),
        open: Occurrence { start: UtcMicros(0), end: UtcMicros(0) },
        elements: names(covers, CoverKind::Element),
        targets,
        is_all: covers.iter().any(|cover| cover.kind() == CoverKind::All),
    }
}

fn is_covered(covers: &[Cover], target: &str, tags: &[model::Name], held: Option<&Held>) -> bool {
    let is_named = covers.iter().any(|cover| match cover.kind() {
        CoverKind::All => true,
        CoverKind::Target => cover.name() == target,
        CoverKind::Tag => tags.iter().any(|tag| tag.as_str() == cover.name()),
        CoverKind::Element => false,
    });
    let has_element = covers.iter().any(|cover| cover.kind() == CoverKind::Element);
    is_named
        || held.filter(|_| has_element).is_some_and(|held| {
            let reach = Reach::of(&held.topology, &works(covers, Vec::new()));
            let reached = reach.of_kind(&held.topology, ElementKind::Target);
            reached.into_iter().any(|ix| name_of(&held.topology, ix) == target)
        })
}

fn check_time(window: &Window, now: UtcMicros) -> Result<(), AppError> {
    let mut fields = Fields::default();
    if window.ends().is_some_and(|ends| ends <= now) {
        fields.refuse("end", format!("is past: nothing would be silent; here it is {now}"));
    }
    if window.start().0 < now.0 - BACKDATED_US_MAX {
        fields.refuse("start", format!("is more than a day ago; here it is {now}"));
    }
    fields.check()
}

/// Days that are left out and are past, by the clocks of the zone.
fn past_days(window: &Window, now: UtcMicros) -> Vec<Day> {
    let today = window.zone().day(now);
    window.except().iter().copied().filter(|day| *day <= today).collect()
}
