//! The console's packages and build: npm runs only when something changed.

use std::{fs, process::Command};

use anyhow::Context;

use crate::shell;

/// Remembers, inside the folder it describes, which lock file that folder was installed from.
const STAMP: &str = "ui/node_modules/.installed-from";
const LOCK: &str = "ui/package-lock.json";

/// Installs the packages of the lock file unless that very lock file is installed already.
pub(crate) fn install() -> anyhow::Result<()> {
    let root = shell::root();
    let lock = fs::read_to_string(root.join(LOCK)).with_context(|| {
        format!("cannot read `{LOCK}`: the console's packages are pinned there")
    })?;
    if fs::read_to_string(root.join(STAMP)).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    shell::run(quiet(shell::npm().arg("ci")))?;
    fs::write(root.join(STAMP), lock).with_context(|| format!("cannot write `{STAMP}`"))
}

fn quiet(npm: &mut Command) -> &mut Command {
    npm.args(["--no-audit", "--no-fund", "--loglevel=error"])
}

/// Builds the console into ui/dist, where the server's build takes it from.
pub(crate) fn build() -> anyhow::Result<()> {
    install()?;
    shell::run(shell::npm().args(["run", "build", "--silent"]))
}
