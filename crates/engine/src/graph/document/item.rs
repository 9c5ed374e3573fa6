//! One part of a topology as it is written in JSON, in YAML and, flat, in CSV.

use std::fmt;

use model::{ElementKind, ElementRole, nearest};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

use super::{Document, FAULTS_MAX, Fault};
use crate::graph::{
    draft::{Dependency, Draft, ElementDraft, Need, Pin, Position, TargetDraft},
    resolve::no_role,
};

/// Where an item stands: a target needs no kind among targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    Elements,
    Targets,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "kind")]
    pub(super) kind: Option<ElementKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// As it is written: which roles there are depends on the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) site: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "degrees")]
    pub(super) latitude: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "degrees")]
    pub(super) longitude: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) device: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ends: Option<[String; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) cost: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) cost_back: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) srlg: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) customers: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) services: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) weight: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) needs: Option<Vec<ItemNeed>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) paths: Option<Vec<ItemPath>>,
}

/// A pinned path to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemPath {
    pub(super) agent: String,
    pub(super) via: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "whole")]
    pub(super) weight: Option<i64>,
}

/// What it needs beside links: one of these, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ItemNeed {
    Any(Vec<String>),
    All(Vec<String>),
}

/// Takes a number as it is written, or a text that is one: YAML and CSV have only texts.
struct AsText;

impl Visitor<'_> for AsText {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
    }
}

fn kind<'d, D: Deserializer<'d>>(from: D) -> Result<Option<ElementKind>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    ElementKind::parse(&text).map(Some).ok_or_else(|| {
        let kinds: Vec<&str> = ElementKind::ALL.iter().map(|kind| kind.as_str()).collect();
        de::Error::custom(match nearest(&text, kinds.iter().copied()) {
            Some(kind) => format!("`{text}` is no kind of part: did you mean `{kind}`?"),
            None => format!("`{text}` is no kind of part: it is one of {}", kinds.join(", ")),
        })
    })
}

fn whole<'d, D: Deserializer<'d>>(from: D) -> Result<Option<i64>, D::Error> {
    let Some(text) = from.deserialize_any(AsText)? else { return Ok(None) };
    let number = text.parse::<i64>();
    number.map(Some).map_err(|_| de::Error::custom(format!("`{text}` is no whole number")))
}

fn degrees<'d, D: Deserializer<'d>>(from: D) -> Result<Option<f64>, D::Error> {
    let Some(text) = from.deserialize_any(AsText)? else { return Ok(None) };
    match text.parse::<f64>().ok().filter(|number| number.is_finite()) {
        Some(number) => Ok(Some(number)),
        None => Err(de::Error::custom(format!("`{text}` are no degrees, as 50.11 are"))),
    }
}

/// Collects items, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Gather {
    document: Document,
    /// Whether an item is missing: whoever names it is not to blame.
    is_torn: bool,
}

impl Gather {
    /// Says what is wrong with an item that is taken all the same, so that the rest is looked at.
    fn fault(&mut self, line: u32, place: &str, reason: impl Into<String>) {
        let faults = &mut self.document.faults;
        if faults.len() < FAULTS_MAX {
            let (place, reason) = (place.to_owned(), reason.into());
            faults.push(Fault { line: Some(line), place, reason });
        }
    }

    /// Says why an item cannot be taken.
    pub(super) fn refuse(&mut self, line: u32, place: &str, reason: impl Into<String>) {
        self.is_torn = true;
        self.fault(line, place, reason);
    }

    pub(super) fn add(&mut self, among: Among, line: u32, item: Item) {
        let kind = match (among, item.kind) {
            (Among::Targets, None | Some(ElementKind::Target)) => ElementKind::Target,
            (Among::Targets, Some(kind)) => {
                let reason = format!("it is a {kind}: it stands among the elements");
                return self.refuse(line, &format!("target `{}`", item.id), reason);
            }
            (Among::Elements, Some(kind)) => kind,
            (Among::Elements, None) => {
                let kinds: Vec<&str> = ElementKind::ALL.iter().map(|kind| kind.as_str()).collect();
                let reason = format!("it has no `kind`: one of {}", kinds.join(", "));
                return self.refuse(line, &format!("`{}`", item.id), reason);
            }
        };
        let place = format!("{kind} `{}`", item.id);
        if kind == ElementKind::Target {
            self.add_target(line, &place, item);
        } else {
            self.add_element(line, &place, kind, item);
        }
    }

