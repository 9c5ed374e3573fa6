//! Case files: what is refused, where and why; what is neutral; that the same file gives the same
//! answer.

use engine::{
    case::{Case, Player},
    rca::text,
};

/// A chain `r1 - r2 - r3` with an agent at its head and a target at each device.
const CHAIN: &str = r#"{
  "version": 1, "steps_us": [60000000],
  "tiers": [{"id": "fast", "interval_us": 20000000, "timeout_us": 1000000, "packets": 5}],
  "elements": [
    {"id": "r1", "kind": "device", "site": "s1"}, {"id": "r2", "kind": "device"},
    {"id": "r3", "kind": "device", "srlg": ["power-3"]}, {"id": "s1", "kind": "site"},
    {"id": "r1--r2", "kind": "link", "ends": ["r1", "r2"], "cost": 10, "cost_back": 10},
    {"id": "r2--r3", "kind": "link", "ends": ["r2", "r3"]},
    {"id": "ag1", "kind": "agent", "device": "r1"}, {"id": "ag2", "kind": "agent", "device": "r1"}
  ],
  "targets": [
    {"id": "t2", "device": "r2", "weight": 120, "tier": "fast"},
    {"id": "t3", "device": "r3", "weight": 7}
  ],
  "rounds": [
    {"agent": "ag1", "target": "t2", "at_us": 50000000, "sent": 5, "received": 5, "rtt_us": 900},
    {"agent": "ag2", "target": "t2", "at_us": 50000000, "sent": 5, "received": 5, "rtt_us": 900},
    {"agent": "ag1", "target": "t3", "at_us": 50000000, "sent": 5, "received": 0, "rtt_us": null},
    {"agent": "ag2", "target": "t3", "at_us": 50000000, "sent": 5, "received": 0, "rtt_us": null,
     "not_asked": false, "doubtful": false}
  ],
  "facts": [], "heartbeats": [], "maintenance": [], "paths": [], "expected": null
}"#;

/// The chain with one thing changed.
fn with(old: &str, new: &str) -> String {
    assert!(CHAIN.contains(old), "{old}");
    CHAIN.replacen(old, new, 1)
}

#[track_caller]
fn refused(text: &str, path: &str, reason: &str) {
    let error = Case::read(text.as_bytes()).expect_err("is refused");
    assert!(error.path == path && error.reason.contains(reason), "{error}");
}

/// What is said of the first incident at the last step.
fn sentence(text: &str) -> String {
    let case = Case::read(text.as_bytes()).expect("is read");
    let mut player = Player::new(&case, None);
    while player.step().is_some() {}
    let said = player.incidents().list().next();
    said.map_or_else(String::new, |incident| text::headline(&case.topology, &incident.finding))
}

#[test]
fn each_fault_is_refused_with_its_place_and_reason() {
    refused(&with("\"version\": 1", "\"version\": 2"), "version", "2 is not known");
    refused(&with("[60000000]", "[]"), "steps_us", "at least one step");
    refused(&with("[60000000]", "[2, 1]"), "steps_us[1]", "forward in time");
    refused(&with("\"sent\": 5", "\"sent\": -1"), "rounds[0].sent", "-1");
    refused(&with("\"sent\": 5", "\"sent\": 4"), "rounds[0].received", "5 answers to 4 packets");
    refused(&with("\"weight\": 7", "\"wieght\": 7"), "targets[1].wieght", "unknown field");
    refused(&with("\"kind\": \"site\"", "\"kind\": \"place\""), "elements[3].kind", "place");
    refused(&with("\"id\": \"r3\"", "\"id\": \"r2\""), "elements[2].id", "`r2` is there twice");
    refused(&with("\"id\": \"t3\"", "\"id\": \"r2\""), "targets[1].id", "`r2` is there twice");
    refused(
        &with("[\"r2\", \"r3\"]", "[\"r2\", \"r9\"]"),
        "elements[5].ends[1]",
        "no element `r9`",
    );
    refused(&with("[\"r2\", \"r3\"]", "[\"r2\", \"r2\"]"), "elements[5].ends", "with itself");
    refused(&with("\"cost\": 10", "\"cost\": -1"), "elements[4].cost", "this is -1");
    refused(&with("\"site\": \"s1\"", "\"site\": \"s9\""), "elements[0].site", "no element `s9`");
    refused(&with("\"device\": \"r3\"", "\"device\": \"x\""), "targets[1].device", "`x`");
    refused(&with("\"tier\": \"fast\"", "\"tier\": \"slow\""), "targets[0].tier", "no tier `slow`");
    refused(&with("20000000", "0"), "tiers[0].interval_us", "not between");
    let round = r#"{"agent": "ag1", "target": "t2", "at_us": 50"#;
    refused(&with(round, &round.replace("ag1", "r1")), "rounds[0].agent", "not a agent");
    refused(&with(round, &round.replace("t2", "t9")), "rounds[0].target", "no target `t9`");
    let fact = r#""facts": [{"element": "r9", "kind": "restarted", "at_us": 1}]"#;
    refused(&with("\"facts\": []", fact), "facts[0].element", "no element `r9`");
    let work = r#""maintenance": [{"element": "r1", "from_us": 2, "until_us": 1}]"#;
    refused(&with("\"maintenance\": []", work), "maintenance[0].until_us", "ends before");
    let path = r#""paths": [{"agent": "ag1", "target": "t2", "elements": ["r1", "r7"]}]"#;
    refused(&with("\"paths\": []", path), "paths[0].elements[1]", "no element `r7`");
}

