//! Words that do not belong into the repository.
//!
//! The repository speaks of the product, to people who have nothing but the repository: not of the
//! machine it was written on, not of trackers that age, not of work left for later.

use super::{File, Finding};

/// This list, and the one place where its words may stand.
const HERE: &str = "xtask/src/tidy/words.rs";
/// Texts of others, and generated ones.
const NOT_OURS: [&str; 4] = ["LICENSE", "Cargo.lock", "package-lock.json", "/generated"];

struct Rule {
    /// In lower case unless `is_exact`.
    words: &'static [&'static str],
    /// As written, and as a whole word.
    is_exact: bool,
    /// Paths that contain this may say it.
    except: Option<&'static str>,
    remedy: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        words: &["/work/", "/home/", "/root/"],
        is_exact: false,
        except: None,
        remedy: "a path of one machine: use a path from the repository's root, or a parameter",
    },
    Rule {
        words: &["../shared"],
        is_exact: false,
        except: Some("/tests/"),
        remedy: "nothing outside the repository exists; only a test that reports itself as not \
                 run may look there",
    },
    Rule {
        words: &["TODO", "FIXME", "XXX", "HACK"],
        is_exact: true,
        except: None,
        remedy: "do it, or open an issue",
    },
    Rule {
        words: &["issue #", "issue no.", "ticket #"],
        is_exact: false,
        except: None,
        remedy: "say the reason itself: numbers of a tracker age",
    },
    Rule {
        words: &["helper agent", "subagent", "language model", "chatgpt", "copilot", "claude"],
        is_exact: false,
        except: None,
        remedy: "speak of the product, not of how its text was typed",
    },
    Rule {
        words: &["registry.npmjs.org", "static.crates.io", "index.crates.io", "deb.debian.org"],
        is_exact: false,
        except: None,
        remedy: "name no registry host: clients know theirs from their configuration",
    },
];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    let is_ours = !NOT_OURS.iter().any(|part| file.path.contains(part));
    if !is_ours || file.path == HERE {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let lower = line.to_lowercase();
        for rule in &RULES {
            if rule.except.is_some_and(|part| file.path.contains(part)) {
                continue;
            }
            for word in rule.words {
                let is_found =
                    if rule.is_exact { has_word(line, word) } else { lower.contains(word) };
                if is_found {
                    findings.push(file.finding(index + 1, format!("says `{word}`"), rule.remedy));
                }
            }
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line.get(..at), line.get(at + word.len()..));
        !is_part(before.and_then(|text| text.chars().next_back()))
            && !is_part(after.and_then(|text| text.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&File { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn each_rule_finds_its_words() {
        for rule in &RULES {
            for word in rule.words {
                assert_eq!(found("docs/a.md", &format!("see {word} there")), 1, "{word}");
            }
        }
    }

    #[test]
    fn parts_of_words_and_excepted_places_are_fine() {
        assert_eq!(found("a.rs", "hackney TODOS HACKATHON"), 0);
        assert_eq!(found("crates/sim/tests/it/data.rs", "../shared/data"), 0);
        assert_eq!(found("LICENSE", "TODO"), 0);
    }
}
