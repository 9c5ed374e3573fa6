//! The command line, written for the person who types it.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as ClapArgs, Parser, Subcommand};
use engine::graph::document::Format;
use model::{KeptDays, Tier, plan::Question};

use crate::{
    demo::DemoArgs,
    maintenance::MaintenanceCommand,
    serve::{self, ServerArgs},
    trace::{PathsArgs, TraceArgs, TracesArgs},
};

/// Where a server is reached unless said otherwise.
pub(crate) const URL_DEFAULT: &str = "http://127.0.0.1:7480";

/// The environment's API key.
pub(crate) const API_KEY_VARIABLE: &str = "FAULTLINE_API_KEY";

const EXAMPLES: &str = "\
Examples:
  faultline up                             a server and a local agent, data in ./data
  faultline demo                           a made-up provider to look at and break
  faultline target add core1 192.0.2.1     watch an address
  faultline target list --verdict down     what is down, and why
  faultline history core1 --last 6h        how it was
  faultline agent create fra1              prints the command to type on another host
  faultline doctor                         checks this installation

The commands over the API need no password on the server's own host: they read the key in the data
directory, and where the server is (--data-dir). From elsewhere, give --url and FAULTLINE_API_KEY.";

/// Monitoring for internet providers: what failed, where, since when, and who is affected.
#[derive(Debug, Parser)]
#[command(name = "faultline", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How the operator's commands reach a server; `data_dir` is also where `up` and `server` keep
/// everything.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Connection {
    /// Where commands reach the server's console and API [default: as the server left it in the
    /// data directory, else http://127.0.0.1:7480].
    #[arg(long, global = true, env = "FAULTLINE_URL")]
    #[arg(value_parser = parse_url, help_heading = "Global options")]
    pub(crate) url: Option<String>,
    /// API key; without one the key file in the data directory, on the server's own host.
    #[arg(long, global = true, env = API_KEY_VARIABLE, hide_env_values = true)]
    #[arg(value_name = "KEY", help_heading = "Global options")]
    pub(crate) api_key: Option<String>,
    /// The server's data directory [default: as configured, else `data`].
    #[arg(long, visible_alias = "data", global = true, env = "FAULTLINE_DATA_DIR")]
    #[arg(value_name = "DIR", help_heading = "Global options")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

