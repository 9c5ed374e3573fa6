//! The console's packages and build: npm runs only when something changed.

use std::{fs, path::Path, process::Command, time::SystemTime};

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

/// What the built console is made of, below `ui`.
const SOURCES: [&str; 6] =
    ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.app.json"];

/// Builds the console into ui/dist, where the server's build takes it from; not again if nothing
/// it is made of is newer, or every start would compile the server anew.
pub(crate) fn build() -> anyhow::Result<()> {
    install()?;
    let ui = shell::root().join("ui");
    let built = newest(&ui.join("dist/index.html"));
    let changed = SOURCES.iter().filter_map(|source| newest(&ui.join(source))).max();
    if built.is_some() && changed <= built {
        return Ok(());
    }
    shell::run(shell::npm().args(["run", "build", "--silent"]))
}

/// When a file, or the newest file below a folder, was changed; `None` if there is none.
fn newest(path: &Path) -> Option<SystemTime> {
    let own = fs::metadata(path).ok()?;
    if !own.is_dir() {
        return own.modified().ok();
    }
    let entries = fs::read_dir(path).ok()?.filter_map(Result::ok);
    entries.filter_map(|entry| newest(&entry.path())).max()
}
