//! The real network: sockets, and what the host says of itself.

use std::time::Duration;

use model::Tick;
use sense::{Network, NetworkState, Prober, Received, Sent};

use super::{driver::Reach, host::Host, ports::Ports, receive::Receiver, transmit::Transmitter};
use crate::clock::Clock;

/// Between two looks at the host's routes and addresses.
const HOST_INTERVAL: Duration = Duration::from_secs(5);

/// The sockets of both families with what sends and receives through them.
pub(super) struct Sockets {
    clock: Clock,
    ports: Ports,
    transmitter: Transmitter,
    receiver: Receiver,
    host: Host,
    /// `None` before the first look.
    host_read_at: Option<Tick>,
}

/// How a prober reaches the network that this host is in.
pub(super) fn reach(clock: Clock) -> Reach {
    Box::new(move |ident| {
        Box::new(Sockets {
            clock,
            ports: Ports::open(ident, clock.tick()),
            transmitter: Transmitter::new(),
            receiver: Receiver::new(),
            host: Host::default(),
            host_read_at: None,
        })
    })
}

impl Sockets {
    fn read_host(&mut self, prober: &mut Prober, now: Tick) {
        self.host_read_at = Some(now);
        let host = Host::read();
        let (v4, v6) = host.families();
        prober.set_families(v4, v6);
        prober.set_local_addresses(host.addresses.clone());
        prober.set_gateway(host.gateway.map(|gateway| gateway.address), now);
        self.host = host;
    }
}

impl Network for Sockets {
    fn refresh(&mut self, prober: &mut Prober, now: Tick) {
        self.ports.refresh(prober, now);
        if self.host_read_at.is_none_or(|at| HOST_INTERVAL <= now.since(at)) {
            self.read_host(prober, now);
        }
    }

    fn receive(&mut self, prober: &mut Prober, _: Tick) -> Received {
        self.receiver.receive(prober, &mut self.ports, self.clock)
    }

    fn transmit(&mut self, prober: &mut Prober, _: Tick) -> Sent {
        self.transmitter.transmit(prober, &self.ports, self.host.gateway, self.clock)
    }

    fn state(&self) -> NetworkState {
        NetworkState {
            impediment: self.ports.impediment(),
            has_v4: self.ports.v4.is_ok(),
            has_v6: self.ports.v6.is_ok(),
        }
    }
}
