//! Root cause of the network as it is now: the topology follows its changes, the evidence is kept
//! in bounds, and what follows is said.

use std::time::Duration;

use engine::{
    graph::{Dependency, Draft, ElementDraft, ElementIx, Need, Pin, TargetDraft, document},
    live::{Hearing, Kept, Ledger, Moved, Net, Report, Roster, Standing},
    rca::{Change, REOPEN_US},
};
use model::{
    Address, AgentId, AgentSpec, Confirm, ElementKind, InventoryChange, Name, NotAsked, OrgId,
    Outcome, PathSource, ProbeId, ProbeSpec, Round, RoundBatch, RoundFlags, Rtt, Subject, TargetId,
    Tier, TierId, UtcMicros,
};

pub(crate) const ORG: OrgId = OrgId(1);
pub(crate) const SECOND: i64 = 1_000_000;

fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// Devices in a tree with as many links more, some agents, a target at each device.
fn network(seed: &mut u64, devices: u64, agents: u64) -> Draft {
    let mut draft = Draft::default();
    for device in 0..devices {
        draft.elements.push(ElementDraft::new(format!("r{device}"), ElementKind::Device));
        let device = Some(format!("r{device}"));
        let id = format!("t{}", draft.targets.len());
        draft.targets.push(TargetDraft::new(id, device));
    }
    for link in 1..devices * 3 / 2 {
        let a = if link < devices { link } else { draw(seed, devices) };
        let b = if link < devices { draw(seed, link) } else { draw(seed, devices) };
        if a != b {
            draft.elements.push(link_of(seed, link, a, b));
        }
    }
    for agent in 0..agents {
        let device = Some(format!("r{}", draw(seed, devices)));
        let id = format!("ag{agent}");
        draft.elements.push(ElementDraft { device, ..ElementDraft::new(id, ElementKind::Agent) });
    }
    draft
}

fn link_of(seed: &mut u64, link: u64, a: u64, b: u64) -> ElementDraft {
    let ends = (format!("r{a}"), format!("r{b}"));
    let cost = i64::try_from(1 + draw(seed, 4)).ok();
    ElementDraft { cost, ..ElementDraft::link(format!("l{link}"), &ends.0, &ends.1) }
}

/// Agent, target, and for each way its share in millionths and its elements.
type Ways = (String, String, Vec<(u64, Vec<String>)>);

/// Every path of a net, by ids.
fn ways(net: &mut Net) -> Vec<Ways> {
    let of_kind = |net: &Net, kind| -> Vec<ElementIx> { net.topology().of_kind(kind).collect() };
    let (agents, targets) = (of_kind(net, ElementKind::Agent), of_kind(net, ElementKind::Target));
    let mut all = Vec::new();
    for agent in agents {
        for target in &targets {
            let set = net.paths(agent, *target, UtcMicros(0)).expect("a set");
            let id = |ix: ElementIx| net.topology().id(ix).to_owned();
            let mut routes: Vec<(u64, Vec<String>)> = set
                .routes
                .iter()
                .map(|route| {
                    let share = (route.share * 1e6).round() as u64;
                    (share, route.steps.iter().map(|step| id(step.element)).collect())
                })
                .collect();
            routes.sort();
            all.push((id(agent), id(*target), routes));
        }
    }
    all.sort();
    all
}

#[test]
fn a_net_that_follows_its_links_has_the_paths_of_one_built_anew() {
    let mut seed = 11;
    for _ in 0..8 {
        let mut draft = network(&mut seed, 14, 3);
        let mut net = Net::new(&draft).expect("a good network");
        ways(&mut net);
        for step in 0..12 {
            let links: Vec<usize> = (0..draft.elements.len())
                .filter(|at| draft.elements[*at].kind == ElementKind::Link)
                .collect();
            let at = links[usize::try_from(draw(&mut seed, links.len() as u64)).unwrap()];
            match step % 3 {
                0 => {
                    draft.elements.remove(at);
                }
                1 => draft.elements[at].cost = i64::try_from(draw(&mut seed, 5)).ok(),
                _ => {
                    let (a, b) = (draw(&mut seed, 7), 7 + draw(&mut seed, 7));
                    let link = link_of(&mut seed, 100 + step, a, b);
                    draft.elements.push(link);
                }
            }
            let (moved, _) = net.change(&draft).expect("a good network");
            assert!(!matches!(moved, Moved::Rebuilt), "step {step} built everything anew");
            let mut anew = Net::new(&draft).expect("a good network");
            assert_eq!(ways(&mut net), ways(&mut anew), "step {step}");
        }
    }
}

