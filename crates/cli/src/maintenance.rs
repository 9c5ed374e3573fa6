//! Maintenance windows: planned, looked at beforehand, ended, extended and called off.

use std::time::Duration;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};
use server::clock::Clock;

use crate::{
    args::{Connection, parse_time},
    client::Client,
    commands::{cell, items, say, say_json},
    table,
};

const PATH: &str = "/maintenance";

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// List windows: what is open and planned, unless told otherwise.
    List {
        /// Those that are over, the newest first.
        #[arg(long)]
        past: bool,
    },
    /// Plan a window. `preview` says beforehand what it would silence.
    Add(Plan),
    /// Say what a window would silence, and when; nothing is kept.
    Preview(Plan),
    /// Show a window with what it silences and when it is open next.
    Show {
        /// Number of the window.
        id: u32,
    },
    /// Call a window off: what runs ends now, and there is nothing more of it.
    Cancel {
        /// Number of the window.
        id: u32,
    },
    /// End the occurrence that is open; those to come stay.
    End {
        /// Number of the window.
        id: u32,
    },
    /// Let the occurrence that is open last longer.
    Extend {
        /// Number of the window.
        id: u32,
        /// Until when, such as 2026-12-06T06:00 by the window's zone, or 2026-12-06T05:00:00Z.
        #[arg(long, value_name = "TIME", conflicts_with = "by", required_unless_present = "by")]
        until: Option<String>,
        /// By how much, for example 30m.
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        by: Option<Duration>,
    },
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("covers").required(true).multiple(true)))]
pub(crate) struct Plan {
    /// What is done, in a line.
    title: String,
    /// An element of the topology by its id, with the targets behind it: a site, a device, a link.
    #[arg(long, group = "covers", value_name = "ID")]
    element: Vec<String>,
    /// A target by its name.
    #[arg(long, group = "covers", value_name = "NAME")]
    target: Vec<String>,
    /// Every target that has a tag.
    #[arg(long, group = "covers")]
    tag: Vec<String>,
    /// Everything.
    #[arg(long, group = "covers")]
    all: bool,
    /// When it begins: by the clocks of the zone, such as 2026-12-06T02:30, or with an offset; now,
    /// if left out.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// When it ends, as the start.
    #[arg(long, value_name = "TIME", required_unless_present = "last")]
    end: Option<String>,
    /// How long it lasts from now on, for example 2h, instead of start and end.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time,
          conflicts_with_all = ["start", "end"])]
    last: Option<Duration>,
    /// Zone of the IANA database.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// How often it is open again, such as FREQ=WEEKLY;BYDAY=SU.
    #[arg(long)]
    rule: Option<String>,
    /// A day on which it is not open, such as 2026-12-27; may be said again.
    #[arg(long, value_name = "DAY")]
    except: Vec<String>,
    /// What others should know.
    #[arg(long, default_value = "")]
    note: String,
}

impl Plan {
    fn body(&self) -> Value {
        // Whole seconds: nobody reads the rest.
        let now = Clock::system().now();
        let now = model::UtcMicros(now.0 - now.0.rem_euclid(1_000_000));
        let cover = |kind: &'static str| move |name: &String| json!({"kind": kind, "name": name});
        let elements = self.element.iter().map(cover("element"));
        let named =
            self.target.iter().map(cover("target")).chain(self.tag.iter().map(cover("tag")));
        let all = self.all.then(|| json!({"kind": "all"}));
        let covers: Vec<Value> = elements.chain(named).chain(all).collect();
        let start = self.start.clone().unwrap_or_else(|| now.to_string());
        let end = self.last.map(|last| (now + last).to_string());
        let end = end.or_else(|| self.end.clone()).unwrap_or_default();
        json!({
            "title": self.title, "note": self.note, "covers": covers, "start": start, "end": end,
            "zone": self.zone, "rule": self.rule, "except": self.except,
        })
    }
}

pub(crate) async fn run(connection: Connection, command: MaintenanceCommand) -> anyhow::Result<()> {
    let client = &Client::new(&connection)?;
    let is_json = connection.json;
    match command {
        MaintenanceCommand::List { past } => list(client, is_json, past).await,
        MaintenanceCommand::Add(plan) => {
            let made: Value = client.send(Method::POST, PATH, &plan.body()).await?;
            tell(is_json, &made, &format!("planned as #{}: {}", cell(&made, "/id"), when(&made)))
        }
        MaintenanceCommand::Preview(plan) => {
            let path = format!("{PATH}/preview");
            let preview: Value = client.send(Method::POST, &path, &plan.body()).await?;
            if is_json {
                return say_json(&preview);
            }
            say(&preview_text(&preview));
            Ok(())
        }
        MaintenanceCommand::Show { id } => show(client, is_json, id).await,
        MaintenanceCommand::Cancel { id } => {
            let after = act(client, id, "cancel", &json!({})).await?;
            tell(is_json, &after, &format!("#{id} is cancelled"))
        }
        MaintenanceCommand::End { id } => {
            let after = act(client, id, "end", &json!({})).await?;
            let text = format!(
                "#{id} ended: in a minute you hear of what did not come back, if \
                                anything did not"
            );
            tell(is_json, &after, &text)
        }
        MaintenanceCommand::Extend { id, until, by } => {
            let until = match until {
                Some(until) => until,
                None => longer(client, id, by.unwrap_or_default()).await?,
            };
            let after = act(client, id, "extend", &json!({"until": until})).await?;
            tell(is_json, &after, &format!("#{id} lasts until {}", cell(&after, "/open/end_local")))
        }
    }
}

