//! The import table: which crate may use which, and what pure crates may stand on.
//!
//! Judges `cargo metadata`, so that a dependency that sneaks in through another is seen as well.
//! Dev-dependencies are free: tests may use anything.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::Deserialize;

use super::Finding;
use crate::shell;

/// Of ours, what each may import. Whoever is not listed (the tasks) may import anything.
const TABLE: [(&str, &[&str]); 11] = [
    ("model", &[]),
    ("journal", &[]),
    ("sdnotify", &[]),
    ("engine", &["model"]),
    ("sense", &["model"]),
    ("wire", &["model"]),
    ("store", &["model"]),
    ("agent", &["model", "sense", "wire", "journal", "sdnotify"]),
    ("server", &["model", "engine", "wire", "store", "journal"]),
    ("sim", &["model", "engine", "sense", "wire"]),
    ("cli", &["model", "engine", "agent", "server", "sim", "sdnotify"]),
];

/// Everything from outside that a pure crate may name; each is a format or an algorithm. A new one
/// comes with the reason why it is pure.
const PURE: [(&str, &[&str]); 4] = [
    ("model", &["jiff", "serde", "thiserror"]),
    (
        "engine",
        // All but the first three read and write case files and topologies: formats, and the place
        // of a fault in one. They see texts, never files.
        &[
            "postcard",
            "siphasher",
            // Keeps few values in place instead of in a piece of memory of their own.
            "smallvec",
            "thiserror",
            "csv",
            "quick-xml",
            "saphyr-parser",
            "serde",
            "serde_json",
            "serde_path_to_error",
        ],
    ),
    ("sense", &["siphasher", "thiserror"]),
    ("wire", &["prost", "thiserror", "zstd"]),
];

/// Clock, chance, network, logs: not even through another crate.
const IMPURE: [&str; 14] = [
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "hyper",
    "log",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "socket2",
    "time",
    "tokio",
    "tracing",
];

/// Who must be free of [`IMPURE`]: the pure crates, the simulator, and the journal, which touches
/// files and nothing else.
const FREE: [&str; 6] = ["model", "engine", "sense", "wire", "sim", "journal"];

/// Platform whose dependencies count; others bring crates that are never built here.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency.
    kind: Option<String>,
}

/// Asks cargo for everything this workspace is made of.
pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let mut cargo = shell::cargo();
    cargo.args(["metadata", "--format-version=1", "--locked", "--filter-platform", PLATFORM]);
    let text = shell::output(&mut cargo)?;
    serde_json::from_str(&text).context("cargo metadata is not what it used to be")
}

/// The normal dependencies of a crate to the end, as they are when it is built alone: a feature
/// that another crate turns on is not its doing.
fn tree(name: &str) -> anyhow::Result<String> {
    let mut cargo = shell::cargo();
    cargo.args(["tree", "--locked", "--edges=normal", "--prefix=depth", "--target", PLATFORM]);
    shell::output(cargo.args(["--package", name]))
}

pub(crate) fn check(metadata: &Metadata) -> anyhow::Result<Vec<Finding>> {
    let mut findings = check_imports(metadata);
    for name in FREE {
        findings.extend(check_reach(name, &tree(name)?));
    }
    Ok(findings)
}

fn check_imports(metadata: &Metadata) -> Vec<Finding> {
    let is_ours = |package: &&Package| metadata.workspace_members.contains(&package.id);
    let members: Vec<&Package> = metadata.packages.iter().filter(is_ours).collect();
    let names: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    members.iter().flat_map(|package| check_direct(package, &names)).collect()
}

fn finding(name: &str, what: String, remedy: &'static str) -> Finding {
    Finding { path: format!("crates/{name}/Cargo.toml"), line: 1, what, remedy }
}

fn check_direct(package: &Package, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let name = package.name.as_str();
    let listed = |table: &[(&str, &'static [&'static str])]| {
        table.iter().find(|(listed, _)| *listed == name).map(|(_, allowed)| *allowed)
    };
    let mut findings = Vec::new();
    let normal = package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
    for dependency in normal {
        let wanted = dependency.name.as_str();
        if ours.contains(wanted) {
            if listed(&TABLE).is_some_and(|allowed| !allowed.contains(&wanted)) {
                let what = format!("`{name}` must not import `{wanted}`");
                findings.push(finding(name, what, "see the table in ARCHITECTURE.md"));
            }
        } else if listed(&PURE).is_some_and(|allowed| !allowed.contains(&wanted)) {
            let what = format!("`{name}` is pure and `{wanted}` is not on its list");
            findings.push(finding(name, what, "do it in the shell, or list it with a reason"));
        }
    }
    findings
}

/// Finds what must not be reached in a `cargo tree` whose lines begin with their depth.
fn check_reach(name: &str, tree: &str) -> Vec<Finding> {
    let mut path: Vec<&str> = Vec::new();
    let mut findings = Vec::new();
    for line in tree.lines() {
        let digits = line.chars().take_while(char::is_ascii_digit).count();
        let (depth, rest) = line.split_at_checked(digits).unwrap_or_default();
        path.truncate(depth.parse().unwrap_or(0));
        path.push(rest.split(' ').next().unwrap_or_default());
        if let [.., by, reached] = path.as_slice()
            && IMPURE.contains(reached)
        {
            let what = format!("`{name}` reaches `{reached}` through `{by}`");
            findings.push(finding(name, what, "drop it or its feature"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace of two crates of ours and what they use: (who, what, kind).
    fn found(edges: &[(&str, &str, Option<&str>)]) -> Vec<String> {
        let names: BTreeSet<&str> = edges.iter().flat_map(|(who, what, _)| [*who, *what]).collect();
        let of = |name| edges.iter().filter(move |(who, ..)| who == name);
        let packages: Vec<_> = names
            .iter()
            .map(|name| {
                let dependencies: Vec<_> =
                    of(name).map(|(_, what, kind)| json!({ "name": what, "kind": kind })).collect();
                json!({
                    "id": name, "name": name, "version": "1.0.0", "license": null,
                    "dependencies": dependencies,
                })
            })
            .collect();
        let members: Vec<_> =
            TABLE.iter().map(|(name, _)| *name).filter(|name| names.contains(name)).collect();
        let metadata = json!({
            "packages": packages, "workspace_members": members,
        });
        let metadata = serde_json::from_value(metadata).expect("the shape of cargo metadata");
        check_imports(&metadata).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_forbidden_import_of_ours_is_found() {
        assert_eq!(found(&[("agent", "engine", None)]), ["`agent` must not import `engine`"]);
        assert!(found(&[("agent", "sense", None)]).is_empty());
        assert!(found(&[("agent", "engine", Some("dev"))]).is_empty());
    }

    #[test]
    fn what_a_pure_crate_stands_on_is_listed() {
        assert_eq!(
            found(&[("sense", "regex", None)]),
            ["`sense` is pure and `regex` is not on its list"]
        );
        assert!(found(&[("store", "regex", None)]).is_empty());
        assert!(found(&[("sense", "proptest", Some("dev"))]).is_empty());
    }

    #[test]
    fn impurity_is_found_through_others() {
        let tree = "0engine v0.1.0 (here)\n1serde v1.0.0\n2getrandom v0.4.0\n1model v0.1.0\n";
        let what: Vec<String> =
            check_reach("engine", tree).into_iter().map(|finding| finding.what).collect();
        assert_eq!(what, ["`engine` reaches `getrandom` through `serde`"]);
        assert!(check_reach("engine", "0engine v0.1.0\n1serde v1.0.0\n").is_empty());
    }
}
