//! The lanes over a real spool, in simulated time.

use std::collections::VecDeque;

use model::{Confirm, Outcome, ProbeId, RoundFlags, Rtt, Subject};
use wire::rounds::RoundRow;

use super::*;
use crate::{clock::Clock, spool::SpoolLimits};

const SECOND_US: u64 = 1_000_000;
const HOUR_S: u64 = 3_600;

/// What the server allows by default, said again here so that a change is seen.
const BATCHES_PER_SECOND: u32 = 50;
const BACKLOG_BYTES_PER_SECOND: u64 = 512 * 1024;
/// A large agent.
const ROUNDS_PER_SECOND: u64 = 10_000;
const ROUNDS_PER_BATCH: u64 = 2_000;

/// Rounds as a live network gives them: every target with its own distance and jitter.
fn rows(count: u64, seed: u64) -> Vec<RoundRow> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let row = |n: u64| {
        let us_min = 2_000 + u32::try_from(n * 37 % 40_000 + next(300)).unwrap();
        let us_mean = us_min + u32::try_from(next(400)).unwrap();
        let us_max = us_mean + u32::try_from(next(900)).unwrap();
        RoundRow {
            subject: Subject::Probe(ProbeId(1 + u32::try_from(n * 7_919 % 300_000).unwrap())),
            due_tick: Tick(seed * SECOND_US + n * 100),
            outcome: Outcome::Asked {
                sent: 5,
                received: 5,
                rtt: Some(Rtt { us_min, us_mean, us_max }),
                confirm: Confirm::default(),
            },
            flags: RoundFlags::default(),
            icmp_error: None,
            address: None,
        }
    };
    (0..count).map(row).collect()
}

fn open(dir: &std::path::Path) -> Spool {
    Spool::open(dir, SpoolLimits::default(), Clock::new(), [7; 16]).unwrap()
}

fn append(spool: &mut Spool, rounds: u64, seed: u64) -> u64 {
    let before = spool.backlog_bytes();
    spool.append(&rows(rounds, seed)).unwrap();
    spool.backlog_bytes() - before
}

/// A stream whose other end acknowledges a second after it got something.
struct Stream {
    lanes: Lanes,
    under_way: VecDeque<(u64, Key)>,
    sent: Vec<(u64, Key)>,
}

impl Stream {
    /// Lets what is due happen at `now_us`.
    fn step(&mut self, spool: &mut Spool, now_us: u64) {
        while let Some((at_us, key)) = self.under_way.front().copied()
            && at_us <= now_us
        {
            self.under_way.pop_front();
            self.lanes.settle((key.0, 0)..=key);
            spool.acknowledge(key.0, key.1).unwrap();
        }
        while let Choice::Send { key, bytes } = self.lanes.choose(spool, true, Tick(now_us)) {
            assert_eq!(spool.fetch(key).unwrap().seq, key.1);
            self.lanes.note_sent(key, bytes);
            self.under_way.push_back((now_us + SECOND_US, key));
            self.sent.push((now_us, key));
        }
    }

    fn of_epoch(&self, epoch: u64) -> Vec<u64> {
        self.sent.iter().filter(|(_, key)| key.0 == epoch).map(|(_, key)| key.1).collect()
    }
}

