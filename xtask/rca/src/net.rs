//! Topologies to fail on: read from files, or grown.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Context;
use engine::graph::{Draft, ElementDraft, TargetDraft, Topology, import};
use model::ElementKind;

use sim::Rng as Dice;

/// Smaller ones have no choice of cause, larger ones are grown instead.
const NODES: std::ops::RangeInclusive<usize> = 15..=200;

/// A network without agents: devices and links of its largest piece.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) name: String,
    pub(crate) devices: Vec<String>,
    pub(crate) links: Vec<(String, String, String)>,
}

/// Reads every GraphML and topohub file below a folder, by name.
pub(crate) fn load(folder: &Path) -> anyhow::Result<Vec<Net>> {
    let mut files = Vec::new();
    collect(folder, &mut files).with_context(|| format!("cannot read `{}`", folder.display()))?;
    files.sort();
    let mut nets = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read `{}`", file.display()))?;
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        let read = if is_json { import::topohub(&text) } else { import::graphml(&text) };
        // Some files of the collection have nodes that link to themselves: said, and left out.
        let draft = match read {
            Ok(draft) => draft,
            Err(problem) => {
                println!("left out {}: {problem}", file.display());
                continue;
            }
        };
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let net = largest(name, &draft);
        if NODES.contains(&net.devices.len()) {
            nets.push(net);
        }
    }
    Ok(nets)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "graphml" || end == "json") {
            files.push(path);
        }
    }
    Ok(())
}

/// The largest connected piece.
fn largest(name: String, draft: &Draft) -> Net {
    let links: Vec<(String, String, String)> = draft
        .elements
        .iter()
        .filter_map(|element| {
            let [a, b] = element.ends.clone()?;
            Some((element.id.clone(), a, b))
        })
        .collect();
    let mut rest: BTreeSet<&str> = draft
        .elements
        .iter()
        .filter(|element| element.kind == ElementKind::Device)
        .map(|element| element.id.as_str())
        .collect();
    let mut best: BTreeSet<&str> = BTreeSet::new();
    while let Some(start) = rest.pop_first() {
        let mut piece = BTreeSet::from([start]);
        loop {
            let before = piece.len();
            for (_, a, b) in &links {
                if piece.contains(a.as_str()) || piece.contains(b.as_str()) {
                    piece.extend([a.as_str(), b.as_str()]);
                }
            }
            if piece.len() == before {
                break;
            }
        }
        rest.retain(|id| !piece.contains(id));
        if best.len() < piece.len() {
            best = piece;
        }
    }
    let devices: Vec<String> = best.iter().map(|id| (*id).to_owned()).collect();
    let links = links.iter().filter(|(_, a, _)| best.contains(a.as_str())).cloned().collect();
    Net { name, devices, links }
}

impl Net {
    /// The network with a target at every device and agents at some.
    pub(crate) fn topology(&self, dice: &mut Dice) -> anyhow::Result<Topology> {
        let count = (self.devices.len() / 8).clamp(3, 10);
        let mut draft = Draft::default();
        for id in &self.devices {
            draft.elements.push(ElementDraft::new(id.clone(), ElementKind::Device));
            draft.targets.push(TargetDraft::new(format!("t:{id}"), Some(id.clone())));
        }
        for (id, a, b) in &self.links {
            draft.elements.push(ElementDraft::link(id.clone(), a, b));
        }
        for (nth, host) in dice.some(&self.devices, count).into_iter().enumerate() {
            let mut agent = ElementDraft::new(format!("agent{nth}"), ElementKind::Agent);
            agent.device = Some(host);
            draft.elements.push(agent);
        }
        Topology::build(&draft).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("{}: {}", self.name, problems.join("; "))
        })
    }
}
