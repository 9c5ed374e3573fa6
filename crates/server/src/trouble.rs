//! A trouble that lasts: told when it begins, once a minute while it lasts, and when it is over.
//!
//! A full disk fails many times a second; a log that says so each time fills the next disk.

use std::time::Duration;

use model::UtcMicros;

const TOLD_EVERY: Duration = Duration::from_secs(60);

/// One kind of trouble; pure, the time is passed in.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// When it began, and when it was told last.
    lasting: Option<(UtcMicros, UtcMicros)>,
}

impl Trouble {
    /// Notes that it is there; whether it is to be told now.
    pub(crate) fn is_told(&mut self, now: UtcMicros) -> bool {
        match &mut self.lasting {
            Some((_, told_at)) if now.since(*told_at) < TOLD_EVERY => false,
            Some((_, told_at)) => {
                *told_at = now;
                true
            }
            None => {
                self.lasting = Some((now, now));
                true
            }
        }
    }

    /// Notes that it is over; how long it lasted, if it was there.
    pub(crate) fn end(&mut self, now: UtcMicros) -> Option<Duration> {
        self.lasting.take().map(|(since, _)| now.since(since))
    }

    /// How long it has lasted.
    pub(crate) fn lasted(&self, now: UtcMicros) -> Option<Duration> {
        self.lasting.map(|(since, _)| now.since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_its_beginning_once_a_minute_and_at_its_end() {
        let at = |seconds: i64| UtcMicros(seconds * 1_000_000);
        let mut trouble = Trouble::default();
        assert_eq!(trouble.end(at(0)), None);
        let told = [0, 1, 59, 60, 61, 119, 120].map(|second| trouble.is_told(at(second)));
        assert_eq!(told, [true, false, false, true, false, false, true]);
        assert_eq!(trouble.lasted(at(125)), Some(Duration::from_secs(125)));
        assert_eq!(trouble.end(at(130)), Some(Duration::from_secs(130)));
        assert_eq!((trouble.end(at(131)), trouble.lasted(at(131))), (None, None));
        assert!(trouble.is_told(at(132)));
    }
}
