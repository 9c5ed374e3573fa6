//! In which order batches go: live ones at once, the backlog beside them within its budget.
//!
//! Pure: what there is and how much room there is are arguments. Both the agent and the simulator
//! ask here. It does not know what a batch is.

use std::time::Duration;

/// What could be sent, and what it would have to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Whether a batch of the present epoch waits.
    pub has_live: bool,
    /// Whether a batch of an older one does.
    pub has_backlog: bool,
    /// Whether the connection takes another frame.
    pub has_room: bool,
    /// Whether more live batches may be under way and not acknowledged.
    pub is_live_open: bool,
    /// The same for the backlog.
    pub is_backlog_open: bool,
    /// How long until the server's rate allows another batch.
    pub pace: Duration,
    /// How long until the backlog's own budget does.
    pub backlog_pace: Duration,
}

/// What is sent next, or what sending waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Live,
    Backlog,
    /// There is nothing, or an acknowledgement has to come first.
    Nothing,
    /// The connection has to take some frames first.
    Room,
    Later(Duration),
}

/// Chooses what goes next.
///
/// 1 - While the connection takes nothing, nothing does.
/// 2 - A live batch goes before any of the backlog. One that waits for an acknowledgement or for
///     the server's rate holds the backlog back as well: it must not be overtaken for want of room.
/// 3 - A batch of the backlog goes if its own window is open and both rates allow it.
/// 4 - A live batch that comes while the backlog waits does not wait with it: ask again.
pub fn next(offer: &Offer) -> Next {
    let has_backlog = offer.has_backlog && offer.is_backlog_open;
    let (next, wait) = match (offer.has_live, has_backlog) {
        (true, _) if !offer.is_live_open => return Next::Nothing,
        (true, _) => (Next::Live, offer.pace),
        (false, true) => (Next::Backlog, offer.pace.max(offer.backlog_pace)),
        (false, false) => return Next::Nothing,
    };
    if !offer.has_room {
        Next::Room
    } else if wait.is_zero() {
        next
    } else {
        Next::Later(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of an offer: `live`, `backlog`, `full` (no room), `live-shut`, `backlog-shut` (too
    /// much under way), `pace=MS`, `budget=MS`.
    #[track_caller]
    fn check(offer: &str, expected: &str) {
        let has = |word: &str| offer.split(' ').any(|w| w == word);
        let ms = |key: &str| {
            let value = offer.split(' ').find_map(|w| w.strip_prefix(key));
            Duration::from_millis(value.map_or(0, |ms| ms.parse().unwrap()))
        };
        let offer = Offer {
            has_live: has("live"),
            has_backlog: has("backlog"),
            has_room: !has("full"),
            is_live_open: !has("live-shut"),
            is_backlog_open: !has("backlog-shut"),
            pace: ms("pace="),
            backlog_pace: ms("budget="),
        };
        assert_eq!(format!("{:?}", next(&offer)), expected);
    }

    #[test]
    fn live_goes_first_and_the_backlog_fills_what_is_left() {
        check("", "Nothing");
        check("live", "Live");
        check("backlog", "Backlog");
        check("live backlog", "Live");
        check("live backlog budget=900", "Live");
        check("live backlog backlog-shut", "Live");
        check("backlog backlog-shut", "Nothing");
        check("backlog live-shut", "Backlog");
    }

    #[test]
    fn the_backlog_never_overtakes_a_live_batch_that_waits() {
        check("live backlog live-shut", "Nothing");
        check("live backlog pace=20", "Later(20ms)");
        check("live backlog full", "Room");
    }

    #[test]
    fn the_backlog_keeps_to_both_rates() {
        check("backlog pace=20", "Later(20ms)");
        check("backlog budget=900", "Later(900ms)");
        check("backlog pace=20 budget=900", "Later(900ms)");
        check("backlog full budget=900", "Room");
    }
}