#[test]
fn what_is_more_than_links_is_built_anew_and_what_is_wrong_changes_nothing() {
    let mut seed = 3;
    let mut draft = network(&mut seed, 10, 2);
    let mut net = Net::new(&draft).expect("a good network");
    assert_eq!(net.change(&draft).expect("the same").0, Moved::Nothing);
    let before = ways(&mut net);
    let mut wrong = draft.clone();
    wrong.elements.push(ElementDraft::link("x", "r1", "r99"));
    assert!(net.change(&wrong).is_err());
    assert_eq!(ways(&mut net), before);
    draft.elements.push(ElementDraft::new("new", ElementKind::Device));
    assert_eq!(net.change(&draft).expect("a good network").0, Moved::Rebuilt);
    let mut one_way = draft.clone();
    one_way.elements.iter_mut().filter(|e| e.ends.is_some()).for_each(|e| e.cost_back = Some(9));
    assert_eq!(net.change(&one_way).expect("a good network").0, Moved::Rebuilt);
}

/// What goes by the index of a link must not keep that of one that is gone.
#[test]
fn a_link_that_a_target_or_a_dependency_names_is_not_moved_beneath_them() {
    let mut seed = 5;
    for names in ["a target", "a dependency"] {
        let mut draft = network(&mut seed, 12, 2);
        let link = draft.elements.iter().position(|e| e.kind == ElementKind::Link).expect("a link");
        let id = draft.elements[link].id.clone();
        if names == "a target" {
            draft.targets[3].device = Some(id.clone());
        } else {
            let on = vec![id.clone()];
            draft.dependencies.push(Dependency { of: "r3".to_owned(), need: Need::All, on });
        }
        let mut net = Net::new(&draft).expect("a good network");
        let before = ways(&mut net);
        let mut without = draft.clone();
        without.elements.remove(link);
        assert!(net.change(&without).is_err(), "{names} has lost its link");
        assert_eq!(ways(&mut net), before);
        draft.elements[link].cost = Some(7);
        let (moved, _) = net.change(&draft).expect("a good network");
        assert!(matches!(moved, Moved::Followed { .. }), "the cost alone moves nothing: {names}");
        draft.elements[link].ends = Some(["r4".to_owned(), "r9".to_owned()]);
        net.change(&draft).expect("a good network");
        assert_eq!(ways(&mut net), ways(&mut Net::new(&draft).expect("good")), "{names}");
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

/// An agent at r1, a chain r1 - r2 - r3 and r2 - r4, and a target at each device, called as it.
pub(crate) fn chain() -> (Roster, Draft) {
    let mut roster = Roster::default();
    let tier = Tier { interval: Duration::from_secs(10), ..Tier::standard(TierId(1), name("t")) };
    roster.change(&InventoryChange::TierSet(tier));
    for (id, called) in [(1, "ag1"), (2, "ag2")] {
        let spec = AgentSpec { id: AgentId(id), org: ORG, name: name(called), is_active: true };
        assert!(roster.change(&InventoryChange::AgentSet(spec)));
    }
    for id in 1..=4 {
        let spec = ProbeSpec {
            id: ProbeId(id),
            org: ORG,
            target: TargetId(id),
            target_name: name(&format!("r{id}")),
            address: Address::parse("192.0.2.1").expect("an address"),
            tier: TierId(1),
            paused: false,
        };
        assert!(roster.change(&InventoryChange::ProbeSet(spec.clone())));
        assert!(!roster.change(&InventoryChange::ProbeSet(spec)), "the second time is no news");
    }
    let text = "kind,id,device,end_a,end_b,weight,customers\n\
        device,r1,,,,,\ndevice,r2,,,,,\ndevice,r3,,,,,40\ndevice,r4,,,,,\n\
        link,r1--r2,,r1,r2,,\nlink,r2--r3,,r2,r3,,\nlink,r2--r4,,r2,r4,,\n\
        agent,ag1,r1,,,,\nagent,ag2,r4,,,,\n\
        target,r1,r1,,,1,\ntarget,r2,r2,,,1,\ntarget,r3,r3,,,40,\ntarget,r4,r4,,,1,\n";
    let document = document::Document::read(document::Format::Csv, text).expect("a text");
    (roster, document.draft)
}

pub(crate) fn round(probe: u32, at: i64, received: u8) -> Round {
    let rtt = (0 < received).then_some(Rtt { us_min: 900, us_mean: 1_000, us_max: 1_100 });
    let confirm = Confirm { sent: if received == 0 { 3 } else { 0 }, received: 0 };
    Round {
        subject: Subject::Probe(ProbeId(probe)),
        at: UtcMicros(at * SECOND),
        outcome: Outcome::Asked { sent: 5, received, rtt, confirm },
        flags: RoundFlags::default(),
        icmp_error: None,
    }
}

/// All agents ask all targets every 10 s until `until`; those of `lost` do not answer from `from`.
pub(crate) fn play(ledger: &mut Ledger, span: (i64, i64), lost: impl Fn(u32, i64) -> bool) {
    for at in (span.0..span.1).step_by(10) {
        for agent in [1, 2] {
            let rounds = (1..=4).map(|probe| {
                let at = at + i64::from(probe);
                round(probe, at, if lost(probe, at) { 0 } else { 5 })
            });
            ledger.hear(&RoundBatch::new(AgentId(agent), rounds.collect()));
        }
    }
}

pub(crate) fn judge(standing: &mut Standing, roster: &Roster, ledger: &Ledger, now: i64) -> Report {
    judge_heard(standing, (roster, ledger), now, now)
}

/// The same with when the agents were heard last.
fn judge_heard(
    standing: &mut Standing,
    (roster, ledger): (&Roster, &Ledger),
    now: i64,
    heard: i64,
) -> Report {
    let (now, at) = (UtcMicros(now * SECOND), UtcMicros(heard * SECOND));
    let heard = [(AgentId(1), at), (AgentId(2), at)];
    let hearing =
        Hearing { now, roster, ledger, heard: &heard, reported: &[], out: None, budget: None };
    standing.judge(&hearing)
}

#[test]
fn a_cut_is_named_with_whom_it_hits_and_is_over_when_it_heals() {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_100), |_, _| false);
    assert!(judge(&mut standing, &roster, &ledger, 1_100).incidents.is_empty());

    play(&mut ledger, (1_100, 1_130), |probe, _| probe == 3);
    let report = judge(&mut standing, &roster, &ledger, 1_130);
    let [told] = report.incidents.as_slice() else { panic!("{report:#?}") };
    assert_eq!(told.causes[0].elements, ["r2--r3", "r3"], "{}", told.sentence);
    assert!(told.sentence.starts_with("r2--r3 or r3 is down, since 00:18:23"), "{}", told.sentence);
    assert_eq!((told.hit.targets_down, told.hit.weight, told.hit.customers), (1, 40, 40));
    assert_eq!(told.suppressed, ["r3"], "as the inventory calls it");
    let text = &told.causes[0].evidence[0].text;
    assert!(text.starts_with("6 of 6 rounds over r2--r3 lost, from 2 agents"), "{text}");

    play(&mut ledger, (1_130, 1_300), |_, _| false);
    judge(&mut standing, &roster, &ledger, 1_290);
    let report = judge(&mut standing, &roster, &ledger, 1_300);
    assert!(report.incidents.iter().all(|told| !told.is_open), "{report:#?}");
}

