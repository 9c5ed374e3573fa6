//! YAML: the same shape as the JSON. Every scalar is a text until the field says what it is, so an
//! id `no` or `1` stays what was written.
//!
//! No anchors, aliases or tags: nothing can expand, and nobody needs them here.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Value};

use super::{
    Fault,
    item::{Among, Gather, Item, ItemNeed, ItemPath, items},
    json::VERSION,
};
use crate::graph::{draft::Draft, import::FILE_BYTES_MAX};

/// Lists within each other; a topology needs five.
const DEPTH_MAX: u32 = 16;

struct Reader<'a> {
    events: Parser<'a, saphyr_parser::StrInput<'a>>,
}

fn line_of(span: &Span) -> u32 {
    u32::try_from(span.start.line()).unwrap_or(u32::MAX)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, u32), Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, line_of(&span))),
            Some(Err(error)) => Err(scan_fault(&error)),
            None => Err(Fault::of_text("the text ends too early")),
        }
    }

    /// The value that begins with an event.
    fn value(&mut self, event: Event<'a>, line: u32, depth: u32) -> Result<Value, Fault> {
        if DEPTH_MAX < depth {
            return Err(Fault::at(line, format!("more than {DEPTH_MAX} lists within each other")));
        }
        match event {
            Event::Scalar(text, style, 0, None) => Ok(scalar(&text, style)),
            Event::SequenceStart(0, None) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => return Ok(Value::Array(list)),
                        (event, line) => list.push(self.value(event, line, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(0, None) => {
                let mut map = Map::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, _) => return Ok(Value::Object(map)),
                        (Event::Scalar(key, ..), at) => {
                            let (event, line) = self.next()?;
                            let value = self.value(event, line, depth + 1)?;
                            if map.insert(key.to_string(), value).is_some() {
                                return Err(Fault::at(at, format!("`{key}` is there twice")));
                            }
                        }
                        (_, line) => return Err(Fault::at(line, "a key is a plain text")),
                    }
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd => {
                Err(Fault::at(line, "anchors, aliases and tags are not read: write it out"))
            }
        }
    }
}

fn scan_fault(error: &ScanError) -> Fault {
    Fault::at(u32::try_from(error.marker().line()).unwrap_or(u32::MAX), error.info())
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style == ScalarStyle::Plain && matches!(text, "" | "~" | "null") {
        Value::Null
    } else {
        Value::String(text.to_owned())
    }
}

pub(super) fn read(text: &str) -> Result<Gather, Vec<Fault>> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        return Err(vec![Fault::of_text(reason)]);
    }
    let mut reader = Reader { events: Parser::new_from_str(text) };
    let mut gather = Gather::default();
    document(&mut reader, &mut gather).map_err(|fault| vec![fault])?;
    Ok(gather)
}

fn document(reader: &mut Reader<'_>, gather: &mut Gather) -> Result<(), Fault> {
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::MappingStart(0, None), _) => break,
            (_, line) => {
                let reason = "a topology is a map with `elements` and `targets`";
                return Err(Fault::at(line, reason));
            }
        }
    }
    loop {
        let (key, line) = match reader.next()? {
            (Event::MappingEnd, _) => break,
            (Event::Scalar(key, ..), line) => (key.to_string(), line),
            (_, line) => return Err(Fault::at(line, "a key is a plain text")),
        };
        let (event, at) = reader.next()?;
        match key.as_str() {
            "version" => {
                let version = reader.value(event, at, 1)?;
                if version.as_str() != Some(VERSION) {
                    let reason = format!("this version is not known; this reads {VERSION}");
                    return Err(Fault::at(at, reason));
                }
            }
            "elements" => section(reader, gather, Among::Elements, (event, at))?,
            "targets" => section(reader, gather, Among::Targets, (event, at))?,
            _ => {
                let reason = format!("`{key}` is not known; a topology has `elements`, `targets`");
                return Err(Fault::at(line, reason));
            }
        }
    }
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(()),
            (Event::DocumentEnd, _) => {}
            (_, line) => return Err(Fault::at(line, "one document is read, not several")),
        }
    }
}

fn section<'a>(
    reader: &mut Reader<'a>,
    gather: &mut Gather,
    among: Among,
    (first, line): (Event<'a>, u32),
) -> Result<(), Fault> {
    if matches!(&first, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty()) {
        return Ok(());
    }
    if first != Event::SequenceStart(0, None) {
        return Err(Fault::at(line, "it is a list"));
    }
    let name = if among == Among::Elements { "elements" } else { "targets" };
    for at in 0.. {
        let (event, line) = reader.next()?;
        if event == Event::SequenceEnd {
            break;
        }
        let value = reader.value(event, line, 2)?;
        match serde_path_to_error::deserialize::<_, Item>(value) {
            Ok(item) => gather.add(among, line, item),
            Err(error) => {
                let field = error.path().to_string();
                let field = if field == "." { String::new() } else { format!(".{field}") };
                let place = format!("{name}[{at}]{field}");
                gather.refuse(line, &place, error.into_inner().to_string());
            }
        }
    }
    Ok(())
}

pub(super) fn write(draft: &Draft) -> String {
    let (elements, targets) = items(draft);
    let mut text = format!("version: {VERSION}\n");
    for (name, items) in [("elements", elements), ("targets", targets)] {
        // Writing to a text cannot fail.
        let empty = if items.is_empty() { " []" } else { "" };
        writeln!(text, "{name}:{empty}").unwrap_or(());
        items.iter().for_each(|item| write_item(&mut text, item));
    }
    text
}

fn write_item(text: &mut String, item: &Item) {
    let Item { id, kind, name, role, site, latitude, longitude, device, ends, .. } = item;
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let lead = if key == "id" { "  - " } else { "    " };
            writeln!(text, "{lead}{key}: {value}").unwrap_or(());
        }
    };
    let said = |text: &Option<String>| text.as_deref().map(quoted);
    let number = |number: Option<i64>| number.map(|number| number.to_string());
    line("id", Some(quoted(id)));
    line("kind", kind.map(|kind| kind.to_string()));
    line("name", said(name));
    line("role", role.clone());
    line("site", said(site));
    line("latitude", latitude.map(|degrees| degrees.to_string()));
    line("longitude", longitude.map(|degrees| degrees.to_string()));
    line("device", said(device));
    line("ends", ends.as_ref().map(|ends| list(ends)));
    line("cost", number(item.cost));
    line("cost_back", number(item.cost_back));
    line("srlg", item.srlg.as_deref().map(list));
    line("customers", number(item.customers));
    line("services", number(item.services));
    line("weight", number(item.weight));
    line("needs", item.needs.as_ref().map(|_| String::new()));
    for need in item.needs.iter().flatten() {
        let (word, on) = match need {
            ItemNeed::Any(on) => ("any", on),
            ItemNeed::All(on) => ("all", on),
        };
        writeln!(text, "      - {word}: {}", list(on)).unwrap_or(());
    }
    if item.paths.is_some() {
        text.push_str("    paths:\n");
    }
    for ItemPath { agent, via, weight } in item.paths.iter().flatten() {
        writeln!(text, "      - agent: {}\n        via: {}", quoted(agent), list(via))
            .unwrap_or(());
        if let Some(weight) = weight {
            writeln!(text, "        weight: {weight}").unwrap_or(());
        }
    }
}

fn list(ids: &[String]) -> String {
    format!("[{}]", ids.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", "))
}

/// The text as it is where nobody can take it for anything else, else in quotes.
fn quoted(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    // A text of JSON is one of YAML.
    if is_plain { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}
