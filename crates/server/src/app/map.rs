//! The network as a map shows it: kept in memory, brought up to date by the live events, and drawn
//! again for a moment of the past.
//!
//! Reading a hundred thousand targets takes a second; a console asks every second. So what is held
//! of them is read once, again only when the inventory changed, and followed by the events that
//! consoles get. What each site, device and link is follows from it in [`engine::live::Atlas`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use engine::{
    graph::{ElementIx, document::own_id},
    live::{Atlas, Blamed, Mark, Marks, Seen},
};
use model::{
    AgentId, ElementKind, IncidentId, Minute, OrgId, ProbeId, TargetId, UtcMicros, Verdict,
};
use store::{MapIncident, MapTarget, Scope, Store};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, Semaphore},
    time::Instant,
};

use super::{
    App, AppError, FieldError, aside,
    live::{LiveEvent, LiveStream},
    topology::Held,
};

/// How far back a map is drawn: further, too much has changed since to read it at once.
pub(crate) const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Figures of open incidents are brought up to date this often, without an event.
const INCIDENTS_AGE: Duration = Duration::from_secs(5);
/// A minute is stored some time after it ended.
const MINUTE_LATE: Duration = Duration::from_secs(180);
/// Tags that a map tells of one site.
const TAGS_MAX: usize = 50;

/// A map is drawn again at most this often, however many ask.
const DRAWN_EVERY: Duration = Duration::from_secs(1);
/// Maps of the past at once: each reads and draws all targets.
const PAST_AT_ONCE_MAX: usize = 2;

/// The maps as they were drawn last. A clone is the same.
#[derive(Clone, Debug)]
pub(crate) struct Maps {
    places: Arc<std::sync::Mutex<BTreeMap<OrgId, Arc<Mutex<Place>>>>>,
    past: Arc<Semaphore>,
}

impl Default for Maps {
    fn default() -> Maps {
        Maps { places: Arc::default(), past: Arc::new(Semaphore::new(PAST_AT_ONCE_MAX)) }
    }
}

impl Maps {
    /// Each organisation waits for its own map alone.
    async fn place(&self, org: OrgId) -> OwnedMutexGuard<Place> {
        let place = {
            let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(org).or_default())
        };
        place.lock_owned().await
    }
}

/// Where an organisation's map is kept.
#[derive(Debug, Default)]
struct Place {
    /// `None` while it is worked on: what failed half-way has lost events and is read anew.
    kept: Option<Kept>,
    /// Of the last map that anybody was given.
    turn: u64,
}

/// What a topology gives to draw.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) held: Arc<Held>,
    pub(crate) atlas: Atlas,
    /// Agents at each place, by name.
    pub(crate) agents: Vec<Vec<String>>,
    /// Tags of the targets at each place, sorted; at most [`TAGS_MAX`].
    pub(crate) tags: Vec<Vec<String>>,
}

/// A map at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) sheet: Arc<Sheet>,
    /// Grows with every change, also over restarts: it begins with the time.
    pub(crate) turn: u64,
    /// The turn in which the sheet was made.
    pub(crate) sheet_turn: u64,
    pub(crate) at: UtcMicros,
    pub(crate) is_past: bool,
    /// Nothing was recorded at that moment: all is unknown.
    pub(crate) is_unrecorded: bool,
    pub(crate) marks: Arc<Marks>,
    /// The turn in which each mark became what it is, in the orders of the sheet.
    pub(crate) turns: Arc<Turns>,
    /// Open then, the worst first.
    pub(crate) incidents: Arc<Vec<MapIncident>>,
    /// Targets that stand nowhere on the map.
    pub(crate) outside: u32,
}

/// When marks changed last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    pub(crate) places: Vec<u64>,
    pub(crate) nodes: Vec<u64>,
    pub(crate) lines: Vec<u64>,
}

/// A target of a place, for its panel.
#[derive(Clone, Debug)]
pub(crate) struct MapTargetRow {
    pub(crate) id: TargetId,
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) is_paused: bool,
    pub(crate) verdict: Verdict,
    pub(crate) since: UtcMicros,
}

