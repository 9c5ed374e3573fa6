//! Which stream holds an agent, if two say that they are it. Pure: times are passed in.

use std::net::SocketAddr;

use model::UtcMicros;
use wire::limits::{HOLD_MAX, LEASE_MAX};

/// A stream that wants to be the agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) from: Option<SocketAddr>,
    pub(crate) hostname: String,
    /// Made anew at every start of a process.
    pub(crate) instance: [u8; 16],
    /// The known spool, at an epoch older than one that it has used: a copy, or restored from an
    /// older state. Then, when its original was last heard.
    pub(crate) original_heard_at: Option<UtcMicros>,
}

/// The stream that is the agent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder<'a> {
    pub(super) claim: &'a Claim,
    /// `None` while the server does not listen: it is held back, and its silence says nothing.
    pub(super) heard_at: Option<UtcMicros>,
}

/// Why a claim is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// By a stream that is heard.
    By { from: Option<SocketAddr>, hostname: String },
    /// For the original of this spool, which was heard a moment ago.
    ForOriginal,
}

/// Decides whether a new stream takes the agent.
///
/// 1 - A stream holds it and was heard within [`LEASE_MAX`]: taken only by the same process, which
///     then has moved, whatever its address.
/// 2 - Otherwise nobody holds it. A copy is refused until its original was not heard for
///     [`HOLD_MAX`]: it must not slip in while that restarts.
/// 3 - Otherwise it is taken.
pub(super) fn decide(
    holder: Option<Holder<'_>>,
    claim: &Claim,
    now: UtcMicros,
) -> Result<(), Held> {
    let heard = holder.filter(|h| h.heard_at.is_none_or(|at| now.since(at) <= LEASE_MAX));
    if let Some(Holder { claim: held, .. }) = heard {
        if held.instance == claim.instance {
            return Ok(());
        }
        return Err(Held::By { from: held.from, hostname: held.hostname.clone() });
    }
    if claim.original_heard_at.is_some_and(|at| now.since(at) <= HOLD_MAX) {
        return Err(Held::ForOriginal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMicros = UtcMicros(1_000_000_000_000);

    fn claim(process: u8, host: u8, original_ago_s: Option<u64>) -> Claim {
        let ago = |s| NOW - std::time::Duration::from_secs(s);
        Claim {
            from: Some(SocketAddr::from(([192, 0, 2, host], 5_000))),
            hostname: format!("host{host}"),
            instance: [process; 16],
            original_heard_at: original_ago_s.map(ago),
        }
    }

    /// Process 1 on host 1 holds the agent and was heard so long ago; another claims it.
    #[track_caller]
    fn check(held: Option<Option<u64>>, claim: &Claim, expected: &str) {
        let first = self::claim(1, 1, None);
        let holder = held.map(|ago| Holder {
            claim: &first,
            heard_at: ago.map(|s| NOW - std::time::Duration::from_secs(s)),
        });
        let told = match decide(holder, claim, NOW) {
            Ok(()) => "taken".to_owned(),
            Err(Held::By { hostname, .. }) => format!("held by {hostname}"),
            Err(Held::ForOriginal) => "held for its original".to_owned(),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn who_is_heard_is_not_disturbed() {
        check(None, &claim(2, 2, None), "taken");
        check(Some(Some(3)), &claim(2, 2, None), "held by host1");
        check(Some(Some(15)), &claim(2, 2, None), "held by host1");
        check(Some(Some(16)), &claim(2, 2, None), "taken");
        // Held back by the server itself.
        check(Some(None), &claim(2, 2, None), "held by host1");
    }

    #[test]
    fn who_moves_is_not_locked_out() {
        check(Some(Some(3)), &claim(1, 9, None), "taken");
        check(Some(None), &claim(1, 9, None), "taken");
    }

    #[test]
    fn a_copy_does_not_slip_in_while_its_original_restarts_and_is_not_kept_out_for_ever() {
        check(None, &claim(2, 2, Some(30)), "held for its original");
        check(Some(Some(60)), &claim(2, 2, Some(60)), "held for its original");
        check(Some(Some(3)), &claim(2, 2, Some(3)), "held by host1");
        check(None, &claim(2, 2, Some(301)), "taken");
    }
}