/// A round that an agent asked of its gateway.
fn gateway(at: i64, received: u8) -> Round {
    Round { subject: Subject::Gateway, ..round(0, at, received) }
}

#[test]
fn a_gateway_that_never_answers_makes_no_agent_blind() {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |probe, at| probe == 3 && 1_100 <= at);
    for at in 1_000..1_130 {
        for agent in [1, 2] {
            ledger.hear(&RoundBatch::new(AgentId(agent), vec![gateway(at, 0)]));
        }
    }
    let report = judge(&mut standing, &roster, &ledger, 1_130);
    assert_eq!((report.sight.is_waiting, report.blind.len()), (false, 0), "{report:#?}");
    assert_eq!(report.incidents[0].causes[0].elements, ["r2--r3", "r3"]);
}

#[test]
fn a_gateway_that_falls_silent_makes_its_agent_blind_unless_what_is_behind_it_answers() {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |_, _| false);
    for at in 1_000..1_140 {
        let received = if at < 1_100 { 5 } else { 0 };
        ledger.hear(&RoundBatch::new(AgentId(1), vec![gateway(at, received)]));
    }
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_139).blind, Vec::<String>::new());
    ledger.hear(&RoundBatch::new(AgentId(1), vec![round(2, 1_138, 0)]));
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_140).blind, ["ag1"]);
}

