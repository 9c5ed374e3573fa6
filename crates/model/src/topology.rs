//! The words for a network's parts, how its paths were learned, what devices report, and how a
//! part can fail.
//!
//! Each has a pinned text form: case files, the API and the store write it the same way.

use std::fmt;

macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            pub fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }

            pub fn parse(text: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;

words! {
    /// What a part of the network is.
    ElementKind {
        Device = "device",
        /// One port of a device.
        Interface = "interface",
        Link = "link",
        /// Several links that work as one.
        Lag = "lag",
        /// A place: what stands there shares its power.
        Site = "site",
        /// A shared risk: a conduit, a ring, a power feed.
        Srlg = "srlg",
        /// A transit or peering session and everything behind it.
        Upstream = "upstream",
        Agent = "agent",
        /// What connects an agent's host with its first device.
        AgentUplink = "agent_uplink",
        Target = "target",
    }
}

words! {
    /// What an element is for, or what sort of its kind it is.
    ElementRole {
        Core = "core",
        Edge = "edge",
        Aggregation = "aggregation",
        Access = "access",
        /// Terminates subscribers' sessions (PPPoE).
        Concentrator = "concentrator",
        CustomerEdge = "customer_edge",
        /// A link that is a cable, a fibre or a radio.
        Physical = "physical",
        /// A link over others: a tunnel, a circuit.
        Logical = "logical",
        /// An upstream that carries everything.
        Transit = "transit",
        Peering = "peering",
        /// A shared risk: fibres in one trench.
        Conduit = "conduit",
        Ring = "ring",
        Power = "power",
    }
}

impl ElementRole {
    /// The kinds of element that can have it.
    pub fn kinds(self) -> &'static [ElementKind] {
        match self {
            ElementRole::Core
            | ElementRole::Edge
            | ElementRole::Aggregation
            | ElementRole::Access
            | ElementRole::Concentrator
            | ElementRole::CustomerEdge => &[ElementKind::Device],
            ElementRole::Physical | ElementRole::Logical => {
                &[ElementKind::Link, ElementKind::Lag, ElementKind::AgentUplink]
            }
            ElementRole::Transit | ElementRole::Peering => &[ElementKind::Upstream],
            ElementRole::Conduit | ElementRole::Ring | ElementRole::Power => &[ElementKind::Srlg],
        }
    }

    /// The roles that an element of a kind can have.
    pub fn of(kind: ElementKind) -> impl Iterator<Item = ElementRole> {
        ElementRole::ALL.iter().copied().filter(move |role| role.kinds().contains(&kind))
    }
}

words! {
    /// How a path was learned; the order is how far it is trusted.
    PathSource {
        /// Said by the operator.
        Pinned = "pinned",
        /// Walked by a trace with a constant flow.
        Trace = "trace",
        /// Computed from links and costs.
        Spf = "spf",
        /// Was true once.
        LastKnown = "last_known",
        /// Guessed from who neighbours whom.
        Neighbour = "neighbour",
        Unknown = "unknown",
    }
}

words! {
    /// What a device, or somebody who asks it, reports.
    FactKind {
        InterfaceDown = "interface_down",
        InterfaceUp = "interface_up",
        OspfNeighborDown = "ospf_neighbor_down",
        OspfNeighborUp = "ospf_neighbor_up",
        BgpDown = "bgp_down",
        BgpUp = "bgp_up",
        BfdDown = "bfd_down",
        BfdUp = "bfd_up",
        /// The device's own management does not answer an agent.
        UnreachableFrom = "unreachable_from",
        ReachableFrom = "reachable_from",
        /// Its uptime began anew.
        Restarted = "restarted",
        ErrorsRising = "errors_rising",
        ConfigChanged = "config_changed",
        PowerLost = "power_lost",
        /// Subscribers' sessions ended all at once.
        SessionsDropped = "sessions_dropped",
    }
}

impl FactKind {
    /// What it is about: of reports about one thing, the newer replaces the older. One that is
    /// no state but an event has a topic of its own.
    pub fn topic(self) -> &'static str {
        match self {
            FactKind::InterfaceDown | FactKind::InterfaceUp => "interface",
            FactKind::OspfNeighborDown | FactKind::OspfNeighborUp => "ospf_neighbor",
            FactKind::BgpDown | FactKind::BgpUp => "bgp",
            FactKind::BfdDown | FactKind::BfdUp => "bfd",
            FactKind::UnreachableFrom | FactKind::ReachableFrom => "management",
            FactKind::Restarted
            | FactKind::ErrorsRising
            | FactKind::ConfigChanged
            | FactKind::PowerLost
            | FactKind::SessionsDropped => self.as_str(),
        }
    }

    /// Whether it holds until the contrary is reported. The others happen, and are over.
    pub fn is_state(self) -> bool {
        self.topic() != self.as_str()
    }

    /// Whether it is of something bad: that something went, or happened.
    pub fn is_bad(self) -> bool {
        match self {
            FactKind::InterfaceDown
            | FactKind::OspfNeighborDown
            | FactKind::BgpDown
            | FactKind::BfdDown
            | FactKind::UnreachableFrom
            | FactKind::Restarted
            | FactKind::ErrorsRising
            | FactKind::ConfigChanged
            | FactKind::PowerLost
            | FactKind::SessionsDropped => true,
            FactKind::InterfaceUp
            | FactKind::OspfNeighborUp
            | FactKind::BgpUp
            | FactKind::BfdUp
            | FactKind::ReachableFrom => false,
        }
    }

    /// Whether it is of what routers tell one another, which is not what becomes of packets.
    pub fn is_control_plane(self) -> bool {
        matches!(
            self,
            FactKind::OspfNeighborDown
                | FactKind::OspfNeighborUp
                | FactKind::BgpDown
                | FactKind::BgpUp
        )
    }
}

words! {
    /// How a part of the network fails.
    FaultMode {
        Down = "down",
        Lossy = "lossy",
        Slow = "slow",
        /// It carries one direction only.
        OneWay = "one_way",
        /// It is down, and everything goes another way.
        Reroute = "reroute",
        Flapping = "flapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        for kind in ElementKind::ALL {
            assert_eq!(ElementKind::parse(kind.as_str()), Some(*kind));
        }
        for kind in FactKind::ALL {
            assert_eq!(FactKind::parse(kind.as_str()), Some(*kind));
            let contrary = FactKind::ALL.iter().filter(|of| of.topic() == kind.topic()).count();
            assert_eq!(contrary, if kind.is_state() { 2 } else { 1 }, "{}", kind.as_str());
        }
        assert_eq!(PathSource::parse("last_known"), Some(PathSource::LastKnown));
        assert_eq!(FaultMode::parse("one_way"), Some(FaultMode::OneWay));
        assert_eq!(ElementRole::parse("concentrator"), Some(ElementRole::Concentrator));
        assert_eq!(ElementKind::parse("Device"), None);
    }
}