#[derive(Debug)]
struct Kept {
    events: LiveStream,
    sheet: Arc<Sheet>,
    rows: BTreeMap<ProbeId, Row>,
    agents: BTreeMap<AgentId, ElementIx>,
    incidents: Arc<Vec<MapIncident>>,
    incidents_at: UtcMicros,
    outside: u32,
    map: Map,
    drawn_at: Instant,
    is_changed: bool,
}

#[derive(Clone, Debug)]
struct Row {
    of: MapTarget,
    element: ElementIx,
    verdict: Verdict,
    since: UtcMicros,
    by: BTreeMap<AgentId, (Verdict, UtcMicros)>,
}

impl App {
    /// The map as it is now.
    ///
    /// Drawn at most once in [`DRAWN_EVERY`]: who asks in between and would be told something new
    /// waits for the next drawing, which all who wait share.
    pub(crate) async fn map(&self, scope: &Scope) -> Result<Map, AppError> {
        let asked = Instant::now();
        loop {
            let work = move |kept: &mut Kept| Ok(kept.drawn(asked, Instant::now()));
            match self.map_with(scope, work).await? {
                Ok(map) => return Ok(map),
                Err(rest) => tokio::time::sleep(rest).await,
            }
        }
    }

    /// The map as it was at a moment, of the network as it is described now.
    ///
    /// # Errors
    ///
    /// [`AppError::Invalid`] for a moment that is not over, or longer ago than [`LOOK_BACK`].
    pub(crate) async fn map_at(&self, scope: &Scope, at: UtcMicros) -> Result<Map, AppError> {
        let now = self.clock.now();
        let refuse = |reason: &str| AppError::Invalid(vec![FieldError::new("at", reason)]);
        if now < at {
            return Err(refuse("is not over yet"));
        }
        if LOOK_BACK < now.since(at) {
            return Err(refuse("is more than 7 days ago: ask for a later moment"));
        }
        let is_unrecorded = self.is_unrecorded(scope, at, now).await?;
        let past = Arc::clone(&self.maps.past).acquire_owned().await.map_err(AppError::internal)?;
        let taken = |kept: &mut Kept| {
            let rows: Vec<Row> = kept.rows.values().cloned().collect();
            Ok((Arc::clone(&kept.sheet), rows, kept.agents.clone(), kept.outside))
        };
        // What is held first: a verdict that is replaced after this is still held in it, one that
        // was replaced before is among the spans.
        let (sheet, rows, agents, outside) = self.map_with(scope, taken).await?;
        let spans = self.store.map_spans(scope, at).await?;
        let incidents = Arc::new(worst_first(self.store.map_incidents(scope, Some(at)).await?));
        aside(move || {
            // Given back when the work has ended, also if nobody waits for it any more.
            let _past = past;
            let then: BTreeMap<(ProbeId, Option<AgentId>), Verdict> =
                spans.into_iter().map(|span| ((span.probe, span.agent), span.verdict)).collect();
            let verdict = |probe, agent, (now, since): (Verdict, UtcMicros)| {
                if is_unrecorded {
                    Verdict::Unknown
                } else if since <= at {
                    now
                } else {
                    then.get(&(probe, agent)).copied().unwrap_or(Verdict::Unknown)
                }
            };
            let seen: Vec<Seen> = rows
                .iter()
                .map(|row| {
                    let probe = row.of.probe;
                    let by = row.by.iter().filter_map(|(agent, held)| {
                        Some((*agents.get(agent)?, verdict(probe, Some(*agent), *held)))
                    });
                    Seen {
                        target: row.element,
                        is_paused: row.of.is_paused,
                        verdict: verdict(probe, None, (row.verdict, row.since)),
                        by: by.collect(),
                    }
                })
                .collect();
            let marks = sheet.atlas.marks(&sheet.held.topology, &seen, &blamed(&incidents));
            Ok(Map {
                turn: 0,
                sheet_turn: 0,
                at,
                is_past: true,
                is_unrecorded,
                marks: Arc::new(marks),
                turns: Arc::default(),
                incidents,
                outside,
                sheet,
            })
        })
        .await
    }