/// Nothing follows from what crosses no network that was drawn, and that is said.
#[test]
fn targets_behind_nothing_and_on_an_agents_own_host_are_counted() {
    let (roster, mut draft) = chain();
    draft.targets.retain(|target| target.id != "r3");
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    ledger.hear(&RoundBatch::new(AgentId(1), vec![round(1, 1_000, 5), round(3, 1_000, 5)]));
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_001).targets_outside, 1, "r3");
    let local = Round { flags: RoundFlags::LOCAL, ..round(4, 1_001, 5) };
    ledger.hear(&RoundBatch::new(AgentId(1), vec![local]));
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_002).targets_outside, 2, "and r4");
    ledger.hear(&RoundBatch::new(AgentId(2), vec![round(4, 1_002, 5)]));
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_003).targets_outside, 1, "another asks r4");
}

#[test]
fn an_incident_goes_on_when_the_topology_is_built_anew() {
    let (roster, mut draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_100), |_, _| false);
    play(&mut ledger, (1_100, 1_130), |probe, _| probe == 3);
    let before = judge(&mut standing, &roster, &ledger, 1_130);
    draft.elements.insert(0, ElementDraft::new("a0", ElementKind::Device));
    assert_eq!(standing.set_topology(&roster, &draft).expect("good"), Moved::Rebuilt);
    let after = judge(&mut standing, &roster, &ledger, 1_131);
    assert_eq!(before.incidents[0].id, after.incidents[0].id);
    assert_eq!(before.incidents[0].sentence, after.incidents[0].sentence);
}

/// A standing whose r3 is out at 1,130 s, with what is kept of its incident.
fn with_a_cut() -> (Roster, Draft, Kept) {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |probe, at| probe == 3 && 1_100 <= at);
    let report = judge(&mut standing, &roster, &ledger, 1_130);
    let told = &report.incidents[0];
    assert_eq!(changes(&report), [Change::Opened]);
    let kept = Kept { pairs: standing.pairs_of(told.id), ..Kept::from(told) };
    assert_eq!(kept.pairs, [("ag1", "r3"), ("ag2", "r3")].map(|(a, t)| (a.into(), t.into())));
    (roster, draft, kept)
}

fn changes(report: &Report) -> Vec<Change> {
    report.messages.iter().map(|message| message.change).collect()
}

/// As after a restart at `now`: nothing is heard yet.
fn restarted(roster: &Roster, draft: &Draft, kept: &[Kept], now: i64) -> Standing {
    let mut standing = Standing::new(ORG);
    standing.set_topology(roster, draft).expect("a good network");
    let ids = standing.restore(kept, UtcMicros(now * SECOND));
    assert_eq!(ids, vec![Some(1); kept.len()]);
    standing
}

