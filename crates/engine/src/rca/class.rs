//! Elements that nothing observed can tell apart.
//!
//! A class is the set of elements that are crossed by exactly the same observed rows and have the
//! same facts. Targets are never in one with what carries them, and groups only with groups.

use model::ElementKind;

use super::{board::Board, picture::Picture, rows::Note, telemetry::Telemetry};
use crate::graph::ElementIx;

/// Members of a class that are said; a longer one says nothing.
const MEMBERS_MAX: usize = 24;

/// The elements that look the same as `element`, itself among them, by index.
pub(super) fn of(
    picture: &Picture<'_>,
    board: &Board,
    telemetry: &Telemetry,
    element: ElementIx,
) -> Vec<ElementIx> {
    let kind = picture.topology.kind(element);
    if kind == ElementKind::Target {
        return vec![element];
    }
    let mine = signature(picture, board, element);
    let Some((first, _)) = mine.first() else { return vec![element] };
    let row = board.rows.get(*first as usize);
    let set = row.and_then(|row| row.set).and_then(|set| picture.paths.get(set));
    let facts = facts(picture, telemetry, element);
    let is_group = is_composite(kind);
    let near: Vec<ElementIx> = if is_group {
        let groups = [ElementKind::Site, ElementKind::Srlg, ElementKind::Lag];
        groups.into_iter().flat_map(|kind| picture.topology.of_kind(kind)).collect()
    } else {
        set.into_iter().flat_map(|set| &set.crossings).map(|crossing| crossing.element).collect()
    };
    let mut members: Vec<ElementIx> = near
        .into_iter()
        .filter(|other| {
            let kind = picture.topology.kind(*other);
            kind != ElementKind::Target
                && is_composite(kind) == is_group
                && *other != element
                && !is_heard(board, *other)
                && self::facts(picture, telemetry, *other) == facts
                && looks_as(picture, board, *other, &mine)
        })
        .take(MEMBERS_MAX - 1)
        .collect();
    members.push(element);
    members.sort_unstable();
    members
}

/// Whether it is an agent that says that it is well.
pub(super) fn is_heard(board: &Board, element: ElementIx) -> bool {
    let rows = board.noted().get(&element).into_iter().flatten();
    let mut rows = rows.filter_map(|row| board.rows.get(*row as usize));
    rows.any(|row| row.note == Note::Heard && row.agent == element)
}

fn is_composite(kind: ElementKind) -> bool {
    matches!(kind, ElementKind::Site | ElementKind::Srlg)
}

/// The rows of rounds that cross an element, with the share that does in millionths.
fn signature(picture: &Picture<'_>, board: &Board, element: ElementIx) -> Vec<(u32, u64)> {
    let fate = picture.topology.fate(element);
    let rows = rows_of(board, &fate);
    rows.into_iter().filter_map(|row| signed(picture, board, &fate, row)).collect()
}

/// Whether an element has a signature; most do not from the first row on.
fn looks_as(
    picture: &Picture<'_>,
    board: &Board,
    element: ElementIx,
    signature: &[(u32, u64)],
) -> bool {
    let fate = picture.topology.fate(element);
    let rows = rows_of(board, &fate);
    let own = rows.into_iter().filter_map(|row| signed(picture, board, &fate, row));
    own.eq(signature.iter().copied())
}

fn signed(
    picture: &Picture<'_>,
    board: &Board,
    fate: &[ElementIx],
    row: u32,
) -> Option<(u32, u64)> {
    let set = board.rows.get(row as usize)?.set.and_then(|set| picture.paths.get(set))?;
    Some((row, (set.share_of_any(fate) * 1e6).round() as u64))
}

fn rows_of(board: &Board, fate: &[ElementIx]) -> Vec<u32> {
    let mut rows: Vec<u32> = fate.iter().flat_map(|member| board.rows_of(*member)).collect();
    if 1 < fate.len() {
        rows.sort_unstable();
        rows.dedup();
    }
    rows
}

/// What was reported of an element, without when.
fn facts(
    picture: &Picture<'_>,
    telemetry: &Telemetry,
    element: ElementIx,
) -> Vec<(Option<model::FactKind>, Option<ElementIx>)> {
    let mut facts: Vec<_> = telemetry
        .facts(element)
        .iter()
        .filter_map(|at| picture.facts.get(*at))
        .map(|fact| (fact.kind, fact.end.or(fact.agent)))
        .collect();
    facts.sort_unstable();
    facts.dedup();
    facts
}
