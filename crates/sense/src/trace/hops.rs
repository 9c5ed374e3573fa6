//! The hops of a trace, and what their losses mean.

use std::net::IpAddr;

use model::{HopAnswer, HopNote, TraceHop};

/// A loss that everything behind a hop would escape with at most this chance is none of the path's.
const CHANCE_MAX: f64 = 0.05;

/// A hop of which nothing is known.
pub(super) fn empty(flow: u8, ttl: u8) -> TraceHop {
    let (answers, note) = (Vec::new(), HopNote::Waiting);
    TraceHop { flow, ttl, sent: 0, lost: 0, answers, ending: None, note }
}

/// Notes an answer.
pub(super) fn take(hop: &mut TraceHop, from: IpAddr, rtt_us: u32) {
    let known = hop.answers.iter().position(|answer| answer.from == from);
    let place = known.unwrap_or_else(|| {
        if hop.answers.len() < TraceHop::ANSWERS_MAX {
            let (received, rtt_us_mean) = (0, 0);
            let (rtt_us_min, rtt_us_max) = (u32::MAX, 0);
            hop.answers.push(HopAnswer { from, received, rtt_us_min, rtt_us_mean, rtt_us_max });
        }
        hop.answers.len() - 1
    });
    if let Some(answer) = hop.answers.get_mut(place) {
        let before = u64::from(answer.rtt_us_mean) * u64::from(answer.received);
        answer.received += 1;
        let mean = (before + u64::from(rtt_us)) / u64::from(answer.received);
        answer.rtt_us_mean = u32::try_from(mean).unwrap_or(u32::MAX);
        answer.rtt_us_min = answer.rtt_us_min.min(rtt_us);
        answer.rtt_us_max = answer.rtt_us_max.max(rtt_us);
    }
}

fn resolved(hop: &TraceHop) -> u16 {
    hop.lost + hop.received()
}

/// Says what the losses of the first of `hops` mean; the others are those behind it in its flow.
///
/// 1 - nothing is resolved: `Waiting`; nothing is lost: `Clean`;
/// 2 - nothing is answered: `Silent` if a later hop answers, otherwise `Dark`;
/// 3 - nobody answers behind it: its loss is the path's if it is the target or refuses, `Lossy`;
///     otherwise `Unclear`;
/// 4 - so little was lost of what it passed to later hops that with its own loss that would happen
///     in at most one of twenty cases: `RateLimited`. Later hops that lose nothing count together;
///     if there is none, the one that loses least;
/// 5 - every hop behind it that answers loses as well: `Lossy`; otherwise `Unclear`.
pub(super) fn note(hops: &[TraceHop]) -> HopNote {
    let Some((hop, later)) = hops.split_first() else { return HopNote::Waiting };
    let received = hop.received();
    if resolved(hop) == 0 {
        return HopNote::Waiting;
    }
    if hop.lost == 0 {
        return HopNote::Clean;
    }
    let answering = || later.iter().filter(|hop| 0 < hop.received());
    if received == 0 {
        return if answering().next().is_some() { HopNote::Silent } else { HopNote::Dark };
    }
    let loss = |hop: &TraceHop| f64::from(hop.lost) / f64::from(resolved(hop));
    let Some(least) = answering().min_by(|a, b| loss(a).total_cmp(&loss(b))) else {
        return if hop.ending.is_some() { HopNote::Lossy } else { HopNote::Unclear };
    };
    let passed = if least.lost == 0 {
        answering().filter(|hop| hop.lost == 0).map(|hop| u32::from(hop.received())).sum()
    } else {
        u32::from(resolved(least))
    };
    if chance_of_at_most(least.lost, passed, loss(hop)) <= CHANCE_MAX {
        return HopNote::RateLimited;
    }
    if least.lost == 0 { HopNote::Unclear } else { HopNote::Lossy }
}

/// The chance that of `count` packets, each lost with the chance `loss`, at most `lost` are.
fn chance_of_at_most(lost: u16, count: u32, loss: f64) -> f64 {
    let kept = 1.0 - loss;
    if kept <= 0.0 {
        return 0.0;
    }
    let mut term = kept.powf(f64::from(count));
    let mut sum = term;
    for nth in 0..u32::from(lost).min(count) {
        term *= f64::from(count - nth) / f64::from(nth + 1) * loss / kept;
        sum += term;
    }
    sum
}
