//! Many probes: spread evenly, sent in bounded turns, none forgotten.

use std::time::Duration;

use model::{Address, Outcome, ProbeId, Subject, Tick, TierId};
use sense::{
    Assignment, Config, Key, ProbeTask, Prober, TURN_EVENTS_MAX, TierTiming, schedule::phase_us,
};

const PROBES: u32 = 20_000;

fn assignment() -> Assignment {
    let tier = TierTiming {
        id: TierId(1),
        interval: Duration::from_secs(5),
        packets: 1,
        gap: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        payload_bytes: 56,
    };
    let task = |id: u32| ProbeTask {
        id: ProbeId(id),
        tier: tier.id,
        address: Address::Ip(std::net::Ipv4Addr::from(0x0A00_0000 + id).into()),
    };
    Assignment {
        version: 1,
        tiers: vec![tier],
        probes: (1..=PROBES).map(task).collect(),
        witnesses: Vec::new(),
    }
}

#[test]
fn phases_fill_the_interval_evenly() {
    let mut per_ms = vec![0_u32; 5000];
    for id in 1..=PROBES {
        let phase_us = phase_us(Subject::Probe(ProbeId(id)), 5_000_000);
        per_ms[usize::try_from(phase_us / 1000).expect("below the interval")] += 1;
    }
    let (min, max) = (per_ms.iter().min(), per_ms.iter().max());
    assert!(Some(&3) <= min && max <= Some(&5), "{min:?} to {max:?} in a millisecond, mean 4");
}

#[test]
fn every_probe_has_its_round_in_every_interval() {
    let mut prober = Prober::new(Config { ident: 1 }, Key::new([1; 16]));
    prober.set_assignment(&assignment(), Tick(0));
    let mut rounds = vec![0_u32; usize::try_from(PROBES).expect("fits") + 1];
    let mut packet = Vec::new();
    let mut now = Tick(0);
    while now < Tick(23_000_000) {
        prober.handle_timeout(now);
        let mut packets = 0;
        while let Some(transmit) = prober.poll_transmit(now, &mut packet) {
            packets += 1;
            prober.handle_sent(transmit.token, Ok(now));
        }
        assert!(packets <= TURN_EVENTS_MAX);
        while let Some(round) = prober.poll_round() {
            let Subject::Probe(id) = round.subject else { panic!("only probes") };
            assert!(matches!(round.outcome, Outcome::Asked { sent: 1, received: 0, .. }));
            if round.due < Tick(20_000_000) {
                rounds[usize::try_from(id.0).expect("fits")] += 1;
            }
        }
        let next = prober.poll_timeout().expect("there is always a next round");
        now = next.max(now + Duration::from_micros(256));
    }
    assert!(rounds.iter().skip(1).all(|count| *count == 4), "{:?}", rounds.iter().skip(1).max());
}

#[test]
fn a_backlog_leaves_in_bounded_turns() {
    let mut prober = Prober::new(Config { ident: 1 }, Key::new([1; 16]));
    prober.set_assignment(&assignment(), Tick(0));
    let (mut packet, mut sent, mut turns) = (Vec::new(), 0, 0);
    let now = Tick(4_999_000);
    while prober.poll_timeout().is_some_and(|next| next <= now) {
        prober.handle_timeout(now);
        let before = sent;
        while let Some(transmit) = prober.poll_transmit(now, &mut packet) {
            prober.handle_sent(transmit.token, Ok(now));
            sent += 1;
        }
        assert!(sent - before <= TURN_EVENTS_MAX);
        turns += 1;
    }
    assert!(19_990 < sent, "{sent}");
    assert!(turns < 2 * sent / TURN_EVENTS_MAX, "{turns} turns");
}
