//! Replay, restore, idempotence: what the driver relies on.

use std::{net::IpAddr, time::Duration};

use engine::{CheckpointError, Engine};
use model::{
    Address, AgentEvent, AgentId, Capabilities, Decision, DecisionKind, Entity, InventoryChange,
    MonitorEvent, NameAnswer, NameSeen, ProbeId, RoundBatch, Strategy, Subject, Tier, UtcMicros,
    Verdict,
};

use crate::play::{Play, agent, good, lost, noon, probe, tier};

/// A bit of everything: loss, cuts, blindness, backlog, a restart, a pause, a slow tier.
const MIXTURE: &str = "
    probe p1
    probe p2 interval=30s
    probe p3 agents=1
    0s..900s/5s fra1 gw good
    0s..100s/5s ams2 gw good
    100s..160s/5s ams2 gw lost
    160s..900s/5s ams2 gw good
    1s..60s/5s fra1 p1 good
    61s fra1 p1 lost!
    66s..90s/5s fra1 p1 lost
    91s..300s/5s fra1 p1 4/5
    301s..900s/5s fra1 p1 good
    2s..100s/5s ams2 p1 good
    102s ams2 p1 lost!
    107s..160s/5s ams2 p1 lost
    162s..900s/5s ams2 p1 good
    9s..900s/30s fra1 p2 200ms
    9s..300s/30s ams2 p2 good
    309s ams2 p2 lost!
    339s..900s/30s ams2 p2 noroute
    3s..300s/5s fra1 p3 good
    3s..300s/5s ams2 p3 good
    200s..300s fra1 dies
    303s..400s/5s fra1 p3 good @420s
    303s..400s/5s ams2 p3 lost @420s
    350s..410s ams2 dies
    500s..700s server down
    750s probe p3 paused
";

/// Plays the mixture and restores the engine from its checkpoint at every `step`th happening.
fn play_restoring(step: usize) -> (Vec<Decision>, Vec<u8>) {
    let play = Play::new("fra1 ams2", MIXTURE);
    let mut engine = Engine::new(noon());
    let mut count = 0;
    let decisions = play.play(&mut engine, |engine| {
        count += 1;
        if count % step == 0 {
            let checkpoint = engine.checkpoint();
            *engine = Engine::restore(&checkpoint).expect("its own checkpoint");
            assert!(engine.checkpoint() == checkpoint, "a restored engine is the same engine");
        }
    });
    (decisions, engine.checkpoint())
}

#[test]
fn the_same_inputs_give_the_same_decisions_and_checkpoint() {
    let never = usize::MAX;
    let first = play_restoring(never);
    assert!(100 < first.0.len());
    assert!(first == play_restoring(never));
}

#[test]
fn a_restore_anywhere_changes_nothing_after_it() {
    let whole = play_restoring(usize::MAX);
    for step in [1, 7, 101, 333] {
        assert!(play_restoring(step) == whole, "restored at every {step}th happening");
    }
}

#[test]
fn spans_chain_and_time_does_not_run_backwards() {
    let (decisions, _) = play_restoring(usize::MAX);
    let mut held = std::collections::BTreeMap::new();
    let mut said = std::collections::BTreeMap::new();
    for decision in &decisions {
        match &decision.kind {
            DecisionKind::Verdict(change) => {
                let last = held.insert(change.entity, (change.to, change.at));
                let (verdict, at) = last.unwrap_or((Verdict::Unknown, UtcMicros(i64::MIN)));
                assert_eq!(verdict, change.from, "{change:?}");
                assert!(at <= change.at, "{change:?}");
            }
            DecisionKind::Minute(truth) => {
                let revision = said.entry((truth.entity, truth.minute)).or_insert(0u16);
                assert_eq!(*revision, truth.revision, "{truth:?}");
                assert_eq!(truth.said_first.is_some(), 0 < truth.revision, "{truth:?}");
                *revision += 1;
            }
            DecisionKind::Agent(_) | DecisionKind::Name(_) => (),
        }
    }
}

