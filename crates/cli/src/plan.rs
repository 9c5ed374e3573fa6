//! `faultline plan`: what watching would cost, told without a server.

use std::time::Duration;

use model::{
    KeptDays, Plan, Tier,
    plan::{Question, Traffic},
};
use serde_json::{Value, json};
use server::config::RetentionConfig;

use crate::{
    args::{Connection, PlanArgs},
    commands::{say, say_json},
    table,
};

pub(crate) fn run(connection: &Connection, args: &PlanArgs) -> anyhow::Result<()> {
    let plan = Plan::of(&Question {
        targets: args.targets,
        agents: args.agents,
        interval: Duration::from_secs(args.interval),
        packets: args.packets,
        payload_bytes: Tier::PAYLOAD_BYTES_DEFAULT,
        kept: kept(&args.keep).or(&RetentionConfig::default().kept()),
    });
    if connection.json {
        return say_json(&document(&plan));
    }
    say(&text(&plan));
    Ok(())
}

/// What is kept otherwise than by default; of a level that is named twice the last counts.
fn kept(given: &[(String, u32)]) -> KeptDays {
    let mut kept = KeptDays::default();
    for (level, days) in given {
        kept.set(level, Some(*days));
    }
    kept
}

/// A level as a person reads it.
fn label(level: &str) -> &str {
    match level {
        "rounds" => "every round",
        "minutes" => "minutes",
        "agent_5m" => "5 minutes, each agent",
        "agent_1h" => "hours, each agent",
        "agent_1d" => "days, each agent",
        "target_5m" => "5 minutes, all agents",
        "target_1h" => "hours, all agents",
        "target_1d" => "days, all agents",
        "unmerged" => "last day, until merged",
        "free" => "free in the file",
        "log" => "log, until judged",
        other => other,
    }
}

/// As `/api/v1/plan` answers.
fn document(plan: &Plan) -> Value {
    let levels = plan
        .levels
        .iter()
        .map(|level| json!({ "name": level.name, "records": level.records, "bytes": level.bytes }));
    let traffic =
        |of: &Traffic| json!({ "packets_per_s": of.packets_per_s, "bits_per_s": of.bits_per_s });
    json!({
        "levels": levels.collect::<Vec<_>>(),
        "disk_bytes": plan.disk_bytes(),
        "memory_bytes": plan.memory_bytes,
        "memory_peak_bytes": plan.memory_peak_bytes,
        "results_per_s": plan.results_per_s,
        "agent": traffic(&plan.agent),
        "together": traffic(&plan.together),
    })
}

fn text(plan: &Plan) -> String {
    let count = |records: Option<u64>| records.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let row = |name: &str, records, bytes| vec![name.to_owned(), count(records), size(bytes)];
    let levels = plan.levels.iter().map(|level| row(label(level.name), level.records, level.bytes));
    let mut disk: Vec<_> = levels.collect();
    disk.push(row("data directory", None, plan.disk_bytes()));
    let memory = [
        vec!["server".to_owned(), size(plan.memory_bytes)],
        vec!["server, peak".to_owned(), size(plan.memory_peak_bytes)],
    ];
    let sent = |name: &str, of: &Traffic| {
        let kbit = of.bits_per_s / 1_000.0;
        vec![name.to_owned(), format!("{:.2}", of.packets_per_s), format!("{kbit:.2}")]
    };
    let traffic = [sent("an agent", &plan.agent), sent("together", &plan.together)];
    let tables = [
        table::render(&["DISK", "RECORDS", "SIZE"], &disk),
        table::render(&["MEMORY", "SIZE"], &memory),
        table::render(&["SENT, AND AS MUCH BACK", "PACKETS/S", "KBIT/S"], &traffic),
    ];
    format!("{}\n{:.2} results/s\n", tables.join("\n"), plan.results_per_s)
}

fn size(bytes: u64) -> String {
    let mut size = bytes as f64 / 1_024.0;
    let mut unit = "KiB";
    for larger in ["MiB", "GiB", "TiB", "PiB"] {
        if size < 1_024.0 {
            break;
        }
        size /= 1_024.0;
        unit = larger;
    }
    format!("{size:.1} {unit}")
}
