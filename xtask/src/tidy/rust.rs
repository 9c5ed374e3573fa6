//! Rules for Rust source: size, suppressions, queues, tests, purity, layers, what may be
//! serialised.

use super::{File, Finding, source::Source, text};

/// A function that fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Crates that must give the same answer for the same input, always.
const PURE: [&str; 4] = ["crates/model/", "crates/engine/", "crates/sense/", "crates/wire/"];

/// What would make them differ.
const IMPURE: [&str; 13] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io::stdin",
    "Instant::now",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "RandomState",
    "Timestamp::now",
    "Zoned::now",
];

/// Where serialisable types may stand: at the edges, and what is kept on disk.
const SERIAL: [&str; 18] = [
    "crates/wire/",   // the contract
    "crates/store/",  // rows
    "crates/model/",  // leaf values with a pinned text form
    "crates/engine/", // the checkpoint
    "crates/sim/",    // scenarios
    "crates/cli/",    // answers of the API
    "crates/server/src/http/",
    "crates/server/src/app/",
    "crates/server/src/archive/",          // a backup
    "crates/server/src/notify/message.rs", // what webhooks are sent
    "crates/server/src/config",
    "crates/server/src/log",
    "crates/agent/src/config",
    "crates/agent/src/identity",
    "crates/agent/src/spool",
    "crates/agent/src/status",
    "crates/agent/src/token",
    "xtask/",
];

/// (in files whose path starts so, this must not stand, because)
const LAYERS: [(&str, &str, &str); 3] = [
    ("crates/server/src/http/", ".store", "http calls app, which calls the store"),
    ("crates/server/src/http/", ".conductor", "http calls app, which calls the conductor"),
    ("crates/server/src/http/", ".authority", "http calls app, which calls the authority"),
];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let source = Source::new(&file.text);
    let mut findings = Vec::new();
    let lines = source.product_lines();
    if text::is_too_long(lines) && !file.is_test() {
        findings.push(text::too_long(file, lines));
    }
    for function in source.functions() {
        if FUNCTION_LINES_MAX < function.lines {
            let what = format!(
                "`{}` has {} lines, at most {FUNCTION_LINES_MAX}",
                function.name, function.lines
            );
            findings.push(file.finding(function.line, what, "split it"));
        }
    }
    for (line, code, is_test) in source.lines() {
        findings.extend(check_line(file, line, code, is_test || file.is_test()));
    }
    findings.extend(check_queues(file, &source));
    findings.extend(check_doc_tests(file));
    findings
}

/// An example in a comment that rustdoc would compile: no step runs it, so it proves nothing.
fn check_doc_tests(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_open = false;
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim_start();
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(comment) = comment else {
            is_open = false;
            continue;
        };
        let Some(kind) = comment.trim_start().strip_prefix("```") else {
            continue;
        };
        if !is_open && kind.trim() != "text" {
            let what = "a doc test, which `cargo xtask test` does not run";
            findings.push(file.finding(index + 1, what, "make it a test, or mark it ```text"));
        }
        is_open = !is_open;
    }
    findings
}

fn check_line(file: &File, line: usize, code: &str, is_test: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |what: &str, remedy| findings.push(file.finding(line, what, remedy));
    if code.contains("#[allow(") || code.contains("#![allow(") {
        found("`allow` hides for ever", "`#[expect(lint, reason = \"…\")]`");
    }
    if code.contains("#[ignore") {
        found("an ignored test proves nothing", "repair or delete it");
    }
    if is_test && (code.contains("thread::sleep(") || code.contains("time::sleep(")) {
        found("a test that sleeps", "wait for a state with a deadline");
    }
    if !is_test {
        if PURE.iter().any(|start| file.path.starts_with(start)) {
            for word in IMPURE {
                if code.contains(word) {
                    found(&format!("`{word}` in a pure crate"), "pass it in from the shell");
                }
            }
        }
        for (start, word, why) in LAYERS {
            if file.path.starts_with(start) && code.contains(word) {
                found(&format!("`{word}` here: {why}"), "give app an operation for it");
            }
        }
        let is_serial = code.contains("derive(")
            && (code.contains("Serialize") || code.contains("Deserialize"));
        if is_serial && !SERIAL.iter().any(|start| file.path.starts_with(start)) {
            found("a serialisable type inside", "make a view of it at the edge");
        }
    }
    // What is called `error` is one, with sources; a text made of it goes by another name.
    let logs_error = ["error = %error", "error = ?error", "error = %err", "error = ?err"]
        .iter()
        .any(|start| code.contains(start));
    if logs_error && !is_test {
        found("an error logged without its sources", "`error = %chain(&error)`");
    }
    findings
}

