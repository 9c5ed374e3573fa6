//! The one home of the clock in the lab: deadlines and measured times.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::bail;

/// How often a state that is waited for is looked at. Small against the seconds that are measured,
/// large against what a look costs the server.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[expect(clippy::disallowed_methods, reason = "the one home of the clock in the lab")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Microseconds since 1970, to name things.
#[expect(clippy::disallowed_methods, reason = "the one home of the clock in the lab")]
pub(crate) fn stamp() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// Waits until another minute of the wall clock begins.
pub(crate) fn next_minute() {
    let minute = || stamp() / 60_000_000;
    let begun = minute();
    while minute() == begun {
        thread::park_timeout(LOOK_INTERVAL);
    }
}

/// Waits until `look` finds something, and says how long that took since `begun`.
///
/// # Errors
///
/// If `look` fails, or finds nothing within `max`.
pub(crate) fn wait<T>(
    what: &str,
    begun: Instant,
    max: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Duration)> {
    loop {
        if let Some(found) = look()? {
            return Ok((found, begun.elapsed()));
        }
        if max < begun.elapsed() {
            bail!("waited {} s in vain: {what}", max.as_secs());
        }
        thread::park_timeout(LOOK_INTERVAL);
    }
}

/// Lets `time` pass while `look` is asked again and again: for states that must *not* change.
///
/// # Errors
///
/// The first error of `look`.
pub(crate) fn hold(
    time: Duration,
    mut look: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begun = now();
    while begun.elapsed() < time {
        look()?;
        thread::park_timeout(LOOK_INTERVAL);
    }
    look()
}
