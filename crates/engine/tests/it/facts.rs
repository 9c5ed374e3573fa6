//! What a fact changes in the judgement of now, what it does not, and how it loses its weight.

use engine::{
    live::{
        Blame, FACT_FRESH_US, FACT_STALE_US, HOLD_US, Hearing, Ledger, Report, Reported, Standing,
        fact_weight,
    },
    rca::Change,
};
use model::{AgentId, ElementKind, FactKind, FaultMode, UtcMicros};

use crate::live::{ORG, SECOND, chain, play};

const CUT: i64 = 1_100;

fn at(seconds: i64) -> UtcMicros {
    UtcMicros(seconds * SECOND)
}

fn of(element: &str, end: Option<&str>, kind: FactKind, since: i64) -> Reported {
    Reported {
        source: "snmp-fra".into(),
        element: element.to_owned(),
        end: end.map(str::to_owned),
        agent: None,
        kind,
        value: None,
        since: at(since),
        seen: at(since),
        until: None,
    }
}

/// Both ends of r2--r3 say that their port is down.
fn both_down() -> Vec<Reported> {
    let end = |end| of("r2--r3", Some(end), FactKind::InterfaceDown, CUT + 2);
    vec![end("r2"), end("r3")]
}

/// Judges at `now`, of rounds of which those of r3 are lost from [`CUT`] on if it is `cut`.
fn judge_at(standing: &mut Standing, now: i64, is_cut: bool, reported: &[Reported]) -> Report {
    let (roster, draft) = chain();
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, ((now - 300) / 10 * 10, now), |probe, at| is_cut && probe == 3 && CUT <= at);
    let heard = [(AgentId(1), at(now)), (AgentId(2), at(now))];
    let (ledger, roster) = (&ledger, &roster);
    let hearing =
        Hearing { now: at(now), roster, ledger, heard: &heard, reported, out: None, budget: None };
    standing.judge(&hearing)
}

fn judge(now: i64, is_cut: bool, reported: &[Reported]) -> Report {
    judge_at(&mut Standing::new(ORG), now, is_cut, reported)
}

/// The likeliest cause of the only incident.
fn cause(report: &Report) -> Blame {
    let [told] = report.incidents.as_slice() else { panic!("{report:#?}") };
    told.causes[0].clone()
}

#[test]
fn a_cut_that_both_ends_report_is_the_link_alone_and_surer() {
    let without = cause(&judge(1_130, true, &[]));
    assert_eq!(without.elements, ["r2--r3", "r3"]);
    let report = judge(1_130, true, &both_down());
    let with = cause(&report);
    assert_eq!((with.elements, with.kind), (vec!["r2--r3".to_owned()], ElementKind::Link));
    assert!(without.probability < with.probability, "{} {}", without.probability, with.probability);
    assert!(report.incidents[0].sentence.starts_with("link r2--r3 is down, since 00:18:23"));
    let texts: Vec<&str> = with.evidence.iter().map(|piece| piece.text.as_str()).collect();
    let said = "r2 reports port of r2--r3 down at 00:18:22 (snmp-fra)";
    assert!(texts.contains(&said), "{texts:?}");
    assert_eq!(report.messages.len(), 1);
}

/// What is dead says nothing of its own ports.
#[test]
fn a_port_that_only_its_neighbour_reports_speaks_for_the_device_behind_it() {
    let one = cause(&judge(1_130, true, &both_down()[..1]));
    assert_eq!(one.elements, ["r3"]);
    let restarted = cause(&judge(1_130, true, &[of("r3", None, FactKind::Restarted, CUT + 2)]));
    assert_eq!(restarted.elements, ["r3"]);
    assert!(one.probability < restarted.probability);
}