#[test]
fn after_a_restart_an_incident_goes_on_untold_and_silence_closes_nothing() {
    let (roster, draft, kept) = with_a_cut();
    let mut standing = restarted(&roster, &draft, std::slice::from_ref(&kept), 1_200);
    let mut ledger = Ledger::default();
    for now in (1_200..1_260).step_by(10) {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert!(report.messages.is_empty() && report.incidents[0].is_open, "{report:#?}");
        assert_eq!(report.incidents[0].onset, kept.onset);
    }
    // One of two pairs answers: the other is still unknown.
    let rounds = vec![round(3, 1_260, 5)];
    ledger.hear(&RoundBatch::new(AgentId(1), rounds));
    for now in [1_261, 1_262, 1_263] {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert!(report.messages.is_empty() && report.incidents[0].is_open, "{report:#?}");
    }
    ledger.hear(&RoundBatch::new(AgentId(2), vec![round(3, 1_264, 5)]));
    let report = judge(&mut standing, &roster, &ledger, 1_265);
    assert_eq!(changes(&report), [Change::Resolved], "both answer");
}

#[test]
fn after_a_restart_what_still_fails_is_the_incident_it_was() {
    let (roster, draft, kept) = with_a_cut();
    let mut standing = restarted(&roster, &draft, &[kept], 1_200);
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_200, 1_260), |probe, _| probe == 3);
    for now in [1_210, 1_230, 1_260] {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert_eq!(changes(&report), [], "nobody is told again");
        let ids: Vec<u32> = report.incidents.iter().map(|told| told.id).collect();
        assert_eq!(ids, [1]);
    }
    play(&mut ledger, (1_260, 1_440), |_, _| false);
    let all = (1_270..1_440).step_by(10);
    let all: Vec<Change> =
        all.flat_map(|now| changes(&judge(&mut standing, &roster, &ledger, now))).collect();
    assert_eq!(all, [Change::Resolved]);
}

/// A target that never answered, and agents that were away for longer than rounds are evidence.
#[test]
fn what_was_not_asked_while_the_monitor_was_blind_is_not_over() {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |probe, _| probe == 3);
    assert_eq!(changes(&judge(&mut standing, &roster, &ledger, 1_130)), [Change::Opened]);
    for now in [1_150, 1_200, 1_300] {
        judge_heard(&mut standing, (&roster, &ledger), now, 1_130);
    }
    for now in 1_301..1_320 {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert!(report.messages.is_empty() && report.incidents[0].is_open, "{report:#?}");
    }
    play(&mut ledger, (1_320, 1_800), |probe, _| probe == 3);
    for now in (1_330..1_800).step_by(10) {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert!(report.messages.is_empty() && report.incidents[0].is_open, "{report:#?}");
    }
    play(&mut ledger, (1_800, 1_830), |_, _| false);
    let report = judge(&mut standing, &roster, &ledger, 1_830);
    assert_eq!(changes(&report), [Change::Resolved], "it answers");
}

#[test]
fn what_nobody_is_to_ask_any_more_is_not_waited_for_and_no_all_clear() {
    let (mut roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_130), |probe, at| probe == 3 && 1_100 <= at);
    assert_eq!(changes(&judge(&mut standing, &roster, &ledger, 1_130)), [Change::Opened]);
    let address = Address::parse("192.0.2.1").expect("an address");
    let paused = ProbeSpec {
        id: ProbeId(3),
        org: ORG,
        target: TargetId(3),
        target_name: name("r3"),
        address,
        tier: TierId(1),
        paused: true,
    };
    roster.change(&InventoryChange::ProbeSet(paused));
    let all = (1_130..1_400).step_by(10);
    let all: Vec<Change> =
        all.flat_map(|now| changes(&judge(&mut standing, &roster, &ledger, now))).collect();
    assert_eq!(all, [Change::Unasked]);
}

#[test]
fn after_a_restart_an_incident_without_its_causes_is_none() {
    let (roster, draft, kept) = with_a_cut();
    let gone = Draft {
        elements: draft
            .elements
            .into_iter()
            .filter(|e| !["r3", "r2--r3"].contains(&&*e.id))
            .collect(),
        targets: draft.targets.into_iter().filter(|target| target.id != "r3").collect(),
        ..Draft::default()
    };
    let mut roster = roster;
    roster.change(&InventoryChange::ProbeRemoved(ProbeId(3)));
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &gone).expect("a good network");
    assert_eq!(standing.restore(&[kept], UtcMicros(1_200 * SECOND)), [None]);
}

