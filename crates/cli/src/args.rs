//! The command line, written for the person who types it.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Where a server is reached unless said otherwise.
pub(crate) const URL_DEFAULT: &str = "http://127.0.0.1:7480";
/// Where everything is kept unless said otherwise.
pub(crate) const DATA_DIR_DEFAULT: &str = "./data";

/// The environment's API key.
pub(crate) const API_KEY_VARIABLE: &str = "FAULTLINE_API_KEY";

/// Faultline: what failed, where, since when, and who is affected.
#[derive(Debug, Parser)]
#[command(name = "faultline", version, propagate_version = true)]
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
    /// Address of the server's console and API.
    #[arg(long, global = true, env = "FAULTLINE_URL", default_value = URL_DEFAULT)]
    pub(crate) url: String,
    /// API key. Without one the key file of the data directory is used, on the server's own host.
    #[arg(long, global = true, env = API_KEY_VARIABLE, hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// The server's data directory.
    #[arg(long, global = true, env = "FAULTLINE_DATA_DIR", default_value = DATA_DIR_DEFAULT)]
    pub(crate) data_dir: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything on this machine: a server and a local agent, as two processes.
    Up(UpArgs),
    /// Start the server alone.
    Server(ServerArgs),
    /// Create, list and cut off agents.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Add, list, import and remove targets.
    #[command(subcommand)]
    Target(TargetCommand),
    /// Set or reset the password of a user.
    #[command(subcommand)]
    User(UserCommand),
    /// Show what is up and what is not.
    Status,
    /// Print the OpenAPI document of the HTTP API.
    #[command(hide = true)]
    Openapi,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct ListenArgs {
    /// Address of the console and API, for example 127.0.0.1:7480.
    #[arg(long, env = "FAULTLINE_HTTP_LISTEN")]
    pub(crate) http_listen: Option<String>,
    /// Address that agents connect to, for example 0.0.0.0:7481.
    #[arg(long, env = "FAULTLINE_AGENT_LISTEN")]
    pub(crate) agent_listen: Option<String>,
    /// Configuration file (TOML). Flags win over the environment, the environment over the file.
    #[arg(long, env = "FAULTLINE_CONFIG")]
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
pub(crate) struct ServerArgs {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Check the configuration and exit.
    #[arg(long)]
    pub(crate) check: bool,
    /// Print the configuration in force, with its defaults, and exit.
    #[arg(long)]
    pub(crate) print_config: bool,
    /// When ready, print one line of JSON for the process that started this one.
    #[arg(long, hide = true)]
    pub(crate) announce_json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Create an agent and print the one command to type on its host.
    Create { name: String },
    /// List agents with their state.
    List,
    /// Make a new one-time token for an agent.
    Token { name: String },
    /// Revoke an agent's certificates and cut it off at once.
    Revoke { name: String },
    /// Delete an agent.
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// Watch an address.
    Add {
        name: String,
        /// IPv4 or IPv6 address, or DNS name.
        address: String,
        /// Name of the tier; the oldest one (`standard`) if not given.
        #[arg(long)]
        tier: Option<String>,
        /// A tag; may be given several times.
        #[arg(long = "tag")]
        tags: Vec<String>,
    },
    /// List targets with their verdicts.
    List {
        /// Only those whose name or address contains this.
        #[arg(long, short)]
        query: Option<String>,
        /// Only these verdicts: up, degraded, down, unknown.
        #[arg(long)]
        verdict: Option<String>,
    },
    /// Import a CSV (name,address,tier,tags,note) or JSON file; nothing is changed without --apply.
    Import {
        file: PathBuf,
        /// Do it. Without this the report shows what would be done.
        #[arg(long)]
        apply: bool,
    },
    /// Stop watching a target and forget it.
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Set a user's password; it is read from standard input.
    SetPassword { name: String },
    /// Make a new password for a user and print it, once; all sessions of the user end. On the
    /// server's own machine this needs neither a running server nor a password.
    ResetPassword { name: String },
}
