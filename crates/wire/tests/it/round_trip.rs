//! What is sent is what is received.

use std::net::IpAddr;

use model::{
    Confirm, DropCause, IcmpError, NameAnswer, NotAsked, Outcome, ProbeId, RoundFlags, Rtt,
    Subject, Tick, UtcMicros,
};
use proptest::{collection::vec, option, prelude::*};
use wire::{
    Anchor, BatchHead, BootId, Dropped,
    rounds::{RoundRow, decode_rounds, encode_rounds},
    v1::{self, payload::Kind},
};

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        Just(Subject::Gateway),
        any::<u8>().prop_map(Subject::Witness),
        (1..0xFFFF_FF00u32).prop_map(|id| Subject::Probe(ProbeId(id))),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let reasons = [
        NotAsked::NoRoute,
        NotAsked::Permission,
        NotAsked::Resolver,
        NotAsked::BufferFull,
        NotAsked::Socket,
        NotAsked::Overrun,
    ];
    let pair = |least: u8| (least..=20).prop_flat_map(|sent| (Just(sent), 0..=sent));
    let asked =
        (pair(1), any::<[u32; 3]>(), option::of(pair(1))).prop_map(|(ask, rtt, confirm)| {
            let mut rtt = rtt;
            rtt.sort_unstable();
            let [us_min, us_mean, us_max] = rtt;
            Outcome::Asked {
                sent: ask.0,
                received: ask.1,
                rtt: (ask.1 != 0).then_some(Rtt { us_min, us_mean, us_max }),
                confirm: confirm
                    .map_or(Confirm::default(), |(sent, received)| Confirm { sent, received }),
            }
        });
    prop_oneof![asked, proptest::sample::select(reasons.to_vec()).prop_map(Outcome::NotAsked),]
}

pub(crate) fn row() -> impl Strategy<Value = RoundRow> {
    let icmp_error = (any::<u8>(), any::<u8>(), any::<IpAddr>());
    let icmp_error = icmp_error.prop_map(|(kind, code, source)| IcmpError { kind, code, source });
    let parts = (
        subject(),
        0..i64::MAX.cast_unsigned(),
        outcome(),
        0..64u8,
        option::of(icmp_error),
        option::of((any::<IpAddr>(), any::<Option<IpAddr>>())),
    );
    parts.prop_map(|(subject, due, outcome, flags, icmp_error, address)| RoundRow {
        subject,
        due_tick: Tick(due),
        outcome,
        flags: RoundFlags(flags),
        icmp_error,
        address: address.map(|(address, was)| NameAnswer { address, was }),
    })
}

fn dropped() -> impl Strategy<Value = Dropped> {
    let ticks = any::<[u64; 2]>();
    let cause = proptest::sample::select(DropCause::ALL.to_vec());
    let parts = (any::<BootId>(), any::<(u64, i64)>(), ticks, any::<u64>(), cause);
    parts.prop_map(|(boot, (tick, wall), mut ticks, rounds, cause)| {
        ticks.sort_unstable();
        let near = Anchor { tick: Tick(tick), wall: UtcMicros(wall) };
        Dropped { boot, near, from: Tick(ticks[0]), to: Tick(ticks[1]), rounds, cause }
    })
}

proptest! {
    #[test]
    fn rounds_travel_unchanged(rows in vec(row(), 0..200)) {
        let kind = Some(Kind::Rounds(encode_rounds(&rows)));
        let sealed = wire::seal(&v1::Payload { kind }).expect("seals");
        let opened = wire::open(&sealed).expect("opens");
        let Some(Kind::Rounds(rounds)) = opened.kind else {
            panic!("another kind");
        };
        prop_assert_eq!(decode_rounds(&rounds).expect("decodes"), rows);
    }

    #[test]
    fn a_head_travels_unchanged(
        epoch in 1..u64::MAX, seq in 1..u64::MAX, boot: [u8; 16], tick: u64, wall: i64,
        drops in vec(dropped(), 0..=wire::limits::DROPS_MAX),
    ) {
        let closed = Anchor { tick: Tick(tick), wall: UtcMicros(wall) };
        let batch = v1::Batch {
            epoch,
            seq,
            boot_id: boot.to_vec(),
            closed: Some(closed.to_clock()),
            payload_zstd: Vec::new(),
            drops: drops.iter().map(Dropped::to_drop).collect(),
        };
        let head = BatchHead { epoch, seq, boot, closed };
        prop_assert_eq!(BatchHead::of(&batch), Ok(head));
        prop_assert_eq!(Dropped::all_of(&batch), Ok(drops));
    }
}

#[test]
fn a_full_batch_fits_its_limits() {
    let row = |n: u32| RoundRow {
        subject: Subject::Probe(ProbeId(n.wrapping_mul(2_654_435_761) % 0xFFFF_FF00 + 1)),
        due_tick: Tick(u64::from(n) * 7_919 + u64::from(n.wrapping_mul(40_503) % 5_000)),
        outcome: Outcome::Asked {
            sent: 5,
            received: 5,
            rtt: Some(Rtt {
                us_min: n.wrapping_mul(69_621) % 200_000,
                us_mean: 200_000,
                us_max: 200_000 + n.wrapping_mul(16_807) % 1_000_000,
            }),
            confirm: Confirm::default(),
        },
        flags: RoundFlags::default(),
        icmp_error: None,
        address: None,
    };
    let rows: Vec<RoundRow> = (0..20_000).map(row).collect();
    let kind = Some(Kind::Rounds(encode_rounds(&rows)));
    let sealed = wire::seal(&v1::Payload { kind }).expect("seals");
    assert!(sealed.len() < wire::limits::SEALED_BYTES_MAX);
    wire::open(&sealed).expect("opens");
}

#[test]
fn an_anchor_says_how_long_before_it_a_tick_was() {
    let anchor = Anchor { tick: Tick(1_000), wall: UtcMicros(0) };
    assert_eq!(anchor.us_before(Tick(400)), 600);
    assert_eq!(anchor.us_before(Tick(1_500)), -500);
    assert_eq!(anchor.us_before(Tick(u64::MAX)), i64::MIN);
}
