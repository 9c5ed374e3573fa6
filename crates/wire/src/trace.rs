//! Traces as they travel: the order, and what the agent reports of it.
//!
//! Both ends parse what the other sent: an order from a server is as little trusted as a report.

use std::{net::IpAddr, time::Duration};

use model::{
    Address, HopAnswer, HopEnding, HopNote, TraceEnd, TraceHop, TraceOptions, TraceProtocol,
};
use prost::Message as _;

use crate::{WireError, limits, v1};

/// The kind of a command that orders a trace.
pub const TRACE: &str = "trace";

/// What an agent is to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceOrder {
    pub address: Address,
    pub options: TraceOptions,
}

/// What an agent reports of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceReport {
    /// What is traced, once it is known.
    pub address: Option<IpAddr>,
    pub hops: Vec<TraceHop>,
    pub end: Option<TraceEnd>,
}

fn refuse(field: &'static str, must: &'static str) -> WireError {
    WireError::Trace { field, must }
}

impl TraceOrder {
    /// The arguments of a command.
    pub fn encode(&self) -> Vec<u8> {
        let options = &self.options;
        let protocol = match options.protocol {
            TraceProtocol::Icmp => v1::TraceProtocol::Icmp,
            TraceProtocol::Udp => v1::TraceProtocol::Udp,
        };
        v1::TraceOrder {
            address: self.address.to_string(),
            protocol: protocol.into(),
            flows: options.flows.into(),
            hops_max: options.hops_max.into(),
            rounds: options.rounds.into(),
            timeout_ms: in_ms(options.timeout),
            interval_ms: in_ms(options.interval),
            silent_max: options.silent_max.into(),
        }
        .encode_to_vec()
    }

    /// Reads the arguments of a command.
    ///
    /// # Errors
    ///
    /// [`WireError::Trace`] naming the first field that no trace takes.
    pub fn decode(bytes: &[u8]) -> Result<TraceOrder, WireError> {
        if limits::TRACE_ORDER_BYTES_MAX < bytes.len() {
            return Err(refuse("arguments", "has too many bytes"));
        }
        let order = v1::TraceOrder::decode(bytes);
        let order = order.map_err(|_| refuse("arguments", "is no `TraceOrder`"))?;
        let protocol = match order.protocol() {
            v1::TraceProtocol::Icmp => TraceProtocol::Icmp,
            v1::TraceProtocol::Udp => TraceProtocol::Udp,
            v1::TraceProtocol::Unspecified => {
                return Err(refuse("protocol", "is none that this version knows"));
            }
        };
        let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        let options = TraceOptions {
            protocol,
            flows: byte(order.flows),
            hops_max: byte(order.hops_max),
            rounds: byte(order.rounds),
            timeout: Duration::from_millis(order.timeout_ms.into()),
            interval: Duration::from_millis(order.interval_ms.into()),
            silent_max: byte(order.silent_max),
        };
        options.check().map_err(|error| refuse(error.field, error.must))?;
        let address = Address::parse(&order.address);
        let address = address.map_err(|_| refuse("address", "is no address and no name"))?;
        Ok(TraceOrder { address, options })
    }
}

impl TraceReport {
    /// The output of an update.
    pub fn encode(&self) -> Vec<u8> {
        let end = match self.end {
            None => v1::TraceEnd::Unspecified,
            Some(TraceEnd::Reached) => v1::TraceEnd::Reached,
            Some(TraceEnd::Unreachable) => v1::TraceEnd::Unreachable,
            Some(TraceEnd::Silent) => v1::TraceEnd::Silent,
            Some(TraceEnd::NotAsked) => v1::TraceEnd::NotAsked,
        };
        v1::TraceReport {
            address: self.address.map(octets).unwrap_or_default(),
            hops: self.hops.iter().map(encode_hop).collect(),
            end: end.into(),
        }
        .encode_to_vec()
    }