#[test]
fn a_fact_counts_in_full_while_it_is_fresh_then_less_and_at_last_nothing() {
    let weight = |age: i64| fact_weight(UtcMicros(0), UtcMicros(age));
    assert_eq!(weight(-5), 1.0, "a clock that is ahead");
    assert_eq!(weight(0), 1.0);
    assert_eq!(weight(FACT_FRESH_US), 1.0);
    let middle = weight((FACT_FRESH_US + FACT_STALE_US) / 2);
    assert!((middle - 0.5).abs() < 1e-9, "{middle}");
    assert_eq!(weight(FACT_STALE_US), 0.0);
    assert_eq!(weight(FACT_STALE_US * 9), 0.0);
}

/// The outage lasts; the reports are of an hour ago, or were repeated a minute ago.
#[test]
fn a_stale_fact_weighs_nothing_and_is_shown_as_stale_until_it_is_seen_again() {
    let now = CUT + 3_600;
    let mut reported = both_down();
    let stale = judge(now, true, &reported);
    let without = judge(now, true, &[]);
    assert_eq!(stale.incidents, without.incidents);
    assert_eq!(cause(&stale).elements, ["r2--r3", "r3"]);
    let weights: Vec<f64> = stale.facts.iter().map(|fact| fact.weight).collect();
    assert_eq!(weights, [0.0, 0.0]);
    assert_eq!(stale.facts[0].text, "r2 reports port of r2--r3 down");
    for fact in &mut reported {
        fact.seen = at(now - 60);
    }
    let seen_again = judge(now, true, &reported);
    assert_eq!(cause(&seen_again).elements, ["r2--r3"]);
    assert_eq!(seen_again.facts[0].weight, 1.0);
}

#[test]
fn a_fact_that_fades_never_turns_against_what_it_speaks_for() {
    let (now, mut last) = (CUT + 1_200, f64::INFINITY);
    for age in [0, 300, 400, 500, 600, 700, 800, 890, 900] {
        let mut reported = both_down();
        reported.iter_mut().for_each(|fact| fact.seen = at(now - age));
        let report = judge(now, true, &reported);
        let told = cause(&report);
        let is_link = told.elements == ["r2--r3"];
        assert_eq!(is_link, age < 900, "{age}: {:?}", told.elements);
        if is_link {
            assert!(told.probability <= last + 1e-12, "{age}: {} {last}", told.probability);
            last = told.probability;
        }
    }
}

#[test]
fn what_two_sources_tell_of_one_event_counts_once() {
    let mut twice = both_down();
    twice.extend(both_down().into_iter().map(|fact| Reported {
        source: "syslog".into(),
        since: at(CUT + 20),
        ..fact
    }));
    let restarted = |source: &str, since| Reported {
        source: source.into(),
        ..of("r3", None, FactKind::Restarted, since)
    };
    let late = CUT + 1_200;
    let down = |source: &'static str, since, seen, until: Option<i64>| {
        both_down().into_iter().map(move |fact| Reported {
            source: source.into(),
            since: at(since),
            seen: at(seen),
            until: until.map(at),
            ..fact
        })
    };
    // The first lost sight of it long ago; the other still sees it.
    let seen = down("snmp-fra", CUT + 2, late - 5, None).collect();
    let lost = down("snmp-fra", CUT + 2, late - 700, Some(late - 700));
    let lost = lost.chain(down("syslog", CUT + 20, late - 5, None)).collect();
    for (now, once, twice) in [
        (1_130, both_down(), twice),
        (
            1_130,
            vec![restarted("syslog", CUT + 2)],
            vec![restarted("syslog", CUT + 2), restarted("snmp", CUT + 30)],
        ),
        (late, seen, lost),
    ] {
        let (once, twice) = (judge(now, true, &once), judge(now, true, &twice));
        assert_eq!(once.incidents, twice.incidents);
        assert!(once.facts_total < twice.facts_total, "both are shown");
    }
}

#[test]
fn what_the_topology_does_not_know_says_nothing() {
    let reported =
        [of("r9", None, FactKind::Restarted, CUT), of("r2--r9", None, FactKind::BgpDown, CUT)];
    let report = judge(1_130, true, &reported);
    assert_eq!(report.incidents, judge(1_130, true, &[]).incidents);
    assert!(report.facts.iter().all(|fact| !fact.is_known));
}

