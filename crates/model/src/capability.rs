//! What an agent can ask.

use std::net::IpAddr;

use crate::Address;

/// What an agent says at the start of a stream that its host lets it ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capabilities(pub u8);

impl Capabilities {
    /// It can send ICMP echoes over IPv4.
    pub const ICMP_V4: Capabilities = Capabilities(1);
    /// It can send ICMP echoes over IPv6.
    pub const ICMP_V6: Capabilities = Capabilities(2);
    /// All bits with a meaning.
    pub const KNOWN: Capabilities = Capabilities(3);

    /// Those of which an agent needs at least one to ask this address: a name may stand for an
    /// address of either family, and only the agent that resolves it learns which.
    pub fn needed_for(address: &Address) -> Capabilities {
        match address {
            Address::Ip(IpAddr::V4(_)) => Capabilities::ICMP_V4,
            Address::Ip(IpAddr::V6(_)) => Capabilities::ICMP_V6,
            Address::Name(_) => Capabilities::ICMP_V4.with(Capabilities::ICMP_V6),
        }
    }

    /// Whether at least one of `needed` is there.
    pub fn meets(self, needed: Capabilities) -> bool {
        self.0 & needed.0 != 0
    }

    #[must_use]
    pub fn with(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, v4: bool, v6: bool) {
        let needed = Capabilities::needed_for(&Address::parse(address).expect("an address"));
        let met = [Capabilities::ICMP_V4, Capabilities::ICMP_V6].map(|has| has.meets(needed));
        assert_eq!(met, [v4, v6], "{address}");
        assert!(!Capabilities::default().meets(needed) && Capabilities::KNOWN.meets(needed));
    }

    #[test]
    fn an_address_needs_its_family_and_a_name_any() {
        check("192.0.2.1", true, false);
        check("2001:db8::1", false, true);
        check("core1.example.net", true, true);
    }
}