#[test]
fn foreign_bytes_are_no_checkpoint() {
    let bytes = Engine::new(noon()).checkpoint();
    let check = |bytes: &[u8]| Engine::restore(bytes).err();
    assert_eq!(check(b"PNG"), Some(CheckpointError::Foreign));
    assert_eq!(check(b"PNG!..."), Some(CheckpointError::Foreign));
    assert_eq!(check(&bytes[..bytes.len() - 1]), Some(CheckpointError::Damaged));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(check(&longer), Some(CheckpointError::Damaged));
    let mut newer = bytes;
    newer[4] = 9;
    assert_eq!(check(&newer), Some(CheckpointError::OtherVersion { found: 9 }));
}

fn assigned(engine: &Engine, agent: u32) -> Vec<u32> {
    engine.assignment(AgentId(agent)).iter().map(|probe| probe.0).collect()
}

#[test]
fn a_change_applied_twice_changes_nothing() {
    let mut engine = Engine::new(noon());
    let paused = model::ProbeSpec { paused: true, ..probe(2, 1) };
    let changes = [
        InventoryChange::TierSet(tier(1, Duration::from_secs(30))),
        agent(1, "fra1"),
        agent(2, "ams2"),
        InventoryChange::ProbeSet(probe(1, 1)),
        InventoryChange::ProbeSet(paused),
    ];
    for change in &changes {
        engine.handle_change(change, noon());
    }
    assert_eq!((assigned(&engine, 1), assigned(&engine, 2)), (vec![1], vec![1]));
    let (version, checkpoint) = (engine.assignment_version(), engine.checkpoint());
    for change in &changes {
        engine.handle_change(change, noon());
    }
    assert_eq!(engine.assignment_version(), version);
    assert!(engine.checkpoint() == checkpoint);
}

#[test]
fn a_tier_with_a_count_prefers_agents_that_were_heard() {
    let mut engine = Engine::new(noon());
    let counted = Tier { strategy: Strategy::Count(1), ..tier(1, Duration::from_secs(30)) };
    engine.handle_change(&InventoryChange::TierSet(counted), noon());
    engine.handle_change(&agent(1, "fra1"), noon());
    engine.handle_change(&agent(2, "ams2"), noon());
    for id in 1..=20 {
        engine.handle_change(&InventoryChange::ProbeSet(probe(id, 1)), noon());
    }
    let version = engine.assignment_version();
    assert_eq!(assigned(&engine, 1).len() + assigned(&engine, 2).len(), 20);
    engine.handle_agent(AgentId(2), AgentEvent::Heartbeat, noon());
    assert!(version < engine.assignment_version());
    assert_eq!((assigned(&engine, 1).len(), assigned(&engine, 2).len()), (0, 20));
    engine.handle_agent(AgentId(1), AgentEvent::Heartbeat, noon());
    assert!(!assigned(&engine, 1).is_empty() && !assigned(&engine, 2).is_empty());
    engine.handle_change(&InventoryChange::AgentRemoved(AgentId(2)), noon());
    assert_eq!((assigned(&engine, 1).len(), assigned(&engine, 2).len()), (20, 0));
    engine.handle_change(&InventoryChange::ProbeRemoved(ProbeId(7)), noon());
    assert_eq!(assigned(&engine, 1).len(), 19);
}

/// Ten IPv4, ten IPv6 and ten named targets that one agent each is to ask; two agents.
fn counted_of_three_kinds() -> Engine {
    let mut engine = Engine::new(noon());
    let counted = Tier { strategy: Strategy::Count(1), ..tier(1, Duration::from_secs(30)) };
    engine.handle_change(&InventoryChange::TierSet(counted), noon());
    engine.handle_change(&agent(1, "fra1"), noon());
    engine.handle_change(&agent(2, "ams2"), noon());
    for id in 0..30 {
        let address = ["192.0.2.1", "2001:db8::1", "core1.example.net"][id as usize / 10];
        let address = Address::parse(address).expect("an address");
        let spec = model::ProbeSpec { address, ..probe(id, 1) };
        engine.handle_change(&InventoryChange::ProbeSet(spec), noon());
    }
    engine
}