#[test]
fn what_fails_again_soon_is_the_same_incident_reopened_and_later_another() {
    let minutes = REOPEN_US / SECOND / 60;
    for (pause, expected) in [(1, Change::Reopened), (minutes + 1, Change::Opened)] {
        let (roster, draft, kept) = with_a_cut();
        let mut standing = restarted(&roster, &draft, &[kept], 1_200);
        let mut ledger = Ledger::default();
        play(&mut ledger, (1_200, 1_230), |_, _| false);
        assert_eq!(changes(&judge(&mut standing, &roster, &ledger, 1_230)), [Change::Resolved]);
        let again = 1_230 + pause * 60;
        play(&mut ledger, (1_230, again), |_, _| false);
        assert_eq!(changes(&judge(&mut standing, &roster, &ledger, again)), []);
        play(&mut ledger, (again, again + 40), |probe, _| probe == 3);
        let report = judge(&mut standing, &roster, &ledger, again + 40);
        assert_eq!(changes(&report), [expected], "{report:#?}");
        let id = if expected == Change::Reopened { 1 } else { 2 };
        assert_eq!(report.incidents[0].id, id);
    }
}

#[test]
fn the_same_entries_give_the_same_report() {
    let run = || {
        let (roster, draft) = chain();
        let mut standing = Standing::new(ORG);
        standing.set_topology(&roster, &draft).expect("a good network");
        let mut ledger = Ledger::default();
        play(&mut ledger, (1_000, 1_130), |probe, at| probe == 3 && 1_100 < at);
        judge(&mut standing, &roster, &ledger, 1_130)
    };
    assert_eq!(run(), run());
}

#[test]
fn without_a_device_nothing_is_judged_and_who_is_not_in_the_topology_stands_nowhere() {
    let (roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &Draft::default()).expect("nothing");
    let hearing = Hearing {
        now: UtcMicros(0),
        roster: &roster,
        ledger: &Ledger::default(),
        heard: &[],
        reported: &[],
        out: None,
        budget: None,
    };
    assert_eq!(standing.judge(&hearing), Report::default());
    let small = Draft { targets: Vec::new(), ..draft.clone() };
    standing.set_topology(&roster, &small).expect("a good network");
    let net = standing.net().expect("a net");
    let targets = net.topology().of_kind(ElementKind::Target);
    assert_eq!(targets.filter(|ix| net.topology().host(*ix).is_none()).count(), 4);
}

#[test]
fn the_ledger_keeps_what_counts_once_and_in_order() {
    let (roster, _) = chain();
    let mut ledger = Ledger::default();
    let mut hear = |rounds: Vec<Round>| {
        ledger.hear(&RoundBatch::new(AgentId(1), rounds));
        ledger.rounds()
    };
    assert_eq!(hear(vec![round(1, 20, 5), round(1, 10, 5), round(1, 20, 5)]), 2);
    let bent = Round { flags: RoundFlags::DOUBTFUL, ..round(1, 30, 0) };
    let outcome = Outcome::NotAsked(NotAsked::NoRoute);
    let not_asked = Round { outcome, ..round(1, 40, 0) };
    assert_eq!(hear(vec![bent, not_asked]), 2);
    assert_eq!(hear(vec![round(99, 50, 5)]), 3, "of a probe that is not known yet");
    let many: Vec<Round> = (0..100).map(|n| round(2, 100 + n, 5)).collect();
    assert_eq!(hear(many), 3 + 32);
    assert_eq!(hear(vec![round(2, 1, 0)]), 3 + 32, "older than all that is kept");
    let mut gone = roster.clone();
    gone.change(&InventoryChange::ProbeRemoved(ProbeId(2)));
    ledger.forget_strangers(&gone);
    assert_eq!(ledger.rounds(), 2);
}

