//! Chunks and tails against the plain lists that they stand for.

use std::collections::BTreeMap;

use model::{
    Cause, Confirm, Count, IcmpError, MetricRollup, MetricValue, Minute, MinuteCounts, NotAsked,
    Outcome, Reading, Rollup, RoundFlags, Rtt, Span, UtcMicros, Verdict, Worst,
};
use proptest::{collection::vec, option, prelude::*};

use super::{chunk::encode_in_pages, *};
use crate::series::Sorted;

const BASE: i64 = 1_795_240_000_000_000;

fn rtt() -> impl Strategy<Value = Rtt> {
    // Also such as no agent sends: what is kept is what was heard.
    prop_oneof![
        9 => (0..90_000_u32, 0..2_000_u32, 0..9_000_u32).prop_map(|(us_min, mean, max)| Rtt {
            us_min,
            us_mean: us_min + mean,
            us_max: us_min + mean + max,
        }),
        1 => any::<(u32, u32, u32)>().prop_map(|(us_min, us_mean, us_max)| Rtt {
            us_min,
            us_mean,
            us_max,
        }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let asked = (any::<u8>(), any::<u8>(), option::of(rtt()), any::<(u8, u8)>()).prop_map(
        |(sent, received, rtt, (confirm_sent, confirm_received))| {
            let confirm = Confirm { sent: confirm_sent & 3, received: confirm_received & 1 };
            Outcome::Asked { sent, received, rtt, confirm }
        },
    );
    let not_asked = prop_oneof![Just(NotAsked::NoRoute), Just(NotAsked::Overrun)];
    prop_oneof![9 => asked, 1 => not_asked.prop_map(Outcome::NotAsked)]
}

fn round() -> impl Strategy<Value = RoundRecord> {
    let source =
        prop_oneof![any::<[u8; 4]>().prop_map(Into::into), any::<[u8; 16]>().prop_map(Into::into)];
    let icmp_error = (any::<(u8, u8)>(), source).prop_map(|((kind, code), source)| IcmpError {
        kind,
        code,
        source,
    });
    // On a grid, off it, and far away.
    let at = prop_oneof![
        6 => (0..30_i64).prop_map(|n| BASE + n * 30_000_000),
        2 => (0..900_000_000_i64).prop_map(|us| BASE + us),
        1 => any::<i64>(),
    ];
    (at, outcome(), any::<u8>(), option::weighted(0.1, icmp_error)).prop_map(
        |(at, outcome, flags, icmp_error)| RoundRecord {
            at: UtcMicros(at),
            outcome,
            flags: RoundFlags(flags),
            icmp_error,
        },
    )
}

fn minute() -> impl Strategy<Value = MinuteRecord> {
    let verdict = || prop::sample::select(Verdict::ALL.to_vec());
    let cause = prop::sample::select(Cause::ALL.to_vec());
    let counts = prop_oneof![
        4 => Just((2, 0, 10, 10)),
        1 => any::<(u32, u32, u32, u32)>(),
    ];
    let revision = prop_oneof![4 => Just((0, None)), 1 => (any::<u16>(), option::of(verdict()))];
    (0..200_i64, prop_oneof![3 => Just(Verdict::Up), 1 => verdict()], cause, counts, revision)
        .prop_map(|(n, verdict, cause, counts, (revision, said_first))| MinuteRecord {
            minute: Minute(UtcMicros(BASE).minute().0 + n),
            verdict,
            cause: if verdict == Verdict::Up { Cause::Answering } else { cause },
            counts: MinuteCounts {
                rounds: counts.0,
                not_asked: counts.1,
                sent: counts.2,
                received: counts.3,
                ..MinuteCounts::default()
            },
            revision,
            said_first,
        })
}

/// A roll-up of some minutes of a span, all of them one in two times, and of some rounds.
fn roll<const KIND: u8>() -> impl Strategy<Value = RollRecord<KIND>> {
    let span = RollRecord::<KIND>::SPAN.minutes();
    let minutes = prop_oneof![
        Just((0..span.min(60)).collect::<Vec<_>>()),
        Just((0..span).collect::<Vec<_>>()),
        prop::collection::btree_set(0..span, 0..9).prop_map(|set| set.into_iter().collect()),
    ];
    (0..200_i64, minutes, vec(minute(), 1..4), vec(outcome(), 0..9)).prop_map(
        move |(n, minutes, said, outcomes)| {
            let start = RollRecord::<KIND>::SPAN.start(UtcMicros(BASE).minute());
            let start = Minute(start.0 + n * span);
            let mut rollup = Rollup::default();
            for (offset, said) in minutes.iter().zip(said.iter().cycle()) {
                let MinuteRecord { verdict, cause, counts, .. } = *said;
                let minute = Minute(start.0 + offset);
                rollup.add_minute(Worst { verdict, cause, minute }, &counts);
            }
            outcomes.iter().for_each(|outcome| rollup.add_round(outcome));
            // One in two as a version before left it.
            let is_counted = RollRecord::<KIND>::SPAN == Span::Day && n % 2 == 0;
            let is_counted = is_counted && 0 < rollup.times.packets;
            let means = is_counted.then(|| rollup.times.means.clone());
            RollRecord { start, rollup: rollup.told(), means }
        },
    )
}

/// Whole numbers, measured ones, and any; counters that grow, are reset or go round.
fn value() -> impl Strategy<Value = MetricValue> {
    let gauge = prop_oneof![
        3 => (0..100_000_u32).prop_map(f64::from),
        3 => (0..100_000_u32).prop_map(|us| f64::from(us) / 1e6),
        1 => any::<f64>(),
    ];
    let gauge = gauge.prop_map(|value| Reading::new(value).unwrap_or_default());
    let total = prop_oneof![9 => 0..1_u64 << 33, 1 => any::<u64>()];
    let epoch = prop_oneof![9 => Just(7), 1 => any::<u32>()];
    let count = (total, epoch, any::<bool>());
    let count = count.prop_map(|(total, epoch, is_32_bit)| Count { total, epoch, is_32_bit });
    prop_oneof![gauge.prop_map(MetricValue::Gauge), count.prop_map(MetricValue::Counter)]
}

fn metric() -> impl Strategy<Value = MetricRecord> {
    let at = prop_oneof![
        6 => (0..30_i64).prop_map(|n| BASE + n * 30_000_000),
        1 => any::<i64>(),
    ];
    (at, value()).prop_map(|(at, value)| MetricRecord { at: UtcMicros(at), value })
}

fn metric_roll<const KIND: u8>() -> impl Strategy<Value = MetricRollRecord<KIND>> {
    let span = MetricRollRecord::<KIND>::SPAN;
    (0..200_i64, vec(value(), 1..9)).prop_map(move |(n, values)| {
        let start = Minute(span.start(UtcMicros(BASE).minute()).0 + n * span.minutes());
        let samples = values.into_iter().zip(0..);
        let mut samples = samples
            .map(|(value, n)| MetricRollup::of(UtcMicros(start.start().0 + n * 7_000_000), value));
        let mut rollup = samples.next().unwrap();
        samples.for_each(|sample| rollup.push(&sample));
        MetricRollRecord { start, rollup }
    })
}

/// A few subjects and agents, so that series meet, and one far away.
fn key() -> impl Strategy<Value = Key> {
    (prop_oneof![9 => 0..4_u32, 1 => any::<u32>()], 0..3_u32)
        .prop_map(|(subject, agent)| Key { subject, agent })
}

/// What is there after records were recorded in this order, slowly: of one instant, the one stays
/// that supersedes all others.
fn naive<R: Record>(recorded: &[(Key, R)]) -> BTreeMap<(Key, i64), R> {
    let mut all = BTreeMap::<(Key, i64), R>::new();
    for (key, record) in recorded {
        match all.get(&(*key, record.at())) {
            Some(earlier) if !record.supersedes(earlier) => (),
            Some(_) | None => {
                all.insert((*key, record.at()), record.clone());
            }
        }
    }
    all
}

fn merged<R: Record>(recorded: impl IntoIterator<Item = (Key, R)>) -> Vec<(Key, Vec<R>)> {
    let mut series = BTreeMap::<Key, Vec<R>>::new();
    for (key, record) in recorded {
        series.entry(key).or_default().push(record);
    }
    series.values_mut().for_each(merge);
    series.into_iter().collect()
}

fn read_back<R: Record>(encoded: &Encoded) -> Vec<(Key, Vec<R>)> {
    let mut head = Head::parse::<R>(&encoded.head).unwrap();
    let pages = head.pages().to_vec();
    let series = |page: &Page| (page.key, head.series(page, &encoded.parts[page.part]).unwrap());
    pages.iter().map(series).collect()
}

/// Recorded in three goes, each a tail; then into two chunks, and those into one.
fn check<R: Record + PartialEq + std::fmt::Debug>(goes: [Vec<(Key, R)>; 3]) {
    let commit = |go: &Vec<(Key, R)>| {
        let sorted = Sorted::of(go.clone(), |_, _| ());
        encode_tail(&sorted.series())
    };
    let tails: Vec<Vec<u8>> = goes.iter().map(commit).collect();
    let from_tail = |tail: &Vec<u8>| {
        let mut records = Vec::new();
        Tail::parse::<R>(tail).unwrap().all_into(&mut records).unwrap();
        merged(records)
    };
    let flat = |series: Vec<(Key, Vec<R>)>| {
        series.into_iter().flat_map(|(key, all)| all.into_iter().map(move |record| (key, record)))
    };
    let early = merged(tails[..2].iter().flat_map(|tail| flat(from_tail(tail))));
    let late = from_tail(&tails[2]);
    let chunks = [(early, Packing::Plain), (late, Packing::Compressed)]
        .map(|(series, packing)| encode_chunk(&series, BASE, packing).unwrap());
    let both = merged(chunks.iter().flat_map(|chunk| flat(read_back(chunk))));
    let compacted = encode_chunk(&both, BASE, Packing::Compressed).unwrap();
    let found: Vec<(Key, R)> = flat(read_back(&compacted)).collect();
    let expected = naive(&goes.concat());
    let expected: Vec<(Key, R)> = expected.into_iter().map(|((key, _), r)| (key, r)).collect();
    assert_eq!(found, expected);
    assert_eq!(compacted.records, expected.len());
    let sorted = Sorted::of(goes.concat(), |key, _| key.subject % 2);
    for (odd, series) in sorted.slots() {
        let of = expected.iter().filter(|(key, _)| key.subject % 2 == odd).cloned();
        let series = series.into_iter().map(|(key, records)| (key, records.to_vec()));
        assert_eq!(flat(series.collect()).collect::<Vec<_>>(), of.collect::<Vec<_>>());
    }
    // So is what was made of short pages: of several of one series.
    let paged = encode_in_pages(&both, (BASE, Packing::Compressed), 3).unwrap();
    assert!(flat(read_back(&paged)).eq(expected.iter().cloned()));
    let mut paged_head = Head::parse::<R>(&paged.head).unwrap();
    let (from, to) = (BASE, BASE + 300_000_000);
    let touched = paged_head.pages().iter().filter(|page| page.touches(from, to));
    let touched: Vec<Page> = touched.copied().collect();
    let read = |page: &Page| paged_head.series::<R>(page, &paged.parts[page.part]).unwrap();
    let read: Vec<R> = touched.iter().flat_map(read).collect();
    let count = |records: &mut dyn Iterator<Item = &R>| {
        records.filter(|record| (from..to).contains(&record.at())).count()
    };
    let in_time = count(&mut expected.iter().map(|(_, record)| record));
    assert_eq!(count(&mut read.iter()), in_time, "the others have nothing of that time");
    if R::LAYOUT.is_timed {
        let keys = expected.iter().map(|(key, _)| *key).collect::<std::collections::BTreeSet<_>>();
        assert!(read.len() <= in_time + keys.len() * 4, "two pages of a series stand out");
    }
    // One series alone is the same as all of them.
    let mut head = Head::parse::<R>(&compacted.head).unwrap();
    for key in expected.iter().map(|(key, _)| *key).collect::<std::collections::BTreeSet<_>>() {
        let pages = head.pages_of(key.subject, Some(key.agent));
        let read = |page: &Page| head.series::<R>(page, &compacted.parts[page.part]).unwrap();
        let alone: Vec<R> = pages.iter().flat_map(read).collect();
        let of = expected.iter().filter(|(k, _)| *k == key).map(|(_, r)| r.clone());
        assert_eq!(alone, of.collect::<Vec<_>>());
        let tail = encode_tail(&[(key, alone.clone())]);
        let of = Tail::parse::<R>(&tail).unwrap().of(key.subject, None).unwrap();
        assert_eq!(of, [(key, alone)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rounds_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), round()), 0..60),
        b in vec((key(), round()), 0..60),
        c in vec((key(), round()), 0..60),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn minutes_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), minute()), 0..200),
        b in vec((key(), minute()), 0..60),
        c in vec((key(), minute()), 0..60),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn five_minutes_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), roll::<PAIR_FIVE>()), 0..40),
        b in vec((key(), roll()), 0..40),
        c in vec((key(), roll()), 0..40),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn hours_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), roll::<PAIR_HOUR>()), 0..20),
        b in vec((key(), roll()), 0..20),
        c in vec((key(), roll()), 0..20),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn days_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), roll::<ALL_DAY>()), 0..9),
        b in vec((key(), roll()), 0..9),
        c in vec((key(), roll()), 0..9),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn metrics_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), metric()), 0..200),
        b in vec((key(), metric()), 0..60),
        c in vec((key(), metric()), 0..60),
    ) {
        check([a, b, c]);
    }

    #[test]
    fn roll_ups_of_metrics_are_the_same_however_they_were_cut_and_merged(
        a in vec((key(), metric_roll::<METRIC_FIVE>()), 0..60),
        b in vec((key(), metric_roll()), 0..60),
        c in vec((key(), metric_roll()), 0..60),
    ) {
        check([a, b, c]);
    }

    /// Any byte of a head or a tail changed, or anything cut off, is noticed; of a part, the series
    /// of the page that it is in is lost and no other.
    #[test]
    fn damage_is_noticed_and_takes_one_series(
        rounds in vec((key(), round()), 1..60),
        place in any::<prop::sample::Index>(),
        bits in 1..=255_u8,
    ) {
        let series = merged(rounds);
        let packing = if bits < 128 { Packing::Plain } else { Packing::Compressed };
        let Encoded { mut head, mut parts, .. } = encode_chunk(&series, BASE, packing).unwrap();
        let tail = encode_tail(&series);
        let cut = &tail[..place.index(tail.len())];
        prop_assert!(Tail::parse::<RoundRecord>(cut).and_then(Tail::check::<RoundRecord>).is_err());
        let mut good = Head::parse::<RoundRecord>(&head).unwrap();
        let at = place.index(parts[0].len());
        parts[0][at] ^= bits;
        let pages = good.pages().to_vec();
        let lost = pages.iter().filter(|page| {
            good.series::<RoundRecord>(page, &parts[page.part]).is_err()
        });
        prop_assert_eq!(lost.count(), 1);
        let at = place.index(head.len());
        head[at] ^= bits;
        prop_assert!(Head::parse::<RoundRecord>(&head).is_err());
    }

    /// With a checksum that holds, too: no bytes make it panic or take memory without bound.
    #[test]
    fn hostile_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..300)) {
        for bytes in [bytes.clone(), bytes::sealed(&bytes)] {
            Head::parse::<RoundRecord>(&bytes).map_or_else(drop, drop);
            Tail::parse::<MinuteRecord>(&bytes)
                .and_then(Tail::check::<MinuteRecord>)
                .map_or_else(drop, drop);
        }
        let columns = bytes.chunks(7).map(|c| c.iter().map(|b| u64::from(*b) << 26).collect());
        let mut split = Split { version: 2, columns: columns.collect(), rare: bytes.clone() };
        RoundRecord::join(&split, BASE).map_or_else(drop, drop);
        for version in [2, 3] {
            split.version = version;
            MinuteRecord::join(&split, BASE).map_or_else(drop, drop);
        }
        for version in [3, 4] {
            split.version = version;
            AllDay::join(&split, BASE).map_or_else(drop, drop);
        }
        MetricRecord::join(&split, BASE).map_or_else(drop, drop);
        MetricRollRecord::<METRIC_DAY>::join(&split, BASE).map_or_else(drop, drop);
    }
}