/// How many IPv4, IPv6 and named targets the agent is to ask.
fn asked(engine: &Engine, agent: u32) -> [usize; 3] {
    let probes = assigned(engine, agent);
    [0, 1, 2].map(|kind| probes.iter().filter(|&&id| id / 10 == kind).count())
}

fn hello(engine: &mut Engine, agent: u32, capabilities: Capabilities) {
    engine.handle_agent(AgentId(agent), AgentEvent::Hello(capabilities), noon());
}

#[test]
fn a_tier_with_a_count_is_asked_by_agents_that_can() {
    let (none, v4, v6) = (Capabilities::default(), Capabilities::ICMP_V4, Capabilities::ICMP_V6);
    let mut engine = counted_of_three_kinds();
    // One that was heard goes before one that was not, even if it cannot ask.
    hello(&mut engine, 1, none);
    assert_eq!((asked(&engine, 1), asked(&engine, 2)), ([10, 10, 10], [0, 0, 0]));
    // Each family goes to who can ask it; a name to who can ask either; what nobody can, to both.
    hello(&mut engine, 2, v4);
    let (first, second) = (asked(&engine, 1), asked(&engine, 2));
    assert_eq!([first[0], second[0], first[2], second[2]], [0, 10, 0, 10]);
    assert!((1..10).contains(&first[1]) && second[1] == 10 - first[1]);
    // Of a family that both can ask, each gets some.
    hello(&mut engine, 1, v4.with(v6));
    let (first, second) = (asked(&engine, 1), asked(&engine, 2));
    assert!(first[1] == 10 && (1..10).contains(&first[0]) && (1..10).contains(&first[2]));
    assert!(second[1] == 0 && second[0] == 10 - first[0] && second[2] == 10 - first[2]);
    // One that lost its permission gives up what another can ask.
    hello(&mut engine, 2, none);
    assert_eq!((asked(&engine, 1), asked(&engine, 2)), ([10, 10, 10], [0, 0, 0]));
}

#[test]
fn what_an_agent_can_ask_is_told_once_and_kept() {
    let mut engine = counted_of_three_kinds();
    hello(&mut engine, 1, Capabilities::ICMP_V4);
    hello(&mut engine, 2, Capabilities::ICMP_V6);
    let version = engine.assignment_version();
    let told = (asked(&engine, 1), asked(&engine, 2));
    assert_eq!((told.0[1], told.1[0]), (0, 0));
    hello(&mut engine, 2, Capabilities::ICMP_V6);
    engine.handle_agent(AgentId(2), AgentEvent::Heartbeat, noon());
    assert_eq!((engine.assignment_version(), asked(&engine, 2)), (version, told.1));
    let mut restored = Engine::restore(&engine.checkpoint()).expect("its own checkpoint");
    assert_eq!((asked(&restored, 1), asked(&restored, 2)), told);
    // It still knows who can ask a target that gets an address of the other family.
    let address = Address::parse("2001:db8::7").expect("an address");
    let moved = model::ProbeSpec { address, ..probe(3, 1) };
    restored.handle_change(&InventoryChange::ProbeSet(moved), noon());
    assert!(assigned(&restored, 2).contains(&3) && !assigned(&restored, 1).contains(&3));
    assert!(version < restored.assignment_version());
}

