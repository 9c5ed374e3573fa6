//! A topology as a text: JSON, YAML and CSV say all of it, GraphML and topohub the devices and the
//! links between them.
//!
//! Pure functions from a text to a [`Draft`] and back. Every fault is told with its line, up to
//! [`FAULTS_MAX`], and nothing is taken of a text that has one.

mod csv;
mod item;
mod json;
mod parts;
mod yaml;

use std::{collections::BTreeSet, fmt};

use model::ElementKind;

use super::{
    draft::{Draft, Problem},
    export, import,
    topology::{ElementIx, Topology},
};
use item::Gather;
pub use parts::{Difference, Part, PartKey, Section};

/// Faults told of one text: who has more has another file than he thinks.
pub const FAULTS_MAX: usize = 100;

/// How a topology is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    Json,
    Yaml,
    /// One table with a column `kind`.
    Csv,
    /// With the attributes of the Internet Topology Zoo.
    GraphMl,
    Topohub,
}

impl Format {
    pub const ALL: [Format; 5] =
        [Format::Json, Format::Yaml, Format::Csv, Format::GraphMl, Format::Topohub];

    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Yaml => "yaml",
            Format::Csv => "csv",
            Format::GraphMl => "graphml",
            Format::Topohub => "topohub",
        }
    }

    pub fn parse(text: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.as_str() == text)
    }

    /// The format of a file, by the end of its name; of JSON by what it holds.
    pub fn guess(name: &str, text: &str) -> Option<Format> {
        let end = name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
        match end.as_str() {
            "json" if json::is_topohub(text) => Some(Format::Topohub),
            "json" => Some(Format::Json),
            "yaml" | "yml" => Some(Format::Yaml),
            "csv" => Some(Format::Csv),
            "graphml" | "xml" => Some(Format::GraphMl),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json | Format::Topohub => "application/json",
            Format::Yaml => "application/yaml",
            Format::Csv => "text/csv",
            Format::GraphMl => "application/xml",
        }
    }
}

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counts from 1; `None` for the text as a whole.
    pub line: Option<u32>,
    /// What it is about, as ``link `a--b`, ends[1]``; may be empty.
    pub place: String,
    /// With what to do about it, where there is something.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.reason)
    }
}

impl Fault {
    fn of_text(reason: impl Into<String>) -> Fault {
        Fault { line: None, place: String::new(), reason: reason.into() }
    }

    fn at(line: u32, reason: impl Into<String>) -> Fault {
        Fault { line: Some(line), place: String::new(), reason: reason.into() }
    }
}

/// What a text says, and on which lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    pub draft: Draft,
    lines: Lines,
    /// What is wrong with parts that are in the draft all the same.
    faults: Vec<Fault>,
}

/// The lines on which the parts of a draft stand; empty for a draft that was no text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lines {
    elements: Vec<u32>,
    targets: Vec<u32>,
    dependencies: Vec<u32>,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with how it is written, if a part cannot be read. What else is
    /// wrong with it [`Document::build`] says.
    pub fn read(format: Format, text: &str) -> Result<Document, Vec<Fault>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let of_others = |read: Result<Draft, Problem>| match read {
            Ok(draft) => Ok(Document::from(draft)),
            Err(problem) => Err(vec![of_problem(problem)]),
        };
        match format {
            Format::Json => json::read(text).and_then(Gather::finish),
            Format::Yaml => yaml::read(text).and_then(Gather::finish),
            Format::Csv => csv::read(text).and_then(Gather::finish),
            Format::GraphMl => of_others(import::graphml(text)),
            Format::Topohub => of_others(import::topohub(text)),
        }
    }

    /// The same over what is there already: that stays where it has no part of the same id.
    #[must_use]
    pub fn onto(self, base: Draft) -> Document {
        let Document { draft: own, lines, faults } = self;
        let counts = (own.elements.len(), own.targets.len(), own.dependencies.len());
        let mut draft = base;
        draft.merge(own);
        let behind = |all: usize, own: usize, lines: Vec<u32>| {
            let mut all = vec![0; all.saturating_sub(own)];
            all.extend(lines);
            all
        };
        let lines = Lines {
            elements: behind(draft.elements.len(), counts.0, lines.elements),
            targets: behind(draft.targets.len(), counts.1, lines.targets),
            dependencies: behind(draft.dependencies.len(), counts.2, lines.dependencies),
        };
        Document { draft, lines, faults }
    }

    /// Makes the topology that it describes.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn build(&self) -> Result<Topology, Vec<Fault>> {
        let (topology, problems) = match Topology::build(&self.draft.with_own_targets()) {
            Ok(topology) => (Some(topology), Vec::new()),
            Err(problems) => (None, problems),
        };
        let problems = problems.into_iter().map(|problem| self.locate(problem));
        let mut faults: Vec<Fault> = self.faults.iter().cloned().chain(problems).collect();
        faults.sort_by_key(|fault| fault.line);
        faults.truncate(FAULTS_MAX);
        topology.filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// What is probably a mistake and harmless, one sentence each.
    pub fn doubts(&self, topology: &Topology) -> Vec<String> {
        let mut doubts = Vec::new();
        let orphans = topology.orphans();
        if !orphans.is_empty() && 1 < topology.of_kind(ElementKind::Device).count() {
            doubts.push(format!("no link reaches {}", some(&orphans)));
        }
        let adrift: Vec<&str> = self
            .draft
            .targets
            .iter()
            .filter(|target| target.device.is_none())
            .map(|target| target.id.as_str())
            .collect();
        if !adrift.is_empty() {
            doubts.push(format!("nobody says what these stand behind: {}", some(&adrift)));
        }
        let hosts = |ix: &_| topology.host(*ix).is_none();
        let lost: Vec<&str> =
            topology.of_kind(ElementKind::Agent).filter(hosts).map(|ix| topology.id(ix)).collect();
        if !lost.is_empty() {
            doubts.push(format!("nobody says at which device these agents are: {}", some(&lost)));
        }
        doubts
    }

    /// Says a problem of the draft with the line and the id of what it is about.
    fn locate(&self, problem: Problem) -> Fault {
        let Problem { place, reason } = problem;
        let whole = |place| Fault { line: None, place, reason: reason.clone() };
        let Some((section, rest)) = place.split_once('[') else { return whole(place) };
        let Some((at, field)) = rest.split_once(']') else { return whole(place) };
        let Ok(at) = at.parse::<usize>() else { return whole(place) };
        let elements = || self.draft.elements.get(at).map(|e| (e.kind.as_str(), &e.id));
        let (lines, named) = match section {
            "elements" => (&self.lines.elements, elements()),
            "targets" => {
                (&self.lines.targets, self.draft.targets.get(at).map(|t| ("target", &t.id)))
            }
            "dependencies" => {
                let of = self.draft.dependencies.get(at).map(|d| ("needs of", &d.of));
                (&self.lines.dependencies, of)
            }
            _ => return whole(place),
        };
        let field = field.trim_start_matches('.');
        let field = if field.is_empty() { String::new() } else { format!(", {field}") };
        let place = match named {
            Some((kind, id)) => format!("{kind} `{id}`{field}"),
            None => place.clone(),
        };
        // What was there before the text has no line.
        let line = lines.get(at).copied().filter(|line| 0 < *line);
        Fault { line, place, reason }
    }
}

