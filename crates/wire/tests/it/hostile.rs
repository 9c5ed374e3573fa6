//! Hostile input is refused with the name of what is wrong, and never panics.

use expect_test::{Expect, expect};
use proptest::{collection::vec, prelude::*};
use prost::Message;
use wire::{
    limits,
    rounds::decode_rounds,
    v1::{self, payload::Kind},
};

fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).expect("compresses")
}

#[track_caller]
fn check_open(sealed: &[u8], expected: Expect) {
    let error = wire::open(sealed).expect_err("is refused");
    expected.assert_eq(&error.to_string());
}

#[test]
fn sizes_are_refused_before_anything_is_decoded() {
    check_open(
        &vec![0; limits::SEALED_BYTES_MAX + 1],
        expect!["the compressed payload has 524289 bytes; at most 524288 are taken"],
    );
    check_open(
        &compress(&vec![0; limits::PAYLOAD_BYTES_MAX + 1]),
        expect!["the payload inflates to more than 4194304 bytes"],
    );
    let honest = compress(&vec![0; 2 * limits::PAYLOAD_BYTES_MAX]);
    check_open(
        &[compress(b""), honest].concat(),
        expect!["the payload inflates to more than 4194304 bytes"],
    );
    check_open(b"no zstd", expect!["the payload is no zstd frame"]);
    check_open(&compress(b""), expect!["the payload is empty"]);
}

#[test]
fn a_few_bytes_may_not_claim_a_great_list() {
    let count = limits::ROUNDS_MAX + 1;
    let fact = v1::Facts { fact: vec![v1::Fact::default(); count] };
    let rounds = v1::Rounds { flags: vec![0; count], ..v1::Rounds::default() };
    let metrics = v1::Metrics { value: vec![0.0; count], ..v1::Metrics::default() };
    for kind in [Kind::Facts(fact), Kind::Rounds(rounds), Kind::Metrics(metrics)] {
        let payload = v1::Payload { kind: Some(kind) };
        let sealed = wire::seal(&payload).expect("seals");
        check_open(
            &sealed,
            expect!["a list of the payload has 20001 entries; at most 20000 are taken"],
        );
    }
    // In two pieces, which a decoder joins.
    let half = v1::Payload {
        kind: Some(Kind::Rounds(v1::Rounds {
            flags: vec![0; limits::ROUNDS_MAX / 2 + 1],
            ..v1::Rounds::default()
        })),
    };
    check_open(
        &compress(&half.encode_to_vec().repeat(2)),
        expect!["a list of the payload has 20002 entries; at most 20000 are taken"],
    );
}

/// One answered round.
fn one() -> v1::Rounds {
    v1::Rounds {
        subject: vec![1],
        due_tick_us_delta: vec![5],
        sent: vec![5],
        received: vec![5],
        rtt_us_min: vec![10],
        rtt_us_mean_over: vec![1],
        rtt_us_max_over: vec![2],
        flags: vec![0],
        ..v1::Rounds::default()
    }
}

#[track_caller]
fn check(change: impl Fn(&mut v1::Rounds), expected: Expect) {
    let mut rounds = one();
    change(&mut rounds);
    let error = decode_rounds(&rounds).expect_err("is refused");
    expected.assert_eq(&error.to_string());
}

#[test]
fn each_broken_rule_of_a_round_is_named() {
    assert!(decode_rounds(&one()).is_ok());
    check(|r| r.sent.push(1), expect!["column `sent` has 2 entries, but there are 1 rounds"]);
    check(|r| r.received[0] = 6, expect!["round 0: received <= sent <= 20 must hold"]);
    check(
        |r| (r.sent[0], r.received[0]) = (21, 21),
        expect!["round 0: received <= sent <= 20 must hold"],
    );
    check(
        |r| r.rtt_us_mean_over[0] = 3,
        expect!["round 0: the mean must lie between minimum and maximum"],
    );
    check(
        |r| r.rtt_us_max_over[0] = u32::MAX,
        expect!["round 0: its round-trip time must fit 32 bits"],
    );
    check(|r| r.received[0] = 0, expect!["round 0: nothing received must have no round-trip time"]);
    check(|r| r.due_tick_us_delta[0] = -1, expect!["round 0: its tick must not be negative"]);
    check(|r| r.flags[0] = 64, expect!["round 0: its flags must be known ones"]);
}

