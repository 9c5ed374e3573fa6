//! Rules for SQL: only the store speaks it, and each statement is of one organisation or says why
//! it is of none.
//!
//! A statement is a constant. What it is made of is not parsed: it is bounded if it names `org_id`.

use super::{File, Finding};

const STORE: &str = "crates/store/src/";
/// Begins the comment above a statement that is of no organisation; the reason follows.
const ABOVE: &str = "// Above organisations:";
/// How statements begin.
const VERBS: [&str; 5] = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "REPLACE INTO "];

pub(crate) fn check(file: &File) -> Vec<Finding> {
    if file.is_test() || file.path.starts_with("xtask/") {
        return Vec::new();
    }
    let product = file.text.lines().take_while(|line| *line != "#[cfg(test)]");
    let lines: Vec<&str> = product.collect();
    if file.path.starts_with(STORE) { check_store(file, &lines) } else { check_other(file, &lines) }
}

fn check_other(file: &File, lines: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let in_text = code.split('"').skip(1).step_by(2);
        let is_sql = in_text.map(str::trim_start).any(|text| {
            VERBS.iter().any(|verb| text.starts_with(verb)) && text.split_whitespace().count() > 2
        });
        if is_sql && !code.starts_with("//") {
            findings.push(file.finding(index + 1, "SQL outside the store", "give it to `store`"));
        }
    }
    findings
}

fn check_store(file: &File, lines: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        let begins = index;
        index += 1;
        let Some(name) = line.trim_start().strip_prefix("const ") else {
            continue;
        };
        let mut text = (*line).to_owned();
        while !text.trim_end().ends_with(';') {
            let Some(more) = lines.get(index) else {
                break;
            };
            text += "\n";
            text += more;
            index += 1;
        }
        let is_sql = VERBS.iter().any(|verb| text.contains(verb));
        let comments = lines.iter().take(begins).rev().map(|line| line.trim_start());
        let mut comments = comments.take_while(|line| line.starts_with("//"));
        if is_sql && !text.contains("org_id") && !comments.any(|line| line.starts_with(ABOVE)) {
            let name = name.split(':').next().unwrap_or_default();
            let what = format!("`{name}` is of every organisation");
            let remedy = "filter by `org_id`, or say why not: `// Above organisations: …`";
            findings.push(file.finding(begins + 1, what, remedy));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&file).into_iter().map(|finding| finding.line).collect()
    }

    const NONE: [usize; 0] = [];

    #[test]
    fn sql_outside_the_store_is_found() {
        let text = "fn f() {\n    sqlx::query(\"SELECT id FROM target\")\n}";
        assert_eq!(found("crates/server/src/app/a.rs", text), [2]);
        assert_eq!(found("crates/server/tests/it/a.rs", text), NONE);
        assert_eq!(found("crates/server/src/a.rs", "// \"SELECT id FROM target\""), NONE);
        assert_eq!(found("crates/server/src/a.rs", "say(\"UPDATE it\")"), NONE);
    }

    #[test]
    fn a_statement_of_every_organisation_is_found_unless_it_says_why() {
        let path = "crates/store/src/a.rs";
        let all = "const A: &str = \"\n    SELECT id\n      FROM target\";\nconst B: u8 = 1;";
        assert_eq!(found(path, all), [1]);
        assert_eq!(found(path, &format!("// Above organisations: a key.\n{all}")), NONE);
        assert_eq!(found(path, "const A: &str = \"SELECT id FROM a WHERE org_id = $1\";"), NONE);
    }
}
