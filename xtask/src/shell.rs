//! Runs other programs: loudly, quietly, or loudly with their last lines kept.
//!
//! Never goes through a shell, so no argument needs quoting.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Lines of a program's output kept for its summary: a summary stands at the end.
const TAIL_LINES_MAX: usize = 60;

/// The repository's root, as cargo says it when it runs this program: a build folder may serve
/// several clones, and what was compiled in is the one that came first.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let here = here.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        here.parent().map_or_else(|| here.clone(), Path::to_path_buf)
    });
    &ROOT
}

/// Reads the one clock of this program, for the durations it prints.
#[expect(clippy::disallowed_methods, reason = "the one home of the clock in xtask")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns whether `CI=true`: then a check that could not run is a failure.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}

/// A command to be run in the repository's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// npm, in the console's folder.
pub(crate) fn npm() -> Command {
    let mut npm = command("npm");
    npm.current_dir(root().join("ui"));
    npm
}

/// A program of the console's packages, in the console's folder.
pub(crate) fn npm_exec(program: &str) -> Command {
    let mut command = command(root().join("ui/node_modules/.bin").join(program));
    command.current_dir(root().join("ui"));
    command
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text += " ";
        text += &argument.to_string_lossy();
    }
    text
}

/// Runs with the output where ours goes.
///
/// # Errors
///
/// If the program cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let text = shown(command);
    let status = command.status().with_context(|| format!("cannot start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` failed ({status})");
    }
    Ok(())
}

/// Runs silently and returns what was written to standard output.
///
/// # Errors
///
/// If the program cannot be started or does not succeed; carries what it said.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let text = shown(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{text}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{text}` failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs with the output where ours goes, and returns whether it succeeded and its last lines.
///
/// # Errors
///
/// If the program cannot be started.
pub(crate) fn tee(command: &mut Command) -> anyhow::Result<(bool, Vec<String>)> {
    let text = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{text}`"))?;
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    let readers = pipes.into_iter().flatten().map(|pipe| {
        let tail = Arc::clone(&tail);
        thread::spawn(move || echo(pipe, &tail))
    });
    for reader in readers.collect::<Vec<_>>() {
        if reader.join().is_err() {
            bail!("reading the output of `{text}` failed");
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{text}`"))?;
    let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((status.success(), tail.iter().cloned().collect()))
}

fn echo(pipe: impl Read, tail: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES_MAX {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Returns cargo's target directory.
///
/// # Errors
///
/// If `cargo metadata` fails.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let text = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is not JSON")?;
    let path = metadata.get("target_directory").and_then(Value::as_str);
    Ok(path.context("cargo metadata names no target directory")?.into())
}

/// Builds the two programs that are shipped, in release, and returns their folder.
///
/// # Errors
///
/// If the build fails.
pub(crate) fn build_release() -> anyhow::Result<PathBuf> {
    run(cargo()
        .args(["build", "--release", "--locked", "--package=cli", "--package=agent"])
        .args(["--bin=faultline", "--bin=faultline-agent"]))?;
    Ok(target_dir()?.join("release"))
}
