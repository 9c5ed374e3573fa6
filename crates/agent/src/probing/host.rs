//! What the host says of itself: its next hop, its own addresses, the families it can use.

use std::{
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

/// Bytes read of a routing table: the default routes stand first or not far behind, and a host
/// with a full table of the internet must not cost 100 MB every few seconds.
const TABLE_BYTES_MAX: u64 = 1 << 20;
/// Own addresses taken: more than any host we know of has.
const ADDRESSES_MAX: usize = 4096;

const ROUTE_UP: u32 = 1;
const ROUTE_GATEWAY: u32 = 2;

/// The host's next hop towards everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) address: IpAddr,
    /// The link it is on, for link-local addresses.
    pub(super) interface_index: u32,
}

/// The state of the host's network as far as probing needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) gateway: Option<Gateway>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Host {
    /// Reads it anew. What cannot be read is as if it were not there.
    pub(super) fn read() -> Host {
        let v4 = default_route_v4(&read_table("/proc/net/route"));
        let found = v4.or_else(|| default_route_v6(&read_table("/proc/net/ipv6_route")));
        let gateway = found.map(|(address, interface)| Gateway {
            address,
            interface_index: if_nametoindex(interface.as_str()).unwrap_or(0),
        });
        let interfaces = getifaddrs().into_iter().flatten();
        let addresses = interfaces
            .filter_map(|interface| {
                let address = interface.address?;
                let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
            })
            .take(ADDRESSES_MAX)
            .collect();
        Host { gateway, addresses }
    }

    /// Says which families lead beyond this host; both, if none does.
    pub(super) fn families(&self) -> (bool, bool) {
        let leads = |address: &&IpAddr| match address {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        };
        let v4 = self.addresses.iter().filter(leads).any(IpAddr::is_ipv4);
        let v6 = self.addresses.iter().filter(leads).any(IpAddr::is_ipv6);
        if v4 || v6 { (v4, v6) } else { (true, true) }
    }
}

fn read_table(path: &str) -> String {
    let mut text = String::new();
    match File::open(path).and_then(|f| f.take(TABLE_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => text,
        Err(error) => {
            tracing::debug!(%error, path, "cannot read a routing table");
            String::new()
        }
    }
}

/// Finds the default route with a next hop and the lowest metric in `/proc/net/route`.
fn default_route_v4(table: &str) -> Option<(IpAddr, String)> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [interface, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        let is_default = hex(destination)? == 0 && hex(mask)? == 0;
        let is_gateway = hex(flags)? & (ROUTE_UP | ROUTE_GATEWAY) == ROUTE_UP | ROUTE_GATEWAY;
        // The kernel prints the bytes of an address as one number of this machine.
        let address = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
        let metric: u32 = metric.parse().ok()?;
        (is_default && is_gateway).then(|| (metric, IpAddr::V4(address), interface.to_owned()))
    });
    routes.min().map(|(_, address, interface)| (address, interface))
}

/// The same in `/proc/net/ipv6_route`.
fn default_route_v6(table: &str) -> Option<(IpAddr, String)> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, length, _, _, gateway, metric, _, _, flags, interface] = fields[..]
        else {
            return None;
        };
        let hex = |text: &str| u32::from_str_radix(text, 16).ok();
        let address = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        let is_default = hex(length)? == 0 && u128::from_str_radix(destination, 16).ok()? == 0;
        let is_gateway = hex(flags)? & (ROUTE_UP | ROUTE_GATEWAY) == ROUTE_UP | ROUTE_GATEWAY;
        (is_default && is_gateway && !address.is_unspecified())
            .then(|| Some((hex(metric)?, IpAddr::V6(address), interface.to_owned())))?
    });
    routes.min().map(|(_, address, interface)| (address, interface))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_is_the_gateway() {
        let table = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t0101A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0
eth0\t00000000\t010A0A0A\t0003\t0\t0\t100\t00000000\t0\t0\t0
ppp0\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0
eth0\t000A0A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
        let expected = (IpAddr::from([10, 10, 10, 1]), "eth0".to_owned());
        assert_eq!(default_route_v4(table), Some(expected));
        assert_eq!(default_route_v4("nonsense\n\n1 2 3 4 5 6 7 8 9\n"), None);
    }

    #[test]
    fn a_reject_route_is_no_gateway() {
        let zeros = "0".repeat(32);
        let gateway = "fe800000000000000000000000000001";
        let table = format!(
            "{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200 lo\n\
             {zeros} 00 {zeros} 00 {gateway} 00000400 00000001 00000000 00000003 eth0\n"
        );
        let expected = ("fe80::1".parse().expect("an address"), "eth0".to_owned());
        assert_eq!(default_route_v6(&table), Some(expected));
    }
}