fn tell(is_json: bool, answer: &Value, text: &str) -> anyhow::Result<()> {
    if is_json {
        return say_json(answer);
    }
    say(&format!("{text}\n"));
    Ok(())
}

async fn act(client: &Client, id: u32, what: &str, body: &Value) -> anyhow::Result<Value> {
    client.send(Method::POST, &format!("{PATH}/{id}/{what}"), body).await
}

/// The end of what is open, so much later.
async fn longer(client: &Client, id: u32, by: Duration) -> anyhow::Result<String> {
    let window: Value = client.get(&format!("{PATH}/{id}")).await?;
    let end = model::UtcMicros::parse(&cell(&window, "/open/end"));
    let end = end.ok_or_else(|| anyhow::anyhow!("#{id} is not open now"))?;
    Ok((end + by).to_string())
}

async fn list(client: &Client, is_json: bool, past: bool) -> anyhow::Result<()> {
    let state = if past { "past" } else { "live" };
    let page: Value = client.get(&format!("{PATH}?state={state}&limit=500")).await?;
    if is_json {
        return say_json(&page);
    }
    if items(&page).is_empty() {
        say("there is no such window; `faultline maintenance add TITLE --element ID --for 2h` \
             opens one\n");
        return Ok(());
    }
    let row = |window: &Value| {
        let [id, state, title, by] =
            ["/id", "/state", "/title", "/created_by"].map(|field| cell(window, field));
        vec![format!("#{id}"), state, when(window), covers(window), by, title]
    };
    let rows: Vec<Vec<String>> = items(&page).iter().map(row).collect();
    let headers = ["ID", "STATE", "WHEN", "COVERS", "BY", "TITLE"];
    say(&table::render(&headers, &rows));
    Ok(())
}

/// The occurrence that is open, else the next, else the last.
fn when(window: &Value) -> String {
    let is_there = |field: &&&str| window.get(**field).is_some_and(Value::is_object);
    let found = ["open", "next", "last"].iter().find(|field| is_there(field));
    let Some(field) = found else { return "never".to_owned() };
    let [start, end] = ["start", "end"].map(|side| cell(window, &format!("/{field}/{side}_local")));
    let rule = window.get("rule").and_then(Value::as_str);
    let again = rule.map(|rule| format!(", {rule}")).unwrap_or_default();
    format!("{start} to {end} {}{again}", cell(window, "/zone"))
}

fn covers(window: &Value) -> String {
    let covers = window.get("covers").and_then(Value::as_array);
    let cover = |cover: &Value| {
        let [kind, name] = ["/kind", "/name"].map(|field| cell(cover, field));
        match kind.as_str() {
            "all" => "everything".to_owned(),
            "element" => name,
            _ => format!("{kind} {name}"),
        }
    };
    let all: Vec<String> = covers.into_iter().flatten().map(cover).collect();
    all.join(", ")
}

async fn show(client: &Client, is_json: bool, id: u32) -> anyhow::Result<()> {
    let window: Value = client.get(&format!("{PATH}/{id}")).await?;
    if is_json {
        return say_json(&window);
    }
    let preview: Value = client.get(&format!("{PATH}/{id}/preview")).await?;
    let note = window.get("note").and_then(Value::as_str).filter(|note| !note.is_empty());
    let by = window.get("created_by").and_then(Value::as_str).unwrap_or("Faultline");
    let mut text = format!(
        "#{id} {}: {}\n{}\ncovers {}, planned by {by}\n",
        cell(&window, "/title"),
        cell(&window, "/state"),
        when(&window),
        covers(&window),
    );
    note.into_iter().for_each(|note| text += &format!("{note}\n"));
    say(&(text + "\n" + &preview_text(&preview)));
    Ok(())
}

fn preview_text(preview: &Value) -> String {
    let number = |field: &str| preview.get(field).and_then(Value::as_u64).unwrap_or(0);
    let names = |field: &str, total: &str| {
        let list = preview.get(field).and_then(Value::as_array);
        let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        let more = usize::try_from(number(total)).unwrap_or(0).saturating_sub(names.len());
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) }
    };
    let mut text = format!(
        "silent: {} targets{}\n  behind {} devices{}, {} customers\n",
        number("targets_total"),
        names("targets", "targets_total"),
        number("devices_total"),
        names("devices", "devices_total"),
        number("customers"),
    );
    if preview.get("unknown").is_some_and(|unknown| unknown != &json!([])) {
        let unknown = json!({"covers": preview.get("unknown")});
        text += &format!("not there, and so without effect: {}\n", covers(&unknown));
    }
    text += &format!("open by the clocks of {}:\n", cell(preview, "/zone"));
    let list = |field: &str| preview.get(field).and_then(Value::as_array).into_iter().flatten();
    for one in list("occurrences") {
        let is_changed = one.get("is_clock_changed") == Some(&Value::Bool(true));
        let mark = if is_changed { "  (the clocks change)" } else { "" };
        let [start, end] = ["/start_local", "/end_local"].map(|field| cell(one, field));
        text += &format!("  {start} to {end}{mark}\n");
    }
    for incident in list("open_incidents") {
        let [id, sentence] = ["/id", "/sentence"].map(|field| cell(incident, field));
        text += &format!("people know #{id} already, and will hear of it: {sentence}\n");
    }
    for line in list("recorded") {
        text += &format!("- {}\n", line.as_str().unwrap_or_default());
    }
    text
}
