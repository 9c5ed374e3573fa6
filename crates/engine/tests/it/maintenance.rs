//! Maintenance: what a window reaches, and whether people are told of an incident meanwhile.

use engine::{
    graph::{ElementIx, Topology, document},
    live::{Ledger, Place, RETURN_US, Reach, Report, Silence, Standing, Voice, Works, voice},
    rca::{Change, IncidentId},
};
use expect_test::{Expect, expect};
use model::{ElementKind, MaintenanceId, Occurrence, UtcMicros};

use crate::live::{ORG, SECOND, chain, judge, play};

/// A window that is open from 1,000 s to 2,000 s; `target NAME`, `all`, or ids of elements.
fn works(id: u32, covers: &[&str]) -> Works {
    let second = |at: i64| UtcMicros(at * SECOND);
    let named = |cover: &&str| cover.strip_prefix("target ").map(str::to_owned);
    let is_element = |cover: &&&str| **cover != "all" && named(cover).is_none();
    Works {
        id: MaintenanceId(id),
        open: Occurrence { start: second(1_000), end: second(2_000) },
        elements: covers.iter().filter(is_element).map(|id| (*id).to_owned()).collect(),
        targets: covers.iter().filter_map(named).collect(),
        is_all: covers.contains(&"all"),
    }
}

/// An agent at each end of r1 - r2 - r3; r4 hangs on r2 alone, r5 on r4; r3 needs the feed.
fn network() -> Topology {
    let text = "kind,id,device,end_a,end_b,site,srlg\n\
        site,fra,,,,,\nsrlg,feed,,,,,\n\
        device,r1,,,,,\ndevice,r2,,,,fra,\ndevice,r3,,,,,feed\ndevice,r4,,,,,\ndevice,r5,,,,,\n\
        interface,r2:1,r2,,,,\n\
        link,r1--r2,,r1,r2:1,,\nlink,r2--r3,,r2,r3,,\nlink,r2--r4,,r2,r4,,\nlink,r4--r5,,r4,r5,,\n\
        agent,ag1,r1,,,,\nagent,ag3,r3,,,,\n\
        target,t1,r1,,,,\ntarget,t2,r2,,,,\ntarget,t3,r3,,,,\ntarget,t4,r4,,,,\n\
        target,t5,r5,,,,\n";
    let document = document::Document::read(document::Format::Csv, text).expect("a text");
    document.build().expect("a good network")
}

/// What windows reach, a line each: `COVERS: causes`.
#[track_caller]
fn reaches(covers: &[&[&str]], expected: Expect) {
    let topology = network();
    let kinds = [
        ElementKind::Site,
        ElementKind::Srlg,
        ElementKind::Device,
        ElementKind::Interface,
        ElementKind::Link,
        ElementKind::Agent,
        ElementKind::Target,
    ];
    let mut said = String::new();
    for covers in covers {
        let reach = Reach::of(&topology, &works(1, covers));
        let ids = |kind: &ElementKind| -> Vec<&str> {
            let of: Vec<ElementIx> = reach.of_kind(&topology, *kind);
            of.into_iter().map(|ix| topology.id(ix)).collect()
        };
        let parts: Vec<&str> = kinds.iter().flat_map(ids).collect();
        let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(" ") };
        said += &format!("{}: {parts}\n", covers.join(", "));
    }
    expected.assert_eq(&said);
}

