//! The decoders of this crate as a fuzzer calls them: bytes in, and whether they were taken.
//! Nothing else calls them.
//!
//! Checksums are made to hold, or no change would get behind them.

use model::{
    Cause, Confirm, Count, MetricRollup, MetricValue, Minute, MinuteCounts, NotAsked, Outcome,
    Reading, Rollup, RoundFlags, Rtt, UtcMicros, Verdict, Worst,
};

use crate::chunks::{
    Head, Key, METRIC_HOUR, MetricRecord, MetricRollRecord, MinuteRecord, Packing, PairHour,
    Record, RollRecord, RoundRecord, Tail, encode_chunk, encode_tail, sealed,
};

/// A chunk as the fuzzer has it: the length of the head in two bytes, the head, one page.
const LENGTH_BYTES: usize = 2;

/// A tail, as any kind.
pub fn history_tail(bytes: &[u8]) -> bool {
    let bytes = sealed(bytes);
    let rounds = Tail::parse::<RoundRecord>(&bytes).and_then(Tail::check::<RoundRecord>);
    let minutes = Tail::parse::<MinuteRecord>(&bytes).and_then(Tail::check::<MinuteRecord>);
    let metrics = Tail::parse::<MetricRecord>(&bytes).and_then(Tail::check::<MetricRecord>);
    rounds.is_ok() || minutes.is_ok() || metrics.is_ok()
}

/// Tails as commits write them.
pub fn history_tail_seeds() -> Vec<Vec<u8>> {
    let tails = [encode_tail(&rounds()), encode_tail(&metrics())];
    // Without the checksum, which is put in front again.
    tails.iter().filter_map(|tail| tail.get(4..)).map(<[u8]>::to_vec).collect()
}

/// The head of a chunk, and a page of it, as any kind.
pub fn history_chunk(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return false };
    let length = usize::from(u16::from_le_bytes(*length));
    let Some((head, page)) = rest.split_at_checked(length) else { return false };
    let head = sealed(head);
    is_read::<RoundRecord>(&head, page)
        || is_read::<MinuteRecord>(&head, page)
        || is_read::<PairHour>(&head, page)
        || is_read::<MetricRecord>(&head, page)
        || is_read::<MetricRollRecord<METRIC_HOUR>>(&head, page)
}

fn is_read<R: Record>(head: &[u8], page: &[u8]) -> bool {
    Head::parse::<R>(head).is_ok_and(|mut head| head.decode::<R>(page).is_ok())
}

/// Chunks of one series, plain and compressed.
pub fn history_chunk_seeds() -> Vec<Vec<u8>> {
    let packings = [Packing::Plain, Packing::Compressed];
    let rounds = packings.into_iter().filter_map(|packing| seed(&rounds(), packing));
    let rollups = packings.into_iter().filter_map(|packing| seed(&rollups(), packing));
    let metrics = packings.into_iter().filter_map(|packing| seed(&metrics(), packing));
    let hours = packings.into_iter().filter_map(|packing| seed(&metric_hours(), packing));
    rounds.chain(rollups).chain(metrics).chain(hours).collect()
}

fn seed<R: Record>(series: &[(Key, Vec<R>)], packing: Packing) -> Option<Vec<u8>> {
    let chunk = encode_chunk(series, 0, packing).ok()?;
    let (head, page) = (chunk.head.get(4..)?, chunk.parts.first()?);
    let length = u16::try_from(head.len()).ok()?;
    Some([length.to_le_bytes().as_slice(), head, page].concat())
}

/// Hours of some minutes each, with the times of some rounds.
fn rollups() -> Vec<(Key, Vec<PairHour>)> {
    let hour = |n: i64| {
        let start = Minute(n * 60);
        let mut rollup = Rollup::default();
        for minute in (start.0..start.0 + 60).step_by(usize::try_from(n % 3 + 1).unwrap_or(1)) {
            let (verdict, cause) = (Verdict::Degraded, Cause::Loss);
            let worst = Worst { verdict, cause, minute: Minute(minute) };
            rollup.add_minute(worst, &MinuteCounts::default());
            let us = u32::try_from(minute * 1_000).unwrap_or(0);
            let rtt = Some(Rtt { us_min: us, us_mean: us + 7, us_max: us + 90 });
            let confirm = Confirm::default();
            rollup.add_round(&Outcome::Asked { sent: 5, received: 4, rtt, confirm });
        }
        RollRecord { start, rollup: rollup.told(), means: None }
    };
    vec![(Key { subject: 7, agent: 1 }, (0..12).map(hour).collect())]
}

/// A gauge and a counter that begins again.
fn values(n: i64) -> [MetricValue; 2] {
    let total = n.cast_unsigned() % 7 * 100;
    let epoch = u32::from(6 < n);
    let count = Count { total, epoch, is_32_bit: true };
    [MetricValue::Gauge(Reading::from(u32::try_from(n).unwrap_or(0))), MetricValue::Counter(count)]
}

fn metrics() -> Vec<(Key, Vec<MetricRecord>)> {
    let of = |which: usize| {
        let sample = |n: i64| {
            let value = *values(n).get(which)?;
            Some(MetricRecord { at: UtcMicros(n * 30_000_000), value })
        };
        (0..12).filter_map(sample).collect()
    };
    [(0, 1), (1, 2)].map(|(which, subject)| (Key { subject, agent: 0 }, of(which))).into()
}

fn metric_hours() -> Vec<(Key, Vec<MetricRollRecord<METRIC_HOUR>>)> {
    let hour = |record: &MetricRecord| {
        let start = Minute(record.at.0 / 30_000_000 * 60);
        let mut rollup = MetricRollup::of(start.start(), record.value);
        rollup.push(&MetricRollup::of(start.next().start(), record.value));
        MetricRollRecord { start, rollup }
    };
    metrics().into_iter().map(|(key, all)| (key, all.iter().map(hour).collect())).collect()
}

fn rounds() -> Vec<(Key, Vec<RoundRecord>)> {
    let round = |n: i64| RoundRecord {
        at: UtcMicros(n * 30_000_000),
        outcome: Outcome::NotAsked(NotAsked::NoRoute),
        flags: RoundFlags(0),
        icmp_error: None,
    };
    vec![(Key { subject: 7, agent: 1 }, (0..40).map(round).collect())]
}