    /// Whether nothing was recorded of a minute; the last ones may still be written.
    async fn is_unrecorded(
        &self,
        scope: &Scope,
        at: UtcMicros,
        now: UtcMicros,
    ) -> Result<bool, AppError> {
        if now.since(at) < MINUTE_LATE {
            return Ok(false);
        }
        let minute = at.minute();
        let gaps = self.store.minute_gaps(scope, minute, Minute(minute.0 + 1)).await?;
        Ok(!gaps.runs.is_empty())
    }

    /// The targets of a site or a device, the worst first.
    pub(crate) async fn map_targets(
        &self,
        scope: &Scope,
        of: &str,
    ) -> Result<Vec<MapTargetRow>, AppError> {
        let of = of.to_owned();
        self.map_with(scope, move |kept| kept.targets(&of)).await
    }

    /// Works with what is kept of a map, brought up to date with everything that was told.
    ///
    /// It goes on to its end also if the caller hangs up. The work is done aside.
    async fn map_with<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: impl FnOnce(&mut Kept) -> Result<T, AppError> + Send + 'static,
    ) -> Result<T, AppError> {
        let mut place = self.maps.place(scope.org).await;
        let (app, scope) = (self.clone(), scope.clone());
        let task = self.changes.spawn(async move {
            let mut kept = app.map_follow(&scope, &mut place).await?;
            let (kept, done) = aside(move || {
                let done = work(&mut kept);
                Ok((kept, done))
            })
            .await?;
            place.turn = kept.map.turn;
            place.kept = Some(kept);
            done
        });
        task.await.map_err(AppError::internal)?
    }

    /// Takes what is kept out of its place and brings it up to date.
    async fn map_follow(&self, scope: &Scope, place: &mut Place) -> Result<Kept, AppError> {
        let held = self.topology(scope).await?;
        let now = self.clock.now();
        let known = place.kept.take().filter(|kept| kept.sheet.held.version == held.version);
        if let Some(mut kept) = known {
            let (mut kept, told) = aside(move || {
                let told = kept.hear();
                Ok((kept, told))
            })
            .await?;
            if !told.is_lost {
                let is_old =
                    !kept.incidents.is_empty() && INCIDENTS_AGE < now.since(kept.incidents_at);
                if told.has_incidents || is_old {
                    let incidents = worst_first(self.store.map_incidents(scope, None).await?);
                    kept.is_changed |= *kept.incidents != incidents;
                    kept.incidents = Arc::new(incidents);
                    kept.incidents_at = now;
                }
                kept.map.at = now;
                return Ok(kept);
            }
        }
        let turn = (place.turn + 1).max(u64::try_from(now.0).unwrap_or(0));
        self.map_read(scope, held, turn).await
    }

    async fn map_read(&self, scope: &Scope, held: Arc<Held>, turn: u64) -> Result<Kept, AppError> {
        let now = self.clock.now();
        // First: what changes while it is read is told again.
        let events = self.conductor.live().subscribe(None);
        let read = Read::of(&self.store, scope).await?;
        let incidents = Arc::new(worst_first(self.store.map_incidents(scope, None).await?));
        aside(move || {
            let topology = &held.topology;
            let mut by_name = BTreeMap::new();
            for element in topology.of_kind(ElementKind::Agent) {
                if let Some(agent) = topology.get(element) {
                    by_name.insert(agent.name.as_deref().unwrap_or(&agent.id), element);
                }
            }
            let agents = read.agents.iter();
            let agents: BTreeMap<AgentId, ElementIx> =
                agents.filter_map(|(id, name)| Some((*id, *by_name.get(name.as_str())?))).collect();
            let (rows, outside) = read.rows(&held);
            let atlas = Atlas::of(topology);
            let sheet = Arc::new(Sheet::of(Arc::clone(&held), atlas, &rows));
            let map = Map {
                sheet: Arc::clone(&sheet),
                turn,
                sheet_turn: turn,
                at: now,
                is_past: false,
                is_unrecorded: false,
                marks: Arc::default(),
                turns: Arc::default(),
                incidents: Arc::clone(&incidents),
                outside,
            };
            let incidents_at = now;
            let is_changed = true;
            let mut kept = Kept {
                events,
                sheet,
                rows,
                agents,
                incidents,
                incidents_at,
                outside,
                map,
                drawn_at: Instant::now(),
                is_changed,
            };
            kept.draw(Instant::now());
            Ok(kept)
        })
        .await
    }
}

