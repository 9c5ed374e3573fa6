//! The maintenance windows of one organisation, as a judgement needs them: which are open, and what
//! they are called.

use std::collections::{BTreeMap, BTreeSet};

use engine::live::{Place, Report, Silence, Works};
use model::{CoverKind, MaintenanceId, Occurrence, UtcMicros};
use store::{MaintenanceRow, Scope, Store, StoreError};

/// They are read again after this: who has a tag, and which targets there are, changes too.
const RENEW_US: i64 = 60_000_000;
/// So far ahead it is known when they open, if the database cannot be read meanwhile.
const AHEAD_US: i64 = 86_400_000_000;
/// So long ago a window may have ended whose incidents are told of: as long as a server is down.
const BEHIND_US: i64 = 31 * 86_400_000_000;

/// A window with its next occurrences.
#[derive(Clone, Debug)]
struct Known {
    title: String,
    /// When its last occurrence ended, or the running one will.
    ends: Option<UtcMicros>,
    occurrences: Vec<Occurrence>,
    works: Works,
}

/// As they were read last.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    read_at: Option<UtcMicros>,
    known: BTreeMap<MaintenanceId, Known>,
}

impl Windows {
    /// Whether to read them again.
    pub(super) fn is_due(&self, now: UtcMicros) -> bool {
        self.read_at.is_none_or(|at| RENEW_US <= now.0 - at.0)
    }

    /// They are others: those that are known hold until they can be read.
    pub(super) fn renew(&mut self) {
        self.read_at = None;
    }

    pub(super) async fn read(
        store: &Store,
        scope: &Scope,
        now: UtcMicros,
    ) -> Result<Windows, StoreError> {
        let ahead = UtcMicros(now.0.saturating_add(AHEAD_US));
        let behind = UtcMicros(now.0.saturating_sub(BEHIND_US));
        let time = Occurrence { start: behind, end: ahead };
        let rows = store.maintenance_within(scope, time).await?;
        let mut known = BTreeMap::new();
        for row in rows {
            let occurrences = row.draft.window.occurrences((now, ahead), usize::MAX);
            let ends = row.draft.window.last(now).map(|last| last.end);
            // Nothing is silent by a window that is over: its title is enough.
            let tagged = if occurrences.is_empty() {
                Vec::new()
            } else {
                store.target_names_tagged(scope, &names(&row, CoverKind::Tag)).await?
            };
            let first = occurrences.first().copied();
            let open = first.unwrap_or(Occurrence { start: now, end: now });
            let mut targets: BTreeSet<String> =
                names(&row, CoverKind::Target).into_iter().collect();
            targets.extend(tagged);
            let works = Works {
                id: row.id,
                open,
                elements: names(&row, CoverKind::Element),
                targets: targets.into_iter().collect(),
                is_all: row.draft.covers.iter().any(|cover| cover.kind() == CoverKind::All),
            };
            known.insert(row.id, Known { title: row.draft.title, ends, occurrences, works });
        }
        Ok(Windows { read_at: Some(now), known })
    }

    /// The windows that are open, each once.
    pub(super) fn open(&self, now: UtcMicros) -> Vec<Works> {
        let open = |known: &Known| {
            let running = known.occurrences.iter().filter(|one| one.holds(now));
            let open = running.copied().max_by_key(|one| one.end)?;
            Some(Works { open, ..known.works.clone() })
        };
        self.known.values().filter_map(open).collect()
    }

    fn is_open(&self, id: MaintenanceId, now: UtcMicros) -> bool {
        let known = self.known.get(&id);
        known.is_some_and(|known| known.occurrences.iter().any(|one| one.holds(now)))
    }

    /// What a window is called: `maintenance #3 “core”`.
    pub(super) fn called(&self, id: MaintenanceId) -> String {
        match self.known.get(&id) {
            Some(known) => format!("maintenance #{id} “{}”", known.title),
            None => format!("maintenance #{id}"),
        }
    }

    /// Its title, and when it ended last; nothing of one that ended long ago.
    pub(super) fn ended(&self, id: MaintenanceId) -> (String, Option<UtcMicros>) {
        let known = self.known.get(&id);
        known.map_or_else(Default::default, |known| (known.title.clone(), known.ends))
    }
}

fn names(row: &MaintenanceRow, kind: CoverKind) -> Vec<String> {
    let of_kind = row.draft.covers.iter().filter(|cover| cover.kind() == kind);
    of_kind.map(|cover| cover.name().to_owned()).collect()
}

/// How incidents stand to the windows while one judgement is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meanwhile<'a> {
    pub(super) now: UtcMicros,
    pub(super) report: &'a Report,
    pub(super) windows: &'a Windows,
}

impl Meanwhile<'_> {
    pub(super) fn place(&self, id: u32, silence: Option<Silence>) -> Place {
        let is_open = |silence: Silence| self.windows.is_open(silence.window, self.now);
        Place {
            now: self.now,
            inside: self.report.maintained.get(&id).copied(),
            is_window_open: silence.is_some_and(is_open),
            is_seen: !self.report.sight.is_waiting,
        }
    }
}