#[test]
fn an_ended_pair_closes_its_span_and_says_the_minute_that_it_ended_in() {
    let mut engine = Engine::new(noon());
    let at = |seconds: i64| UtcMicros(noon().0 + seconds * 1_000_000);
    engine.handle_change(&InventoryChange::TierSet(tier(1, Duration::from_secs(5))), at(0));
    engine.handle_change(&agent(1, "fra1"), at(0));
    engine.handle_change(&InventoryChange::ProbeSet(probe(1, 1)), at(0));
    engine.handle_agent(AgentId(1), AgentEvent::Heartbeat, at(0));
    let rounds = vec![good(Subject::Probe(ProbeId(1)), at(0))];
    engine.handle_batch(&RoundBatch::new(AgentId(1), rounds), at(2));
    engine.handle_change(&InventoryChange::AgentRemoved(AgentId(1)), at(3));
    for second in 3..300 {
        engine.handle_timeout(at(second));
    }
    let decisions: Vec<Decision> = std::iter::from_fn(|| engine.poll_decision()).collect();
    let pair = Entity::Pair { probe: ProbeId(1), agent: AgentId(1) };
    let of_pair: Vec<&Decision> = decisions
        .iter()
        .filter(|decision| match &decision.kind {
            DecisionKind::Verdict(change) => change.entity == pair,
            DecisionKind::Minute(truth) => truth.entity == pair,
            DecisionKind::Agent(_) | DecisionKind::Name(_) => false,
        })
        .collect();
    assert_eq!(of_pair.len(), 3, "up, the end, its minute: {of_pair:?}");
    assert!(engine.pair_status(ProbeId(1), AgentId(1)).is_none());
    let status = engine.probe_status(ProbeId(1)).expect("the probe");
    assert_eq!(status.why.text, "no agent is assigned to it");
}

/// One probe of one agent, and what is said of its name after reports of (second, 192.0.2.n, what
/// was asked before). The engine is restored after each.
#[track_caller]
fn check_names(address: &str, reports: &[(i64, u8, Option<u8>)], expected: &[(i64, u8, u8)]) {
    let at = |seconds: i64| UtcMicros(noon().0 + seconds * 1_000_000);
    let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
    let mut engine = Engine::new(noon());
    engine.handle_change(&agent(1, "fra1"), noon());
    let address = Address::parse(address).expect("an address");
    let spec = model::ProbeSpec { address, ..probe(1, 1) };
    engine.handle_change(&InventoryChange::ProbeSet(spec), noon());
    let mut said = Vec::new();
    for (seconds, to, was) in reports {
        let answer = NameAnswer { address: ip(*to), was: was.map(ip) };
        let names = vec![NameSeen { probe: ProbeId(1), at: at(*seconds), answer }];
        let batch = RoundBatch { names, ..RoundBatch::new(AgentId(1), Vec::new()) };
        engine.handle_batch(&batch, at(900));
        while let Some(decision) = engine.poll_decision() {
            if let DecisionKind::Name(change) = decision.kind {
                assert_eq!((change.agent, change.name.as_str()), (AgentId(1), "core1.example.net"));
                said.push((change.at, change.from, change.to));
            }
        }
        engine = Engine::restore(&engine.checkpoint()).expect("its own checkpoint");
    }
    let expected = expected.iter().map(|(s, from, to)| (at(*s), ip(*from), ip(*to)));
    assert_eq!(said, expected.collect::<Vec<_>>());
}

#[test]
fn a_name_that_stands_for_another_address_is_said_with_both() {
    let name = "core1.example.net";
    // What it stands for first is no change, and neither is the same again.
    check_names(name, &[(0, 1, None), (5, 1, None)], &[]);
    let there_and_back = [(0, 1, None), (30, 7, Some(1)), (60, 1, Some(7))];
    check_names(name, &there_and_back, &[(30, 1, 7), (60, 7, 1)]);
    // An agent that started anew has forgotten what it asked; the engine has not.
    check_names(name, &[(0, 1, None), (30, 7, None)], &[(30, 1, 7)]);
    // What comes late is said as of its time, and what came last stays what came last.
    let late = [(0, 1, None), (60, 8, Some(7)), (30, 7, Some(1)), (90, 8, None)];
    check_names(name, &late, &[(60, 7, 8), (30, 1, 7)]);
    check_names(name, &[(60, 8, None), (30, 7, None), (90, 8, None)], &[]);
    // Of an address nobody can say that it stands for another.
    check_names("192.0.2.1", &[(0, 1, None), (30, 7, Some(1))], &[]);
}

