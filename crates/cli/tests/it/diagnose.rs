//! `faultline diagnose` as a person and a program meet it.

use std::{fs, path::Path, process::Output};

use crate::program::faultline;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/cases");

fn diagnose(arguments: &[&str]) -> (i32, String) {
    let mut command = faultline(&["diagnose"]);
    let Output { status, stdout, .. } = command.args(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_batch_prints_one_line_a_case_in_name_order_and_all_are_as_expected() {
    let (status, text) = diagnose(&["--batch", CASES, "--check"]);
    let said = lines(&text);
    let names: Vec<&str> = said.iter().map(|line| line["file"].as_str().unwrap()).collect();
    assert!(status == 0 && names.is_sorted() && 60 <= names.len(), "{status}: {names:?}");
    assert_eq!(diagnose(&["--batch", CASES, "--check"]).1, text, "the same bytes");
}

#[test]
fn a_case_alone_prints_every_step_with_the_fields_of_the_format() {
    let file = format!("{CASES}/one-cause-is-one-message-over-many-steps.json");
    let (status, text) = diagnose(&[&file]);
    let steps = lines(&text);
    assert_eq!((status, steps.len()), (0, 6));
    let incident = &steps[5]["incidents"][0];
    assert_eq!(incident["id"], "i1");
    assert_eq!(incident["causes"][0]["mode"], "down");
    for field in ["revision", "state", "other_probability", "onset_us", "impact", "suppressed"] {
        assert!(!incident[field].is_null(), "{field}");
    }
    assert_eq!(steps[0]["decisions"][0]["kind"], "notify");
    let (_, human) = diagnose(&[&file, "--human"]);
    assert!(human.contains("is down, since") && human.contains("for "), "{human}");
}

#[test]
fn what_cannot_be_read_is_said_in_its_line_and_the_others_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let good = fs::read_to_string(Path::new(CASES).join("nothing-is-the-matter.json")).unwrap();
    copy("a.json", &good);
    copy("b.json", good.split_at(good.len() / 2).0);
    copy("c.json", &good.replacen("\"messages\": 0", "\"messages\": 7", 1));
    let (status, text) = diagnose(&["--batch", folder.path().to_str().unwrap(), "--check"]);
    assert_eq!(status, 2, "{text}");
    let said = lines(&text);
    assert!(said[0]["incidents"].is_array());
    assert!(said[1]["error"]["reason"].as_str().unwrap().contains("EOF"), "{text}");
    assert!(said[3]["differs"][0].as_str().unwrap().contains("expected 7"), "{text}");
    fs::remove_file(folder.path().join("b.json")).unwrap();
    let (status, _) = diagnose(&["--batch", folder.path().to_str().unwrap(), "--check"]);
    assert_eq!(status, 1);
}

#[test]
fn what_if_and_single_points_say_what_would_be_dark() {
    let file = format!("{CASES}/nothing-is-the-matter.json");
    let (status, text) = diagnose(&[&file, "--what-if", "down c3--a1"]);
    assert_eq!(status, 0);
    let lost = &lines(&text)[0];
    assert_eq!(lost["targets_lost"], serde_json::json!(["t-a1", "t-a2", "u-a1", "u-a2"]));
    assert_eq!(lost["weight"], 30);
    let (_, text) = diagnose(&[&file, "--single-points"]);
    let points = &lines(&text)[0]["single_points"];
    assert_eq!(points[0]["element"], "c3", "{points}");
    // The only link between two halves: each agent loses what is behind the other.
    let halves = format!("{CASES}/two-links-in-one-conduit-are-the-conduit.json");
    let (status, text) = diagnose(&[&halves, "--what-if", "down k1--k2"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("0 take another way, 10 are lost to at least one agent"), "{text}");
    let (status, text) = diagnose(&[&file, "--what-if", "down nowhere"]);
    assert!(status == 2 && text.contains("no element `nowhere`"), "{text}");
}

/// The case in which nothing is the matter, with its rounds taken out.
fn unwatched(folder: &Path) -> String {
    let text = fs::read_to_string(Path::new(CASES).join("nothing-is-the-matter.json")).unwrap();
    let mut case: serde_json::Value = serde_json::from_str(&text).unwrap();
    case["rounds"] = serde_json::json!([]);
    let path = folder.join("unwatched.json");
    fs::write(&path, case.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn where_nobody_looked_it_is_not_said_that_nothing_is_the_matter() {
    let folder = tempfile::tempdir().unwrap();
    let file = unwatched(folder.path());
    let (status, human) = diagnose(&[&file, "--human"]);
    assert!(status == 0 && human.contains("unknown: nobody looked"), "{human}");
    let (_, text) = diagnose(&[&file]);
    assert_eq!(lines(&text)[0]["unwatched"], true, "{text}");
    let watched = format!("{CASES}/nothing-is-the-matter.json");
    let (_, text) = diagnose(&[&watched]);
    assert!(lines(&text)[0]["unwatched"].is_null(), "{text}");
    let (_, human) = diagnose(&[&watched, "--human"]);
    assert!(human.contains("nothing is the matter"), "{human}");
}

#[test]
fn what_is_over_is_said_in_the_past_and_until_when() {
    let (_, human) = diagnose(&[&format!("{CASES}/heals-and-is-resolved.json"), "--human"]);
    let resolved: Vec<&str> = human.lines().filter(|line| line.contains("[resolved]")).collect();
    assert!(!resolved.is_empty(), "{human}");
    for line in resolved {
        assert!(line.contains(" was down, from ") && line.contains(" until "), "{line}");
        assert!(!line.contains("100.0 %") && !line.contains("is down"), "{line}");
    }
}

#[test]
fn a_person_reads_a_fault_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    fs::write(&path, "{\"version\": 1, \"rounds\": 7}").unwrap();
    let (status, human) = diagnose(&[path.to_str().unwrap(), "--human"]);
    assert_eq!(status, 2);
    assert!(human.starts_with("broken.json: ") && !human.contains('{'), "{human}");
}
