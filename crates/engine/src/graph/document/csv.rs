//! CSV: one table with a header; each row is a part, and `kind` says of what kind.
//!
//! Lists are joined with `;`, what a part needs as `any: a; b | all: c`, pinned paths as
//! `1: agent; a; b | 2: agent; c` with their weights. A `;`, `|` or `\` in an id has a `\` before
//! it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Fault,
    item::{Among, Gather, Item, ItemNeed, ItemPath, items},
};
use crate::graph::{
    draft::{Draft, ELEMENTS_MAX},
    import::FILE_BYTES_MAX,
};

const COLUMNS: [&str; 18] = [
    "kind",
    "id",
    "name",
    "role",
    "site",
    "latitude",
    "longitude",
    "device",
    "end_a",
    "end_b",
    "cost",
    "cost_back",
    "srlg",
    "customers",
    "services",
    "weight",
    "needs",
    "paths",
];

pub(super) fn read(text: &str) -> Result<Gather, Vec<Fault>> {
    if FILE_BYTES_MAX < text.len() {
        let reason = format!("{} bytes; at most {FILE_BYTES_MAX} are read", text.len());
        return Err(vec![Fault::of_text(reason)]);
    }
    let header = text.split(['\n', '\r']).next().unwrap_or_default();
    // Spreadsheets of countries whose decimals have a comma write semicolons.
    let is_semicolon = header.contains(';') && !header.contains(',');
    let mut builder = csv::ReaderBuilder::new();
    builder.flexible(true).trim(csv::Trim::All);
    if is_semicolon {
        builder.delimiter(b';');
    }
    let mut reader = builder.from_reader(text.as_bytes());
    let columns = columns(reader.headers())?;
    let mut gather = Gather::default();
    for (nth, record) in reader.records().enumerate() {
        if ELEMENTS_MAX <= nth {
            return Err(vec![Fault::of_text(format!("more than {ELEMENTS_MAX} rows"))]);
        }
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, |position| line_of(text, position));
                match row(&columns, &record) {
                    Ok(None) => {}
                    Ok(Some(item)) => gather.add(Among::Elements, line, item),
                    Err((place, reason)) => gather.refuse(line, &place, reason),
                }
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                gather.refuse(u32::try_from(line).unwrap_or(u32::MAX), "", error.to_string());
            }
        }
    }
    Ok(gather)
}

/// The line of a record, which is held to begin before the empty lines above it.
fn line_of(text: &str, position: &csv::Position) -> u32 {
    let at = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let behind = text.as_bytes().get(at..).unwrap_or_default().iter();
    let empty = behind.take_while(|byte| matches!(byte, b'\n' | b'\r'));
    let lines = position.line() + empty.filter(|byte| **byte == b'\n').count() as u64;
    u32::try_from(lines).unwrap_or(u32::MAX)
}

/// The header's columns in lower case.
fn columns(header: csv::Result<&csv::StringRecord>) -> Result<Vec<String>, Vec<Fault>> {
    let header = header.map_err(|error| vec![Fault::at(1, error.to_string())])?;
    let columns: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    if 2 * COLUMNS.len() < columns.len() {
        let (count, known) = (columns.len(), COLUMNS.len());
        let reason = format!("{count} columns; there are {known}: is the first line the header?");
        return Err(vec![Fault::at(1, reason)]);
    }
    let mut faults = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if !COLUMNS.contains(&column.as_str()) {
            let known = COLUMNS.join(", ");
            faults.push(Fault::at(1, format!("`{column}` is no column; known are {known}")));
        } else if columns.iter().take(at).any(|before| before == column) {
            faults.push(Fault::at(1, format!("the column `{column}` is there twice")));
        }
    }
    for column in ["kind", "id"] {
        if !columns.iter().any(|known| known == column) {
            faults.push(Fault::at(1, format!("the column `{column}` is missing")));
        }
    }
    if faults.is_empty() { Ok(columns) } else { Err(faults) }
}

