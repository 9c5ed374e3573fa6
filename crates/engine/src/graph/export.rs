//! Topologies for the programs of others: devices and the links between them, which is what those
//! formats have room for. What is left out is counted.

use std::{collections::BTreeMap, fmt::Write as _};

use model::ElementKind;
use serde_json::{Value, json};

use super::{
    document::Written,
    draft::{Draft, ElementDraft, Position},
};

/// Kilometres of one radian on the ground.
const EARTH_KM: f64 = 6_371.0;

/// What there is room for: devices by id, and links as (link, device, device).
struct Graph<'a> {
    nodes: Vec<&'a ElementDraft>,
    edges: Vec<(&'a ElementDraft, usize, usize)>,
    left_out: usize,
}

impl<'a> Graph<'a> {
    fn of(draft: &'a Draft) -> Graph<'a> {
        let is_node = |element: &&ElementDraft| element.kind == ElementKind::Device;
        let nodes: Vec<&ElementDraft> = draft.elements.iter().filter(is_node).collect();
        let mut places: BTreeMap<&str, usize> =
            nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
        let ports = draft.elements.iter().filter(|e| e.kind == ElementKind::Interface);
        let hosts: Vec<(&str, usize)> = ports
            .filter_map(|port| Some((port.id.as_str(), *places.get(port.device.as_deref()?)?)))
            .collect();
        places.extend(hosts);
        let links = draft.elements.iter().filter(|e| e.kind == ElementKind::Link);
        let edges: Vec<_> = links
            .filter_map(|link| {
                let [a, b] = link.ends.as_ref()?;
                Some((link, *places.get(a.as_str())?, *places.get(b.as_str())?))
            })
            .collect();
        let all = draft.elements.len() + draft.targets.len() + draft.dependencies.len();
        let left_out = all - nodes.len() - edges.len();
        Graph { nodes, edges, left_out }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // Blanks at the ends, and breaks, would not come back as they are.
            character if character.is_control() => {
                // Writing to a text cannot fail.
                write!(out, "&#{};", u32::from(character)).unwrap_or(());
            }
            character => out.push(character),
        }
    }
    out
}

/// GraphML with the attributes of the Internet Topology Zoo, and our ids and costs.
pub(super) fn graphml(draft: &Draft) -> Written {
    let Graph { nodes, edges, left_out } = Graph::of(draft);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    text.push_str("<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n");
    let keys = [
        ("label", "node", "string"),
        ("Latitude", "node", "double"),
        ("Longitude", "node", "double"),
        ("faultline_id", "edge", "string"),
        ("cost", "edge", "long"),
        ("cost_back", "edge", "long"),
    ];
    for (at, (name, of, kind)) in keys.iter().enumerate() {
        writeln!(
            text,
            "  <key id=\"d{at}\" for=\"{of}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>"
        )
        .unwrap_or(());
    }
    text.push_str("  <graph edgedefault=\"undirected\">\n");
    let datum = |text: &mut String, key: u32, value: Option<String>| {
        if let Some(value) = value {
            write!(text, "<data key=\"d{key}\">{value}</data>").unwrap_or(());
        }
    };
    for (at, node) in nodes.iter().enumerate() {
        write!(text, "    <node id=\"{at}\">").unwrap_or(());
        datum(&mut text, 0, Some(escaped(&node.id)));
        datum(&mut text, 1, node.position.map(|position| position.latitude.to_string()));
        datum(&mut text, 2, node.position.map(|position| position.longitude.to_string()));
        text.push_str("</node>\n");
    }
    for (link, a, b) in edges {
        write!(text, "    <edge source=\"{a}\" target=\"{b}\">").unwrap_or(());
        datum(&mut text, 3, Some(escaped(&link.id)));
        datum(&mut text, 4, link.cost.map(|cost| cost.to_string()));
        datum(&mut text, 5, link.cost_back.map(|cost| cost.to_string()));
        text.push_str("</edge>\n");
    }
    text.push_str("  </graph>\n</graphml>\n");
    Written { text, left_out }
}

/// JSON as topohub has it.
pub(super) fn topohub(draft: &Draft) -> Written {
    let Graph { nodes, edges, left_out } = Graph::of(draft);
    let node = |(at, node): (usize, &&ElementDraft)| {
        let mut value = json!({ "id": at, "name": node.id });
        if let Some(Position { latitude, longitude }) = node.position {
            value["pos"] = json!([longitude, latitude]);
        }
        value
    };
    let place = |at: usize| nodes.get(at).and_then(|node| node.position);
    let edge = |(link, a, b): &(&ElementDraft, usize, usize)| {
        let mut value = json!({ "source": a, "target": b, "name": link.id });
        if let Some((a, b)) = place(*a).zip(place(*b)) {
            value["dist"] = json!((distance_km(a, b) * 10.0).round() / 10.0);
        }
        if let Some(cost) = link.cost {
            value["cost"] = json!(cost);
        }
        value
    };
    let nodes_json: Vec<Value> = nodes.iter().enumerate().map(node).collect();
    let edges_json: Vec<Value> = edges.iter().map(edge).collect();
    let whole = json!({
        "directed": false, "multigraph": true, "graph": {},
        "nodes": nodes_json, "edges": edges_json,
    });
    Written { text: format!("{whole}\n"), left_out }
}

/// As the crow flies.
fn distance_km(a: Position, b: Position) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let flat = a.latitude.to_radians().cos() * b.latitude.to_radians().cos();
    let part = half(a.latitude, b.latitude) + flat * half(a.longitude, b.longitude);
    2.0 * EARTH_KM * part.clamp(0.0, 1.0).sqrt().asin()
}