/// What a target costs that is well: its minutes are not written one by one.
#[test]
fn a_span_of_equal_minutes_is_one_number() {
    let hour = |n: i64| {
        let mut rollup = Rollup::default();
        for minute in n * 60..(n + 1) * 60 {
            let (verdict, cause) = (Verdict::Up, Cause::Answering);
            let worst = Worst { verdict, cause, minute: Minute(minute) };
            let counts = MinuteCounts { rounds: 2, sent: 10, received: 10, ..Default::default() };
            rollup.add_minute(worst, &counts);
        }
        PairHour { start: Minute(n * 60), rollup: rollup.told(), means: None }
    };
    let split = RollRecord::split(&(0..720).map(hour).collect::<Vec<_>>(), 0);
    assert_eq!(split.rare.len(), 7);
    assert!(split.columns.iter().flatten().all(|v| [0, 120, 600, split.columns[1][0]].contains(v)));
}

/// What a target costs that is well: a day of minutes is one run.
#[test]
fn equal_minutes_are_one_run() {
    let minute = |n| MinuteRecord {
        minute: Minute(n),
        verdict: Verdict::Up,
        cause: Cause::Answering,
        counts: MinuteCounts { rounds: 2, sent: 10, received: 10, ..MinuteCounts::default() },
        revision: 0,
        said_first: None,
    };
    let day: Vec<MinuteRecord> = (0..1_440).map(minute).collect();
    let split = MinuteRecord::split(&day, 0);
    assert_eq!(split.columns[1], [1_439]);
    let chunk =
        encode_chunk(&[(Key { subject: 1, agent: 1 }, day)], 0, Packing::Compressed).unwrap();
    assert!(chunk.parts[0].len() < 40, "{}", chunk.parts[0].len());
}