#[test]
fn a_window_reaches_what_it_covers_with_its_fate_and_the_targets_behind_it() {
    reaches(
        &[
            &["r5"],
            &["r4"],
            &["r2--r4"],
            &["r2:1"],
            &["fra"],
            &["feed"],
            &["target t4"],
            &["nowhere", "target nobody"],
        ],
        expect![[r#"
            r5: r5 r4--r5 t5
            r4: r4 r2--r4 r4--r5 t4 t5
            r2--r4: r2--r4 t4 t5
            r2:1: r2:1 r1--r2
            fra: fra r2 r2:1 r1--r2 r2--r3 r2--r4 t2 t4 t5
            feed: feed r3 r2--r3 ag3 t3
            target t4: t4
            nowhere, target nobody: nothing
        "#]],
    );
}

/// The incidents of a report that are inside a window: `ELEMENTS in WINDOW`, or `outside`.
fn told(report: &Report) -> Vec<String> {
    let open = report.incidents.iter().filter(|told| told.is_open);
    let told = open.map(|told| {
        let mut elements = told.causes[0].elements.clone();
        elements.sort();
        let elements = elements.join(" or ");
        match report.maintained.get(&told.id) {
            Some(window) => format!("{elements} in {window}"),
            None => format!("{elements} outside"),
        }
    });
    told.collect()
}

/// All of `lost` are out at 1,130 s, while windows are open.
fn at_work(open: &[Works], lost: &[u32]) -> Report {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    standing.set_works(open);
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |probe, at| lost.contains(&probe) && 1_100 <= at);
    judge(&mut standing, &roster, &ledger, 1_130)
}

#[test]
fn an_incident_is_inside_by_its_cause_or_if_it_hits_nothing_but_what_is_covered_by_name() {
    for (covers, expected) in [
        (&["r3"][..], "r2--r3 or r3 in 1"),
        (&["r2--r3"], "r2--r3 or r3 in 1"),
        (&["target r3"], "r2--r3 or r3 in 1"),
        (&["all"], "r2--r3 or r3 in 1"),
        (&["r4"], "r2--r3 or r3 outside"),
        (&["target r4"], "r2--r3 or r3 outside"),
        (&["nowhere"], "r2--r3 or r3 outside"),
    ] {
        let report = at_work(&[works(1, covers)], &[3]);
        assert_eq!(told(&report), [expected], "{covers:?}");
        let changes: Vec<Change> = report.messages.iter().map(|one| one.change).collect();
        assert_eq!(changes, [Change::Opened], "it is an incident as any other");
    }
}

#[test]
fn of_several_windows_it_is_inside_the_one_that_ends_last() {
    let mut later = works(1, &["r3"]);
    later.open.end = UtcMicros(3_000 * SECOND);
    assert_eq!(told(&at_work(&[later, works(2, &["r3"])], &[3])), ["r2--r3 or r3 in 1"]);
    assert_eq!(told(&at_work(&[], &[3])), ["r2--r3 or r3 outside"]);
}

/// Plays `SECONDS | CHANGE | inside WINDOW, open, unseen`, each where it is so, and shows what
/// people are told.
#[track_caller]
fn speaks(script: &str, expected: Expect) {
    let mut silence: Option<Silence> = None;
    let mut said = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let [now, change, place] =
            line.split('|').map(str::trim).collect::<Vec<_>>().try_into().expect("three columns");
        let change = match change {
            "" => None,
            "opened" => Some(Change::Opened),
            "reopened" => Some(Change::Reopened),
            "cause" => Some(Change::CauseChanged),
            "resolved" => Some(Change::Resolved),
            "merged" => Some(Change::Merged { into: IncidentId(9) }),
            other => panic!("{other}"),
        };
        let words: Vec<&str> = place.split(", ").collect();
        let inside = words.iter().find_map(|word| word.strip_prefix("inside "));
        let inside = inside.map(|id| MaintenanceId(id.parse().expect("a window")));
        let place = Place {
            now: UtcMicros(now.parse::<i64>().expect("seconds") * SECOND),
            inside,
            is_window_open: inside.is_some() || words.contains(&"open"),
            is_seen: !words.contains(&"unseen"),
        };
        let voice = match voice(&mut silence, change, place) {
            Voice::Speaks => "as it is".to_owned(),
            Voice::Silent => "silent".to_owned(),
            Voice::AsNews => "as news".to_owned(),
            Voice::NotBack(window) => format!("did not come back from {window}"),
        };
        said += &format!("{now} {voice}\n");
    }
    expected.assert_eq(&said);
}

#[test]
fn what_opens_inside_is_silent_and_what_did_not_come_back_is_told_a_minute_after_the_end() {
    assert_eq!(RETURN_US, 60 * SECOND);
    speaks(
        "
        100 | opened   | inside 1
        150 | cause    | inside 1
        200 |          |
        259 |          |
        260 |          |
        300 | resolved |
        ",
        expect![[r#"
            100 silent
            150 silent
            200 silent
            259 silent
            260 did not come back from 1
            300 as it is
        "#]],
    );
}

#[test]
fn what_comes_back_in_time_is_told_to_nobody_and_is_news_if_it_fails_again_later() {
    speaks(
        "
        100 | opened   | inside 1
        150 | resolved | inside 1
        160 | reopened | inside 1
        200 |          |
        230 | resolved |
        400 | reopened |
        500 | resolved |
        ",
        expect![[r#"
            100 silent
            150 silent
            160 silent
            200 silent
            230 silent
            400 as news
            500 as it is
        "#]],
    );
}

#[test]
fn a_fault_beside_the_work_speaks_at_once_also_if_that_turns_out_later() {
    speaks(
        "100 | opened | open",
        expect![[r#"
        100 as it is
    "#]],
    );
    speaks(
        "
        100 | opened | inside 1
        150 | cause  | open
        160 | resolved | open
        ",
        expect![[r#"
            100 silent
            150 as news
            160 as it is
        "#]],
    );
}

#[test]
fn what_people_were_told_of_keeps_its_voice_when_a_window_begins() {
    speaks(
        "
        100 | opened   |
        150 |          | inside 1
        160 | cause    | inside 1
        170 | resolved | inside 1
        180 | reopened | inside 1
        190 | resolved | inside 1
        ",
        expect![[r#"
            100 as it is
            150 as it is
            160 as it is
            170 as it is
            180 silent
            190 silent
        "#]],
    );
}

#[test]
fn a_window_that_is_extended_or_followed_by_another_goes_on_being_silent() {
    speaks(
        "
        100 | opened | inside 1
        200 |        |
        230 |        | inside 1
        300 |        |
        330 |        | inside 2
        400 |        |
        460 |        |
        ",
        expect![[r#"
            100 silent
            200 silent
            230 silent
            300 silent
            330 silent
            400 silent
            460 did not come back from 2
        "#]],
    );
}

#[test]
fn nothing_is_said_of_what_is_not_seen() {
    speaks(
        "
        100 | opened | inside 1
        110 |        | open, unseen
        200 |        | unseen
        300 |        | unseen
        301 |        |
        ",
        expect![[r#"
            100 silent
            110 silent
            200 silent
            300 silent
            301 did not come back from 1
        "#]],
    );
    speaks(
        "
        100 | opened   | inside 1
        200 |          | unseen
        300 | resolved | unseen
        ",
        expect![[r#"
            100 silent
            200 silent
            300 silent
        "#]],
    );
}