impl From<Draft> for Document {
    fn from(draft: Draft) -> Document {
        Document { draft, ..Document::default() }
    }
}

/// Some names and how many more there are.
fn some(names: &[&str]) -> String {
    const NAMES_MAX: usize = 5;
    let said: Vec<String> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMES_MAX) {
        0 => said.join(", "),
        more => format!("{} and {more} more", said.join(", ")),
    }
}

/// A problem of a foreign file: it has its line, if any, in its place.
fn of_problem(problem: Problem) -> Fault {
    let line = problem.place.strip_prefix("line ").and_then(|line| line.parse().ok());
    let place = if line.is_some() || problem.place == "." { String::new() } else { problem.place };
    Fault { line, place, reason: problem.reason }
}

/// A topology written down, and how many of its parts that way of writing has no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    pub left_out: usize,
}

/// Writes a draft. GraphML and topohub have room for devices and for links between devices.
pub fn write(format: Format, draft: &Draft) -> Written {
    let whole = |text| Written { text, left_out: 0 };
    match format {
        Format::Json => whole(json::write(draft)),
        Format::Yaml => whole(yaml::write(draft)),
        Format::Csv => whole(csv::write(draft)),
        Format::GraphMl => export::graphml(draft),
        Format::Topohub => export::topohub(draft),
    }
}

impl Draft {
    /// As it is, with targets that are called as an element is renamed: people name a router and
    /// the target that stands for it alike, and a topology needs one id for each.
    pub fn with_own_targets(&self) -> Draft {
        let taken: BTreeSet<&str> = self.elements.iter().map(|e| e.id.as_str()).collect();
        let mut draft = self.clone();
        for target in &mut draft.targets {
            target.id = own_id(&target.id, |id| taken.contains(id));
        }
        draft
    }
}

/// What makes the id of a target its own.
const OWN: &str = " (target)";

/// The id of a target in a topology: its name, or that with its kind if an element has it.
pub fn own_id(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut id = name.to_owned();
    while is_taken(&id) {
        id.push_str(OWN);
    }
    id
}

/// What an element is called by its operator: of a target, its name.
pub fn name_of(topology: &Topology, ix: ElementIx) -> &str {
    let id = topology.id(ix);
    if topology.kind(ix) != ElementKind::Target {
        return id;
    }
    let is_other =
        |id: &str| topology.find(id).is_some_and(|ix| topology.kind(ix) != ElementKind::Target);
    own_name(id, is_other)
}

/// The name of a target by its id: what [`own_id`] made of the name, undone.
pub fn own_name(id: &str, is_taken: impl Fn(&str) -> bool) -> &str {
    let mut name = id;
    while let Some(shorter) = name.strip_suffix(OWN).filter(|shorter| is_taken(shorter)) {
        name = shorter;
    }
    name
}
