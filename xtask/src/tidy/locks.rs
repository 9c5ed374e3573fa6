//! Lock files pin versions and hashes and name no hosts: where packages come from is the business
//! of whoever builds.

use super::{File, Finding};

/// What cargo writes for every package of its default registry; a name, not an address it uses.
const CARGO_DEFAULT: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let is_cargo = file.path.ends_with("Cargo.lock");
    if !is_cargo && !file.path.ends_with("package-lock.json") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if is_cargo && line.starts_with("source = ") && !line.contains(CARGO_DEFAULT) {
            let what = format!("a package from elsewhere: {line}");
            findings.push(file.finding(index + 1, what, "use a released version"));
        }
        if !is_cargo && line.starts_with("\"resolved\": \"http") {
            findings.push(file.finding(
                index + 1,
                "names a host",
                "`npm config set omit-lockfile-registry-resolved true`, then `npm install`",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&File { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn hosts_in_lock_files_are_found() {
        assert_eq!(found("Cargo.lock", &format!("source = \"{CARGO_DEFAULT}\"")), 0);
        assert_eq!(found("Cargo.lock", "source = \"git+https://example.net/x\""), 1);
        let resolved = "  \"resolved\": \"https://packages.example.net/a.tgz\",";
        assert_eq!(found("ui/package-lock.json", resolved), 1);
        assert_eq!(found("ui/other.json", resolved), 0);
    }
}
