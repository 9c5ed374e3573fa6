//! Modules inside a crate stand in a line: each names only those before it, so that none can be
//! understood only together with what is built on it.
//!
//! Reads names, not calls: a type whose methods stand in a later module is one type.

use super::{File, Finding, source::Source};

/// A crate whose modules have an order.
struct Line {
    src: &'static str,
    /// Each may name those before it.
    modules: &'static [&'static str],
    /// (this one may name only these)
    strict: &'static [(&'static str, &'static [&'static str])],
}

const LINES: [Line; 2] = [
    Line {
        src: "crates/engine/src/",
        modules: &[
            "graph",
            "rca",
            "case",
            "live",
            "assign",
            "defect",
            "rules",
            "loss",
            "watch",
            "sight",
            "consensus",
            "minutes",
            "why",
            "lane",
            "state",
            "engine",
            "inventory",
            "rounds",
            "late",
            "turn",
            "snapshot",
        ],
        strict: &[],
    },
    Line {
        src: "crates/server/src/",
        modules: &[
            "clock",
            "panics",
            "trouble",
            "space",
            "budget",
            "metrics",
            "place",
            "secrets",
            "authority",
            "config",
            "home",
            "log",
            "archive",
            "conductor",
            "notify",
            "diagnosis",
            "backup",
            "restore",
            "verify",
            "listen",
            "promql",
            "app",
            "first",
            "past",
            "ingest",
            "tasks",
            "http",
            "fuzz",
            "serve",
        ],
        strict: &[("http", &["app"])],
    },
];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let line = LINES.iter().find(|line| file.path.starts_with(line.src));
    let path = line.and_then(|line| file.path.strip_prefix(line.src));
    let (Some(line), Some(path), false) = (line, path, file.is_test()) else {
        return Vec::new();
    };
    let (module, rest) = path.split_once('/').unwrap_or((path, "mod.rs"));
    let module = module.trim_end_matches(".rs");
    if module == "lib" {
        return Vec::new();
    }
    let place = |name: &str| line.modules.iter().position(|module| *module == name);
    let Some(own) = place(module) else {
        let what = format!("the module `{module}` has no place in the line of its crate");
        let remedy = "give it one in xtask/src/tidy/modules.rs: left of all that use it";
        return vec![file.finding(1, what, remedy)];
    };
    let source = Source::new(&file.text);
    let mut named = source.named_in("crate");
    if rest == "mod.rs" {
        named.extend(source.named_in("super")); // The parent of a module at the top is the crate.
    }
    let strict = line.strict.iter().find(|(name, _)| *name == module);
    let mut findings = Vec::new();
    for (at, name) in named.into_iter().filter(|(_, name)| name != module) {
        let Some(other) = place(&name) else {
            continue; // Not a module.
        };
        if own < other {
            let what = format!("`{module}` names `{name}`, which stands after it");
            findings.push(file.finding(at, what, "turn the dependency round"));
        } else if let Some((_, allowed)) = strict.filter(|(_, list)| !list.contains(&&*name)) {
            let what = format!("`{module}` names `{name}`; it may name {}", allowed.join(", "));
            findings.push(file.finding(at, what, "go through it"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[track_caller]
    fn one(path: &str, text: &str, line: usize, part: &str) {
        let found = found(path, text);
        assert!(
            matches!(found.as_slice(), [(at, what)] if *at == line && what.contains(part)),
            "{found:?}"
        );
    }

    #[test]
    fn a_module_names_only_those_before_it() {
        let path = "crates/engine/src/watch.rs";
        assert!(
            found(path, "use crate::rules::Rules;\nuse crate::{loss::{A, state}, NEVER};")
                .is_empty()
        );
        one(path, "use crate::rules::A;\nuse crate::state::B;", 2, "`state`, which stands after");
        one(path, "use crate::{\n    loss::{A, B},\n    late::C,\n};", 3, "`late`");
        one(path, "fn f(a: crate::state::A) {}", 1, "`state`");
        one(path, "use super::state::A;", 1, "`state`");
        one("crates/server/src/log/mod.rs", "use super::app;", 1, "`app`");
        assert!(found("crates/server/src/log/writer.rs", "use super::app;").is_empty());
        assert!(found(path, "#[cfg(test)]\nmod tests {\n use crate::state::A;\n}").is_empty());
    }

    #[test]
    fn nobody_names_http_and_http_names_only_app() {
        for path in ["app/a.rs", "tasks/mod.rs", "ingest/mod.rs", "conductor/a.rs"] {
            one(&format!("crates/server/src/{path}"), "use crate::http::A;", 1, "`http`");
        }
        let path = "crates/server/src/http/a.rs";
        assert!(
            found(path, "use crate::app::App;\nuse super::views;\nuse crate::chain;").is_empty()
        );
        one(path, "use crate::{app::App, conductor::Live};", 1, "`conductor`; it may name app");
    }

    #[test]
    fn a_new_module_needs_a_place() {
        one("crates/engine/src/novel.rs", "use crate::rules;", 1, "no place in the line");
        assert!(found("crates/engine/src/lib.rs", "mod novel;\nuse crate::novel;").is_empty());
        assert!(found("crates/store/src/novel.rs", "use crate::db;").is_empty());
    }
}