#[test]
fn a_file_cut_in_half_and_one_with_a_tail_are_refused() {
    for length in [0, 1, CHAIN.len() / 2, CHAIN.len() - 1] {
        assert!(Case::read(&CHAIN.as_bytes()[..length]).is_err(), "{length} bytes");
    }
    refused(&format!("{CHAIN} {{}}"), ".", "trailing");
    assert!(Case::read(b"\xff\xfe{}").is_err());
    refused(r#"{"": 1}"#, ".", "unknown field");
}

#[test]
fn an_empty_topology_is_read_and_nothing_is_the_matter() {
    assert_eq!(sentence(r#"{"version": 1, "steps_us": [0]}"#), "");
}

#[test]
fn what_cannot_be_told_apart_is_said_as_a_class() {
    let said = sentence(CHAIN);
    assert!(said.starts_with("r3 or r2--r3 is down, since 00:00:50"), "{said}");
}

#[test]
fn an_unknown_fact_kind_and_the_future_are_neutral_and_counted() {
    let facts = r#""facts": [
        {"element": "r2", "kind": "fan_failed", "at_us": 50000000},
        {"element": "r2", "kind": "restarted", "at_us": 99000000}]"#;
    let text = with("\"facts\": []", facts);
    let case = Case::read(text.as_bytes()).expect("is read");
    assert_eq!((case.counted.facts_unknown, case.counted.from_the_future), (1, 1));
    assert_eq!(sentence(&text), sentence(CHAIN));
}

#[test]
fn a_doubtful_round_and_one_not_asked_say_nothing() {
    let lost = r#""at_us": 50000000, "sent": 5, "received": 0, "rtt_us": null"#;
    for mark in [r#""doubtful": true"#, r#""not_asked": true"#] {
        let text = CHAIN.replace(r#""not_asked": false, "doubtful": false"#, mark);
        let text = text.replacen(&format!("{lost}}}"), &format!("{lost}, {mark}}}"), 1);
        assert_eq!(sentence(&text), "", "{mark}");
    }
}

#[test]
fn the_same_file_gives_the_same_answer() {
    let case = Case::read(CHAIN.as_bytes()).expect("is read");
    let answer = || {
        let mut player = Player::new(&case, None);
        format!("{:?} {:?}", player.step(), player.incidents())
    };
    assert_eq!(answer(), answer());
}

/// Every case of `scenarios/cases`, and what it expects.
#[test]
fn the_cases_are_answered_as_they_expect() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/cases");
    let mut count = 0;
    let mut differences = Vec::new();
    let entries = std::fs::read_dir(folder).expect("the folder of cases");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let case = Case::read(&std::fs::read(&file).expect("a file")).expect("is read");
        let expected = case.expected.as_ref().expect("a case of the tests expects something");
        let mut player = Player::new(&case, None);
        let (mut messages, mut last) = (0, None);
        while let Some(step) = player.step() {
            let counted = step.messages.iter().filter(|message| message.change.is_counted());
            messages += u32::try_from(counted.count()).expect("few");
            last = Some(step.assessment);
        }
        let last = last.expect("a case has a step");
        let found = expected.differences(&case.topology, player.incidents(), &last, messages);
        differences.extend(found.into_iter().map(|line| format!("{name}: {line}")));
        count += 1;
    }
    assert_eq!(differences, Vec::<String>::new());
    assert!(60 <= count, "{count} cases");
}
