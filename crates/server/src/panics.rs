//! Panics that were caught: each is a defect of ours that cost one part its turn and not the server
//! its life. They are counted, remembered for the Health page, and told in the log with their text.
//!
//! The conductor and the log's thread are not caught: nothing may go on from what they left half
//! done, so the server ends, is started anew, and replays the log.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

/// A page has room for a sentence.
const TEXT_CHARS_MAX: usize = 200;

/// What became of one part of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panicked {
    pub(crate) part: &'static str,
    pub(crate) times: u64,
    /// How long ago the last one was.
    pub(crate) age: Duration,
    pub(crate) text: String,
}

/// Everything caught since the start. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panics {
    pub(crate) total: Counter,
    last: Arc<Mutex<BTreeMap<&'static str, Last>>>,
}

#[derive(Debug)]
struct Last {
    times: u64,
    at: Instant,
    text: String,
}

impl Panics {
    /// Runs a part of the server; `None` if it panicked.
    ///
    /// What the part left behind is not used any more, but for values that are whole at any time.
    pub(crate) async fn catch<T>(
        &self,
        part: &'static str,
        run: impl Future<Output = T>,
    ) -> Option<T> {
        match AssertUnwindSafe(run).catch_unwind().await {
            Ok(done) => Some(done),
            Err(panic) => {
                self.note(part, panic.as_ref());
                None
            }
        }
    }

    fn note(&self, part: &'static str, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".to_owned());
        tracing::error!(part, text, "a part of the server panicked and is caught");
        self.total.inc();
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let times = last.get(part).map_or(0, |last| last.times) + 1;
        last.insert(part, Last { times, at: Instant::now(), text });
    }

    /// The parts that panicked, by name.
    pub(crate) fn all(&self) -> Vec<Panicked> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let panicked = |(part, last): (&&'static str, &Last)| Panicked {
            part,
            times: last.times,
            age: last.at.elapsed(),
            text: last.text.clone(),
        };
        last.iter().map(panicked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_counted_and_remembered() {
        let panics = Panics::default();
        assert_eq!(panics.catch("well", async { 1 }).await, Some(1));
        for what in ["first", "second"] {
            assert_eq!(panics.catch("ill", async { panic!("the {what}") }).await, None::<()>);
        }
        let all = panics.all();
        let [ill] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((ill.part, ill.times, ill.text.as_str()), ("ill", 2, "the second"));
        assert_eq!(panics.total.get(), 2);
    }
}