/// What the database has, before it is known what stands where.
struct Read {
    targets: Vec<MapTarget>,
    held: Vec<store::MapHeld>,
    agents: Vec<(AgentId, String)>,
}

impl Read {
    async fn of(store: &Store, scope: &Scope) -> Result<Read, AppError> {
        let agents = store.agent_list(scope).await?;
        let agents = agents.into_iter().map(|agent| (agent.id, agent.name.to_string())).collect();
        let targets = store.map_targets(scope).await?;
        Ok(Read { targets, held: store.map_held(scope).await?, agents })
    }

    /// What stands in the topology, and how many targets do not.
    fn rows(self, held: &Held) -> (BTreeMap<ProbeId, Row>, u32) {
        let topology = &held.topology;
        let is_other =
            |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
        let mut rows = BTreeMap::new();
        let mut outside = 0;
        for of in self.targets {
            let element = topology.find(&own_id(&of.name, is_other));
            let Some(element) = element.filter(|element| topology.host(*element).is_some()) else {
                outside += 1;
                continue;
            };
            let (verdict, since, by) = (Verdict::Unknown, UtcMicros(0), BTreeMap::new());
            rows.insert(of.probe, Row { of, element, verdict, since, by });
        }
        for held in self.held {
            let Some(row) = rows.get_mut(&held.probe) else { continue };
            row.hold(held.agent, held.verdict, held.since);
        }
        (rows, outside)
    }
}

impl Row {
    fn hold(&mut self, agent: Option<AgentId>, verdict: Verdict, since: UtcMicros) {
        match agent {
            Some(agent) => {
                self.by.insert(agent, (verdict, since));
            }
            None => (self.verdict, self.since) = (verdict, since),
        }
    }
}

impl Sheet {
    fn of(held: Arc<Held>, atlas: Atlas, rows: &BTreeMap<ProbeId, Row>) -> Sheet {
        let topology = &held.topology;
        let place = |host: Option<ElementIx>| {
            let node = atlas.node_at(topology, host?)?;
            atlas.nodes.get(node).map(|node| node.place)
        };
        let mut agents = vec![Vec::new(); atlas.places.len()];
        for agent in topology.of_kind(ElementKind::Agent) {
            let Some(element) = topology.get(agent) else { continue };
            if let Some(here) = place(element.host).and_then(|place| agents.get_mut(place)) {
                here.push(element.name.as_deref().unwrap_or(&element.id).to_owned());
            }
        }
        let mut tags = vec![BTreeSet::new(); atlas.places.len()];
        for row in rows.values() {
            let host = topology.host(row.element);
            let Some(here) = place(host).and_then(|place| tags.get_mut(place)) else { continue };
            for tag in &row.of.tags {
                if here.len() < TAGS_MAX && !here.contains(tag) {
                    here.insert(tag.clone());
                }
            }
        }
        let tags = tags.into_iter().map(|tags| tags.into_iter().collect()).collect();
        Sheet { held, atlas, agents, tags }
    }
}

/// What the events said.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    has_incidents: bool,
    /// More than is known by what was read: it must be read anew.
    is_lost: bool,
}

impl Kept {
    fn hear(&mut self) -> Told {
        let mut told = Told::default();
        while let Some(item) = self.events.take() {
            match item.event {
                LiveEvent::Verdict { probe, agent, to, at, .. } => {
                    if let Some(row) = self.rows.get_mut(&probe) {
                        row.hold(agent, to, at);
                        self.is_changed = true;
                    }
                }
                LiveEvent::Incident { .. } => told.has_incidents = true,
                LiveEvent::Inventory { .. } | LiveEvent::Resync { .. } => told.is_lost = true,
                LiveEvent::Agent { .. }
                | LiveEvent::Trace { .. }
                | LiveEvent::Minute { .. }
                | LiveEvent::Tick { .. } => {}
            }
        }
        told
    }

