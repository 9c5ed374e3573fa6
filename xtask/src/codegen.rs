//! `cargo xtask codegen`: keeps what is generated and committed equal to what it comes from.
//!
//! proto/ -> the message types of `wire`, the client of `agent`, the service of `server`;
//! the server's types -> openapi/v1.json -> the console's client. The generator of the first is a
//! package of its own (`xtask/codegen`), so that its weight is not everybody's.

use std::{fs, path::Path};

use anyhow::{Context, bail};

use crate::{console, shell};

/// Where each file of the generator belongs.
const STUBS: [(&str, &str); 3] = [
    ("wire.rs", "crates/wire/src/generated/faultline.agent.v1.rs"),
    ("agent.rs", "crates/agent/src/generated/faultline.agent.v1.rs"),
    ("server.rs", "crates/server/src/generated/faultline.agent.v1.rs"),
];
const OPENAPI: &str = "openapi/v1.json";
const CLIENT: &str = "ui/src/api/generated.ts";

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let mut stale = stubs(check)?;
    stale.extend(openapi(check)?);
    stale.extend(client(check)?);
    report(&stale, check)
}

/// Checks the code generated from proto/.
pub(crate) fn check_stubs() -> anyhow::Result<()> {
    report(&stubs(true)?, true)
}

/// Checks the API's description.
pub(crate) fn check_openapi() -> anyhow::Result<()> {
    report(&openapi(true)?, true)
}

/// Checks the console's client, which needs Node.js.
pub(crate) fn check_client() -> anyhow::Result<()> {
    report(&client(true)?, true)
}

fn report(stale: &[String], check: bool) -> anyhow::Result<()> {
    if stale.is_empty() {
        println!("generated code is up to date");
    } else if check {
        bail!("out of date: {}. Remedy: `cargo xtask codegen`", stale.join(", "));
    } else {
        println!("written: {}", stale.join(", "));
    }
    Ok(())
}

fn stubs(check: bool) -> anyhow::Result<Vec<String>> {
    let made = shell::target_dir()?.join("codegen");
    shell::run(shell::cargo().args(["run", "--quiet", "--package=codegen", "--"]).arg(&made))?;
    let mut stale = Vec::new();
    for (name, place) in STUBS {
        stale.extend(settle(&read(&made.join(name))?, place, check)?);
    }
    Ok(stale)
}

fn openapi(check: bool) -> anyhow::Result<Vec<String>> {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--package=cli", "--bin=faultline", "--", "openapi"]);
    let text = shell::output(&mut cargo)?;
    let stale = settle(&format!("{}\n", text.trim_end()), OPENAPI, check)?;
    Ok(stale.into_iter().collect())
}

/// Generates in place: the generator knows where it writes. A check puts the old file back.
fn client(check: bool) -> anyhow::Result<Vec<String>> {
    console::install()?;
    let place = shell::root().join(CLIENT);
    let before = fs::read_to_string(&place).unwrap_or_default();
    shell::output(shell::npm().args(["run", "generate"]))?;
    if read(&place)? == before {
        return Ok(Vec::new());
    }
    if check {
        fs::write(&place, before).with_context(|| format!("cannot restore `{CLIENT}`"))?;
    }
    Ok(vec![CLIENT.to_owned()])
}

/// Compares and, unless it is a check, writes; returns the place if it was out of date.
fn settle(wanted: &str, place: &str, check: bool) -> anyhow::Result<Option<String>> {
    let path = shell::root().join(place);
    if fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
        return Ok(None);
    }
    if !check {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make `{}`", folder.display()))?;
        }
        fs::write(&path, wanted).with_context(|| format!("cannot write `{place}`"))?;
    }
    Ok(Some(place.to_owned()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}