/// A packet lost now and then does not cut it: each of those minutes is two numbers more.
#[test]
fn minutes_with_a_lost_packet_stand_apart() {
    let minute = |n: i64| {
        let received = if n % 100 == 99 { 9 } else { 10 };
        let counts = MinuteCounts { rounds: 2, sent: 10, received, ..MinuteCounts::default() };
        let (verdict, cause) = (Verdict::Up, Cause::Answering);
        MinuteRecord { minute: Minute(n), verdict, cause, counts, revision: 0, said_first: None }
    };
    let day: Vec<MinuteRecord> = (0..1_440).map(minute).collect();
    let split = MinuteRecord::split(&day, 0);
    assert_eq!(split.columns[1], [1_439]);
    assert_eq!((&split.columns[5], &split.columns[6]), (&vec![99; 14], &vec![0; 14]));
    assert_eq!(MinuteRecord::join(&split, 0), Ok(day));
}

/// As it was written before losses stood apart: an hour of which one minute lost a packet, and one
/// all of them.
#[test]
fn minutes_of_the_layout_before_are_read() {
    let columns = vec![
        vec![0, 0, 0],
        vec![29, 0, 0, 28],
        vec![1 << 4 | 3; 4],
        vec![2; 4],
        vec![10; 4],
        vec![0, 1, 10, 0],
    ];
    let split = Split { version: 2, columns, rare: vec![0] };
    let minutes = MinuteRecord::join(&split, 0).unwrap();
    let received: Vec<u32> = minutes.iter().map(|minute| minute.counts.received).collect();
    assert_eq!(received, [vec![10; 30], vec![9, 0], vec![10; 29]].concat());
    let chunk = |version: u8| {
        let mut head = Writer::default();
        head.bytes.extend([version, MinuteRecord::KIND, 0]);
        head.signed(0);
        head.length(0);
        Head::parse::<MinuteRecord>(&sealed(&head.bytes)).is_ok()
    };
    assert!([2, 3].into_iter().all(chunk));
    assert!([1, 4].into_iter().all(|version| !chunk(version)));
}