    /// The map, drawn if something changed since; or how long to wait until it may be drawn.
    fn drawn(&mut self, asked: Instant, now: Instant) -> Result<Map, Duration> {
        // What was drawn after somebody asked tells all that had happened when they did.
        if self.is_changed && self.drawn_at < asked {
            let rest = DRAWN_EVERY.saturating_sub(now.saturating_duration_since(self.drawn_at));
            if !rest.is_zero() {
                return Err(rest);
            }
            self.draw(now);
        }
        Ok(self.map.clone())
    }

    /// The targets of a site or a device, the worst first.
    fn targets(&self, of: &str) -> Result<Vec<MapTargetRow>, AppError> {
        let (topology, atlas) = (&self.sheet.held.topology, &self.sheet.atlas);
        let found = topology.find(of).ok_or(AppError::NotFound { what: "site or device" })?;
        let row = |row: &Row| {
            let node = atlas.node_at(topology, topology.host(row.element)?)?;
            let node = atlas.nodes.get(node)?;
            let place = atlas.places.get(node.place)?;
            (node.element == found || place.element == found).then(|| MapTargetRow {
                id: row.of.target,
                name: row.of.name.clone(),
                device: topology.id(node.element).to_owned(),
                is_paused: row.of.is_paused,
                verdict: row.verdict,
                since: row.since,
            })
        };
        let mut rows: Vec<MapTargetRow> = self.rows.values().filter_map(row).collect();
        rows.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.name.cmp(&b.name)));
        Ok(rows)
    }

    fn draw(&mut self, now: Instant) {
        self.drawn_at = now;
        let seen: Vec<Seen> = self.rows.values().map(|row| row.seen(&self.agents)).collect();
        let sheet = &self.sheet;
        let marks = sheet.atlas.marks(&sheet.held.topology, &seen, &blamed(&self.incidents));
        self.is_changed = false;
        let incidents = &self.incidents;
        if *self.map.marks == marks && *self.map.incidents == **incidents {
            return;
        }
        let turn = self.map.turn + 1;
        let (before, turns) = (&self.map.marks, &self.map.turns);
        let turns = Turns {
            places: changed(&before.places, &turns.places, &marks.places, turn),
            nodes: changed(&before.nodes, &turns.nodes, &marks.nodes, turn),
            lines: changed(&before.lines, &turns.lines, &marks.lines, turn),
        };
        self.map.turn = turn;
        self.map.turns = Arc::new(turns);
        self.map.marks = Arc::new(marks);
        self.map.incidents = Arc::clone(incidents);
    }
}

impl Row {
    fn seen(&self, agents: &BTreeMap<AgentId, ElementIx>) -> Seen {
        let by = self.by.iter();
        let by = by.filter_map(|(agent, (verdict, _))| Some((*agents.get(agent)?, *verdict)));
        Seen {
            target: self.element,
            is_paused: self.of.is_paused,
            verdict: self.verdict,
            by: by.collect(),
        }
    }
}

/// The turn of each mark: this one if it is another than before.
fn changed(before: &[Mark], turns: &[u64], after: &[Mark], turn: u64) -> Vec<u64> {
    let one = |(at, mark): (usize, &Mark)| match (before.get(at), turns.get(at)) {
        (Some(known), Some(turn)) if known == mark => *turn,
        _ => turn,
    };
    after.iter().enumerate().map(one).collect()
}

fn order(row: &MapTargetRow) -> u8 {
    match row.verdict {
        _ if row.is_paused => 4,
        Verdict::Down => 0,
        Verdict::Degraded => 1,
        Verdict::Unknown => 2,
        Verdict::Up => 3,
    }
}

fn worst_first(mut incidents: Vec<MapIncident>) -> Vec<MapIncident> {
    incidents.sort_by_key(|one| (one.severity, std::cmp::Reverse(one.body.impact.weight), one.id));
    incidents
}

fn blamed(incidents: &[MapIncident]) -> Vec<Blamed> {
    let one = |incident: &MapIncident| {
        let cause = incident.body.causes.first()?;
        Some(Blamed {
            incident: IncidentId(incident.id.0),
            elements: cause.elements.clone(),
            mode: cause.mode,
            devices: incident.body.impact.devices.clone(),
        })
    };
    incidents.iter().filter_map(one).collect()
}