#[test]
fn each_broken_rule_of_a_mark_is_named() {
    let silent = |r: &mut v1::Rounds| {
        (r.sent[0], r.received[0]) = (0, 0);
        (r.rtt_us_min[0], r.rtt_us_mean_over[0], r.rtt_us_max_over[0]) = (0, 0, 0);
    };
    check(silent, expect!["round 0: a round that sent nothing must say why"]);
    check(
        |r| {
            silent(r);
            r.not_asked.push(v1::NotAskedMark { index: 0, reason: 99 });
        },
        expect!["round 0: its reason must be a known one"],
    );
    check(
        |r| r.not_asked.push(v1::NotAskedMark { index: 0, reason: 1 }),
        expect!["round 0: a round that asked must not say why it could not"],
    );
    let confirm = |index| v1::ConfirmMark { index, sent: 3, received: 0 };
    check(
        |r| r.confirm.push(confirm(1)),
        expect!["`confirm` names round 1: indexes ascend and stay below 1"],
    );
    check(
        |r| r.confirm.extend([confirm(0), confirm(0)]),
        expect!["`confirm` names round 0: indexes ascend and stay below 1"],
    );
    check(
        |r| {
            let address = vec![1, 2, 3];
            r.address.push(v1::AddressMark { index: 0, address, was: Vec::new() });
        },
        expect!["round 0: an address must have 4 or 16 bytes"],
    );
    check(
        |r| {
            let address = vec![192, 0, 2, 1];
            r.address.push(v1::AddressMark { index: 0, address, was: vec![1] });
        },
        expect!["round 0: an address must have 4 or 16 bytes"],
    );
    check(
        |r| {
            r.icmp_error.push(v1::IcmpErrorMark {
                index: 0,
                r#type: 256,
                code: 0,
                source: vec![1, 2, 3, 4],
            });
        },
        expect!["round 0: ICMP type and code must be bytes"],
    );
}

#[test]
fn each_broken_rule_of_a_drop_is_named() {
    let drop = v1::Drop {
        boot_id: vec![1; 16],
        near: Some(v1::Clock::default()),
        from_tick_us: 1,
        to_tick_us: 1,
        rounds: 3,
        cause: v1::DropCause::Size.into(),
    };
    let check = |drops: Vec<v1::Drop>, expected: Expect| {
        let error = wire::Dropped::all_of(&v1::Batch { drops, ..v1::Batch::default() });
        expected.assert_eq(&error.expect_err("is refused").to_string());
    };
    check(
        vec![drop.clone(); limits::DROPS_MAX + 1],
        expect!["`drops` has 17 entries; at most 16 are taken"],
    );
    check(
        vec![v1::Drop { from_tick_us: 2, ..drop.clone() }],
        expect!["batch field `drops` must not end before they begin"],
    );
    check(
        vec![v1::Drop { cause: 99, ..drop.clone() }],
        expect!["batch field `drops` must have a known cause"],
    );
    check(vec![v1::Drop { near: None, ..drop }], expect!["batch field `drops` must have a clock"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..400)) {
        wire::open(&bytes).ok();
        if let Ok(payload) = wire::open(&compress(&bytes))
            && let Some(Kind::Rounds(rounds)) = payload.kind
        {
            decode_rounds(&rounds).ok();
        }
        if let Ok(rounds) = v1::Rounds::decode(bytes.as_slice()) {
            decode_rounds(&rounds).ok();
        }
        if let Ok(batch) = v1::Batch::decode(bytes.as_slice()) {
            wire::BatchHead::of(&batch).ok();
            wire::Dropped::all_of(&batch).ok();
        }
    }

    #[test]
    fn a_damaged_batch_is_refused_or_read(
        rows in vec(crate::round_trip::row(), 1..30),
        flips in vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = wire::rounds::encode_rounds(&rows).encode_to_vec();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] ^= value;
        }
        if let Ok(rounds) = v1::Rounds::decode(bytes.as_slice()) {
            decode_rounds(&rounds).ok();
        }
    }
}
