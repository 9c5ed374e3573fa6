//! `cargo xtask test`: every check there is, in order, with a table at the end.
//!
//! Goes on after a failure, so that one run says everything. What cannot run here (no root, a
//! missing package) says so with the reason; with `CI=true` that is a failure, because there the
//! machine is ours to prepare.

use std::{cell::OnceCell, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};

use crate::{api_fuzz, bench, codegen, console, e2e, need, postgres, shell, tidy, units};

/// Simulator runs before a commit, and in full.
const SEEDS_QUICK: &str = "0..10";
const SEEDS: &str = "0..50";
/// Each mistake put in on purpose must be seen within these.
const SEEDS_DEFECTS: &str = "0..200";

/// Of the server's tests only those that are about the database.
const ON_POSTGRES: &str = "package(store) or test(postgres)";
/// Names the database of PostgreSQL to the tests that want one.
const POSTGRES: &str = "FAULTLINE_TEST_POSTGRES";

/// How a step ended.
enum Outcome {
    Passed(String),
    Failed(String),
    /// The machine cannot: the reason, with the remedy.
    NotRun(String),
    /// Not asked for.
    LeftOut,
}

/// What steps share.
struct Session {
    quick: bool,
    /// Where the release programs are, once built.
    programs: OnceCell<PathBuf>,
}

struct Step {
    name: &'static str,
    /// Needs minutes: left out by `--quick`.
    is_long: bool,
    run: fn(&Session) -> anyhow::Result<Outcome>,
}

const fn step(name: &'static str, run: fn(&Session) -> anyhow::Result<Outcome>) -> Step {
    Step { name, is_long: false, run }
}

const fn long(name: &'static str, run: fn(&Session) -> anyhow::Result<Outcome>) -> Step {
    Step { name, is_long: true, run }
}

const STEPS: [Step; 19] = [
    step("format", |_| cargo(&["fmt", "--all", "--", "--check"])),
    step("tidy", |_| done(tidy::run())),
    step("console packages", |_| with_node(console::install)),
    step("console types", |_| npm("typecheck")),
    step("console lint", |_| npm("lint")),
    step("console tests", |_| npm("test")),
    step("console build", |_| npm("build")),
    step("clippy", |_| {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    }),
    step("rust tests", |_| rust_tests(&["--workspace"], None)),
    step("postgresql", on_postgres),
    step("generated code", |_| done(codegen::check_stubs())),
    step("openapi", |_| {
        codegen::check_openapi()?;
        with_node(codegen::check_client)
    }),
    step("systemd units", |_| match units::missing() {
        Some(missing) => Ok(Outcome::NotRun(missing)),
        None => done(units::check()),
    }),
    step("simulator", simulator),
    long("seeded defects", |_| {
        let (is_good, tail) = shell::tee(&mut bench::defects_command(&["--seeds", SEEDS_DEFECTS]))?;
        let caught = tail.iter().filter(|line| line.contains(": caught ")).count();
        let note = format!("{caught} caught");
        Ok(if is_good { Outcome::Passed(note) } else { Outcome::Failed(note) })
    }),
    long("programs", |session| {
        let folder = shell::build_release()?;
        session.programs.get_or_init(|| folder);
        Ok(Outcome::Passed(String::new()))
    }),
    long("api fuzz", api_fuzz),
    long("browser", browser),
    long("lab", lab),
];

pub(crate) fn run(quick: bool, only: &[String]) -> anyhow::Result<()> {
    let session = Session { quick, programs: OnceCell::new() };
    let is_wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part));
    let mut results = Vec::new();
    for step in STEPS.iter().filter(|step| is_wanted(step.name)) {
        println!("\n── {} {}", step.name, "─".repeat(76_usize.saturating_sub(step.name.len())));
        let begun = shell::now();
        let outcome =
            if quick && step.is_long { Ok(Outcome::LeftOut) } else { (step.run)(&session) };
        let outcome = outcome.unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome::Failed(first_line(&format!("{error:#}")))
        });
        results.push((step.name, begun.elapsed(), outcome));
    }
    let (table, failed) = summary(&results, shell::is_ci());
    print!("{table}");
    if 0 < failed {
        bail!("{failed} of {} steps failed", results.len());
    }
    Ok(())
}

