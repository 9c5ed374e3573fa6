//! Incidents over assessments: whom people are told of, and that each thing told has one ending.

use std::collections::BTreeSet;

use engine::{
    graph::ElementIx,
    rca::{Assessment, Change, Finding, Heard, Impact, Incidents, Known, RankedCause},
};
use expect_test::{Expect, expect};
use model::{ElementKind, FaultMode, UtcMicros};

const SECOND: i64 = 1_000_000;

/// `link1 90 hits 1 2 3`: how likely in percent, and which targets; elements have numbers. It is
/// down, or `loses`. Of what is `over` nothing is lost any more; what is `unfelt` began at 0.
fn finding(text: &str, at: i64) -> Finding {
    let mut words = text.split_whitespace();
    let name = words.next().expect("a cause");
    let (kind, number) = match name.strip_prefix("link") {
        Some(number) => (ElementKind::Link, number),
        None => (ElementKind::Device, name.strip_prefix("device").expect("a link or a device")),
    };
    let percent: f64 = words.next().expect("how likely").parse().expect("a number");
    let rest: Vec<&str> = words.collect();
    let loses = rest.contains(&"loses");
    let is_unfelt = rest.contains(&"unfelt");
    let pairs: Vec<_> = pairs(&rest.join(" ")).collect();
    let cause = RankedCause {
        elements: vec![ElementIx(number.parse().expect("a number"))],
        kind,
        mode: if loses { FaultMode::Lossy } else { FaultMode::Down },
        loss_ppm: loses.then_some(500_000),
        rtt_us_added: None,
        probability: percent / 100.0,
        evidence: Vec::new(),
        to_disambiguate: None,
    };
    Finding {
        causes: vec![cause],
        other: 0.0,
        onset: (UtcMicros(0), UtcMicros(if is_unfelt { 0 } else { at * SECOND })),
        impact: Impact {
            targets_down: u32::try_from(pairs.len()).expect("a few"),
            ..Impact::default()
        },
        suppressed: Vec::new(),
        explained: percent / 100.0,
        pairs,
        // More than chance takes.
        lost: vec![UtcMicros(at * SECOND); 8],
        is_fresh: true,
        is_announced: false,
        is_felt: !is_unfelt,
        is_over: rest.contains(&"over"),
    }
}

/// Pairs of the agent and these targets.
fn pairs(targets: &str) -> impl Iterator<Item = (ElementIx, ElementIx)> {
    let targets = targets.split_whitespace().filter_map(|word| word.parse::<u32>().ok());
    targets.map(|target| (ElementIx(900), ElementIx(1_000 + target)))
}

/// What is kept of incidents over a restart, but for pairs that are gone.
fn known(incidents: &Incidents, gone: &BTreeSet<(ElementIx, ElementIx)>) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    for incident in incidents.list() {
        let mut finding = incident.finding.clone();
        finding.pairs.retain(|pair| !gone.contains(pair));
        known.push(Known { revision: incident.revision, finding, closed_at: None });
    }
    known
}

/// Plays assessments and compares what people are told.
#[track_caller]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&play(script).0);
}

/// Plays assessments, `SECONDS | finding; finding`; returns what people are told, and the incidents
/// as they are then. A target answers in an assessment that has it in no finding, but in `silence`,
/// or if it is `silent 1 2`. `restart` keeps what people know and nothing else, and of its pairs
/// those whose target is not `gone`.
fn play(script: &str) -> (String, Incidents) {
    let mut incidents = Incidents::default();
    let mut told = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, findings) = line.split_once('|').expect("a time and findings");
        let at: i64 = at.trim().parse().expect("seconds");
        let mut out = BTreeSet::new();
        let (mut found, mut is_silent) = (Vec::new(), false);
        for text in findings.split(';').map(str::trim).filter(|text| !text.is_empty()) {
            match text.split_once(' ').unwrap_or((text, "")) {
                ("silence", _) => is_silent = true,
                ("silent", targets) => out.extend(pairs(targets)),
                ("restart", rest) => {
                    let gone = rest.strip_prefix("gone ").unwrap_or_default();
                    let gone: BTreeSet<_> = pairs(gone).collect();
                    incidents =
                        Incidents::restore(known(&incidents, &gone), UtcMicros(at * SECOND));
                }
                _ => found.push(finding(text, at)),
            }
        }
        out.extend(found.iter().flat_map(|finding| finding.pairs.clone()));
        let at_us = UtcMicros(at * SECOND);
        let assessment = Assessment { at: at_us, findings: found, ..Assessment::default() };
        let heard = |pair| {
            let is_silent = out.contains(&pair) || is_silent;
            if is_silent { Heard::Silent } else { Heard::Answered(at_us) }
        };
        for message in incidents.take(&assessment, &heard) {
            let change = match message.change {
                Change::Merged { into } => format!("merged into {}", into.0),
                Change::Opened => "opened".to_owned(),
                Change::Reopened => "reopened".to_owned(),
                Change::CauseChanged => "cause changed".to_owned(),
                Change::Resolved => "resolved".to_owned(),
                Change::Unasked => "asked by nobody".to_owned(),
            };
            told += &format!("{at} s: {} {change}\n", message.incident.0);
        }
    }
    (told, incidents)
}

