//! Whether the database answers, asked by anyone: one question at a time and one answer for all.

use std::time::Duration;

use model::UtcMicros;
use tokio::sync::Mutex;

use crate::clock::Clock;

/// How long an answer holds. Everyone may ask, and each question takes the one writer: strangers
/// must not keep it from the conductor. A supervisor does not ask more often.
const ANSWER_SHARED: Duration = Duration::from_secs(1);

/// The last answer.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// When it came, and why the database does not answer. Held while the database is asked.
    last: Mutex<Option<(UtcMicros, Option<String>)>>,
}

impl Readiness {
    /// Gives the last answer while it holds, else the one that `probe` has.
    pub(crate) async fn ask(
        &self,
        clock: &Clock,
        probe: impl Future<Output = Option<String>>,
    ) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = &*last
            && clock.now().since(*at) < ANSWER_SHARED
        {
            return answer.clone();
        }
        let answer = probe.await;
        // Who waited meanwhile shares it, however long it took.
        *last = Some((clock.now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    };

    use super::*;
    use crate::clock::{ReadClocks, Reading};

    #[derive(Debug, Default)]
    struct TestClocks(AtomicI64);

    impl ReadClocks for TestClocks {
        fn read(&self) -> Reading {
            let us = self.0.load(Ordering::Relaxed);
            Reading { wall_us: us, boot_us: us }
        }
    }

    #[tokio::test]
    async fn all_who_ask_within_a_second_share_one_probe() {
        let clocks = Arc::new(TestClocks::default());
        let clock = Clock::over(clocks.clone());
        let readiness = Readiness::default();
        let probes = AtomicU32::new(0);
        let ask = || {
            readiness.ask(&clock, async {
                tokio::task::yield_now().await;
                Some(probes.fetch_add(1, Ordering::Relaxed).to_string())
            })
        };
        let told = tokio::join!(ask(), ask(), ask());
        assert_eq!(told, (Some("0".to_owned()), Some("0".to_owned()), Some("0".to_owned())));
        for (at_us, expected) in [(999_999, "0"), (1_000_000, "1"), (1_999_999, "1")] {
            clocks.0.store(at_us, Ordering::Relaxed);
            assert_eq!(ask().await.as_deref(), Some(expected), "at {at_us} us");
        }
    }
}
