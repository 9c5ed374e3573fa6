//! The open sockets, one for each family, and what to say when there are none.

use std::{os::fd::AsRawFd, time::Duration};

use model::{NotAsked, Tick};
use sense::{Family, Prober};
use socket2::Socket;

use super::socket::{Kind, OpenError, open};

/// Between two attempts to open what is not open: soon enough after the remedy was typed.
const REOPEN_INTERVAL: Duration = Duration::from_secs(5);

/// It lasts until the next restart and works for a running agent, unlike `setcap`, which needs a
/// new start and is lost with every new binary.
const REMEDY: &str = "sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"";

/// One open socket.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: Socket,
    pub(super) kind: Kind,
    /// The kernel's own count of packets it threw away, as last read.
    pub(super) drops_seen: u32,
}

impl Port {
    pub(super) fn fd(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) v4: Result<Port, OpenError>,
    pub(super) v6: Result<Port, OpenError>,
    ident: u16,
    reopen_at: Tick,
    /// Whether the prober knows of what kind the sockets are.
    is_announced: bool,
}

impl Ports {
    pub(super) fn open(ident: u16, now: Tick) -> Ports {
        Ports {
            v4: open_port(Family::V4, ident),
            v6: open_port(Family::V6, ident),
            ident,
            reopen_at: now + REOPEN_INTERVAL,
            is_announced: false,
        }
    }

    /// Tries again, from time to time, what is not open.
    pub(super) fn refresh(&mut self, prober: &mut Prober, now: Tick) {
        if !self.is_announced {
            self.announce(prober);
        }
        if now < self.reopen_at || (self.v4.is_ok() && self.v6.is_ok()) {
            return;
        }
        self.reopen_at = now + REOPEN_INTERVAL;
        if self.v4.is_err() {
            self.v4 = open_port(Family::V4, self.ident);
        }
        if self.v6.is_err() {
            self.v6 = open_port(Family::V6, self.ident);
        }
        self.announce(prober);
    }

    fn announce(&mut self, prober: &mut Prober) {
        self.is_announced = true;
        for (family, port) in [(Family::V4, &self.v4), (Family::V6, &self.v6)] {
            let is_foreign = port.as_ref().is_ok_and(|port| port.kind == Kind::Datagram);
            prober.set_ident_foreign(family, is_foreign);
        }
    }

    /// Says in words why nothing can be asked; `None` if one family can.
    ///
    /// A host without one of the families is not impeded: most have only version 4.
    pub(super) fn impediment(&self) -> Option<String> {
        let (Err(v4), Err(v6)) = (&self.v4, &self.v6) else {
            return None;
        };
        match (v4, v6) {
            (OpenError::Permission(_), _) | (_, OpenError::Permission(_)) => Some(format!(
                "the agent may not send ICMP; this command lets it, without a restart: {REMEDY}"
            )),
            (OpenError::Unavailable(v4), OpenError::Unavailable(v6)) => Some(format!(
                "the host gives no ICMP socket (IPv4: {v4}; IPv6: {v6}); load its network modules"
            )),
        }
    }
}

impl From<&OpenError> for NotAsked {
    fn from(error: &OpenError) -> NotAsked {
        match error {
            OpenError::Permission(_) => NotAsked::Permission,
            OpenError::Unavailable(_) => NotAsked::Socket,
        }
    }
}

fn open_port(family: Family, ident: u16) -> Result<Port, OpenError> {
    let port = open(family, ident).map(|(socket, kind)| Port { socket, kind, drops_seen: 0 });
    match &port {
        Ok(port) => tracing::info!(?family, kind = ?port.kind, "ICMP socket open"),
        Err(error) => tracing::debug!(?family, ?error, "ICMP socket not open"),
    }
    port
}
