//! The network as its operator describes it: read, changed part by part, taken over from files,
//! given away as files, and the paths that follow from it.
//!
//! What a topology may be is the engine's business; here it is read whole, changed in memory,
//! checked, and what differs is stored.

use std::{collections::BTreeMap, sync::Arc};

use engine::graph::{
    Draft, ElementIx, PathBook, PathSet, Topology,
    document::{
        self, Difference, Document, Fault, Format, Part, PartKey, Section, Written, own_id,
    },
};
use engine::rca::SinglePoint;
use model::{ElementKind, OrgId, UtcMicros};
use store::{Scope, TopologyEdit, TopologyPart};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::diagnosis::Shown;
use super::unknown::Known;
use super::{App, AppError, FieldError, aside};

/// Single points, with the agents that were absent when they were looked for.
pub(super) type PointsFound = (Vec<ElementIx>, Arc<Vec<SinglePoint>>);

/// A topology in force.
#[derive(Debug)]
pub(crate) struct Held {
    /// Of the inventory, at the last change; 0 before the first.
    pub(crate) version: u64,
    pub(crate) updated_at: Option<UtcMicros>,
    pub(crate) draft: Draft,
    pub(crate) parts: Vec<Part>,
    pub(crate) topology: Topology,
    /// Once somebody asked.
    pub(super) single_points: std::sync::Mutex<Option<PointsFound>>,
}

/// The topologies as they were read last, and the right to change one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topologies {
    held: Arc<std::sync::Mutex<BTreeMap<OrgId, Arc<Held>>>>,
    /// Held from reading to storing, so that two who change it at once both succeed.
    order: Arc<Mutex<()>>,
    /// Whose turn it is to ask what would be lost.
    pub(super) questions: Arc<Mutex<()>>,
}

/// What becomes of the parts that a file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportMode {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

/// What an import does, or would do.
#[derive(Debug, Default)]
pub(crate) struct TopologyImport {
    pub(crate) difference: Difference,
    /// Why nothing was done.
    pub(crate) faults: Vec<Fault>,
    /// What is probably a mistake and harmless.
    pub(crate) doubts: Vec<String>,
    /// Names that the inventory does not have.
    pub(crate) warnings: Vec<String>,
}

/// What a pair crosses, by ids.
#[derive(Debug)]
pub(crate) struct PairPaths {
    pub(crate) held: Arc<Held>,
    pub(crate) set: PathSet,
}

impl Held {
    fn of(row: &store::TopologyRow) -> Result<Held, AppError> {
        let parts = row
            .parts
            .iter()
            .filter_map(|part| Some((Section::parse(&part.section)?, part.body.as_str())));
        let draft = Draft::from_parts(parts).map_err(|faults| damaged(&faults))?;
        let document = Document::from(draft);
        let topology = document.build().map_err(|faults| damaged(&faults))?;
        let Document { draft, .. } = document;
        let parts = draft.to_parts();
        Ok(Held {
            version: row.version,
            updated_at: row.updated_at,
            draft,
            parts,
            topology,
            single_points: std::sync::Mutex::new(None),
        })
    }

    /// One that cannot be read, to be replaced: nothing is known but what its parts are called.
    /// What they are is not: no part that is written anew is as it was.
    fn unread(mut row: store::TopologyRow) -> Result<Held, AppError> {
        let part = |part: TopologyPart| {
            let key = PartKey { section: Section::parse(&part.section)?, id: part.id };
            Some(Part { key, kind: ElementKind::Target, json: part.body })
        };
        let stored = std::mem::take(&mut row.parts).into_iter();
        let mut parts: Vec<Part> = stored.filter_map(part).collect();
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Held { parts, ..Held::of(&row)? })
    }

    pub(crate) fn part(&self, key: &PartKey) -> Option<&Part> {
        let at = self.parts.binary_search_by(|part| part.key.cmp(key)).ok()?;
        self.parts.get(at)
    }
}