/// Scaled down: the agent makes one batch in five minutes, not 1,500, each with a tenth of the
/// rounds, and the server's rates are smaller by as much as its bytes are. So the shape is that of
/// a day at 10,000 results a second, and so is the time that the backlog takes.
#[test]
fn after_a_day_of_outage_live_goes_first_and_the_backlog_beside_it_in_order() {
    const STEP_S: u64 = 300;
    const ROUNDS: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.grant(1).unwrap();
    let full = append(&mut spool, ROUNDS_PER_BATCH, 0);
    let live_bytes_per_s = full * ROUNDS_PER_SECOND / ROUNDS_PER_BATCH;
    spool.acknowledge(1, 1).unwrap();
    let outage = 24 * HOUR_S / STEP_S;
    let mut bytes = 0;
    for n in 1..=outage {
        bytes += append(&mut spool, ROUNDS, n * STEP_S);
    }
    let scale =
        |per_second: u64| (per_second * (bytes / outage) / live_bytes_per_s / STEP_S).max(1);
    // The agent was restarted as well.
    spool.save().unwrap();
    drop(spool);
    let mut spool = open(dir.path());
    spool.grant(2).unwrap();
    spool.turn();
    let welcome = v1::Welcome {
        epoch: 2,
        batches_per_second_max: BATCHES_PER_SECOND,
        bytes_per_second_max: 16 * 1024 * 1024,
        backlog_bytes_per_second_max: scale(BACKLOG_BYTES_PER_SECOND),
        ..v1::Welcome::default()
    };
    let mut stream = Stream {
        lanes: Lanes::new(&welcome, Tick(0)),
        under_way: VecDeque::new(),
        sent: Vec::new(),
    };
    stream.lanes.part(2);
    let (mut now_s, mut made) = (0, 0);
    while spool.next_after((0, 0)).is_some_and(|(key, _)| key.0 == 1) {
        if now_s % STEP_S == 0 {
            append(&mut spool, ROUNDS, now_s);
            made += 1;
            stream.step(&mut spool, now_s * SECOND_US);
            // At once, whatever is left of the backlog.
            assert_eq!(stream.of_epoch(2).last(), Some(&made));
        }
        now_s += 1;
        stream.step(&mut spool, now_s * SECOND_US);
        assert!(now_s < 24 * HOUR_S, "the backlog does not drain");
    }
    let expected: Vec<u64> = (2..=outage + 1).collect();
    assert_eq!(stream.of_epoch(1), expected, "in order, each once");
    let minutes = now_s / 60;
    println!(
        "{live_bytes_per_s} bytes/s at {ROUNDS_PER_SECOND} rounds/s; a day's backlog of {} MiB \
         drains in {minutes} min",
        live_bytes_per_s * 24 * HOUR_S / (1 << 20)
    );
    assert!(minutes < 8 * 60, "{minutes} min");
}

#[test]
fn live_does_not_wait_while_the_server_slows_the_backlog_down() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.grant(1).unwrap();
    for n in 0..20 {
        append(&mut spool, 5, n);
    }
    spool.grant(2).unwrap();
    spool.turn();
    let welcome = v1::Welcome {
        batches_per_second_max: BATCHES_PER_SECOND,
        bytes_per_second_max: 1 << 20,
        backlog_bytes_per_second_max: 0,
        ..v1::Welcome::default()
    };
    let mut stream = Stream {
        lanes: Lanes::new(&welcome, Tick(0)),
        under_way: VecDeque::new(),
        sent: Vec::new(),
    };
    stream.lanes.part(2);
    append(&mut spool, 5, 30);
    stream.step(&mut spool, SECOND_US);
    assert_eq!((stream.of_epoch(1).len(), stream.of_epoch(2)), (0, vec![1]));
    stream.lanes.pace_backlog(1 << 20, Tick(SECOND_US));
    stream.step(&mut spool, 2 * SECOND_US);
    assert_eq!(stream.of_epoch(1).len(), BACKLOG_BATCHES_MAX);
    append(&mut spool, 5, 31);
    stream.step(&mut spool, 2 * SECOND_US);
    assert_eq!(stream.of_epoch(2), [1, 2], "beside a full window of the backlog");
    stream.step(&mut spool, 3 * SECOND_US);
    assert_eq!(stream.of_epoch(1).len(), 20);
}

#[test]
fn without_parted_lanes_everything_goes_in_the_order_of_its_making() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    for epoch in [1, 2] {
        spool.grant(epoch).unwrap();
        spool.turn();
        append(&mut spool, 5, epoch);
        append(&mut spool, 5, epoch);
    }
    let welcome = v1::Welcome {
        batches_per_second_max: BATCHES_PER_SECOND,
        bytes_per_second_max: 1 << 20,
        ..v1::Welcome::default()
    };
    let mut stream = Stream {
        lanes: Lanes::new(&welcome, Tick(0)),
        under_way: VecDeque::new(),
        sent: Vec::new(),
    };
    stream.step(&mut spool, SECOND_US);
    let keys: Vec<Key> = stream.sent.iter().map(|(_, key)| *key).collect();
    assert_eq!(keys, [(1, 1), (1, 2), (2, 1), (2, 2)]);
}
