//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Each rule is a pure function from text to findings, tested with text that breaks it. Rules that
//! clippy can check are in `clippy.toml`, not here.

mod crates;
mod licence;
mod locks;
mod modules;
mod rust;
mod source;
mod sql;
mod text;
mod words;

use std::fmt::{self, Display, Formatter};

use anyhow::{Context, bail};

use crate::shell;

/// Something to be put right: where, what, how.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) remedy: &'static str,
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; remedy: {}", self.path, self.line, self.what, self.remedy)
    }
}

/// A text file of the repository.
pub(crate) struct File {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A finding in this file.
    pub(crate) fn finding(
        &self,
        line: usize,
        what: impl Into<String>,
        remedy: &'static str,
    ) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into(), remedy }
    }

    /// Written by a generator, which has its own taste.
    pub(crate) fn is_generated(&self) -> bool {
        self.path.contains("/generated")
    }

    /// Belongs to tests as a whole.
    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.contains(".test.ts")
            || self.path.contains("/e2e/")
    }
}

pub(crate) fn run() -> anyhow::Result<()> {
    let files = files()?;
    let mut findings = Vec::new();
    for file in &files {
        findings.extend(text::check(file));
        findings.extend(words::check(file));
        findings.extend(locks::check(file));
        if file.path.ends_with(".rs") && !file.is_generated() {
            findings.extend(rust::check(file));
            findings.extend(modules::check(file));
            findings.extend(sql::check(file));
        }
    }
    let metadata = crates::metadata()?;
    findings.extend(crates::check(&metadata)?);
    findings.extend(licence::check(&metadata, &files)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings in {} files", findings.len(), files.len());
    }
    println!("tidy: {} files, {} crates, no findings", files.len(), metadata.packages.len());
    Ok(())
}

/// Every text file that is or could be committed.
fn files() -> anyhow::Result<Vec<File>> {
    let mut git = shell::command("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let list = shell::output(&mut git).context("tidy reads the list of files from git")?;
    let mut files = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but not committed yet, a link, or not text: nothing to check.
        if let Ok(text) = std::fs::read_to_string(shell::root().join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