/// Every queue has a named limit. `oneshot`, `watch` and a queue of 1 hold one value by nature.
fn check_queues(file: &File, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["channel", "sync_channel", "unbounded_channel"] {
        for (line, path, arguments, is_test) in source.calls(name) {
            let holds_one =
                path.contains("oneshot") || path.contains("watch") || arguments.trim() == "1";
            if holds_one || has_constant(&arguments) || is_test || file.is_test() {
                continue;
            }
            let what = format!("`{path}({arguments})`: a queue without a named limit");
            findings.push(file.finding(line, what, "give it a constant `…_MAX` with its reason"));
        }
    }
    findings
}

fn has_constant(arguments: &str) -> bool {
    let is_constant = |word: &str| {
        2 < word.len()
            && word.chars().any(|c| c.is_ascii_uppercase())
            && word.chars().all(|c| c == '_' || c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    arguments.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).any(is_constant)
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
    fn long_functions_and_files_are_found() {
        let body = "    a();\n".repeat(69);
        one("a/b.rs", &format!("\nfn f() {{\n{body}}}\n"), 2, "`f` has 71 lines");
        let body = "    a();\n".repeat(68);
        assert!(found("a/b.rs", &format!("fn f() {{\n{body}}}\n")).is_empty());
        one("a/b.rs", &"use a;\n".repeat(801), 1, "802 lines");
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "use a;\n".repeat(801));
        assert!(found("a/b.rs", &tests).is_empty());
    }

    #[test]
    fn suppressions_and_idle_tests_are_found() {
        one("a/b.rs", "#[allow(dead_code)]\nfn f() {}", 1, "allow");
        one("a/b.rs", "#[ignore = \"slow\"]\nfn f() {}", 1, "ignored");
        one("a/tests/it/b.rs", "fn f() {\n std::thread::sleep(D) }", 2, "sleeps");
        one("a/b.rs", "#[cfg(test)]\nmod tests {\n tokio::time::sleep(D) }", 3, "sleeps");
        assert!(found("a/b.rs", "// #[allow(x)]\nlet a = \"#[ignore]\";").is_empty());
    }

    #[test]
    fn doc_tests_are_found() {
        one("a/b.rs", "/// As here:\n///\n/// ```\n/// f();\n/// ```\nfn f() {}", 3, "a doc test");
        one("a/b.rs", "//! ```rust\n//! f();\n//! ```", 1, "a doc test");
        assert!(found("a/b.rs", "/// ```text\n/// a -> b\n/// ```\nfn f() {}").is_empty());
    }

    #[test]
    fn impurity_is_found_in_pure_crates() {
        one("crates/engine/src/a.rs", "use std::fs;", 1, "std::fs");
        one("crates/sense/src/a.rs", "let a = Instant::now();", 1, "Instant::now");
        assert!(found("crates/journal/src/a.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn layers_are_found() {
        let text = "let rows = app.store.audit_list(&scope)";
        one("crates/server/src/http/a.rs", text, 1, "http calls app");
        one("crates/server/src/http/a.rs", "app\n    .conductor\n    .live()", 2, ".conductor");
        assert!(found("crates/server/src/app/a.rs", text).is_empty());
    }

    #[test]
    fn serialisable_types_are_found_inside() {
        let text = "#[derive(Debug, Serialize)]\nstruct A;";
        one("crates/server/src/conductor.rs", text, 1, "serialisable");
        assert!(found("crates/server/src/http/a.rs", text).is_empty());
    }

    #[test]
    fn queues_without_a_named_limit_are_found() {
        one("a/b.rs", "let x = mpsc::channel(64);", 1, "mpsc::channel(64)");
        one("a/b.rs", "let x = sync_channel::<u8>(n);", 1, "sync_channel(n)");
        assert!(found("a/b.rs", "let x = mpsc::channel(INPUTS_MAX);").is_empty());
        assert!(found("a/b.rs", "let x = oneshot::channel();").is_empty());
    }

    #[test]
    fn errors_without_their_sources_are_found() {
        one("a/b.rs", "warn!(error = %error, x)", 1, "without its sources");
        assert!(found("a/b.rs", "warn!(error = %chain(&error), x)").is_empty());
    }
}