#[test]
fn a_step_of_the_clock_silences_nobody() {
    for forward in [true, false] {
        let mut engine = Engine::new(noon());
        let at = |seconds: i64| UtcMicros(noon().0 + seconds * 1_000_000);
        engine.handle_change(&InventoryChange::TierSet(tier(1, Duration::from_secs(5))), at(0));
        engine.handle_change(&agent(1, "fra1"), at(0));
        engine.handle_change(&InventoryChange::ProbeSet(probe(1, 1)), at(0));
        let mut now = 0;
        // Forward: the time jumps by an hour. Back: it stands still, rounds are stamped earlier.
        let mut offset = 0;
        let mut downs = Vec::new();
        for beat in 0..24 {
            if beat == 12 {
                let by = Duration::from_secs(if forward { 3600 } else { 10 });
                now += if forward { 3600 } else { 0 };
                offset = if forward { 0 } else { -10 };
                engine.handle_monitor(MonitorEvent::ClockStepped { forward, by }, at(now));
            }
            engine.handle_agent(AgentId(1), AgentEvent::Heartbeat, at(now));
            let rounds = vec![good(Subject::Probe(ProbeId(1)), at(now + offset))];
            engine.handle_batch(&RoundBatch::new(AgentId(1), rounds), at(now));
            engine.handle_timeout(at(now));
            downs.extend(std::iter::from_fn(|| engine.poll_decision()));
            now += 5;
        }
        let changes = downs.iter().filter(|d| matches!(d.kind, DecisionKind::Verdict(_)));
        assert_eq!(changes.count(), 2, "only the first Up of pair and all, forward {forward}");
        assert_eq!(engine.counters().late_rounds_total, 0);
    }
}

#[test]
fn nothing_is_decided_and_nothing_armed_by_an_ordinary_round() {
    let mut engine = Engine::new(noon());
    let at = |seconds: i64| UtcMicros(noon().0 + seconds * 1_000_000);
    engine.handle_change(&InventoryChange::TierSet(tier(1, Duration::from_secs(5))), at(0));
    engine.handle_change(&agent(1, "fra1"), at(0));
    engine.handle_change(&InventoryChange::ProbeSet(probe(1, 1)), at(0));
    engine.handle_agent(AgentId(1), AgentEvent::Heartbeat, at(0));
    let hear = |engine: &mut Engine, second| {
        let rounds = vec![good(Subject::Probe(ProbeId(1)), at(second))];
        engine.handle_batch(&RoundBatch::new(AgentId(1), rounds), at(second + 2));
    };
    hear(&mut engine, 0);
    engine.handle_timeout(at(2));
    while engine.poll_decision().is_some() {}
    let wakeup = engine.poll_timeout();
    hear(&mut engine, 5);
    assert_eq!(engine.poll_decision(), None);
    assert_eq!(engine.poll_timeout(), wakeup);
    let status = engine.pair_status(ProbeId(1), AgentId(1)).expect("the pair");
    assert_eq!((status.window_packets, status.window_lost, status.rtt_us), (10, 0, Some(12_000)));
    assert_eq!(status.last_round_at, Some(at(5)));
}

#[test]
fn a_repeated_round_counts_once_and_a_stray_one_never() {
    let mut engine = Engine::new(noon());
    let at = |seconds: i64| UtcMicros(noon().0 + seconds * 1_000_000);
    engine.handle_change(&InventoryChange::TierSet(tier(1, Duration::from_secs(5))), at(0));
    engine.handle_change(&agent(1, "fra1"), at(0));
    engine.handle_change(&InventoryChange::ProbeSet(probe(1, 1)), at(0));
    engine.handle_agent(AgentId(1), AgentEvent::Heartbeat, at(0));
    let round = lost(Subject::Probe(ProbeId(1)), at(1), 5, 3);
    let stray = lost(Subject::Probe(ProbeId(9)), at(1), 5, 3);
    let rounds = vec![round, round, stray];
    engine.handle_batch(&RoundBatch::new(AgentId(1), rounds), at(5));
    let counters = engine.counters();
    assert_eq!(counters.rounds_total, 3);
    assert_eq!((counters.repeated_rounds_total, counters.stray_rounds_total), (1, 1));
}
