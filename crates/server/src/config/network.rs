//! Networks, as configurations name them.

use std::{fmt, net::IpAddr};

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address. This is the only way to make one.
    ///
    /// # Errors
    ///
    /// What it must be.
    pub fn parse(text: &str) -> Result<Network, &'static str> {
        const MUST: &str = "must be an address or a network, such as `192.0.2.7` or `10.0.0.0/8`";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| MUST)?)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| MUST)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(bits_max);
        if bits_max < bits {
            return Err(MUST);
        }
        Ok(Network { address, bits })
    }

    /// Whether an address is in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differs = u64::from(own.to_bits() ^ ip.to_bits());
                differs >> (32 - self.bits) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differs = own.to_bits() ^ ip.to_bits();
                differs.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network = Network::parse(network).expect("a network");
        let holds = |ip: &&str| network.contains(ip.parse().expect("an address"));
        assert!(inside.iter().all(holds), "{inside:?} in {network}");
        assert!(!outside.iter().any(holds), "{outside:?} not in {network}");
    }

    #[test]
    fn a_network_holds_what_begins_with_its_bits() {
        check("10.0.0.0/8", &["10.255.0.1", "::ffff:10.0.0.1"], &["11.0.0.0", "::1"]);
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.6"]);
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::"]);
        check("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::"]);
        check("::/0", &["::", "ffff::"], &["192.0.2.1"]);
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
    }
}
