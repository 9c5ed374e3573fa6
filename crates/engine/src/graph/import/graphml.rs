//! GraphML, with the attributes of the Internet Topology Zoo.
//!
//! A node becomes a device, and a site too where it has a place; an edge becomes a link. Parallel
//! edges stay apart. What the file says of speeds and types is not read. It is read from front to
//! back, and without document types: no entities but the five of XML and numbers, so nothing can
//! expand.

use std::collections::{BTreeMap, BTreeSet};

use model::ElementKind;
use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_xml_entity,
    events::{BytesRef, BytesStart, Event},
};

use super::FILE_BYTES_MAX;
use crate::graph::draft::{Draft, ELEMENTS_MAX, ElementDraft, Position, Problem};

/// Elements within each other; GraphML needs five.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Default)]
struct Node {
    id: String,
    label: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Debug, Default)]
struct Edge {
    ends: [String; 2],
    id: Option<String>,
    cost: Option<i64>,
    cost_back: Option<i64>,
}

#[derive(Debug, Default)]
struct Parser {
    /// What each key means: its attribute's name.
    keys: BTreeMap<String, String>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// How many elements are open, and whether there was any.
    depth: usize,
    has_root: bool,
    /// What is open, the key of the datum in it, and its text so far.
    open: Option<Open>,
    key: Option<String>,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Node,
    Edge,
}

/// Reads a GraphML file.
///
/// # Errors
///
/// The first fault: no XML, a file cut off, an edge to a node that is not there, an edge from a
/// node to itself, too many of them.
pub fn graphml(text: &str) -> Result<Draft, Problem> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        return Err(Problem::new(".", reason));
    }
    let mut reader = Reader::from_str(text);
    let mut parser = Parser::default();
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => return Err(at(text, reader.error_position(), error.to_string())),
        };
        let is_end = matches!(event, Event::Eof);
        let heard = parser.hear(event);
        heard.map_err(|reason| at(text, reader.buffer_position(), reason))?;
        if is_end {
            return parser.finish();
        }
    }
}

fn at(text: &str, offset: u64, reason: String) -> Problem {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let before = text.get(..offset).unwrap_or(text);
    Problem::new(format!("line {}", before.matches('\n').count() + 1), reason)
}

impl Parser {
    fn hear(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(element) => {
                self.depth += 1;
                if DEPTH_MAX < self.depth {
                    return Err(format!("more than {DEPTH_MAX} elements within each other"));
                }
                self.open(&element)
            }
            Event::Empty(element) => {
                self.open(&element)?;
                self.close(element.name().as_ref());
                Ok(())
            }
            Event::End(element) => {
                self.depth = self.depth.saturating_sub(1);
                self.close(element.name().as_ref());
                Ok(())
            }
            Event::Text(text) => self.hear_text(&text.xml10_content()),
            Event::CData(text) => self.hear_text(&text.xml10_content()),
            Event::GeneralRef(reference) => self.hear_text(&meant(&reference)?),
            Event::DocType(_) => Err("document types are not read".to_owned()),
            Event::Eof if 0 < self.depth => Err("the document ends inside an element".to_owned()),
            Event::Eof if !self.has_root => Err("the document is empty".to_owned()),
            Event::Eof | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Ok(()),
        }
    }

    /// Only a datum's text means anything; outside of the document there may be none.
    fn hear_text(&mut self, text: &str) -> Result<(), String> {
        if self.key.is_some() {
            self.text.push_str(text);
        } else if self.depth == 0 && !text.trim().is_empty() {
            return Err("text outside of any element".to_owned());
        }
        Ok(())
    }

    fn close(&mut self, name: &str) {
        match name {
            "data" => {
                let datum = std::mem::take(&mut self.text);
                if !datum.trim().is_empty() {
                    self.datum(datum);
                }
                self.key = None;
            }
            "node" | "edge" => self.open = None,
            _ => {}
        }
    }

    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        self.has_root = true;
        let name = element.name();
        let name: &str = name.as_ref();
        let mut attributes = BTreeMap::new();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(|error| error.to_string())?.into_owned();
            attributes.insert(attribute.key.into_inner(), value);
        }
        let get = |wanted: &str| attributes.get(wanted).cloned();
        let need = |wanted: &str| get(wanted).ok_or(format!("`{name}` has no `{wanted}`"));
        match name {
            "key" => {
                self.keys.insert(need("id")?, get("attr.name").unwrap_or_default());
            }
            "node" => {
                self.nodes.push(Node { id: need("id")?, ..Node::default() });
                self.open = Some(Open::Node);
            }
            "edge" => {
                let ends = [need("source")?, need("target")?];
                self.edges.push(Edge { ends, ..Edge::default() });
                self.open = Some(Open::Edge);
            }
            "data" => {
                self.key = get("key");
                self.text.clear();
            }
            _ => {}
        }
        if ELEMENTS_MAX < self.nodes.len() + self.edges.len() {
            return Err(format!("more than {ELEMENTS_MAX} nodes and edges"));
        }
        Ok(())
    }

    fn datum(&mut self, datum: String) {
        let name = self.key.as_ref().and_then(|key| self.keys.get(key)).map(String::as_str);
        let number = || datum.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        match (self.open, name) {
            (Some(Open::Node), Some(name)) => {
                let Some(node) = self.nodes.last_mut() else { return };
                match name {
                    "label" => node.label = Some(datum),
                    "Latitude" => node.latitude = number(),
                    "Longitude" => node.longitude = number(),
                    _ => {}
                }
            }
            (Some(Open::Edge), Some(name)) => {
                let Some(edge) = self.edges.last_mut() else { return };
                match name {
                    "cost" | "metric" => edge.cost = datum.trim().parse().ok(),
                    "cost_back" => edge.cost_back = datum.trim().parse().ok(),
                    "faultline_id" => edge.id = Some(datum),
                    _ => {}
                }
            }
            (None, _) | (_, None) => {}
        }
    }

    fn finish(self) -> Result<Draft, Problem> {
        let mut draft = Draft::default();
        let mut names = Names::default();
        let mut devices: BTreeMap<&str, String> = BTreeMap::new();
        for (nth, node) in self.nodes.iter().enumerate() {
            let label = node.label.as_deref().map(str::trim).filter(|label| !label.is_empty());
            let name = names.unique(label.unwrap_or(&node.id));
            if devices.insert(&node.id, name.clone()).is_some() {
                let reason = format!("the node `{}` is there twice", node.id);
                return Err(Problem::new(format!("node[{nth}]"), reason));
            }
            let mut device = ElementDraft::new(name, ElementKind::Device);
            let place = node.latitude.zip(node.longitude);
            device.position = place.map(|(latitude, longitude)| Position { latitude, longitude });
            draft.elements.push(device);
        }
        for (nth, edge) in self.edges.iter().enumerate() {
            let place = || format!("edge[{nth}]");
            let [a, b] = &edge.ends;
            let find = |id: &str| {
                let found = devices.get(id);
                found.ok_or_else(|| Problem::new(place(), format!("there is no node `{id}`")))
            };
            let (a, b) = (find(a)?, find(b)?);
            if a == b {
                return Err(Problem::new(place(), format!("a link of `{a}` with itself")));
            }
            let ends = format!("{a}--{b}");
            let name = names.unique(edge.id.as_deref().unwrap_or(&ends));
            let mut link = ElementDraft::link(name, a, b);
            link.cost = edge.cost;
            link.cost_back = edge.cost_back;
            draft.elements.push(link);
        }
        Ok(draft)
    }
}