impl Connection {
    /// Where the commands that read no configuration look for the server's files.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(server::config::DATA_DIR_DEFAULT))
    }

    /// Where the server is: as given, as a server last said in the data directory, or where one is
    /// unless it was told otherwise.
    pub(crate) fn url(&self) -> String {
        let left = || serve::left_url(self.data_dir()).filter(|url| parse_url(url).is_ok());
        self.url.clone().or_else(left).unwrap_or_else(|| URL_DEFAULT.to_owned())
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything on this machine: a server and a local agent, as two processes.
    ///
    /// Prints where the console is and, the first time, the password of `admin`. The agent is
    /// started again if it dies; one that was stopped on purpose stays so until this command is
    /// typed again, in another terminal. Ctrl-C stops both.
    Up(UpArgs),
    /// Show a made-up provider with 120 routers and 5,000 targets, with faults for you to set.
    ///
    /// Real agents and a real server watch a virtual network: no root, no network, nothing kept.
    /// Prints where the console is and its password. Ctrl-C ends it and removes everything.
    Demo(DemoArgs),
    /// Start the server alone, in the foreground, as a service manager wants it.
    Server(ServerArgs),
    /// Create, list, pause and cut off agents.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Add, list, show, import and remove targets.
    #[command(subcommand)]
    Target(TargetCommand),
    /// Describe the network: sites, devices, links, what targets stand behind.
    ///
    /// Root cause goes by it. Files are CSV, YAML, JSON, GraphML or topohub JSON; docs/topology.md
    /// says how they look.
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Show how a target was, in spans of time, the newest last.
    History(HistoryArgs),
    /// Set or reset the password of a user.
    #[command(subcommand)]
    User(UserCommand),
    /// Add, test and list webhooks: who is told what happens, and whether they were.
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// List incidents: open ones, unless told otherwise.
    Incidents(IncidentsArgs),
    /// Show an incident, or do something about it.
    Incident(IncidentArgs),
    /// List facts: what devices, or whoever asks them, reported.
    Facts(FactsArgs),
    /// Report a fact, or a file of them: evidence of the next judgement.
    Fact(FactArgs),
    /// Trace the way from an agent to a target, hop by hop.
    Trace(TraceArgs),
    /// List traces, or show one.
    Traces(TracesArgs),
    /// List which way packets take to a target, since when, and what changed.
    Paths(PathsArgs),
    /// Plan, list, extend and end maintenance: what is worked on, and so silent.
    #[command(subcommand)]
    Maintenance(MaintenanceCommand),
    /// Show how many targets are up and how many are not.
    Status,
    /// Tell what watching would cost: disk by level, memory, packets. Needs no server.
    ///
    /// History is kept for the default times; a server tells it with its own, under /api/v1/plan.
    /// Disk is derived from the bytes that a record took in a bench (three agents, 5 packets every
    /// 30 s, 0.5 % loss), not checked against a full run; a network that varies more takes more.
    Plan(PlanArgs),
    /// Write everything of a server into one file, while it runs.
    Backup(BackupArgs),
    /// Bring a backup back into a new data directory (--data-dir).
    Restore(RestoreArgs),
    /// Check a backup or a data directory, and say what to do about each problem.
    Verify(VerifyArgs),
    /// Check this installation, and say what to do about what is not well.
    ///
    /// Looks at files, disk, ports, certificates and permissions on this host, and asks the server
    /// for the rest if it runs. Changes nothing. The exit status is 1 if there is a problem.
    Doctor(DoctorArgs),
    /// Find the cause of an outage in a case file, offline; exit status 1 if --check differs.
    ///
    /// Prints one JSON object a step. The file's format is in docs/root-cause.md. Exit status 2 if
    /// a file cannot be read; its line says where and why.
    Diagnose(DiagnoseArgs),
    /// Print the OpenAPI document of the HTTP API.
    #[command(hide = true)]
    Openapi,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ListenArgs {
    /// Address of console and API [default: 127.0.0.1:7480].
    #[arg(long, env = "FAULTLINE_HTTP_LISTEN", value_name = "IP:PORT")]
    pub(crate) http_listen: Option<String>,
    /// Address that agents connect to [default: 0.0.0.0:7481].
    #[arg(long, env = "FAULTLINE_AGENT_LISTEN", value_name = "IP:PORT")]
    pub(crate) agent_listen: Option<String>,
    /// Configuration file (TOML); flags win over the environment, the environment over the file.
    #[arg(long, env = "FAULTLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Start the server without a local agent.
    #[arg(long)]
    pub(crate) no_agent: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not be there yet.
    pub(crate) file: PathBuf,
    /// Read the data directory (--data-dir) of a server that is stopped, not a server's API.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What opens the sealed secrets.
#[derive(Debug, ClapArgs)]
pub(crate) struct KeyArgs {
    /// File with the master key that the secrets in it are sealed under.
    #[arg(long, value_name = "KEY_FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The same key in base64, from the environment.
    #[arg(long, env = "ENCRYPTION_MASTER_KEY", hide = true, hide_env_values = true)]
    pub(crate) master_key: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RestoreArgs {
    /// A backup.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    /// A backup, or a server's data directory; its server may run.
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct PlanArgs {
    /// How many targets.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=Question::TARGETS_MAX))]
    pub(crate) targets: u64,
    /// How many agents ask each of them.
    #[arg(long, value_name = "K")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=Question::AGENTS_MAX))]
    pub(crate) agents: u64,
    /// Seconds between two rounds, 5 to 3600.
    #[arg(long, value_name = "S", default_value_t = Tier::INTERVAL_DEFAULT.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(INTERVALS_S))]
    pub(crate) interval: u64,
    /// Packets in a round, 1 to 20.
    #[arg(long, value_name = "P", default_value_t = Tier::PACKETS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=i64::from(Tier::PACKETS_MAX)))]
    pub(crate) packets: u8,
    /// Days for which a level is kept, if not as by default; may be given once for each: rounds,
    /// minutes, agent_5m, agent_1h (with the days of each agent), target_5m, target_1h, target_1d.
    #[arg(long, value_name = "LEVEL=DAYS", value_parser = parse_keep)]
    pub(crate) keep: Vec<(String, u32)>,
}

fn parse_keep(text: &str) -> Result<(String, u32), String> {
    let names = KeptDays::default().levels().map(|(level, _)| level);
    let (level, days) = text.split_once('=').ok_or("must be LEVEL=DAYS, such as rounds=30")?;
    if !names.contains(&level) {
        return Err(format!("`{level}` is no level: take one of {}", names.join(", ")));
    }
    let days = days.parse().ok().filter(|days| (1..=KeptDays::DAYS_MAX).contains(days));
    let must = || format!("`{level}` must be kept for 1 to {} days", KeptDays::DAYS_MAX);
    Ok((level.to_owned(), days.ok_or_else(must)?))
}

/// What a tier may have.
const INTERVALS_S: RangeInclusive<u64> =
    Tier::INTERVAL_MIN.as_secs()..=Tier::INTERVAL_MAX.as_secs();

#[derive(Debug, ClapArgs)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// State directory of an agent on this host [default: `agent` in the data directory].
    #[arg(long, value_name = "DIR", env = "FAULTLINE_AGENT_STATE_DIR")]
    pub(crate) agent_state_dir: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DiagnoseArgs {
    /// A case file.
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    pub(crate) case: Option<PathBuf>,
    /// Every `*.json` of a folder, in name order: one line a case, its last step.
    #[arg(long, value_name = "DIR")]
    pub(crate) batch: Option<PathBuf>,
    /// With --batch: every step, not only the last.
    #[arg(long)]
    pub(crate) steps: bool,
    /// Print the explanation that an engineer would read.
    #[arg(long)]
    pub(crate) human: bool,
    /// Compare with what the case itself expects.
    #[arg(long)]
    pub(crate) check: bool,
    /// Do not judge: say what would be lost if these were down, for example `down r1--r2`.
    #[arg(long, value_name = "QUESTION", conflicts_with_all = ["check", "single_points"])]
    pub(crate) what_if: Option<String>,
    /// Do not judge: list every element whose loss darkens targets, by weight.
    #[arg(long, conflicts_with = "check")]
    pub(crate) single_points: bool,
    /// Most causes to weigh in a step; what was found by then is said. No limit if not given.
    #[arg(long, value_name = "COUNT")]
    pub(crate) budget: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Create an agent and print the one command to type on its host.
    ///
    /// The command carries a token that works once and for 10 minutes.
    Create {
        /// How the agent is called from now on, for example after its place.
        name: String,
    },
    /// List agents with their state.
    List,
    /// Make a new one-time token for an agent; earlier ones are void.
    Token {
        /// Name of the agent.
        name: String,
    },
    /// Revoke an agent's certificates and cut it off at once; a new token lets it back.
    Revoke {
        /// Name of the agent.
        name: String,
    },
    /// Let an agent ask nothing for a while; it stays connected.
    Pause {
        /// Name of the agent.
        name: String,
    },
    /// Let a paused agent ask again.
    Resume {
        /// Name of the agent.
        name: String,
    },
    /// Show what an agent says of itself: lag, spool, drops, load.
    Metrics {
        /// Name of the agent.
        name: String,
        /// How far back, up to now: 90m, 6h, 7d.
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
        last: Duration,
    },
    /// Delete an agent and cut it off at once.
    Delete {
        /// Name of the agent.
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct IncidentsArgs {
    /// Which: open, resolved, closed, past (resolved or closed), all.
    #[arg(long, default_value = "open")]
    pub(crate) state: String,
    /// Only these: critical, major, minor, warning; several with commas between.
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Only those of a user; `-` for those that nobody works on.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) owner: Option<String>,
    /// Only those that were open within this time, for example 24h or 7d.
    #[arg(long, value_parser = parse_time)]
    pub(crate) last: Option<Duration>,
    /// Only those that ever named this element of the topology.
    #[arg(long)]
    pub(crate) element: Option<String>,
    /// Only those that ever stood for this target.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Only those whose sentence has this in it.
    #[arg(long)]
    pub(crate) query: Option<String>,
    /// In this order: -opened (newest first), opened, severity, impact.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
    /// At most so many, up to 500.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FactsArgs {
    /// Only of this element of the topology.
    #[arg(long)]
    pub(crate) element: Option<String>,
    /// Only of these kinds, such as interface_down; several with commas between.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only from this source, such as a collector.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Only what was seen within this time, for example 1h or 7d.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) last: Option<Duration>,
    /// Only the last word of each source.
    #[arg(long)]
    pub(crate) latest: bool,
    /// At most so many, up to 500.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FactArgs {
    /// Id of an element of the topology: a port, a link, a device, an upstream.
    #[arg(required_unless_present = "file")]
    pub(crate) element: Option<String>,
    /// What is reported, such as interface_down, bgp_up or restarted; docs/facts.md has all.
    #[arg(required_unless_present = "file")]
    pub(crate) kind: Option<String>,
    /// Whose side of a link reports: id of the device.
    #[arg(long)]
    pub(crate) end: Option<String>,
    /// Agent that could or could not reach it: of unreachable_from and reachable_from alone.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// A number that belongs to it, such as how many sessions dropped.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) value: Option<f64>,
    /// Since when it is so, such as 2026-11-21T05:54:33Z; now, if left out.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Who saw it; the name of the key, if left out.
    #[arg(long)]
    pub(crate) source: Option<String>,
    /// Report what a file has: a fact as JSON, or `{"facts": […]}`; `-` reads it from the input.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "element", "kind", "end", "agent", "value", "since", "source",
    ])]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct IncidentArgs {
    /// Number of the incident to show.
    #[arg(value_parser = parse_incident)]
    pub(crate) id: Option<u32>,
    #[command(subcommand)]
    pub(crate) command: Option<IncidentCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// Say that you look at it.
    Ack {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
    },
    /// Take an acknowledgement back, whoever's it is.
    Unack {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
    },
    /// Give it to a user, or to nobody.
    Assign {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// Name of the user.
        #[arg(required_unless_present = "nobody")]
        user: Option<String>,
        /// Nobody works on it any more.
        #[arg(long, conflicts_with = "user")]
        nobody: bool,
    },
    /// Note something in its timeline.
    Comment {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// What to note.
        text: String,
    },
    /// Say what it was, and be done with it.
    ///
    /// One that is still seen needs --force: it stays closed and silent until what it is about
    /// heals, gets worse or has another cause.
    Close {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// hardware, line, power, software, configuration, overload, third_party, maintenance,
        /// false_alarm or unknown.
        code: String,
        /// What was found and repaired.
        #[arg(long, default_value = "")]
        note: String,
        /// Also while it is still seen.
        #[arg(long)]
        force: bool,
    },
    /// Take a closing back: it is open if it is still seen, and resolved if not.
    Reopen {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// Why.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Write a case file for `faultline diagnose`: the network, the rounds, what was believed.
    Export {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// A new file [default: incident-NUMBER.json]; `-` for the standard output.
        file: Option<PathBuf>,
    },
    /// Write a post-mortem as Markdown, with room for what only people know.
    Report {
        /// Number of the incident.
        #[arg(value_parser = parse_incident)]
        id: u32,
        /// A new file [default: incident-NUMBER.md]; `-` for the standard output.
        file: Option<PathBuf>,
    },
}

/// As people write it: `12` or `#12`.
fn parse_incident(text: &str) -> Result<u32, &'static str> {
    text.trim_start_matches('#').parse().map_err(|_| "is not the number of an incident")
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// List webhooks with what waits and what was given up.
    List,
    /// Add a webhook and print its secret, once.
    Add {
        /// How the webhook is called from now on, for example after who is told.
        name: String,
        /// Where each message is sent with POST: http:// or https://.
        // Not `url`: that is the server's, which is global.
        #[arg(value_name = "URL")]
        address: String,
    },
    /// Send a test now, and say what became of it; exit status 1 if it was not taken.
    Test {
        /// Name of the webhook.
        name: String,
    },
    /// List the messages of a webhook, the newest first: at most 500.
    Deliveries {
        /// Name of the webhook.
        name: String,
        /// Only those in this state: waiting, taken or given-up.
        #[arg(long)]
        state: Option<String>,
    },
    /// Send a message again, with the same id.
    Resend {
        /// The number that `webhook deliveries` shows.
        id: u64,
    },
    /// Send nothing there until it is enabled; what waits is given up.
    Disable {
        /// Name of the webhook.
        name: String,
    },
    /// Send messages there again, from now on.
    Enable {
        /// Name of the webhook.
        name: String,
    },
    /// Delete a webhook, with the record of what it was sent.
    Remove {
        /// Name of the webhook.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Watch an address.
    Add {
        /// How the target is called from now on.
        name: String,
        /// IPv4 or IPv6 address, or DNS name.
        address: String,
        /// Name of the tier; the oldest one (`standard`) if not given.
        #[arg(long)]
        tier: Option<String>,
        /// A tag; may be given several times.
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// List targets with their verdicts.
    List {
        /// Only those whose name or address contains this.
        #[arg(long, short, value_name = "TEXT")]
        query: Option<String>,
        /// Only these verdicts, with commas between: up, degraded, down, unknown.
        #[arg(long)]
        verdict: Option<String>,
    },
    /// Show what is held of a target, since when and why, by which agent, and what changed last.
    Show {
        /// Name of the target.
        name: String,
    },
    /// Import a CSV (name,address,tier,tags,note) or JSON file; exit status 1 if a row is bad.
    Import {
        /// A file whose name ends in `.json` is JSON, every other one CSV, with `,` or `;`.
        file: PathBuf,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop watching a target and forget it.
    Delete {
        /// Name of the target.
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HistoryArgs {
    /// Names of the targets: one, or several, one after the other.
    #[arg(required = true, value_name = "TARGET")]
    pub(crate) names: Vec<String>,
    /// How far back, up to now: 90m, 6h, 7d, 1y.
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = parse_time)]
    pub(crate) last: Duration,
    /// How much time a line is of: 1m, 5m, 1h or 1d [default: the finest that takes a page]. Not
    /// with --compare, which has no lines.
    #[arg(long, value_name = "TIME")]
    pub(crate) span: Option<String>,
    /// What this agent alone saw, not all together.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Sum the time up, beside as long a time so much before: 1d, 7d. Not with --span.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "span")]
    pub(crate) compare: Option<Duration>,
}

/// Reads minutes, hours, days or years of 365 days.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let said = || "it is a number with a unit: 90m, 6h, 7d or 1y".to_owned();
    let at = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(at).ok_or_else(said)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "y" => 365 * 86_400,
        _ => return Err(said()),
    };
    let number: u32 = number.parse().map_err(|_| said())?;
    match number {
        0 => Err(said()),
        _ => Ok(Duration::from_secs(u64::from(number) * seconds)),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Take over a file: all of it or, if it has a problem, nothing; exit status 1 then.
    Import {
        /// What it is follows from the end of its name: .csv, .yaml, .json, .graphml.
        file: PathBuf,
        /// csv, yaml, json, graphml or topohub.
        #[arg(long, value_parser = parse_format)]
        format: Option<Format>,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
        /// What the file does not name goes. Without this it stays.
        #[arg(long)]
        replace: bool,
    },
    /// Write the server's topology to standard output.
    Export {
        /// yaml (if not given), json, csv, graphml or topohub.
        #[arg(long, value_parser = parse_format)]
        format: Option<Format>,
    },
    /// List what the server's topology is made of.
    Show {
        /// Only what stands at this site.
        #[arg(long)]
        site: Option<String>,
        /// Only this device and what is attached to it.
        #[arg(long)]
        device: Option<String>,
        /// Only this kind, for example link or target.
        #[arg(long)]
        kind: Option<String>,
    },
    /// Say what would be lost if elements were down, by the server's topology; nothing changes.
    WhatIf {
        /// Ids with commas between them, for example `r1--r2` or `fra-a,fra-b`.
        #[arg(value_name = "IDS")]
        down: String,
    },
    /// List every element whose loss leaves targets that nobody reaches, the weightiest first.
    SinglePoints,
    /// Check a file offline, or what the server has; each problem with its line, exit status 1 if
    /// there is one.
    ///
    /// A file alone is not compared with the inventory: `import --dry-run` is.
    Check {
        /// A file as for import. Without it, the server's topology.
        file: Option<PathBuf>,
        /// csv, yaml, json, graphml or topohub.
        #[arg(long, value_parser = parse_format, requires = "file")]
        format: Option<Format>,
    },
}

fn parse_format(text: &str) -> Result<Format, String> {
    let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
    Format::parse(text).ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Set a user's password: asked for at a terminal, else one line of standard input.
    SetPassword {
        /// Name of the user; the first one is `admin`.
        name: String,
    },
    /// Make a new password for a user and print it, once; all sessions of the user end. On the
    /// server's own machine this needs neither a running server nor a password.
    ResetPassword {
        /// Name of the user; the first one is `admin`.
        name: String,
    },
}

/// Takes an address as browsers show it.
fn parse_url(text: &str) -> Result<String, String> {
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    if !is_http {
        return Err(format!("it begins with http:// or https://, for example {URL_DEFAULT}"));
    }
    match reqwest::Url::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; it is like {URL_DEFAULT}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Every command of the tree with its arguments.
    fn walk(command: &clap::Command, path: &str, tell: &mut impl FnMut(&str, &clap::Command)) {
        let path = format!("{path} {}", command.get_name());
        tell(&path, command);
        command.get_subcommands().for_each(|sub| walk(sub, &path, tell));
    }

    #[test]
    fn every_command_and_argument_says_what_it_is() {
        let mut silent = Vec::new();
        walk(&Args::command(), "", &mut |path, command| {
            if command.get_about().is_none() {
                silent.push(path.to_owned());
            }
            let arguments = command.get_arguments().filter(|a| a.get_help().is_none());
            silent.extend(arguments.map(|argument| format!("{path} {}", argument.get_id())));
        });
        assert_eq!(silent, Vec::<String>::new());
        Args::command().debug_assert();
    }

    #[test]
    fn an_address_of_a_server_has_a_scheme() {
        let parsed = |url| Args::try_parse_from(["faultline", "status", "--url", url]);
        assert!(parsed("http://192.0.2.1:7480").is_ok() && parsed("https://[::1]").is_ok());
        for (url, part) in [
            ("127.0.0.1:7480", "it begins with http://"),
            ("monitor.example", "it begins with http://"),
            ("http://", "it is like http://127.0.0.1:7480"),
            ("http://a:99999", "it is like http://127.0.0.1:7480"),
        ] {
            let error = parsed(url).expect_err("is refused").to_string();
            assert!(error.contains("--url") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        let minutes = |text| parse_time(text).map(|time| time.as_secs() / 60);
        let said = ["90m", "6h", "7d", "1y"].map(minutes);
        assert_eq!(said, [Ok(90), Ok(360), Ok(10_080), Ok(525_600)]);
        for text in ["", "6", "h", "0h", "6 h", "1.5h", "6w", "6é", "99999999999d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
