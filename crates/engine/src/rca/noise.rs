//! How likely a round is when its path is whole, lossy or gone: the numbers under every ratio.
//!
//! Rounds are not independent packets: a burst, a full queue or a rate limit takes a whole round
//! with it. So loss is counted with overdispersion, a wholly lost round on a whole path has a
//! floor, and so has an answered round on a broken one (it was sent before, or another path
//! carried it).

use super::picture::Ask;

/// A whole path loses a whole round this often (bursts, rate limits, an agent out of breath).
const FALSE_DEAD: f64 = 0.006;
/// A single packet of a round is lost this often on a whole path.
const LOSS_QUIET: f64 = 0.003;
/// A broken path has an answered round this often: it was on its way when the path broke, or it
/// did not cross the fault.
const FALSE_GOOD: f64 = 0.07;
/// Answers to some packets of a round and not to others, on a path that is gone.
const FALSE_PARTIAL: f64 = 0.01;
/// The same on a whole path.
const PARTIAL: f64 = 0.015;
/// How much more rounds differ than independent packets would: the beta-binomial's correlation.
const OVERDISPERSION: f64 = 0.02;

/// Shares of packets that a lossy element is tried with.
pub(super) const LEVELS: [f64; 8] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8];

/// The log ratio of a round for a path that is gone against one that is whole.
pub(super) fn dead_ratio(ask: &Ask) -> f64 {
    match (ask.received, ask.lost()) {
        (0, _) => {
            let chance = LOSS_QUIET.powi(i32::from(ask.sent.clamp(1, 4)));
            ((1.0 - FALSE_GOOD - FALSE_PARTIAL) / (FALSE_DEAD + chance)).ln()
        }
        (_, 0) => good_ratio(),
        _ => (FALSE_PARTIAL / PARTIAL).ln().min(good_ratio()),
    }
}

/// The log ratio of a wholly answered round.
pub(super) fn good_ratio() -> f64 {
    (FALSE_GOOD / (1.0 - FALSE_DEAD - PARTIAL)).ln()
}

/// The log ratios of a round for each of [`LEVELS`] against `quiet`, the loss of a whole path.
pub(super) fn lossy_ratios(sent: u16, lost: u16, quiet: f64) -> [f64; LEVELS.len()] {
    let whole = round_chance(sent, lost, quiet);
    LEVELS.map(|level| {
        let loss = quiet + level * (1.0 - quiet);
        (round_chance(sent, lost, loss) / whole).ln()
    })
}

fn round_chance(sent: u16, lost: u16, loss: f64) -> f64 {
    let all = if lost == sent { FALSE_DEAD } else { 0.0 };
    (1.0 - FALSE_DEAD) * beta_binomial(sent, lost, loss) + all + 1e-9
}

/// The chance that `lost` of `sent` packets are lost at a mean of `loss`.
fn beta_binomial(sent: u16, lost: u16, loss: f64) -> f64 {
    let scale = 1.0 / OVERDISPERSION - 1.0;
    let (alpha, beta) = (loss * scale, (1.0 - loss) * scale);
    let mut chance = 1.0;
    // The product form: no gamma function, exact for the few packets of a round.
    for packet in 0..sent {
        let of = alpha + beta + f64::from(packet);
        let part = if packet < lost {
            (alpha + f64::from(packet)) / of * f64::from(sent - packet) / f64::from(lost - packet)
        } else {
            (beta + f64::from(packet - lost)) / of
        };
        chance *= part;
    }
    chance
}

/// Natural logarithm of `e^a + e^b`.
pub(super) fn log_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a < b { (b, a) } else { (a, b) };
    // So small a part changes no bit of the sum.
    if low < high - 40.0 { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::UtcMicros;

    fn ask(sent: u16, received: u16) -> Ask {
        Ask { at: UtcMicros(0), sent, received, rtt_us: None }
    }

    #[test]
    fn chances_sum_to_one() {
        for loss in [0.003, 0.1, 0.5] {
            let sum: f64 = (0..=20).map(|lost| beta_binomial(20, lost, loss)).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        }
    }

    #[test]
    fn a_lost_round_speaks_for_a_broken_path_and_an_answered_one_against() {
        assert!(4.0 < dead_ratio(&ask(5, 0)));
        assert!(dead_ratio(&ask(1, 0)) < dead_ratio(&ask(5, 0)));
        assert!(dead_ratio(&ask(5, 5)) < -2.0 && dead_ratio(&ask(5, 1)) < -2.0);
    }

    #[test]
    fn the_ratio_is_highest_near_the_true_loss() {
        let ratios = lossy_ratios(100, 20, 0.003);
        let best = (0..LEVELS.len()).max_by(|a, b| ratios[*a].total_cmp(&ratios[*b]));
        assert_eq!(best, Some(4));
        assert!(lossy_ratios(20, 0, 0.003).iter().all(|ratio| *ratio < 0.0));
    }
}
