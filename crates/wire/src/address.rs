//! Where a server is reached, as tokens and configurations of both sides say it.

use std::net::SocketAddr;

use model::Address;

/// Whether a text is `host:port`: an IP address, in brackets if it is of IPv6, or a name; and a
/// port that can be dialled. The server advertises nothing that an agent would refuse.
pub fn is_host_port(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
    is_port && !host.contains(':') && Address::parse(host).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_port_that_can_be_dialled() {
        for good in ["192.0.2.1:7481", "[::1]:7481", "monitor.example.net:1", "a:1"] {
            assert!(is_host_port(good), "{good}");
        }
        for bad in ["a", "a:0", "192.0.2.1:0", "[::1]:0", "a:99999", ":1", "::1:7481", "a b:1"] {
            assert!(!is_host_port(bad), "{bad}");
        }
    }
}
