//! Licences and bans: everything this project is built from, against `deny.toml`.
//!
//! Reads the same file as `cargo deny` and judges licences and bans as it does, so that no other
//! tool needs to be installed; advisories need a database from outside and stay its business.

use std::fs;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::{File, Finding, crates::Metadata};
use crate::shell;

const RULES: &str = "deny.toml";

#[derive(Debug, Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

pub(crate) fn check(metadata: &Metadata, files: &[File]) -> anyhow::Result<Vec<Finding>> {
    let text = fs::read_to_string(shell::root().join(RULES))
        .with_context(|| format!("cannot read `{RULES}`"))?;
    let rules = toml::from_str(&text).with_context(|| format!("cannot parse `{RULES}`"))?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let licence = package.license.as_deref();
        findings.extend(judge(&rules, "Cargo.lock", &package.name, &package.version, licence));
    }
    for lock in files.iter().filter(|file| file.path.ends_with("package-lock.json")) {
        let parsed = serde_json::from_str(&lock.text)
            .with_context(|| format!("cannot parse `{}`", lock.path))?;
        findings.extend(check_npm(&rules, &lock.path, &parsed));
    }
    Ok(findings)
}

/// Judges what is shipped to browsers; what only builds it is nobody's burden.
fn check_npm(rules: &Rules, path: &str, lock: &Value) -> Vec<Finding> {
    let packages = lock.get("packages").and_then(Value::as_object);
    let mut findings = Vec::new();
    for (place, package) in packages.into_iter().flatten() {
        let is_dev = ["dev", "devOptional"].iter().any(|key| package.get(key).is_some());
        if is_dev || place.is_empty() {
            continue;
        }
        let name = place.trim_start_matches("node_modules/");
        let field = |key: &str| package.get(key).and_then(Value::as_str);
        findings.extend(judge(
            rules,
            path,
            name,
            field("version").unwrap_or("?"),
            field("license"),
        ));
    }
    findings
}

fn judge(
    rules: &Rules,
    path: &str,
    name: &str,
    version: &str,
    licence: Option<&str>,
) -> Option<Finding> {
    let finding = |what, remedy| Some(Finding { path: path.to_owned(), line: 1, what, remedy });
    if let Some(ban) = rules.bans.deny.iter().find(|ban| ban.name == name) {
        return finding(format!("`{name}` is banned: {}", ban.reason), "drop it or its feature");
    }
    let allowed = |licence: &str| rules.licenses.allow.iter().any(|entry| entry == licence);
    match licence {
        None => finding(format!("`{name}` {version} states no licence"), "do without it"),
        Some(text) if is_allowed(text, &allowed) => None,
        Some(text) => finding(
            format!("`{name}` {version} is licensed `{text}`"),
            "do without it; deny.toml lists what is allowed",
        ),
    }
}

/// Whether an SPDX expression can be satisfied: `OR` lets us choose, `AND` does not.
fn is_allowed(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    // The old way of writing `OR`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    any_of(&mut tokens, allowed).unwrap_or(false) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut holds = all_of(tokens, allowed)?;
    while tokens.next_if_eq(&"OR").is_some() {
        holds |= all_of(tokens, allowed)?;
    }
    Some(holds)
}

fn all_of(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut holds = one(tokens, allowed)?;
    while tokens.next_if_eq(&"AND").is_some() {
        holds &= one(tokens, allowed)?;
    }
    Some(holds)
}

fn one(tokens: &mut Tokens<'_>, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let name = tokens.next()?;
    if name == "(" {
        let holds = any_of(tokens, allowed)?;
        return tokens.next_if_eq(&")").map(|_| holds);
    }
    if tokens.next_if_eq(&"WITH").is_some() {
        let exception = tokens.next()?;
        // An exception only ever grants more.
        return Some(allowed(name) || allowed(&format!("{name} WITH {exception}")));
    }
    Some(allowed(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> Rules {
        toml::from_str(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0\"]\n\
             [[bans.deny]]\ncrate = \"openssl\"\nreason = \"one TLS: rustls\"\n",
        )
        .expect("good rules")
    }

    #[test]
    fn expressions_are_judged() {
        let allowed = |licence: &str| ["MIT", "Apache-2.0", "ISC"].contains(&licence);
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-2.0/MIT",
            "(MIT OR GPL-3.0-only) AND ISC",
            "Apache-2.0 WITH LLVM-exception",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0-only",
            "AGPL-3.0-or-later OR SSPL-1.0",
            "MIT AND GPL-3.0-only",
            "(MIT OR GPL-3.0-only",
            "MIT MIT",
            "GPL-3.0-only WITH Classpath-exception-2.0",
        ] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn bans_and_missing_licences_are_found() {
        let what = |name, licence| {
            judge(&rules(), "Cargo.lock", name, "1.0.0", licence).map(|finding| finding.what)
        };
        assert_eq!(what("good", Some("MIT")), None);
        assert_eq!(
            what("openssl", Some("MIT")).as_deref(),
            Some("`openssl` is banned: one TLS: rustls")
        );
        assert_eq!(what("x", None).as_deref(), Some("`x` 1.0.0 states no licence"));
        assert!(what("x", Some("AGPL-3.0-only")).is_some());
    }

    #[test]
    fn npm_packages_that_are_shipped_are_judged() {
        let lock = json!({ "packages": {
            "": { "license": "none" },
            "node_modules/good": { "version": "1.0.0", "license": "MIT" },
            "node_modules/bad": { "version": "1.0.0", "license": "GPL-3.0-only" },
            "node_modules/tool": { "version": "1.0.0", "license": "GPL-3.0-only", "dev": true },
        }});
        let found = check_npm(&rules(), "ui/package-lock.json", &lock);
        let what: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(what, ["`bad` 1.0.0 is licensed `GPL-3.0-only`"]);
    }

    #[test]
    fn the_rules_refuse_copyleft() {
        let text = fs::read_to_string(shell::root().join(RULES)).expect("deny.toml");
        let rules: Rules = toml::from_str(&text).expect("good rules");
        assert!(rules.licenses.allow.iter().all(|licence| !licence.contains("GPL")));
    }
}