#[test]
fn what_was_heard_of_an_old_address_says_nothing_of_the_new_one() {
    let (mut roster, draft) = chain();
    let mut standing = Standing::new(ORG);
    standing.set_topology(&roster, &draft).expect("a good network");
    let mut ledger = Ledger::default();
    play(&mut ledger, (1_000, 1_100), |_, _| false);
    play(&mut ledger, (1_100, 1_130), |probe, _| probe == 3);
    assert_eq!(judge(&mut standing, &roster, &ledger, 1_130).incidents.len(), 1);
    let spec = ProbeSpec {
        id: ProbeId(3),
        org: ORG,
        target: TargetId(3),
        target_name: name("r3"),
        address: Address::parse("192.0.2.2").expect("an address"),
        tier: TierId(1),
        paused: false,
    };
    assert!(!roster.change(&InventoryChange::ProbeSet(spec)), "its name is the same");
    ledger.forget_addresses(&mut roster, UtcMicros(1_130 * SECOND));
    ledger.hear(&RoundBatch::new(AgentId(1), vec![round(3, 1_129, 0)]));
    for now in [1_131, 1_132] {
        let report = judge(&mut standing, &roster, &ledger, now);
        assert!(report.incidents.iter().all(|told| told.is_open), "nobody heard: {report:#?}");
        assert!(report.unexplained.is_empty() && report.messages.is_empty(), "{report:#?}");
    }
    ledger.hear(&RoundBatch::new(AgentId(1), vec![round(3, 1_133, 5)]));
    let report = judge(&mut standing, &roster, &ledger, 1_134);
    assert!(report.incidents[0].is_open, "of one agent it is not known yet: {report:#?}");
    ledger.hear(&RoundBatch::new(AgentId(2), vec![round(3, 1_133, 5)]));
    let report = judge(&mut standing, &roster, &ledger, 1_135);
    assert_eq!(changes(&report), [Change::Resolved], "the new address says all");
}

#[test]
fn a_pinned_path_counts_before_what_costs_say() {
    let mut draft = Draft::default();
    for id in ["a", "b", "c"] {
        draft.elements.push(ElementDraft::new(id, ElementKind::Device));
    }
    for (id, x, y) in [("ab", "a", "b"), ("bc", "b", "c"), ("ac", "a", "c")] {
        draft.elements.push(ElementDraft::link(id, x, y));
    }
    let agent = ElementDraft::new("ag", ElementKind::Agent);
    draft.elements.push(ElementDraft { device: Some("a".to_owned()), ..agent });
    let pin = |via: &[&str], weight| Pin {
        agent: "ag".to_owned(),
        via: via.iter().map(|id| (*id).to_owned()).collect(),
        weight,
    };
    let free = TargetDraft::new("free", Some("c".to_owned()));
    let pins = vec![pin(&["a", "ab", "b", "bc", "c"], 3), pin(&["a", "ac", "c"], 1)];
    draft.targets =
        vec![TargetDraft { pins, ..TargetDraft::new("pinned", free.device.clone()) }, free];
    let mut net = Net::new(&draft).expect("a good network");
    let find = |net: &Net, id| net.topology().find(id).expect("is there");
    let (agent, at) = (find(&net, "ag"), UtcMicros(0));
    let paths = |net: &mut Net, target| {
        let target = find(net, target);
        let set = net.paths(agent, target, at).expect("a path");
        let share = |id| set.crossing(find(net, id)).map_or(0.0, |crossing| crossing.share);
        (set.source, share("ab"), share("ac"))
    };
    assert_eq!(paths(&mut net, "pinned"), (PathSource::Pinned, 0.75, 0.25));
    assert_eq!(paths(&mut net, "free"), (PathSource::Spf, 0.0, 1.0));
    // A link that a pin names cannot go before the pin does.
    let mut without = draft.clone();
    without.elements.retain(|element| element.id != "bc");
    let problems = net.change(&without).expect_err("is refused");
    assert_eq!(
        problems[0].to_string(),
        "targets[1].paths[0].via[3]: there is no element `bc`: add it, or correct the id"
    );
}