/// The database holds a topology that was never stored by us.
fn damaged(faults: &[Fault]) -> AppError {
    let first = faults.first().map(Fault::to_string).unwrap_or_default();
    AppError::internal(format!(
        "the stored topology cannot be read: {first}. Remedy: import the whole topology again with \
         `faultline topology import --replace`, or restore a backup"
    ))
}

fn invalid(faults: &[Fault]) -> AppError {
    let field = |fault: &Fault| {
        let line = fault.line.filter(|line| 0 < *line).map(|line| format!("line {line}"));
        let place = Some(fault.place.clone()).filter(|place| !place.is_empty());
        let field: Vec<String> = line.into_iter().chain(place).collect();
        FieldError::new(field.join(": "), fault.reason.clone())
    };
    AppError::Invalid(faults.iter().map(field).collect())
}

impl App {
    /// Returns the topology in force.
    pub(crate) async fn topology(&self, scope: &Scope) -> Result<Arc<Held>, AppError> {
        let version = self.store.topology_version(scope).await?;
        let known = self.topologies.get(scope.org);
        if let Some(held) = known.filter(|held| held.version == version) {
            return Ok(held);
        }
        let row = self.store.topology(scope).await?;
        let held = Arc::new(aside(move || Held::of(&row)).await?);
        self.topologies.put(scope.org, &held);
        Ok(held)
    }

    pub(crate) async fn topology_export(
        &self,
        scope: &Scope,
        format: Format,
    ) -> Result<Written, AppError> {
        let held = self.topology(scope).await?;
        aside(move || Ok(document::write(format, &held.draft))).await
    }

    /// Takes over a text, or with `dry_run` only says what would become of the topology.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] with every fault, unless it is a dry run: that tells them.
    pub(crate) async fn topology_import(
        &self,
        scope: &Scope,
        (format, text): (Format, String),
        mode: ImportMode,
        dry_run: bool,
    ) -> Result<TopologyImport, AppError> {
        let order = Arc::clone(&self.topologies.order);
        let _order = order.lock().await;
        let held = match mode {
            ImportMode::Merge => self.topology(scope).await?,
            // What cannot be read is replaced all the same: that is the way back.
            ImportMode::Replace => {
                let row = self.store.topology(scope).await?;
                Arc::new(aside(move || Held::of(&row).or_else(|_| Held::unread(row))).await?)
            }
        };
        let basis = Arc::clone(&held);
        let known = self.known_names(scope).await?;
        let planned = aside(move || Ok(plan(&held, &known, (format, &text), mode))).await?;
        let (import, after) = match planned {
            Ok(planned) => planned,
            Err(faults) if dry_run => {
                return Ok(TopologyImport { faults, ..TopologyImport::default() });
            }
            Err(faults) => return Err(invalid(&faults)),
        };
        if !dry_run {
            let edit = edit_of(&basis, &import.difference, &after, "topology.import");
            self.topology_commit(scope, edit).await?;
        }
        Ok(import)
    }

