//! The API against its own document: a fuzzer reads what the server says it takes and gives, sends
//! what fits and what does not, and compares.
//!
//! The fuzzer is schemathesis, a program in Python; `.ci/run` installs it. What it found is fixed
//! with a test beside the code: this step only looks for more.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{e2e, need, shell};

/// Said in `api_fuzz/requirements.txt` too, and in the folder's name: another version is another
/// folder.
const VERSION: &str = "4.32.5";
/// Inputs of each operation and phase.
const EXAMPLES: &str = "40";
const SEED: &str = "1";
/// A run takes about a minute; one that hangs must not hang everything.
const RUN_S_MAX: &str = "240";
/// What is left out of it, by path.
const LEFT_OUT: [&str; 2] = [
    // Never ends: its events have tests of their own.
    "/api/v1/live",
    // Deletes the key that the fuzzer calls with; the rest would be refusals.
    "/api/v1/api-keys/{id}",
];
/// Checks that do not hold here, with the reason.
const CHECKS_LEFT_OUT: &str = concat!(
    // A schema does not say everything that a name, an address or a pair of limits must be: that
    // is refused with 422 and the field.
    "positive_data_acceptance,",
    // What each route needs is tested with every role, route by route.
    "ignored_auth",
);

/// What became of it.
pub(crate) enum Ran {
    Good(String),
    NotRun(String),
}

/// Runs the fuzzer against the server in `folder`.
///
/// # Errors
///
/// If it finds something, or cannot run to its end.
pub(crate) fn run(folder: &Path) -> anyhow::Result<Ran> {
    let Some(fuzzer) = find() else {
        let why = format!(
            "no schemathesis {VERSION}. Remedy: `python3 -m venv {0} && {0}/bin/pip install -r \
             xtask/api_fuzz/requirements.txt`",
            venv().display()
        );
        return Ok(Ran::NotRun(why));
    };
    let scratch = e2e::Scratch::new("api")?;
    let data = scratch.path().join("data");
    let log = scratch.path().join("server.log");
    let (_server, announced) = e2e::start_server(folder, &data, &log)?;
    let key = fs::read_to_string(data.join("keys/local-api.key")).context("no API key")?;
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", RUN_S_MAX]).arg(fuzzer).current_dir(scratch.path());
    command.arg("--config-file").arg(shell::root().join("xtask/api_fuzz/schemathesis.toml"));
    command.args(["run", "--header", &format!("Authorization: Bearer {}", key.trim())]);
    command.args(["--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure"]);
    command.args(["--request-timeout", "10", "--exclude-checks", CHECKS_LEFT_OUT]);
    for path in LEFT_OUT {
        command.args(["--exclude-path", path]);
    }
    let (is_good, tail) =
        shell::tee(command.arg(format!("{}/api/v1/openapi.json", announced.http_url)))?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    if let Some(line) = said.lines().find(|line| line.contains("a request failed")) {
        bail!("the server failed: {line}");
    }
    let sum = tail.iter().find(|line| line.contains(" generated")).map_or("", |line| line.trim());
    if !is_good {
        bail!("the API is not as documented: {sum}");
    }
    Ok(Ran::Good(sum.to_owned()))
}

/// Where `.ci/run` puts it, or where a person did.
fn find() -> Option<PathBuf> {
    let installed = venv().join("bin/schemathesis");
    installed.is_file().then_some(installed).or_else(|| need::find("schemathesis"))
}

fn venv() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into()));
    let cache = cache.unwrap_or_else(|| home().join(".cache"));
    cache.join("faultline").join(format!("schemathesis-{VERSION}"))
}
