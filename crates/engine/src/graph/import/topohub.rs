//! JSON of topohub: nodes with a name and a place, edges with a length.

use std::collections::BTreeMap;

use model::ElementKind;
use serde::Deserialize;

use super::{FILE_BYTES_MAX, graphml::Names};
use crate::graph::draft::{Draft, ElementDraft, Position, Problem};

#[derive(Debug, Deserialize)]
struct File {
    nodes: Vec<Node>,
    #[serde(alias = "links")]
    edges: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: u64,
    name: Option<String>,
    /// Longitude and latitude; of synthetic networks just somewhere.
    pos: Option<[f64; 2]>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    source: u64,
    target: u64,
    /// Of networks that we wrote.
    name: Option<String>,
    cost: Option<i64>,
}

/// Reads a topohub file.
///
/// # Errors
///
/// The first fault, as [`super::graphml`].
pub fn topohub(text: &str) -> Result<Draft, Problem> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        return Err(Problem::new(".", reason));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let file: File = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        Problem::new(place, error.into_inner().to_string())
    })?;
    let mut names = Names::default();
    let mut devices = BTreeMap::new();
    let mut draft = Draft::default();
    for (nth, node) in file.nodes.iter().enumerate() {
        let wanted = node.name.clone().unwrap_or_else(|| node.id.to_string());
        let name = names.unique(&wanted);
        if devices.insert(node.id, name.clone()).is_some() {
            let reason = format!("the node {} is there twice", node.id);
            return Err(Problem::new(format!("nodes[{nth}]"), reason));
        }
        let position = node.pos.map(|[longitude, latitude]| Position { latitude, longitude });
        let position = position.filter(|position| position.is_on_earth());
        draft
            .elements
            .push(ElementDraft { position, ..ElementDraft::new(name, ElementKind::Device) });
    }
    for (nth, edge) in file.edges.iter().enumerate() {
        let place = format!("edges[{nth}]");
        let find = |id: u64| {
            let reason = format!("there is no node {id}");
            devices.get(&id).ok_or_else(|| Problem::new(place.clone(), reason))
        };
        let (a, b) = (find(edge.source)?, find(edge.target)?);
        if a == b {
            return Err(Problem::new(place, format!("a link of `{a}` with itself")));
        }
        let ends = format!("{a}--{b}");
        let name = names.unique(edge.name.as_deref().unwrap_or(&ends));
        let cost = edge.cost;
        draft.elements.push(ElementDraft { cost, ..ElementDraft::link(name, a, b) });
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_is_read_and_faults_are_placed() {
        let text = r#"{"nodes":[{"id":0,"name":"a","pos":[6.9,50.9]},{"id":1,"name":"b"}],
            "edges":[{"source":0,"target":1,"dist":3.5},{"source":1,"target":0}]}"#;
        let draft = topohub(text).expect("is read");
        assert_eq!(draft.elements.len(), 4);
        let bad = text.replace("\"target\":1", "\"target\":7");
        let problem = topohub(&bad).expect_err("is refused");
        assert_eq!(problem.to_string(), "edges[0]: there is no node 7");
        assert!(topohub(text.split_at(40).0).is_err());
    }
}
