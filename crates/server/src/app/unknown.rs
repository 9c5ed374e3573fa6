//! What a topology says of targets and agents that the inventory does not have.
//!
//! No error: a topology may come before its targets. But no rounds are ever counted for such a
//! part, and a slip of the keyboard leaves the one that was meant without its place.

use std::collections::BTreeSet;

use engine::graph::Draft;
use model::{ElementKind, nearest};
use store::Scope;

use super::{App, AppError, aside, topology::Held};

/// Names told of each kind: who has more has not made his inventory yet.
const TOLD_MAX: usize = 20;

/// The names that a topology can mean.
#[derive(Debug)]
pub(super) struct Known {
    targets: Vec<String>,
    agents: Vec<String>,
}

/// What is said of a topology as it is in force.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) held: std::sync::Arc<Held>,
    pub(crate) doubts: Vec<String>,
    /// See [`Known::warnings`].
    pub(crate) warnings: Vec<String>,
}

impl App {
    pub(super) async fn known_names(&self, scope: &Scope) -> Result<Known, AppError> {
        let targets = self.store.target_names(scope).await?;
        let agents = self.store.agent_list(scope).await?;
        let agents = agents.iter().map(|agent| agent.name.as_str().to_owned()).collect();
        Ok(Known { targets, agents })
    }

    /// Looks for what is odd about the topology in force.
    pub(crate) async fn topology_check(&self, scope: &Scope) -> Result<Checked, AppError> {
        let held = self.topology(scope).await?;
        let known = self.known_names(scope).await?;
        aside(move || {
            let document = engine::graph::document::Document::from(held.draft.clone());
            let doubts = document.doubts(&held.topology);
            Ok(Checked { doubts, warnings: known.warnings(&held.draft), held })
        })
        .await
    }
}

impl Known {
    /// One sentence for each name of a draft that the inventory does not have, with the one that
    /// was probably meant: it has no place in the draft.
    pub(super) fn warnings(&self, draft: &Draft) -> Vec<String> {
        let targets: BTreeSet<&str> = draft.targets.iter().map(|t| t.id.as_str()).collect();
        let agents = draft.elements.iter().filter(|element| element.kind == ElementKind::Agent);
        let agents: BTreeSet<&str> =
            agents.map(|agent| agent.name.as_deref().unwrap_or(&agent.id)).collect();
        let mut told = unknown("target", &targets, &self.targets);
        told.extend(unknown("agent", &agents, &self.agents));
        told
    }
}

fn unknown(kind: &str, named: &BTreeSet<&str>, known: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
    let strange: Vec<&str> = named.difference(&known).copied().collect();
    let missed: Vec<&str> = known.difference(named).copied().collect();
    let whose = if kind == "agent" { "of it" } else { "for it" };
    let tell = |name: &&str| {
        let meant = nearest(name, missed.iter().copied());
        let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        format!("{kind} `{name}` is not in the inventory: no rounds will be counted {whose}{meant}")
    };
    let mut told: Vec<String> = strange.iter().take(TOLD_MAX).map(tell).collect();
    match strange.len().saturating_sub(TOLD_MAX) {
        0 => {}
        1 => told.push(format!("1 {kind} more is not in the inventory")),
        more => told.push(format!("{more} {kind}s more are not in the inventory")),
    }
    told
}

#[cfg(test)]
mod tests {
    use engine::graph::document::{Document, Format};

    use super::*;

    #[track_caller]
    fn check(rows: &str, expected: &[&str]) {
        let text = format!("kind,id,name\n{rows}");
        let draft = Document::read(Format::Csv, &text).expect("is read").draft;
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = Known { targets: names(&["cpe-7", "cpe-8"]), agents: names(&["local"]) };
        assert_eq!(known.warnings(&draft), expected);
    }

    #[test]
    fn each_name_that_the_inventory_does_not_have_is_told_with_the_one_that_was_meant() {
        check("target,cpe-7,\ntarget,cpe-8,\nagent,local,\n", &[]);
        check("device,cpe-9,\nagent,a1,local\n", &[]);
        check(
            "target,cpe-7,\ntarget,cpe-9,\ntarget,core1,\nagent,lokal,\n",
            &[
                "target `core1` is not in the inventory: no rounds will be counted for it",
                "target `cpe-9` is not in the inventory: no rounds will be counted for it; did you \
                 mean `cpe-8`?",
                "agent `lokal` is not in the inventory: no rounds will be counted of it; did you \
                 mean `local`?",
            ],
        );
    }

    #[test]
    fn a_name_that_stands_somewhere_already_is_not_what_was_meant() {
        check(
            "target,cpe-7,\ntarget,cpe-8,\ntarget,cpe-9,\n",
            &["target `cpe-9` is not in the inventory: no rounds will be counted for it"],
        );
    }

    #[test]
    fn of_a_topology_without_an_inventory_the_first_are_told_and_the_rest_counted() {
        let rows: String = (0..23).map(|nth| format!("target,x{nth:03},\n")).collect();
        let text = format!("kind,id,name\n{rows}");
        let draft = Document::read(Format::Csv, &text).expect("is read").draft;
        let known = Known { targets: Vec::new(), agents: Vec::new() };
        let told = known.warnings(&draft);
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert_eq!(told.last().expect("is there"), "3 targets more are not in the inventory");
    }
}