/// The character that a reference means: one of the five of XML, or a number.
fn meant(reference: &BytesRef<'_>) -> Result<String, String> {
    let fault = || format!("`&{};` is not read", &**reference);
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character.to_string()),
        Ok(None) => resolve_xml_entity(reference).map(str::to_owned).ok_or_else(fault),
        Err(_) => Err(fault()),
    }
}

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<String>,
    /// The number that is tried next, by name: a million equal names take a million steps.
    next: BTreeMap<String, u64>,
}

impl Names {
    /// The name, with a number if it is taken.
    pub(super) fn unique(&mut self, wanted: &str) -> String {
        if self.taken.insert(wanted.to_owned()) {
            return wanted.to_owned();
        }
        let next = self.next.entry(wanted.to_owned()).or_insert(2);
        loop {
            let name = format!("{wanted}#{next}");
            *next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"<?xml version="1.0"?><graphml><!-- zoo -->
        <key attr.name="label" for="node" id="d1"/><key attr.name="Latitude" for="node" id="d2"/>
        <key attr.name="Longitude" for="node" id="d3"/>
        <graph edgedefault="undirected">
          <node id="0"><data key="d1">K&#246;ln &amp; Bonn</data><data key="d2">50.9</data>
            <data key="d3">6.9</data></node>
          <node id="1"/><node id="2"><data key="d1">1</data></node>
          <edge source="0" target="1"/><edge source="1" target="0"/>
        </graph></graphml>"#;

    #[test]
    fn nodes_become_devices_and_parallel_edges_stay_apart() {
        let draft = graphml(SMALL).expect("is read");
        let ids: Vec<&str> = draft.elements.iter().map(|element| element.id.as_str()).collect();
        assert_eq!(ids, ["Köln & Bonn", "1", "1#2", "Köln & Bonn--1", "1--Köln & Bonn"]);
        assert!(draft.elements[0].position.is_some() && draft.elements[1].position.is_none());
        assert!(crate::graph::Topology::build(&draft).is_ok());
    }

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let problem = graphml(text).expect_err("is refused").to_string();
        assert!(problem.contains(part), "{problem}");
    }

    #[test]
    fn each_fault_has_its_place_and_reason() {
        refused(SMALL.split_at(SMALL.len() / 2).0, "line 5: ");
        refused("<graphml><graph>", "the document ends inside");
        refused("<graphml></graph>", "graphml");
        refused("milk<graphml/>", "text outside");
        refused(&"<a>".repeat(100_000), "more than 32 elements within each other");
        refused("<graphml><node id=\"&lol;\"/></graphml>", "lol");
        refused("", "the document is empty");
        refused(&SMALL.replace("target=\"1\"", "target=\"9\""), "edge[0]: there is no node `9`");
        refused(&SMALL.replace("target=\"1\"", "target=\"0\""), "with itself");
        refused(&SMALL.replace("<node id=\"1\"/>", "<node/>"), "line 7: `node` has no `id`");
        refused("<!DOCTYPE x [<!ENTITY a \"b\">]><graphml/>", "document types");
        refused("<graphml>&a;</graphml>", "`&a;` is not read");
    }
}