/// As they were written before days kept counts: they are read, and merged with such as have them.
#[test]
fn days_of_the_layout_before_are_read_and_have_no_counts() {
    let day = |n: i64| {
        let mut rollup = Rollup::default();
        for us_mean in [900, 1_000, 1_000, 70_000] {
            let rtt = Some(Rtt { us_min: 800, us_mean, us_max: us_mean });
            let confirm = Confirm::default();
            rollup.add_round(&Outcome::Asked { sent: 5, received: 5, rtt, confirm });
        }
        rollup.rounds = 4;
        let means = Some(rollup.times.means.clone());
        AllDay { start: Minute(n * 1_440), rollup: rollup.told(), means }
    };
    let days: Vec<AllDay> = (0..3).map(day).collect();
    let new = AllDay::split(&days, 0);
    // Of each day three steps; what the median's has is what is left over.
    assert_eq!(
        new.columns[12..],
        [vec![0; 3], vec![3; 3], vec![5, 202, 5, 202, 5, 202], vec![1; 6]]
    );
    assert_eq!(AllDay::join(&new, 0).as_ref(), Ok(&days));
    let mut before = Split { version: 3, ..new };
    before.columns.truncate(12);
    let read = AllDay::join(&before, 0).unwrap();
    let bare: Vec<AllDay> = days.iter().cloned().map(|day| AllDay { means: None, ..day }).collect();
    assert_eq!(read, bare);
    let mixed = [&bare[..1], &days[1..]].concat();
    assert_eq!(AllDay::join(&AllDay::split(&mixed, 0), 0), Ok(mixed));
    // More than there were.
    let mut bad = AllDay::split(&days, 0);
    bad.columns[15][0] = 9;
    assert!(AllDay::join(&bad, 0).is_err());
}