/// The table that a person reads and the line that a machine reads; and how many failed.
fn summary(results: &[(&str, Duration, Outcome)], is_ci: bool) -> (String, usize) {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut text = String::from("\n");
    let width = results.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    for (name, took, outcome) in results {
        let (count, word, note) = match outcome {
            Outcome::Passed(note) => (&mut passed, "ok", note.clone()),
            Outcome::Failed(note) => (&mut failed, "FAILED", note.clone()),
            Outcome::NotRun(why) if is_ci => (&mut failed, "FAILED", format!("not run: {why}")),
            Outcome::NotRun(why) => (&mut skipped, "NOT RUN", why.clone()),
            Outcome::LeftOut => (&mut skipped, "left out", "by --quick".to_owned()),
        };
        *count += 1;
        let line = format!("{name:width$}  {:>7.1} s  {word:8}  {note}", took.as_secs_f64());
        text += line.trim_end();
        text += "\n";
    }
    text += &format!("\n{passed} passed, {failed} failed, {skipped} skipped\n");
    (text, failed)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn done(result: anyhow::Result<()>) -> anyhow::Result<Outcome> {
    result.map(|()| Outcome::Passed(String::new()))
}

fn cargo(arguments: &[&str]) -> anyhow::Result<Outcome> {
    done(shell::run(shell::cargo().args(arguments)))
}

/// Does what needs Node.js, if it is there.
fn with_node(act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    match need::node().or_else(need::npm) {
        Some(missing) => Ok(Outcome::NotRun(missing)),
        None => done(act()),
    }
}

fn npm(script: &str) -> anyhow::Result<Outcome> {
    with_node(|| shell::run(shell::npm().args(["run", "--silent", script])))
}

/// Runs tests: on SQLite, or on the database of PostgreSQL that the URL names.
fn rust_tests(which: &[&str], postgres: Option<&str>) -> anyhow::Result<Outcome> {
    let mut cargo = shell::cargo();
    let mut filter: &[&str] = &[];
    match postgres {
        Some(url) => {
            cargo.env(POSTGRES, url);
            filter = &["--filterset", ON_POSTGRES];
        }
        None => {
            cargo.env_remove(POSTGRES);
        }
    }
    let is_summary: fn(&&String) -> bool = if need::find("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--locked", "--no-fail-fast"]).args(which).args(filter);
        |line| line.contains("tests run:")
    } else {
        cargo.args(["test", "--locked", "--no-fail-fast"]).args(which);
        |line| line.starts_with("test result:")
    };
    let (is_good, tail) = shell::tee(&mut cargo)?;
    let note = tail.iter().rfind(is_summary).map_or("", |line| line.trim()).to_owned();
    Ok(if is_good { Outcome::Passed(note) } else { Outcome::Failed(note) })
}

/// What must be the same on both databases, once more on PostgreSQL. Without one, a run that leaves
/// nothing out has failed.
fn on_postgres(session: &Session) -> anyhow::Result<Outcome> {
    match postgres::missing() {
        Some(missing) if session.quick => return Ok(Outcome::NotRun(missing)),
        Some(missing) => return Ok(Outcome::Failed(format!("not run: {missing}"))),
        None => (),
    }
    let cluster = postgres::Cluster::start()?;
    rust_tests(&["--package", "store", "--package", "server", "--test", "it"], Some(&cluster.url()))
}

fn simulator(session: &Session) -> anyhow::Result<Outcome> {
    let seeds = if session.quick { SEEDS_QUICK } else { SEEDS };
    let (is_good, tail) = shell::tee(&mut bench::sim_command(&["--seeds", seeds, "--json"]))?;
    let note = format!("seeds {seeds}");
    Ok(if is_good {
        Outcome::Passed(note)
    } else {
        Outcome::Failed(format!("{note}: {}", tail.last().map_or("", String::as_str)))
    })
}

fn programs(session: &Session) -> anyhow::Result<&PathBuf> {
    session.programs.get().context("the programs were not built")
}

fn api_fuzz(session: &Session) -> anyhow::Result<Outcome> {
    Ok(match api_fuzz::run(programs(session)?)? {
        api_fuzz::Ran::Good(sum) => Outcome::Passed(sum),
        api_fuzz::Ran::NotRun(why) => Outcome::NotRun(why),
    })
}

fn browser(session: &Session) -> anyhow::Result<Outcome> {
    if need::find("chromium").is_none() {
        let why = "no chromium. Remedy: `apt-get install chromium`";
        return Ok(Outcome::NotRun(why.to_owned()));
    }
    done(e2e::run(programs(session)?))
}

fn lab(session: &Session) -> anyhow::Result<Outcome> {
    let (is_good, tail) =
        shell::tee(bench::lab_command().arg("--programs").arg(programs(session)?))?;
    // The lab says itself what it lacks: one line, so that this table can repeat it.
    let why = tail.iter().find_map(|line| line.strip_prefix("not run: "));
    let sum = tail.iter().rfind(|line| line.contains("drills as expected"));
    let sum = sum.cloned().unwrap_or_default();
    Ok(match why {
        Some(why) => Outcome::NotRun(why.to_owned()),
        None if is_good => Outcome::Passed(sum),
        None => Outcome::Failed(sum),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn results() -> Vec<(&'static str, Duration, Outcome)> {
        vec![
            ("format", Duration::from_millis(1500), Outcome::Passed(String::new())),
            ("rust tests", Duration::from_secs(61), Outcome::Failed("1 failed".to_owned())),
            ("browser", Duration::ZERO, Outcome::NotRun("no chromium".to_owned())),
            ("lab", Duration::ZERO, Outcome::LeftOut),
        ]
    }

    #[test]
    fn the_table_names_what_did_not_run_and_why() {
        expect![[r"

            format          1.5 s  ok
            rust tests     61.0 s  FAILED    1 failed
            browser         0.0 s  NOT RUN   no chromium
            lab             0.0 s  left out  by --quick

            1 passed, 1 failed, 2 skipped
        "]]
        .assert_eq(&summary(&results(), false).0);
    }

    #[test]
    fn what_did_not_run_is_a_failure_in_ci() {
        let (table, failed) = summary(&results(), true);
        assert_eq!(failed, 2);
        assert!(table.contains("FAILED    not run: no chromium"), "{table}");
    }

    #[test]
    fn steps_have_names_of_their_own() {
        let mut names = STEPS.map(|step| step.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair.first() != pair.last()));
    }
}
