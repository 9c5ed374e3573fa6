//! How long to wait before a message is tried again.

use std::time::Duration;

/// After the first try that failed, after the second, and so on: a receiver that restarts misses
/// seconds, one that is down for a night gets it in the morning.
const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(3 * 3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(12 * 3_600),
];
/// A receiver that asks for more patience gets this much.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The pause after a failed try, the first of which is number 0; `None`: give up.
///
/// A fifth of the pause is left to `dice`, so that the messages that waited for one receiver do
/// not all come back at one moment. A receiver may ask for a longer `wait`.
pub(super) fn after(tries: u32, wait: Option<Duration>, dice: u8) -> Option<Duration> {
    let pause = *PAUSES.get(usize::try_from(tries).ok()?)?;
    let shift = pause / 5 * u32::from(dice) / u32::from(u8::MAX);
    let asked = wait.unwrap_or_default().min(WAIT_MAX);
    Some((pause - pause / 10 + shift).max(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_for_about_a_day_and_end() {
        let mut total = Duration::ZERO;
        for tries in 0..9 {
            let [least, most] = [0, u8::MAX].map(|dice| after(tries, None, dice).unwrap());
            let pause = PAUSES[tries as usize];
            assert_eq!((least, most), (pause * 9 / 10, pause * 11 / 10));
            total += pause;
        }
        assert!(total > Duration::from_secs(22 * 3_600), "{total:?}");
        assert_eq!(after(9, None, 0), None);
        assert_eq!(after(u32::MAX, None, 0), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_patience_but_not_for_ever() {
        let ask = |seconds| after(0, Some(Duration::from_secs(seconds)), 0).unwrap().as_secs();
        assert_eq!((ask(1), ask(60), ask(1_000_000)), (4, 60, 3_600));
    }
}