/// What an agent costs that does always the same: its counters grow evenly, its gauges stay.
#[test]
fn a_steady_metric_is_equal_numbers() {
    let sample = |n: i64, value| MetricRecord { at: UtcMicros(n * 30_000_000), value };
    let counter = |n: i64| {
        let count = Count { total: 7_000 * n.cast_unsigned(), epoch: 1, is_32_bit: false };
        sample(n, MetricValue::Counter(count))
    };
    let gauge = |n| sample(n, MetricValue::Gauge(Reading::new(0.000_125).unwrap()));
    let series: Vec<_> = [(0..2_880).map(counter).collect(), (0..2_880).map(gauge).collect()]
        .into_iter()
        .zip(1..)
        .map(|(records, subject): (Vec<_>, _)| (Key { subject, agent: 0 }, records))
        .collect();
    let chunk = encode_chunk(&series, 0, Packing::Compressed).unwrap();
    // What tells the one from the other, and by how much each grows, are a bit each.
    assert!(chunk.parts[0].len() < 1_600, "{} bytes of 5,760 samples", chunk.parts[0].len());
}

/// Of a long series a reader of a short time decodes what it lies in, and finds all of it.
#[test]
fn a_long_series_has_pages_of_which_a_short_time_touches_few() {
    let round = |n: i64| RoundRecord {
        at: UtcMicros(BASE + n * 30_000_000),
        outcome: Outcome::NotAsked(NotAsked::NoRoute),
        flags: RoundFlags(0),
        icmp_error: None,
    };
    let rounds: Vec<RoundRecord> = (0..2_880).map(round).collect();
    let keys = [1, 2].map(|agent| Key { subject: 7, agent });
    let series = keys.map(|key| (key, rounds.clone()));
    for packing in [Packing::Plain, Packing::Compressed] {
        let chunk = encode_chunk(&series, BASE, packing).unwrap();
        let mut head = Head::parse::<RoundRecord>(&chunk.head).unwrap();
        let pages = head.pages_of(7, Some(2));
        assert_eq!(pages.iter().map(|page| page.records).collect::<Vec<_>>(), [720; 4]);
        for (from, to, count) in [(0, 2_880, 4), (0, 1, 1), (719, 721, 2), (1_440, 1_500, 1)] {
            let (from, to) = (rounds[from].at.0, rounds[to - 1].at.0 + 1);
            let touched = pages.iter().filter(|page| page.touches(from, to));
            let read = |page: &Page| head.series(page, &chunk.parts[page.part]).unwrap();
            let read: Vec<Vec<RoundRecord>> = touched.map(read).collect();
            assert_eq!(read.len(), count);
            let is_in = |r: &&RoundRecord| from <= r.at.0 && r.at.0 < to;
            let found: Vec<_> = read.iter().flatten().filter(is_in).collect();
            assert_eq!(found, rounds.iter().filter(is_in).collect::<Vec<_>>());
            let told: usize = pages.iter().map(|page| page.records_in(from, to)).sum();
            assert!(told.abs_diff(found.len()) <= 2 * count, "{told} {}", found.len());
        }
        assert!(pages.iter().all(|page| !page.touches(BASE - 9, BASE)), "the end is excluded");
        // Without one subject the others are as they were, and of the same time.
        let kept = trim::<RoundRecord>(&chunk.head, &chunk.parts, |subject| subject == 7);
        assert_eq!(kept.unwrap().unwrap().records, 0);
        let both = [series.as_slice(), &[(Key { subject: 9, agent: 1 }, rounds.clone())]].concat();
        let chunk = encode_chunk(&both, BASE, packing).unwrap();
        let kept = trim::<RoundRecord>(&chunk.head, &chunk.parts, |subject| subject == 9);
        let kept = kept.unwrap().unwrap();
        let times = |head: &Head| head.pages().iter().map(|page| page.times).collect::<Vec<_>>();
        assert_eq!(times(&Head::parse::<RoundRecord>(&kept.head).unwrap()), times(&head));
        assert_eq!(kept.records, rounds.len() * 2);
        assert_eq!(read_back::<RoundRecord>(&kept)[0].1, rounds[..720]);
    }
}

