//! A draft as parts that are kept one by one, and what tells two drafts apart.

use std::collections::BTreeMap;

use model::ElementKind;

use super::{
    Document, Fault,
    item::{Among, Gather, Item, items},
    json,
};
use crate::graph::draft::{Dependency, Draft};

/// Where a part belongs; an element and a target may have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Element,
    Target,
}

impl Section {
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Element => "element",
            Section::Target => "target",
        }
    }

    pub fn parse(text: &str) -> Option<Section> {
        [Section::Element, Section::Target].into_iter().find(|section| section.as_str() == text)
    }
}

/// What tells a part from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartKey {
    pub section: Section,
    pub id: String,
}

/// One element or target with everything that is said of it, as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub key: PartKey,
    pub kind: ElementKind,
    /// The order among the others, as it was written.
    pub json: String,
}

/// What has to be done to make one draft another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    pub added: Vec<PartKey>,
    pub changed: Vec<PartKey>,
    pub removed: Vec<PartKey>,
    pub unchanged: usize,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Compares two lists of parts.
    pub fn between(before: &[Part], after: &[Part]) -> Difference {
        let by_key = |parts: &[Part]| -> BTreeMap<PartKey, String> {
            parts.iter().map(|part| (part.key.clone(), part.json.clone())).collect()
        };
        let mut before = by_key(before);
        let mut difference = Difference::default();
        for (key, json) in by_key(after) {
            match before.remove(&key) {
                None => difference.added.push(key),
                Some(was) if was != json => difference.changed.push(key),
                Some(_) => difference.unchanged += 1,
            }
        }
        difference.removed = before.into_keys().collect();
        difference
    }
}

impl Draft {
    /// Its parts, elements first, each section by id.
    pub fn to_parts(&self) -> Vec<Part> {
        let (elements, targets) = items(self);
        let part = |section, item: Item| Part {
            kind: item.kind.unwrap_or(ElementKind::Target),
            json: json::one(&item),
            key: PartKey { section, id: item.id },
        };
        let elements = elements.into_iter().map(|item| part(Section::Element, item));
        let targets = targets.into_iter().map(|item| part(Section::Target, item));
        let mut parts: Vec<Part> = elements.chain(targets).collect();
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        parts
    }

    /// The draft that such parts are of; each is a section and a JSON text.
    ///
    /// # Errors
    ///
    /// What no draft was ever written as.
    pub fn from_parts<'a>(
        parts: impl IntoIterator<Item = (Section, &'a str)>,
    ) -> Result<Draft, Vec<Fault>> {
        let mut gather = Gather::default();
        for (section, text) in parts {
            let among = match section {
                Section::Element => Among::Elements,
                Section::Target => Among::Targets,
            };
            match json::read_one(text) {
                Ok(item) => gather.add(among, 0, item),
                Err(reason) => gather.refuse(0, section.as_str(), reason),
            }
        }
        let Document { draft, faults, .. } = gather.finish()?;
        if faults.is_empty() { Ok(draft) } else { Err(faults) }
    }

    /// Takes a part out, with what it needs; whether it was there.
    pub fn remove(&mut self, key: &PartKey) -> bool {
        let before = self.elements.len() + self.targets.len();
        match key.section {
            Section::Element => self.elements.retain(|element| element.id != key.id),
            Section::Target => self.targets.retain(|target| target.id != key.id),
        }
        let is_gone = self.elements.len() + self.targets.len() < before;
        let is_left = self.elements.iter().any(|element| element.id == key.id)
            || self.targets.iter().any(|target| target.id == key.id);
        if is_gone && !is_left {
            self.dependencies.retain(|dependency| dependency.of != key.id);
        }
        is_gone
    }

    /// Calls a target otherwise, wherever it is named; whether it was there.
    ///
    /// # Errors
    ///
    /// Why it cannot be called so.
    pub fn rename_target(&mut self, from: &str, to: &str) -> Result<bool, String> {
        let is_target = |id: &str| self.targets.iter().any(|target| target.id == id);
        let is_element = |id: &str| self.elements.iter().any(|element| element.id == id);
        if !is_target(from) {
            return Ok(false);
        }
        if is_target(to) {
            return Err(format!("the topology has another target `{to}`: take that out first"));
        }
        // What an element and a target of the same name need is the element's.
        if !is_element(from) {
            let named = |d: &Dependency| d.of == from || d.on.iter().any(|on| on == from);
            if is_element(to) && self.dependencies.iter().any(named) {
                return Err(format!(
                    "the topology has an element `{to}`, which would take over what `{from}` needs \
                     or is needed for: choose another name, or take those needs out first"
                ));
            }
            for dependency in &mut self.dependencies {
                let named = dependency.on.iter_mut().chain([&mut dependency.of]);
                named.filter(|id| *id == from).for_each(|id| to.clone_into(id));
            }
        }
        for target in self.targets.iter_mut().filter(|target| target.id == from) {
            to.clone_into(&mut target.id);
        }
        Ok(true)
    }

    /// Says that an agent is called otherwise in the inventory; whether it was there. Its id stays.
    pub fn rename_agent(&mut self, from: &str, to: &str) -> bool {
        let mut agents =
            self.elements.iter_mut().filter(|element| element.kind == ElementKind::Agent);
        let known = agents.find(|agent| agent.name.as_deref().unwrap_or(&agent.id) == from);
        known.map(|agent| agent.name = Some(to.to_owned()).filter(|to| *to != agent.id)).is_some()
    }

    /// Takes over everything of another draft; what has the same id is replaced.
    pub fn merge(&mut self, other: Draft) {
        let Draft { elements, targets, dependencies } = other;
        let keys: std::collections::BTreeSet<PartKey> = elements
            .iter()
            .map(|element| PartKey { section: Section::Element, id: element.id.clone() })
            .chain(
                targets
                    .iter()
                    .map(|target| PartKey { section: Section::Target, id: target.id.clone() }),
            )
            .collect();
        let has = |section, id: &str| keys.contains(&PartKey { section, id: id.to_owned() });
        self.elements.retain(|element| !has(Section::Element, &element.id));
        self.targets.retain(|target| !has(Section::Target, &target.id));
        let is_replaced = |id: &str| has(Section::Element, id) || has(Section::Target, id);
        self.dependencies.retain(|dependency| !is_replaced(&dependency.of));
        self.elements.extend(elements);
        self.targets.extend(targets);
        self.dependencies.extend(dependencies);
    }
}