#[test]
fn what_people_know_goes_on_when_it_turns_out_to_be_one_with_what_they_do_not() {
    // 1 is suspected and never told; 2 is told. Then one cause explains both.
    check(
        "
         0 | link1 40 hits 1 2
        10 | link1 40 hits 1 2; link5 90 hits 3 4
        20 | link1 40 hits 1 2 3 4
        30 | link1 40 hits 1 2 3 4
        40 |
        50 |
        ",
        expect![[r#"
            10 s: 2 opened
            40 s: 2 resolved
        "#]],
    );
    // Once the other cause is sure, that is told of the one that people know.
    check(
        "
         0 | link1 40 hits 1 2
        10 | link1 40 hits 1 2; link5 90 hits 3 4
        20 | link1 80 hits 1 2 3 4
        50 | link1 80 hits 1 2 3 4
        60 |
        70 |
        ",
        expect![[r#"
            10 s: 2 opened
            50 s: 2 cause changed
            60 s: 2 resolved
        "#]],
    );
}

#[test]
fn of_two_that_people_know_the_newer_ends_as_a_part_and_the_older_with_the_all_clear() {
    check(
        "
         0 | link1 90 hits 1 2
        10 | link1 90 hits 1 2; link5 90 hits 3 4
        20 | link1 90 hits 1 2 3 4
        30 |
        40 |
        ",
        expect![[r#"
            0 s: 1 opened
            10 s: 2 opened
            20 s: 2 merged into 1
            30 s: 1 resolved
        "#]],
    );
}

#[test]
fn what_ended_once_does_not_end_again_because_it_is_suspected_anew() {
    // 1 is over, comes back unlikely, and is then part of 2: nobody was told that it is back.
    check(
        "
          0 | link1 90 hits 1 2
         30 |
         40 |
         60 | link5 90 hits 3 4
        100 | link1 30 hits 1 2; link5 90 hits 3 4
        110 | link5 90 hits 1 2 3 4
        120 |
        130 |
        ",
        expect![[r#"
            0 s: 1 opened
            30 s: 1 resolved
            60 s: 2 opened
            120 s: 2 resolved
        "#]],
    );
}

#[test]
fn what_nobody_was_told_of_ends_in_silence() {
    check("0 | link1 40 hits 1 2\n10 |\n20 |", expect![""]);
}

#[test]
fn silence_ends_nothing_that_people_know_and_an_answer_does() {
    check(
        "
          0 | link1 90 hits 1
         10 | silence
         20 | silence
        900 | silence
        910 |
        ",
        expect![[r#"
            0 s: 1 opened
            910 s: 1 resolved
        "#]],
    );
    // What loses a part was answered all along: rounds of since then have to say so.
    check(
        "
          0 | link1 99.9 loses hits 1 2
         10 | silence
         20 | silence
         30 |
        ",
        expect![[r#"
            0 s: 1 opened
            30 s: 1 resolved
        "#]],
    );
}

#[test]
fn an_outage_goes_on_with_what_is_out_and_not_with_what_loses_beside_it() {
    let (told, incidents) = play(
        "
         0 | link1 90 hits 1 2 3
        30 | link1 90 loses hits 1 2 3 4; link1 80 hits 1 2 3
        ",
    );
    assert_eq!(told, "0 s: 1 opened\n");
    let first = incidents.list().next().expect("it is open");
    let cause = first.finding.causes.first().expect("a cause");
    assert_eq!((first.id.0, cause.mode), (1, FaultMode::Down));
}

#[test]
fn rounds_lost_by_chance_among_many_keep_no_outage_open() {
    let all = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20";
    let chance = format!(
        "0 | device1 99 hits {all}
        10 | link2 3 hits 5
        20 | link3 3 hits 7"
    );
    check(
        &chance,
        expect![[r#"
            0 s: 1 opened
            20 s: 1 resolved
        "#]],
    );
    // Of as many as that it is what is left.
    let left = format!(
        "0 | device1 99 hits {all}
        10 | link2 3 hits 5 6 7
        20 | link2 3 hits 5 6 7"
    );
    check(
        &left,
        expect![[r#"
            0 s: 1 opened
        "#]],
    );
}

#[test]
fn what_still_loses_while_an_outage_of_the_same_ends_is_told_only_if_it_outlives_that() {
    check(
        "
          0 | link1 90 hits 1 2
         90 | link1 90 hits 1 2; link1 99.9 loses hits 1 2
        100 | link1 99.9 loses hits 1 2; silent 1 2
        110 |
        120 |
        ",
        expect![[r#"
            0 s: 1 opened
            120 s: 1 resolved
        "#]],
    );
}

#[test]
fn what_is_over_is_said_as_it_was_at_its_worst() {
    let (told, incidents) = play(
        "
         0 | device1 70 hits 1 2
        10 | device1 90 hits 1 2 3
        20 | device1 60 hits 1 2
        30 | device1 40 hits 1
        40 |
        ",
    );
    assert_eq!(told, "0 s: 1 opened\n40 s: 1 resolved\n");
    let over = &incidents.list().next().expect("it is shown once more").finding;
    let said = (over.causes[0].probability, over.pairs.len(), over.impact.targets_down);
    assert_eq!(said, (0.9, 3, 3));
}

#[test]
fn the_beginning_is_never_found_to_be_later() {
    let (_, incidents) = play(
        "
        10 | device1 70 hits 1 2
        20 | device1 90 hits 1 2
        60 | link5 90 hits 1 2
        99 | link5 90 hits 1 2
        ",
    );
    let first = incidents.list().next().expect("it is open");
    assert_eq!(first.finding.causes[0].kind, ElementKind::Link, "the cause is another");
    assert_eq!(first.finding.onset.1, UtcMicros(10 * SECOND));
}

#[test]
fn after_a_restart_what_died_by_itself_meanwhile_keeps_no_outage_open() {
    // For as long as the evidence is not whole, 2 may be what is left of the outage.
    check(
        "
          0 | link1 90 hits 1 2 3 4 5 6 7 8 9 10
         10 | restart; silent 2
        100 | silent 2
        900 | silent 2
        910 | silent 2
        ",
        expect![[r#"
            0 s: 1 opened
            910 s: 1 resolved
        "#]],
    );
}

#[test]
fn what_nobody_asks_any_more_is_not_said_to_answer() {
    let told = play("0 | link1 90 hits 1 2\n10 | restart gone 1 2\n20 |\n30 |").0;
    assert_eq!(told, "0 s: 1 opened\n20 s: 1 asked by nobody\n");
}

#[test]
fn of_what_nobody_feels_yet_people_are_told_as_what_it_turns_out_to_be() {
    check("3 | link1 96 unfelt\n14 | link1 96 unfelt", expect![""]);
    check("3 | link1 96 unfelt\n15 | link1 96 unfelt", expect![["15 s: 1 opened\n"]]);
    // Ports are reported down one by one before a round is lost.
    check(
        "3 | link1 96 unfelt\n5 | link1 96 unfelt; link2 96 unfelt\n9 | device1 97 hits 1 2",
        expect![["9 s: 1 opened\n"]],
    );
}

#[test]
fn what_is_hardly_likely_changes_nothing_that_people_know() {
    let (told, incidents) =
        play("0 | link1 99 hits 1 2\n10 | link1 0.2 loses hits 1 2; silent 1 2\n20 |");
    assert_eq!(told, "0 s: 1 opened\n20 s: 1 resolved\n");
    let cause = &incidents.list().next().expect("it is shown once more").finding.causes[0];
    assert_eq!((cause.mode, cause.probability), (FaultMode::Down, 0.99));
}
