//! Width, length and ends of lines, of all text that people write here.

use super::{File, Finding};

/// Fits beside another file on a laptop.
const COLUMNS_MAX: usize = 100;
/// What one can hold in mind; tests do not count.
const FILE_LINES_MAX: usize = 800;
/// Where the width counts: code. Prose and data have long lines of their own.
const CODE: [&str; 8] = [".rs", ".ts", ".tsx", ".css", ".proto", ".sql", ".sh", ".js"];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_code = CODE.iter().any(|end| file.path.ends_with(end)) || file.path == ".ci/run";
    if !is_code || file.is_generated() {
        return findings;
    }
    let mut lines = 0;
    for (index, line) in file.text.lines().enumerate() {
        lines = index + 1;
        let columns = line.chars().count();
        if COLUMNS_MAX < columns && can_be_broken(file, line) {
            let what = format!("{columns} columns, at most {COLUMNS_MAX}");
            findings.push(file.finding(index + 1, what, "break the line"));
        }
        if line.ends_with([' ', '\t']) {
            findings.push(file.finding(index + 1, "blanks at the end of the line", "remove them"));
        }
    }
    // Rust files are counted without their tests, see `rust`.
    if FILE_LINES_MAX < lines && !file.path.ends_with(".rs") && !file.is_test() {
        findings.push(too_long(file, lines));
    }
    findings
}

/// An address cannot be broken, nor a word to a linter. The console's code is broken by its
/// formatter, which `npm run lint` asks; what it leaves long is one literal. Comments are ours.
fn can_be_broken(file: &File, line: &str) -> bool {
    let is_comment = ["/*", "*", "//", "{/*"].iter().any(|start| line.trim().starts_with(start));
    let is_of_formatter = file.path.starts_with("ui/") && !is_comment;
    !is_of_formatter && !line.contains("://") && !line.contains("eslint-disable")
}

/// The finding for a file of too many lines.
pub(crate) fn too_long(file: &File, lines: usize) -> Finding {
    let what = format!("{lines} lines without tests, at most {FILE_LINES_MAX}");
    file.finding(1, what, "split it by noun")
}

/// Whether a file of so many lines is too long.
pub(crate) fn is_too_long(lines: usize) -> bool {
    FILE_LINES_MAX < lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: String) -> Vec<String> {
        let file = File { path: path.to_owned(), text };
        check(&file).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn wide_lines_are_found_in_code_only() {
        let wide = "é".repeat(101);
        assert_eq!(found("a/b.rs", wide.clone()), ["101 columns, at most 100"]);
        assert!(found("a/b.rs", "é".repeat(100)).is_empty());
        assert!(found("a/b.md", wide.clone()).is_empty());
        assert!(found("a/generated/b.rs", wide.clone()).is_empty());
        assert!(found("a/b.rs", format!("// https://{wide}")).is_empty());
        assert!(found("ui/a.ts", wide.clone()).is_empty());
        assert_eq!(found("ui/a.ts", format!("// {wide}")), ["104 columns, at most 100"]);
    }

    #[test]
    fn blanks_and_length_are_found() {
        assert_eq!(found("a.ts", "a \n".to_owned()), ["blanks at the end of the line"]);
        assert_eq!(found("a.ts", "a\n".repeat(801)), ["801 lines without tests, at most 800"]);
        assert!(found("ui/e2e/a.ts", "a\n".repeat(801)).is_empty());
    }
}