    fn count(&mut self, line: u32, place: &str, field: &str, count: Option<i64>) -> Option<u64> {
        let count = count?;
        if count < 0 {
            let reason = format!("{count} is no count");
            self.fault(line, &format!("{place}, {field}"), reason);
        }
        u64::try_from(count).ok()
    }

    fn add_needs(&mut self, line: u32, of: &str, needs: Option<Vec<ItemNeed>>) {
        for need in needs.unwrap_or_default() {
            let (need, on) = match need {
                ItemNeed::Any(on) => (Need::Any, on),
                ItemNeed::All(on) => (Need::All, on),
            };
            self.document.lines.dependencies.push(line);
            self.document.draft.dependencies.push(Dependency { of: of.to_owned(), need, on });
        }
    }

    fn add_target(&mut self, line: u32, place: &str, item: Item) {
        let others = [
            ("name", item.name.is_some()),
            ("role", item.role.is_some()),
            ("site", item.site.is_some()),
            ("latitude", item.latitude.is_some() || item.longitude.is_some()),
            ("ends", item.ends.is_some()),
            ("cost", item.cost.is_some() || item.cost_back.is_some()),
            ("srlg", item.srlg.is_some()),
            ("customers", item.customers.is_some()),
            ("services", item.services.is_some()),
        ];
        for (field, _) in others.into_iter().filter(|(_, is_there)| *is_there) {
            let reason =
                "a target has `id`, `device`, `weight`, `needs` and `paths` alone: leave it out";
            self.fault(line, &format!("{place}, {field}"), reason);
        }
        let weight = self.count(line, place, "weight", item.weight).unwrap_or(1);
        self.add_needs(line, &item.id, item.needs);
        let mut pins = Vec::new();
        for ItemPath { agent, via, weight } in item.paths.unwrap_or_default() {
            match u32::try_from(weight.unwrap_or(1)) {
                Ok(weight) => pins.push(Pin { agent, via, weight }),
                Err(_) => {
                    let reason = format!("a weight is 1 to {}", u32::MAX);
                    self.fault(line, &format!("{place}, paths, weight"), reason);
                }
            }
        }
        let target = TargetDraft { id: item.id, device: item.device, weight, pins };
        self.document.lines.targets.push(line);
        self.document.draft.targets.push(target);
    }

    fn add_element(&mut self, line: u32, place: &str, kind: ElementKind, item: Item) {
        if item.paths.is_some() {
            let reason = "paths are pinned at the target that they lead to";
            self.fault(line, &format!("{place}, paths"), reason);
        }
        if item.weight.is_some() {
            let reason = "only targets have a weight; elements have `customers` and `services`";
            self.fault(line, &format!("{place}, weight"), reason);
        }
        let position = match (item.latitude, item.longitude) {
            (Some(latitude), Some(longitude)) => Some(Position { latitude, longitude }),
            (None, None) => None,
            _ => {
                let reason = "`latitude` and `longitude` come together";
                self.fault(line, place, reason);
                None
            }
        };
        let role = item.role.as_deref().and_then(|word| {
            let role = ElementRole::parse(word);
            if role.is_none() {
                self.fault(line, &format!("{place}, role"), no_role(kind, word));
            }
            role
        });
        let customers = self.count(line, place, "customers", item.customers);
        let services = self.count(line, place, "services", item.services);
        self.add_needs(line, &item.id, item.needs);
        self.document.lines.elements.push(line);
        self.document.draft.elements.push(ElementDraft {
            kind,
            role,
            site: item.site,
            position,
            groups: item.srlg.unwrap_or_default(),
            ends: item.ends,
            cost: item.cost,
            cost_back: item.cost_back,
            device: item.device,
            name: item.name,
            customers,
            services,
            id: item.id,
        });
    }