    /// Creates or replaces one part; `json` is everything that is said of it but its id.
    pub(crate) async fn topology_set(
        &self,
        scope: &Scope,
        key: PartKey,
        json: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Part, AppError> {
        let order = Arc::clone(&self.topologies.order);
        let _order = order.lock().await;
        let held = self.topology(scope).await?;
        let basis = Arc::clone(&held);
        let wanted = key.clone();
        let (part, difference) = aside(move || {
            let text = serde_json::Value::Object(json).to_string();
            let part = Draft::from_parts([(wanted.section, text.as_str())])
                .map_err(|faults| invalid(&faults))?;
            let mut document = Document::from(held.draft.clone());
            document.draft.merge(part);
            document.build().map_err(|faults| invalid(&faults))?;
            let parts = document.draft.to_parts();
            let difference = Difference::between(&held.parts, &parts);
            Ok((parts, difference))
        })
        .await?;
        let edit = TopologyEdit {
            name: Some(key.id.clone()),
            before: basis.part(&key).map(|part| part.json.clone()),
            ..edit_of(&basis, &difference, &part, "topology.set")
        };
        self.topology_commit(scope, edit).await?;
        let set = part.into_iter().find(|part| part.key == key);
        set.ok_or(AppError::NotFound { what: "part of the topology" })
    }

    /// Takes one part out.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] while others name it.
    pub(crate) async fn topology_remove(
        &self,
        scope: &Scope,
        key: PartKey,
    ) -> Result<(), AppError> {
        let order = Arc::clone(&self.topologies.order);
        let _order = order.lock().await;
        let held = self.topology(scope).await?;
        let Some(part) = held.part(&key) else {
            return Err(AppError::NotFound { what: "part of the topology" });
        };
        let before = Some(part.json.clone());
        let (basis, gone) = (held.version, key.clone());
        aside(move || {
            let mut document = Document::from(held.draft.clone());
            document.draft.remove(&gone);
            document.build().map(drop).map_err(|faults| still_named(&gone, &faults))
        })
        .await?;
        let removes = vec![(key.section.as_str().to_owned(), key.id.clone())];
        let edit = TopologyEdit {
            basis,
            removes,
            action: "topology.remove",
            name: Some(key.id),
            before,
            ..TopologyEdit::default()
        };
        self.topology_commit(scope, edit).await
    }

    /// The right to change a topology, for as long as it is held.
    pub(super) async fn topology_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.topologies.order).lock_owned().await
    }

    /// What follows for the topology when something of the inventory is called otherwise; `None`
    /// if it does not name it. Whoever asks has the turn until it is stored.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] if the topology cannot follow.
    pub(super) async fn topology_rename(
        &self,
        scope: &Scope,
        _turn: &OwnedMutexGuard<()>,
        rename: impl FnOnce(&mut Draft) -> Result<bool, String> + Send + 'static,
    ) -> Result<Option<TopologyEdit>, AppError> {
        let held = self.topology(scope).await?;
        aside(move || {
            let refused = |reason| AppError::Invalid(vec![FieldError::new("name", reason)]);
            let mut draft = held.draft.clone();
            if !rename(&mut draft).map_err(refused)? {
                return Ok(None);
            }
            let document = Document::from(draft);
            if let Some(fault) = document.build().err().and_then(|faults| faults.into_iter().next())
            {
                return Err(refused(format!("the topology cannot follow: {fault}")));
            }
            let parts = document.draft.to_parts();
            let difference = Difference::between(&held.parts, &parts);
            Ok(Some(edit_of(&held, &difference, &parts, "topology.rename")))
        })
        .await
    }

    /// Stores a change and hands its version to the conductor, in the order of the commits.
    async fn topology_commit(&self, scope: &Scope, edit: TopologyEdit) -> Result<(), AppError> {
        let (store, scope, now) = (self.store.clone(), scope.clone(), self.clock.now());
        // No object of the engine's changes: it only learns that there is a newer version.
        self.change_version(async move {
            let changed = store.topology_change(&scope, &edit, now).await?;
            Ok((changed.version != edit.basis).then_some((Vec::new(), changed.version)))
        })
        .await
    }

    /// Returns what the packets of an agent cross to a target; both by their names.
    pub(crate) async fn pair_paths(
        &self,
        scope: &Scope,
        agent: &str,
        target: &str,
    ) -> Result<PairPaths, AppError> {
        let (held, now) = (self.topology(scope).await?, self.clock.now());
        let (agent, target) = (agent.to_owned(), target.to_owned());
        aside(move || paths_of(&held, &agent, &target, now)).await
    }

    /// Returns what is the matter with the network; `None` until that was looked at.
    pub(crate) fn diagnosis(&self, scope: &Scope) -> Option<Arc<Shown>> {
        self.diagnosis.of(scope.org)
    }
}

