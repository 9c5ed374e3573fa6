//! Codecs: what is written is read back, and nothing that arrives can make them panic.

use std::net::IpAddr;

use proptest::prelude::*;
use sense::{
    Family, Key,
    icmp::{self, Message},
    key::Stamp,
};

use crate::world::reply;

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        family in families(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _parsed = icmp::parse(family, &bytes);
        let _request = icmp::parse_request(family, &bytes);
        let _body = icmp::strip_ipv4_header(&bytes);
        prop_assert_eq!(Key::new([1; 16]).open(&bytes, 1), None);
    }

    #[test]
    fn a_truncated_or_altered_error_never_panics(
        family in families(),
        kind in 0_u8..15,
        cut in 0_usize..120,
        noise in prop::collection::vec((0_usize..120, any::<u8>()), 0..4),
    ) {
        let mut bytes = vec![0_u8; 120];
        bytes[0] = kind;
        bytes[8] = if family == Family::V4 { 0x45 } else { 0x60 };
        for (at, value) in noise {
            bytes[at] = value;
        }
        bytes.truncate(cut);
        let _parsed = icmp::parse(family, &bytes);
    }

    #[test]
    fn a_request_comes_back_as_the_reply_to_it(
        family in families(),
        ident: u16,
        sequence: u16,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut packet = vec![0_u8; icmp::HEADER_BYTES];
        packet.extend_from_slice(&payload);
        icmp::seal_request(family, ident, sequence, &mut packet);
        let request = icmp::parse_request(family, &packet).expect("a request");
        prop_assert_eq!((request.ident, request.sequence), (ident, sequence));
        prop_assert_eq!(request.payload, &payload[..]);
        let to: IpAddr = match family {
            Family::V4 => [10, 0, 0, 1].into(),
            Family::V6 => [0_u16; 8].into(),
        };
        let reply = reply(to, &packet);
        prop_assert_eq!(icmp::parse(family, &reply), Some(Message::EchoReply(request)));
    }

    #[test]
    fn a_reply_with_a_wrong_bit_is_refused(bit in 0_usize..8 * 64, sequence: u16) {
        let key = Key::new([3; 16]);
        let stamp = Stamp { slot: 5, round: 6, tick_us: 7, index: 8 };
        let mut packet = vec![0_u8; icmp::HEADER_BYTES];
        packet.extend_from_slice(&key.seal(stamp, sequence));
        packet.resize(64, 0);
        icmp::seal_request(Family::V4, 1, sequence, &mut packet);
        let mut reply = reply([10, 0, 0, 1].into(), &packet);
        reply[bit / 8] ^= 1 << (bit % 8);
        let is_reply = matches!(icmp::parse(Family::V4, &reply), Some(Message::EchoReply(_)));
        // The code of a reply is in nobody's use, but its checksum covers it.
        prop_assert!(!is_reply);
    }

    #[test]
    fn stamps_read_back_and_only_with_their_key_and_sequence(
        slot: u32, round: u32, tick_us: u32, index: u8, sequence: u16, other: u16,
    ) {
        let key = Key::new([7; 16]);
        let stamp = Stamp { slot, round, tick_us, index };
        let sealed = key.seal(stamp, sequence);
        prop_assert_eq!(key.open(&sealed, sequence), Some(stamp));
        prop_assert_eq!(Key::new([8; 16]).open(&sealed, sequence), None);
        if other != sequence {
            prop_assert_eq!(key.open(&sealed, other), None);
        }
    }
}

#[test]
fn the_checksum_is_that_of_rfc_1071() {
    assert_eq!(icmp::checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    assert_eq!(icmp::checksum(&[0x01]), !0x0100);
    assert_eq!(icmp::checksum(&[]), 0xFFFF);
}
