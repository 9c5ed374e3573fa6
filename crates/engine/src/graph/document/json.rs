//! JSON: `{"version": 1, "elements": […], "targets": […]}`, one part a line.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Fault,
    item::{Among, Gather, Item, LineCount, items},
};
use crate::graph::{draft::Draft, import::FILE_BYTES_MAX};

/// The only version there is.
pub(super) const VERSION: &str = "1";

/// A list would be read as the fields in their order, which nobody promised.
const NO_OBJECT: &str = "is a list; a topology is an object: {\"elements\": [], \"targets\": []}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<'a> {
    #[serde(borrow, default)]
    version: Option<&'a RawValue>,
    #[serde(borrow, default)]
    elements: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    targets: Option<Vec<&'a RawValue>>,
}

/// Whether a text is a graph of topohub and not ours.
pub(super) fn is_topohub(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Graph<'a> {
        #[serde(borrow)]
        nodes: Option<&'a RawValue>,
    }
    serde_json::from_str::<Graph<'_>>(text).is_ok_and(|graph| graph.nodes.is_some())
}

pub(super) fn read(text: &str) -> Result<Gather, Vec<Fault>> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        return Err(vec![Fault::of_text(reason)]);
    }
    if text.trim_start().starts_with('[') {
        return Err(vec![Fault::of_text(NO_OBJECT.to_owned())]);
    }
    let whole: Whole<'_> = serde_json::from_str(text).map_err(|error| {
        let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
        vec![Fault::at(line, said(&error))]
    })?;
    if let Some(version) = whole.version.filter(|version| version.get() != VERSION) {
        let reason = format!("version {} is not known; this reads {VERSION}", version.get());
        return Err(vec![Fault::of_text(reason)]);
    }
    let mut gather = Gather::default();
    let sections = [(Among::Elements, whole.elements), (Among::Targets, whole.targets)];
    for (among, raws) in sections {
        let mut lines = LineCount::new(text);
        for (at, raw) in raws.iter().flatten().enumerate() {
            // What is borrowed of a text lies in it.
            let offset = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
            let line = lines.at(offset);
            if raw.get().starts_with('[') {
                gather.refuse(line, &place(among, at), "is a list; a part is an object".to_owned());
                continue;
            }
            match serde_json::from_str::<Item>(raw.get()) {
                Ok(item) => gather.add(among, line, item),
                Err(error) => {
                    let below = u32::try_from(error.line().saturating_sub(1)).unwrap_or(0);
                    gather.refuse(line.saturating_add(below), &place(among, at), said(&error));
                }
            }
        }
    }
    Ok(gather)
}

fn place(among: Among, at: usize) -> String {
    let section = if among == Among::Elements { "elements" } else { "targets" };
    format!("{section}[{at}]")
}

/// What is wrong, without the place: that is said otherwise.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&end).unwrap_or(&text).to_owned()
}

pub(super) fn write(draft: &Draft) -> String {
    let (elements, targets) = items(draft);
    let mut text = format!("{{\n  \"version\": {VERSION}");
    for (name, items) in [("elements", elements), ("targets", targets)] {
        // Writing to a text cannot fail.
        write!(text, ",\n  \"{name}\": [").unwrap_or(());
        for (at, item) in items.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(text, "{comma}\n    {}", one(item)).unwrap_or(());
        }
        text.push_str(if items.is_empty() { "]" } else { "\n  ]" });
    }
    text.push_str("\n}\n");
    text
}

/// One part as JSON. A number that is none (which no draft that was checked has) makes it empty.
pub(super) fn one(item: &Item) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

/// Reads one part back.
pub(super) fn read_one(text: &str) -> Result<Item, String> {
    serde_json::from_str(text).map_err(|error| said(&error))
}