/// Sessions go and come while every packet passes.
#[test]
fn what_routers_tell_one_another_makes_no_incident_of_its_own() {
    for kind in
        [FactKind::OspfNeighborDown, FactKind::OspfNeighborUp, FactKind::BgpDown, FactKind::BgpUp]
    {
        assert!(kind.is_control_plane());
        let reported = ["r2--r3", "r3", "r1--r2"].map(|element| of(element, None, kind, CUT + 2));
        let report = judge(1_130, false, &reported);
        assert_eq!(report.incidents, [], "{}", kind.as_str());
        assert_eq!(report.facts_total, 3);
    }
}

/// Whom it hits is of rounds alone, whatever is reported.
#[test]
fn no_fact_takes_a_target_down_that_answers_or_lets_one_up_that_does_not() {
    for kind in FactKind::ALL {
        let reported = [of("r2--r3", Some("r2"), *kind, CUT + 2), of("r3", None, *kind, CUT + 2)];
        for (is_cut, expected) in [(true, 1), (false, 0)] {
            let report = judge(1_130, is_cut, &reported);
            let down = report.incidents.iter().map(|told| told.hit.targets_down).max();
            assert_eq!(down.unwrap_or(0), expected, "{}, {is_cut}: {report:#?}", kind.as_str());
        }
    }
}

#[test]
fn a_session_that_is_up_though_nothing_passes_is_a_fact_of_its_own_and_changes_nothing() {
    // The first round that was lost is that of CUT + 3.
    let now = CUT + 3 + 245;
    let up = |seen| Reported { seen: at(seen), ..of("r3", None, FactKind::BgpUp, 500) };
    let report = judge(now, true, &[up(now - 5)]);
    let [found] = report.contradictions.as_slice() else { panic!("{report:#?}") };
    assert_eq!(found.text, "r3: BGP up, nothing passes for 4 min");
    assert_eq!((found.silent_since, &*found.source), (at(CUT + 3), "snmp-fra"));
    assert_eq!(cause(&report).mode, FaultMode::Down);
    assert_eq!(report.incidents[0].hit.targets_down, 1);

    let hold = HOLD_US / SECOND;
    let none = |now, is_cut, fact: Reported, why: &str| {
        let found = judge(now, is_cut, &[fact]).contradictions;
        assert_eq!(found, [], "{why}");
    };
    none(now, true, up(CUT + hold), "the routers had not had the time to notice");
    none(now, false, up(now - 5), "packets pass");
    none(now, true, Reported { until: Some(at(CUT)), ..up(now - 5) }, "it went down");
    let elsewhere = Reported { element: "r1--r2".to_owned(), ..up(now - 5) };
    none(now, true, elsewhere, "packets to others pass");
}

/// Of each pair only so many rounds are kept: what is longer ago is remembered.
#[test]
fn for_how_long_nothing_passes_is_counted_from_when_it_began() {
    let mut standing = Standing::new(ORG);
    let mut told = Vec::new();
    for minute in [4, 8, 12] {
        let now = CUT + 3 + minute * 60;
        let up = Reported { seen: at(now), ..of("r3", None, FactKind::BgpUp, 500) };
        let report = judge_at(&mut standing, now, true, &[up]);
        told.extend(report.contradictions.into_iter().map(|found| found.text));
    }
    let expected = [4, 8, 12].map(|min| format!("r3: BGP up, nothing passes for {min} min"));
    assert_eq!(told, expected);
}

#[test]
fn a_fact_that_comes_later_narrows_the_incident_that_is_open() {
    let mut standing = Standing::new(ORG);
    let first = judge_at(&mut standing, 1_130, true, &[]);
    assert_eq!(first.messages[0].change, Change::Opened);
    let second = judge_at(&mut standing, 1_140, true, &both_down());
    assert_eq!(first.incidents[0].id, second.incidents[0].id);
    assert_eq!(cause(&second).elements, ["r2--r3"]);
}