/// One row; `None` for an empty one. An error is a place and a reason.
fn row(columns: &[String], record: &csv::StringRecord) -> Result<Option<Item>, (String, String)> {
    if columns.len() < record.len() {
        let reason = format!(
            "has {} fields, the header {}: quote a field that holds a comma",
            record.len(),
            columns.len()
        );
        return Err((String::new(), reason));
    }
    let fields = columns.iter().map(String::as_str).zip(record.iter());
    let fields: BTreeMap<&str, &str> = fields.filter(|(_, field)| !field.is_empty()).collect();
    if fields.is_empty() {
        return Ok(None);
    }
    let mut object = serde_json::Map::new();
    for (column, field) in &fields {
        match *column {
            "end_a" | "end_b" => {}
            "srlg" => {
                object.insert("srlg".to_owned(), json!(split(field, ';')));
            }
            "needs" => {
                object.insert("needs".to_owned(), Value::Array(needs(field)?));
            }
            "paths" => {
                object.insert("paths".to_owned(), Value::Array(paths(field)?));
            }
            column => {
                object.insert(column.to_owned(), json!(field));
            }
        }
    }
    match (fields.get("end_a"), fields.get("end_b")) {
        (None, None) => {}
        (Some(a), Some(b)) => {
            object.insert("ends".to_owned(), json!([a, b]));
        }
        _ => return Err(("ends".to_owned(), "`end_a` and `end_b` come together".to_owned())),
    }
    let place = fields.get("id").map_or(String::new(), |id| format!("`{id}`"));
    serde_path_to_error::deserialize(Value::Object(object)).map(Some).map_err(|error| {
        let field = error.path().to_string();
        let place = if field == "." { place } else { format!("{place}, {field}") };
        (place, error.into_inner().to_string())
    })
}

/// Splits at a mark that has no backslash before it, and trims.
fn split(text: &str, mark: char) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let Some(last) = all.last_mut() else { break };
        match character {
            '\\' if mark == ';' => last.extend(characters.next()),
            '\\' => {
                last.push(character);
                last.extend(characters.next());
            }
            character if character == mark => all.push(String::new()),
            character => last.push(character),
        }
    }
    all.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// `any: a; b | all: c`.
fn needs(text: &str) -> Result<Vec<Value>, (String, String)> {
    let mut all = Vec::new();
    for part in split(text, '|') {
        let (word, on) = part.split_once(':').unwrap_or(("", &part));
        let on = split(on, ';');
        all.push(match word.trim() {
            "any" => json!({ "any": on }),
            "all" => json!({ "all": on }),
            _ => {
                let reason = format!("`{part}` is not like `any: a; b` or `all: a; b`");
                return Err(("needs".to_owned(), reason));
            }
        });
    }
    Ok(all)
}

/// `1: agent; a; b | agent; c`; without a weight it is 1.
fn paths(text: &str) -> Result<Vec<Value>, (String, String)> {
    let mut all = Vec::new();
    for part in split(text, '|') {
        let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit()) && !word.is_empty();
        let weighed = part.split_once(':').filter(|(word, _)| is_number(word.trim()));
        let (weight, way) = weighed.unwrap_or(("1", &part));
        let ids = split(way, ';');
        let Some((agent, via)) = ids.split_first() else {
            let reason = format!("`{part}` is not like `agent; a; b` or `2: agent; a; b`");
            return Err(("paths".to_owned(), reason));
        };
        all.push(json!({ "agent": agent, "via": via, "weight": weight.trim() }));
    }
    Ok(all)
}

fn escaped(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for character in id.chars() {
        if matches!(character, ';' | '|' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

fn joined(ids: &[String]) -> String {
    ids.iter().map(|id| escaped(id)).collect::<Vec<_>>().join("; ")
}

pub(super) fn write(draft: &Draft) -> String {
    let (elements, mut targets) = items(draft);
    for target in &mut targets {
        target.kind = Some(model::ElementKind::Target);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |record: &[String; COLUMNS.len()]| {
        // Writing to memory cannot fail.
        writer.write_record(record).unwrap_or(());
    };
    write(&COLUMNS.map(str::to_owned));
    for item in elements.iter().chain(&targets) {
        write(&record(item));
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

fn record(item: &Item) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map(|n| n.to_string()).unwrap_or_default();
    let degrees = |degrees: Option<f64>| degrees.map(|d| d.to_string()).unwrap_or_default();
    let [end_a, end_b] = item.ends.clone().unwrap_or_default();
    let needs = item.needs.iter().flatten().map(|need| match need {
        ItemNeed::Any(on) => format!("any: {}", joined(on)),
        ItemNeed::All(on) => format!("all: {}", joined(on)),
    });
    let paths = item.paths.iter().flatten().map(|ItemPath { agent, via, weight }| {
        let ids: Vec<String> = [agent].into_iter().chain(via).cloned().collect();
        format!("{}: {}", weight.unwrap_or(1), joined(&ids))
    });
    [
        item.kind.map(|kind| kind.to_string()).unwrap_or_default(),
        item.id.clone(),
        text(&item.name),
        text(&item.role),
        text(&item.site),
        degrees(item.latitude),
        degrees(item.longitude),
        text(&item.device),
        end_a,
        end_b,
        number(item.cost),
        number(item.cost_back),
        joined(item.srlg.as_deref().unwrap_or_default()),
        number(item.customers),
        number(item.services),
        number(item.weight),
        needs.collect::<Vec<_>>().join(" | "),
        paths.collect::<Vec<_>>().join(" | "),
    ]
}
