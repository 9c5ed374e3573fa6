//! What a target is reached by: an IP address or a DNS name.

use std::{fmt, net::IpAddr};

/// Where a probe is sent: a literal address, or a name that the agent resolves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    Ip(IpAddr),
    Name(Hostname),
}

/// A DNS name as operators type it: RFC 1123 labels, no trailing dot, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Box<str>);

/// Why a text is not an [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address is an IPv4 or IPv6 address or a DNS name; this one is empty")]
    Empty,
    #[error("a DNS name has at most {} bytes", Hostname::BYTES_MAX)]
    TooLong,
    #[error(
        "neither an IP address nor a DNS name (labels of letters, digits and `-`, joined by dots)"
    )]
    BadName,
    #[error("looks like an IPv4 address but is none")]
    BadIpv4,
    #[error("{0} cannot be watched: it is not the address of one host")]
    NotUnicast(IpAddr),
    #[error(
        "{0} is a link-local address, which means nothing without the interface it is reached by: \
         give a global or unique local address of that host"
    )]
    LinkLocal(IpAddr),
}

impl Hostname {
    /// RFC 1035, 2.3.4, less the length bytes.
    pub const BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;

    fn parse(text: &str) -> Result<Hostname, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if Hostname::BYTES_MAX < text.len() {
            return Err(AddressError::TooLong);
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= Hostname::LABEL_BYTES_MAX
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !text.split('.').all(is_label) {
            return Err(AddressError::BadName);
        }
        // RFC 3696, 2: a top-level domain is never all digits, so this was meant as an address.
        if text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit())) {
            return Err(AddressError::BadIpv4);
        }
        Ok(Hostname(text.to_ascii_lowercase().into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// Parses what was stored or sent; for what an operator types see [`Address::parse_target`].
    ///
    /// # Errors
    ///
    /// [`AddressError`] if it is neither, or an address that no single host answers on
    /// (unspecified, multicast, broadcast).
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        match text.parse::<IpAddr>() {
            Ok(ip) => {
                let ip = ip.to_canonical();
                let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
                if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
                    return Err(AddressError::NotUnicast(ip));
                }
                Ok(Address::Ip(ip))
            }
            Err(_) => Hostname::parse(text).map(Address::Name),
        }
    }

    /// Parses what an operator gives as the address of a target.
    ///
    /// # Errors
    ///
    /// As [`Address::parse`], and for an address that each link has anew (link-local of IPv6),
    /// with a zone or without: interfaces are called otherwise on every agent's host.
    pub fn parse_target(text: &str) -> Result<Address, AddressError> {
        let (bare, _zone) = text.split_once('%').unwrap_or((text, ""));
        match bare.trim().parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
                Err(AddressError::LinkLocal(ip.into()))
            }
            _ => Address::parse(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(ip) => ip.fmt(f),
            Address::Name(name) => name.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, AddressError>) {
        let address = Address::parse_target(text);
        assert_eq!(address.map(|a| a.to_string()), expected.map(str::to_owned));
    }

    #[test]
    fn addresses_and_names() {
        check("192.0.2.1", Ok("192.0.2.1"));
        check(" 2001:DB8::1 ", Ok("2001:db8::1"));
        check("::ffff:192.0.2.1", Ok("192.0.2.1"));
        check("Core1.Example.NET.", Ok("core1.example.net"));
    }

    #[test]
    fn what_nobody_can_answer_on() {
        check("", Err(AddressError::Empty));
        check("192.0.2.300", Err(AddressError::BadIpv4));
        check("0.0.0.0", Err(AddressError::NotUnicast([0, 0, 0, 0].into())));
        check("255.255.255.255", Err(AddressError::NotUnicast([255, 255, 255, 255].into())));
        check("::", Err(AddressError::NotUnicast("::".parse().unwrap())));
        check("224.0.0.1", Err(AddressError::NotUnicast([224, 0, 0, 1].into())));
        check("ff02::1", Err(AddressError::NotUnicast("ff02::1".parse().unwrap())));
        check("a..b", Err(AddressError::BadName));
        check("http://x", Err(AddressError::BadName));
        check("10.0.0.0/8", Err(AddressError::BadName));
    }
    #[test]
    fn what_each_link_has_anew_is_refused_with_the_remedy() {
        let link_local = || Err(AddressError::LinkLocal("fe80::1".parse().unwrap()));
        check("fe80::1", link_local());
        check("FE80::1%eth0", link_local());
        check("fd00::1", Ok("fd00::1"));
        check("169.254.1.1", Ok("169.254.1.1"));
        let told = Address::parse_target("fe80::1").unwrap_err().to_string();
        assert!(told.ends_with("give a global or unique local address of that host"), "{told}");
    }
}