/// Written before pages said of what time they are: one page for a series, which may be of any.
#[test]
fn a_chunk_of_rounds_of_the_layout_before_is_read_and_trimmed() {
    const HEAD: [u8; 44] = [
        2, 1, 1, 0, 12, 4, 4, 1, 0, 16, 0, 0, 28, 78, 14, 0, 0, 12, 4, 4, 1, 0, 16, 0, 0, 0, 0, 64,
        0, 0, 0, 0, 0, 1, 7, 1, 40, 0, 0, 53, 159, 201, 42, 49,
    ];
    const PAGE: [u8; 53] = [
        39, 0, 40, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42,
        42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42,
        42, 42, 42, 42, 42,
    ];
    let read = |head: &[u8], part: &[u8]| {
        let mut head = Head::parse::<RoundRecord>(head).unwrap();
        let [page] = head.pages_of(7, None)[..] else { panic!("one page") };
        assert!(page.touches(0, 1) && page.touches(i64::MAX - 1, i64::MAX));
        assert_eq!(page.records_in(i64::MIN, i64::MAX), 0);
        let rounds: Vec<RoundRecord> = head.series(&page, part).unwrap();
        assert_eq!((rounds.len(), rounds[1].at.0 - rounds[0].at.0), (40, 30_000_000));
    };
    read(&sealed(&HEAD), &PAGE);
    // With a series 8 beside it that has the same page: what is left without it is of that layout.
    let (common, first) = HEAD.split_at(HEAD.len() - 10);
    let mut head = [common, first, &[1, 1, 40, 0, 53, 53], &HEAD[HEAD.len() - 4..]].concat();
    head[common.len() - 1] = 2;
    let both = [PAGE, PAGE].concat();
    let kept = trim::<RoundRecord>(&sealed(&head), &[both], |subject| subject == 8);
    let kept = kept.unwrap().unwrap();
    assert_eq!(
        (kept.head.as_slice(), kept.parts.as_slice()),
        (&*sealed(&HEAD), &[PAGE.into()][..])
    );
    read(&kept.head, &kept.parts[0]);
}
