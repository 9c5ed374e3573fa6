//! The units in `deploy/systemd`, judged by systemd's own tool: whether it understands every line,
//! and how much a service could do that somebody took over.

use std::{fs, path::Path};

use anyhow::{Context, bail};

use crate::{need, shell};

const FOLDER: &str = "deploy/systemd";
/// The tool's measure of exposure in tenths; up to 20 it says "OK" or better.
const EXPOSURE_MAX: &str = "20";

/// Says why the units cannot be checked here, if so.
pub(crate) fn missing() -> Option<String> {
    need::find("systemd-analyze").is_none().then(|| {
        "no systemd-analyze. Remedy: `sudo apt-get install --no-install-recommends systemd`"
            .to_owned()
    })
}

pub(crate) fn check() -> anyhow::Result<()> {
    let folder = shell::target_dir()?.join("units");
    fs::create_dir_all(&folder).context("cannot create a folder for the units")?;
    let mut units = Vec::new();
    for entry in fs::read_dir(shell::root().join(FOLDER)).context(FOLDER)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "service") {
            units.push(installed(&path, &folder)?);
        }
    }
    if units.is_empty() {
        bail!("no units in {FOLDER}");
    }
    shell::run(shell::command("systemd-analyze").args(["verify", "--man=no"]).args(&units))?;
    for unit in &units {
        let mut security = shell::command("systemd-analyze");
        security.args(["security", "--no-pager", "--offline=true", "--threshold", EXPOSURE_MAX]);
        shell::run(security.arg(unit))?;
    }
    Ok(())
}

/// A copy whose program exists on this machine: the tool looks for it.
fn installed(unit: &Path, folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let text = fs::read_to_string(unit).with_context(|| unit.display().to_string())?;
    let copy = folder.join(unit.file_name().context("a unit without a name")?);
    fs::write(&copy, with_program(&text)).context("cannot write a unit")?;
    Ok(copy)
}

fn with_program(unit: &str) -> String {
    let line = |line: &str| match line.strip_prefix("ExecStart=/usr/bin/") {
        Some(_) => "ExecStart=/bin/true\n".to_owned(),
        None => format!("{line}\n"),
    };
    unit.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_program_is_replaced() {
        let unit = "[Service]\nExecStart=/usr/bin/faultline server\nUMask=0077\n";
        assert_eq!(with_program(unit), "[Service]\nExecStart=/bin/true\nUMask=0077\n");
    }
}