impl App {
    /// Says what makes a diagnosis weaker than it could be.
    pub(crate) async fn diagnosis_gaps(
        &self,
        scope: &Scope,
        pairs: usize,
    ) -> Result<Vec<String>, AppError> {
        let held = self.topology(scope).await?;
        let topology = &held.topology;
        let mut gaps = Vec::new();
        let mut agents = topology.of_kind(ElementKind::Agent);
        if !agents.any(|agent| topology.host(agent).is_some()) {
            gaps.push(
                "no agent of the topology is at a device: say where each stands (an element of \
                 kind `agent` with a `device`)"
                    .to_owned(),
            );
        }
        let mut targets = topology.of_kind(ElementKind::Target);
        if !targets.any(|target| topology.host(target).is_some()) {
            gaps.push(
                "no target of the topology stands behind a device: say what each stands behind \
                 (`device` of a target)"
                    .to_owned(),
            );
        }
        if pairs == 0 {
            gaps.push(
                "no rounds were heard yet of targets that agents are to ask: evidence comes with \
                 the agents' next rounds"
                    .to_owned(),
            );
        }
        Ok(gaps)
    }
}

fn paths_of(
    held: &Arc<Held>,
    agent: &str,
    target: &str,
    now: UtcMicros,
) -> Result<PairPaths, AppError> {
    let topology = &held.topology;
    let mut agents = topology.of_kind(ElementKind::Agent);
    let agent = agents.find(|ix| {
        let element = topology.get(*ix);
        element.is_some_and(|e| e.name.as_deref().unwrap_or(&e.id) == agent)
    });
    let agent = agent.ok_or(AppError::NotFound { what: "agent in the topology" })?;
    let is_other =
        |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
    let target = topology.find(&own_id(target, is_other));
    let target = target.ok_or(AppError::NotFound { what: "target in the topology" })?;
    let mut book = PathBook::new(topology, topology.pins());
    let set = book.set_at(topology, agent, target, now);
    let set = book.get(set).cloned();
    let set = set.ok_or(AppError::NotFound { what: "path" })?;
    Ok(PairPaths { held: Arc::clone(held), set })
}

impl Topologies {
    fn get(&self, org: OrgId) -> Option<Arc<Held>> {
        let held = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        held.get(&org).cloned()
    }

    fn put(&self, org: OrgId, held: &Arc<Held>) {
        let mut all = self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert(org, Arc::clone(held));
    }
}

type Planned = Result<(TopologyImport, Vec<Part>), Vec<Fault>>;

/// What an import comes to, before anything is stored.
fn plan(held: &Held, known: &Known, (format, text): (Format, &str), mode: ImportMode) -> Planned {
    let mut document = Document::read(format, text)?;
    let topology = match mode {
        ImportMode::Replace => document.build()?,
        ImportMode::Merge => {
            document = document.onto(held.draft.clone());
            document.build()?
        }
    };
    let parts = document.draft.to_parts();
    let difference = Difference::between(&held.parts, &parts);
    let doubts = document.doubts(&topology);
    let warnings = known.warnings(&document.draft);
    Ok((TopologyImport { difference, doubts, warnings, faults: Vec::new() }, parts))
}

fn edit_of(
    held: &Held,
    difference: &Difference,
    after: &[Part],
    action: &'static str,
) -> TopologyEdit {
    let is_set = |part: &&Part| {
        let has = |keys: &[PartKey]| keys.binary_search(&part.key).is_ok();
        has(&difference.added) || has(&difference.changed)
    };
    let set = |part: &Part| TopologyPart {
        section: part.key.section.as_str().to_owned(),
        id: part.key.id.clone(),
        kind: part.kind.as_str().to_owned(),
        body: part.json.clone(),
    };
    let removed = difference.removed.iter();
    TopologyEdit {
        basis: held.version,
        sets: after.iter().filter(is_set).map(set).collect(),
        removes: removed.map(|key| (key.section.as_str().to_owned(), key.id.clone())).collect(),
        action,
        name: None,
        before: None,
    }
}

/// Who still names a part that shall go.
fn still_named(gone: &PartKey, faults: &[Fault]) -> AppError {
    let by: Vec<String> = faults.iter().map(|fault| fault.place.clone()).collect();
    let reason =
        format!("`{}` is still named by {}: change or remove that first", gone.id, by.join("; "));
    AppError::Conflict(FieldError::new("", reason))
}
