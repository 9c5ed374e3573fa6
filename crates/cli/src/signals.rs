//! Every way to be told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, a service manager, a terminal that was closed.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    pub(crate) fn new() -> io::Result<Signals> {
        let of = |kind: SignalKind| signal(kind);
        let (hangup, terminate) = (of(SignalKind::hangup())?, of(SignalKind::terminate())?);
        Ok(Signals([of(SignalKind::interrupt())?, terminate, hangup]))
    }

    pub(crate) async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
            _ = hangup.recv() => (),
        }
    }
}