    /// Reads the output of an update; an empty one says nothing new.
    ///
    /// # Errors
    ///
    /// [`WireError::Trace`] naming the first field that is not within the limits.
    pub fn decode(bytes: &[u8]) -> Result<TraceReport, WireError> {
        if limits::TRACE_REPORT_BYTES_MAX < bytes.len() {
            return Err(refuse("output", "has too many bytes"));
        }
        let report = v1::TraceReport::decode(bytes);
        let report = report.map_err(|_| refuse("output", "is no `TraceReport`"))?;
        if limits::TRACE_HOPS_MAX < report.hops.len() {
            return Err(refuse("hops", "has too many entries"));
        }
        let end = match report.end() {
            v1::TraceEnd::Unspecified => None,
            v1::TraceEnd::Reached => Some(TraceEnd::Reached),
            v1::TraceEnd::Unreachable => Some(TraceEnd::Unreachable),
            v1::TraceEnd::Silent => Some(TraceEnd::Silent),
            v1::TraceEnd::NotAsked => Some(TraceEnd::NotAsked),
        };
        let address = match report.address.is_empty() {
            true => None,
            false => Some(address_of(&report.address)?),
        };
        let hops: Result<Vec<TraceHop>, WireError> = report.hops.iter().map(decode_hop).collect();
        Ok(TraceReport { address, hops: hops?, end })
    }
}

fn encode_hop(hop: &TraceHop) -> v1::TraceHop {
    let note = match hop.note {
        HopNote::Waiting => v1::TraceNote::Unspecified,
        HopNote::Clean => v1::TraceNote::Clean,
        HopNote::RateLimited => v1::TraceNote::RateLimited,
        HopNote::Silent => v1::TraceNote::Silent,
        HopNote::Lossy => v1::TraceNote::Lossy,
        HopNote::Unclear => v1::TraceNote::Unclear,
        HopNote::Dark => v1::TraceNote::Dark,
    };
    let answers = hop.answers.iter().map(|answer| v1::TraceAnswer {
        address: octets(answer.from),
        received: answer.received.into(),
        rtt_us_min: answer.rtt_us_min,
        rtt_us_mean: answer.rtt_us_mean,
        rtt_us_max: answer.rtt_us_max,
    });
    v1::TraceHop {
        flow: hop.flow.into(),
        ttl: hop.ttl.into(),
        sent: hop.sent.into(),
        lost: hop.lost.into(),
        answers: answers.collect(),
        is_target: hop.ending == Some(HopEnding::Reached),
        refused_code_over: match hop.ending {
            Some(HopEnding::Unreachable { code }) => u32::from(code) + 1,
            Some(HopEnding::Reached) | None => 0,
        },
        note: note.into(),
    }
}

fn decode_hop(hop: &v1::TraceHop) -> Result<TraceHop, WireError> {
    let within = |value: u32, max: u8, field| {
        u8::try_from(value).ok().filter(|v| *v <= max).ok_or(refuse(field, "is too high"))
    };
    let count = |value: u32, field| u16::try_from(value).map_err(|_| refuse(field, "is too high"));
    let flow = within(hop.flow, TraceOptions::FLOWS_MAX - 1, "flow")?;
    let ttl = within(hop.ttl, TraceOptions::HOPS_MAX, "ttl")?;
    if ttl == 0 {
        return Err(refuse("ttl", "must be at least 1"));
    }
    if TraceHop::ANSWERS_MAX < hop.answers.len() {
        return Err(refuse("answers", "has more than 8 entries"));
    }
    let mut answers = Vec::with_capacity(hop.answers.len());
    for answer in &hop.answers {
        answers.push(HopAnswer {
            from: address_of(&answer.address)?,
            received: count(answer.received, "received")?,
            rtt_us_min: answer.rtt_us_min,
            rtt_us_mean: answer.rtt_us_mean,
            rtt_us_max: answer.rtt_us_max,
        });
    }
    let ending = match (hop.is_target, hop.refused_code_over.checked_sub(1)) {
        (true, _) => Some(HopEnding::Reached),
        (false, None) => None,
        (false, Some(code)) => {
            Some(HopEnding::Unreachable { code: within(code, u8::MAX, "refused_code_over")? })
        }
    };
    let note = match hop.note() {
        v1::TraceNote::Unspecified => HopNote::Waiting,
        v1::TraceNote::Clean => HopNote::Clean,
        v1::TraceNote::RateLimited => HopNote::RateLimited,
        v1::TraceNote::Silent => HopNote::Silent,
        v1::TraceNote::Lossy => HopNote::Lossy,
        v1::TraceNote::Unclear => HopNote::Unclear,
        v1::TraceNote::Dark => HopNote::Dark,
    };
    let hop = TraceHop {
        flow,
        ttl,
        sent: count(hop.sent, "sent")?,
        lost: count(hop.lost, "lost")?,
        answers,
        ending,
        note,
    };
    if u32::from(hop.sent) < u32::from(hop.lost) + u32::from(hop.received()) {
        return Err(refuse("sent", "is less than what was lost and received"));
    }
    Ok(hop)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address_of(bytes: &[u8]) -> Result<IpAddr, WireError> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| v6()).map_err(|_| refuse("address", "must have 4 or 16 bytes"))
}

