//! What a task needs from the machine, and the exact remedy when that is missing.
//!
//! Only looks; installs nothing.

use std::{env, path::PathBuf, process::Command};

use crate::shell;

/// The oldest Node.js that the console's tools run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Finds a program on the search path; the folders of system programs are searched too, because
/// the path of an ordinary user often leaves them out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Returns what is missing to build everything, each with its remedy.
pub(crate) fn missing_for_build() -> Vec<String> {
    [rust(), c_compiler(), node(), npm()].into_iter().flatten().collect()
}

fn rust() -> Option<String> {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    let said = shell::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    let found = said.split_whitespace().nth(1).unwrap_or("none").to_owned();
    (version(&found) < version(wanted))
        .then(|| format!("Rust {wanted} or newer (found: {found}). Remedy: `rustup update stable`"))
}

fn c_compiler() -> Option<String> {
    ["cc", "gcc", "clang"].iter().all(|name| find(name).is_none()).then(|| {
        "a C compiler (SQLite, zstd and ring are built from C). \
         Remedy: `sudo apt-get install build-essential`"
            .to_owned()
    })
}

/// Says what is wrong with Node.js, if anything.
pub(crate) fn node() -> Option<String> {
    let said = shell::output(Command::new("node").arg("--version")).unwrap_or_default();
    let found = said.trim().trim_start_matches('v').to_owned();
    (version(&found).0 < NODE_MAJOR_MIN).then(|| {
        let found = if found.is_empty() { "none" } else { &found };
        format!(
            "Node.js {NODE_MAJOR_MIN} or newer to build the console (found: {found}). \
             Remedy: install it from nodejs.org or your distribution's packages"
        )
    })
}

pub(crate) fn npm() -> Option<String> {
    find("npm").is_none().then(|| {
        "npm to build the console. Remedy: it comes with Node.js; on Debian \
         `sudo apt-get install npm`"
            .to_owned()
    })
}

/// Major and minor number; zeros if unreadable.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("1.9.0") < version("1.88.0"));
        assert!(version("none") < version("1.0"));
        assert_eq!(version("20.20.2"), (20, 20));
    }

    #[test]
    fn a_program_that_does_not_exist_is_not_found() {
        assert_eq!(find("no-such-program-of-this-name"), None);
        assert!(find("cargo").is_some());
    }
}
