//! `faultline doctor`: looks at an installation, says what is not well and what to do about it.
//!
//! Looks at files and the machine itself, so that it works while the server is stopped, and asks
//! the server for what only it knows, if it runs. It changes nothing.

mod host;
mod remote;

use std::{fmt::Write as _, path::Path};

use model::UtcMicros;
use serde::Serialize;
use server::{Config, clock::Clock, verify::verify_data};

use crate::{
    args::{Connection, DoctorArgs},
    serve,
};

/// The bits of a mode that let others in.
const OTHERS: u32 = 0o077;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    /// Works now; look at it by daylight.
    Warning,
    /// Something does not do its work, or will not soon.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: String,
    state: State,
    detail: String,
    /// What to do about it; empty if all is well.
    remedy: String,
}

impl Check {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Check {
        Check { name: name.into(), state: State::Ok, detail: detail.into(), remedy: String::new() }
    }

    fn warning(
        name: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        let (name, detail, remedy) = (name.into(), detail.into(), remedy.into());
        Check { name, state: State::Warning, detail, remedy }
    }

    fn problem(
        name: impl Into<String>,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check { state: State::Problem, ..Check::warning(name, detail, remedy) }
    }
}

/// Runs every check and prints it; says whether there is no problem.
pub(crate) async fn run(connection: Connection, args: DoctorArgs) -> anyhow::Result<bool> {
    let mut checks = vec![host::programs().await];
    match serve::configuration(connection.data_dir.clone(), args.listen) {
        Ok(config) => {
            let now = Clock::system().now();
            checks.push(Check::ok("configuration", "is read and good"));
            let data_dir = Some(config.data_dir.clone());
            let connection = Connection { data_dir, ..connection.clone() };
            checks.extend(installation(&connection, &config, now).await);
            let state_dir = args.agent_state_dir;
            let state_dir = state_dir.unwrap_or_else(|| config.data_dir.join("agent"));
            checks.extend(host::local_agent(&state_dir, now));
        }
        Err(error) => {
            let remedy = "mend it; `faultline server --check` says the same";
            checks.push(Check::problem("configuration", format!("{error:#}"), remedy));
        }
    }
    let is_well = !checks.iter().any(|check| check.state == State::Problem);
    if connection.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&checks)?));
    } else {
        say(&table(&checks));
    }
    Ok(is_well)
}

async fn installation(connection: &Connection, config: &Config, now: UtcMicros) -> Vec<Check> {
    let mut checks = host::folders(&config.data_dir);
    if checks.iter().any(|check| check.state == State::Problem && check.name == "data directory") {
        return checks; // Everything else would say the same again.
    }
    checks.push(host::disk(&config.data_dir));
    checks.extend(data(config).await);
    checks.push(host::authority(&config.keys_dir(), now));
    checks.extend(config.http.tls.iter().map(|files| host::certificate(&files.certificate, now)));
    let running = remote::running(config).await;
    checks.extend(host::ports(config, running).await);
    checks.push(host::icmp());
    match running {
        true => checks.extend(remote::ask(connection, config, now).await),
        false => checks.push(Check::warning(
            "server",
            format!("does not run with the data directory `{}`", config.data_dir.display()),
            "start it: `faultline up`, or `systemctl start faultline`",
        )),
    }
    checks
}

/// Database, log and keys, read to their end; what `faultline verify` says.
async fn data(config: &Config) -> Vec<Check> {
    let verified =
        verify_data(&config.data_dir, config.database_url.as_ref(), config.master_key.as_ref())
            .await;
    if verified.problems.is_empty() {
        return vec![Check::ok("data", verified.facts.join("; "))];
    }
    let problems = verified.problems.into_iter();
    problems.map(|problem| Check::problem("data", problem.what, problem.remedy)).collect()
}

fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    let mut counts = [0_usize; 3];
    for check in checks {
        let (index, word) = match check.state {
            State::Ok => (0, "ok     "),
            State::Warning => (1, "WARNING"),
            State::Problem => (2, "PROBLEM"),
        };
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
        // Writing to a String cannot fail.
        writeln!(text, "{word}  {:width$}  {}", check.name, check.detail).unwrap_or(());
        if !check.remedy.is_empty() {
            writeln!(text, "{:9}{:width$}  -> {}", "", "", check.remedy).unwrap_or(());
        }
    }
    let [ok, warnings, problems] = counts;
    let s = |count: usize| if count == 1 { "" } else { "s" };
    let (of_warnings, of_problems) = (s(warnings), s(problems));
    writeln!(text, "\n{ok} ok, {warnings} warning{of_warnings}, {problems} problem{of_problems}")
        .unwrap_or(());
    text
}

fn others_may_enter(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then_some(mode)
}

/// Says it to whoever reads; one that went away, as `head` does, wants no more.
fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn each_finding_has_its_remedy_below_it() {
        let checks = [
            Check::ok("disk", "50 GiB free"),
            Check::warning("clock", "2 s ahead", "run a time service"),
            Check::problem("data directory", "is missing", "start the server"),
        ];
        expect![[r#"
            ok       disk            50 GiB free
            WARNING  clock           2 s ahead
                                     -> run a time service
            PROBLEM  data directory  is missing
                                     -> start the server

            1 ok, 1 warning, 1 problem
        "#]]
        .assert_eq(&table(&checks));
    }
}