fn in_ms(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> TraceReport {
        let answer = |from: &str, received| HopAnswer {
            from: from.parse().expect("an address"),
            received,
            rtt_us_min: 100,
            rtt_us_mean: 150,
            rtt_us_max: 220,
        };
        let hop = |ttl, ending, note, answers| TraceHop {
            flow: 1,
            ttl,
            sent: 5,
            lost: 1,
            answers,
            ending,
            note,
        };
        let refused = Some(HopEnding::Unreachable { code: 0 });
        TraceReport {
            address: Some("2001:db8::9".parse().expect("an address")),
            hops: vec![
                hop(1, None, HopNote::RateLimited, vec![answer("192.0.2.1", 4)]),
                hop(2, refused, HopNote::Lossy, vec![answer("192.0.2.2", 2)]),
                hop(3, Some(HopEnding::Reached), HopNote::Unclear, Vec::new()),
            ],
            end: Some(TraceEnd::Reached),
        }
    }

    #[test]
    fn what_is_sent_is_read_back() {
        assert_eq!(TraceReport::decode(&report().encode()), Ok(report()));
        assert_eq!(TraceReport::decode(&[]), Ok(TraceReport::default()));
        for (text, protocol) in
            [("192.0.2.1", TraceProtocol::Icmp), ("host.example.net", TraceProtocol::Udp)]
        {
            let options = TraceOptions { protocol, ..TraceOptions::default() };
            let order = TraceOrder { address: Address::parse(text).expect("an address"), options };
            assert_eq!(TraceOrder::decode(&order.encode()), Ok(order));
        }
    }

    #[test]
    fn what_no_trace_has_is_refused_by_field() {
        let field = |edit: fn(&mut TraceReport)| {
            let mut report = report();
            edit(&mut report);
            match TraceReport::decode(&report.encode()) {
                Err(WireError::Trace { field, .. }) => Some(field),
                Ok(_) | Err(_) => None,
            }
        };
        assert_eq!(field(|_| ()), None);
        assert_eq!(field(|report| report.hops[0].ttl = 0), Some("ttl"));
        assert_eq!(field(|report| report.hops[0].ttl = 65), Some("ttl"));
        assert_eq!(field(|report| report.hops[0].flow = 16), Some("flow"));
        assert_eq!(field(|report| report.hops[0].sent = 4), Some("sent"));
        let many = |report: &mut TraceReport| {
            report.hops[0].answers = vec![report.hops[0].answers[0]; 9];
        };
        assert_eq!(field(many), Some("answers"));
        let far = |report: &mut TraceReport| report.hops = vec![report.hops[0].clone(); 1_025];
        assert_eq!(field(far), Some("hops"));
        let options = TraceOptions { flows: 0, ..TraceOptions::default() };
        let order = TraceOrder { address: Address::parse("a.example").expect("a name"), options };
        assert_eq!(TraceOrder::decode(&order.encode()), Err(refuse("flows", "must be 1 to 16")));
    }

    #[test]
    fn the_largest_report_fits_its_limit() {
        let answer = HopAnswer {
            from: IpAddr::from([255; 16]),
            received: 8,
            rtt_us_min: u32::MAX,
            rtt_us_mean: u32::MAX,
            rtt_us_max: u32::MAX,
        };
        let hop = TraceHop {
            flow: 15,
            ttl: 64,
            sent: 64,
            lost: 0,
            answers: vec![answer; TraceHop::ANSWERS_MAX],
            ending: None,
            note: HopNote::Clean,
        };
        let hops = vec![hop; limits::TRACE_HOPS_MAX];
        let report = TraceReport { address: None, hops, end: None };
        assert!(report.encode().len() <= limits::TRACE_REPORT_BYTES_MAX);
    }
}