    pub(super) fn finish(self) -> Result<Document, Vec<Fault>> {
        if self.is_torn { Err(self.document.faults) } else { Ok(self.document) }
    }
}

/// The items of a draft: its elements, then its targets, each with what it needs.
pub(super) fn items(draft: &Draft) -> (Vec<Item>, Vec<Item>) {
    let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok());
    let mut elements: Vec<Item> = draft
        .elements
        .iter()
        .map(|element| Item {
            id: element.id.clone(),
            kind: Some(element.kind),
            name: element.name.clone(),
            role: element.role.map(|role| role.as_str().to_owned()),
            site: element.site.clone(),
            latitude: element.position.map(|position| position.latitude),
            longitude: element.position.map(|position| position.longitude),
            device: element.device.clone(),
            ends: element.ends.clone(),
            cost: element.cost,
            cost_back: element.cost_back,
            srlg: Some(element.groups.clone()).filter(|groups| !groups.is_empty()),
            customers: count(element.customers),
            services: count(element.services),
            weight: None,
            needs: None,
            paths: None,
        })
        .collect();
    let mut targets: Vec<Item> = draft
        .targets
        .iter()
        .map(|target| Item {
            id: target.id.clone(),
            device: target.device.clone(),
            weight: count(Some(target.weight)),
            paths: Some(&target.pins)
                .filter(|pins| !pins.is_empty())
                .map(|pins| pins.iter().map(path_of).collect()),
            ..Item::default()
        })
        .collect();
    give_needs(&draft.dependencies, &mut elements, &mut targets);
    (elements, targets)
}

fn path_of(Pin { agent, via, weight }: &Pin) -> ItemPath {
    let weight = Some(i64::from(*weight)).filter(|weight| *weight != 1);
    ItemPath { agent: agent.clone(), via: via.clone(), weight }
}

/// An element wins over a target of the same name, as in the topology.
fn give_needs(dependencies: &[Dependency], elements: &mut Vec<Item>, targets: &mut [Item]) {
    use std::collections::BTreeMap;
    let mut by_id: BTreeMap<String, (bool, usize)> = BTreeMap::new();
    for (at, target) in targets.iter().enumerate() {
        by_id.insert(target.id.clone(), (false, at));
    }
    for (at, element) in elements.iter().enumerate() {
        by_id.insert(element.id.clone(), (true, at));
    }
    for Dependency { of, need, on } in dependencies {
        let (is_element, at) = *by_id.entry(of.clone()).or_insert_with(|| {
            // A group that was only named until now.
            let kind = Some(ElementKind::Srlg);
            elements.push(Item { id: of.clone(), kind, ..Item::default() });
            (true, elements.len() - 1)
        });
        let item = if is_element { elements.get_mut(at) } else { targets.get_mut(at) };
        let need = match need {
            Need::Any => ItemNeed::Any(on.clone()),
            Need::All => ItemNeed::All(on.clone()),
        };
        if let Some(item) = item {
            item.needs.get_or_insert_default().push(need);
        }
    }
}

/// Counts the lines of a text up to places that come in ascending order.
pub(super) struct LineCount<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
}

impl<'a> LineCount<'a> {
    pub(super) fn new(text: &'a str) -> LineCount<'a> {
        LineCount { text, offset: 0, line: 1 }
    }

    /// The line of a byte; one that lies before an earlier one is on that one's line.
    pub(super) fn at(&mut self, offset: usize) -> u32 {
        if let Some(between) = self.text.as_bytes().get(self.offset..offset) {
            let breaks = between.iter().filter(|byte| **byte == b'\n').count();
            self.line = self.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX));
            self.offset = offset;
        }
        self.line
    }
}
