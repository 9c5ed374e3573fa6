//! How large a thing may be. A sender keeps within; a receiver refuses what does not.
//!
//! The figures of the public contract are said again in `agent.proto`.

use std::time::Duration;

use model::Tier;

/// The version of the contract that `Hello` names.
pub const PROTOCOL_VERSION: u32 = 1;

/// A frame, encoded. Both ends give it to their gRPC codec, which refuses before it reads.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// The payload of a batch as sent: half a frame, so that the rest of the frame always fits.
pub const SEALED_BYTES_MAX: usize = 512 * 1024;
/// The payload of a batch, inflated: 20,000 rounds need less than 600 KiB, facts and metrics more.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rounds of a batch, and entries of any list in a payload: an empty entry costs a sender two
/// bytes and a receiver up to eighty, so bytes alone do not bound memory.
pub const ROUNDS_MAX: usize = 20_000;
/// A text: a reason, a version, a host name.
pub const TEXT_BYTES_MAX: usize = 256;
/// Packets in a round or a confirm burst.
pub const PACKETS_MAX: u8 = Tier::PACKETS_MAX;
/// Probes in one part of an assignment: with names of 253 bytes they stay below a frame.
pub const PART_PROBES_MAX: usize = 2_000;
/// Parts of one assignment: a million probes.
pub const PARTS_MAX: u32 = 500;
/// Tiers in one assignment.
pub const TIERS_MAX: usize = 1_000;
/// Reasons in one `AssignmentApplied`.
pub const APPLIED_REFUSED_MAX: usize = 100;
/// Drops told in one batch; a sender joins the rest into the last.
pub const DROPS_MAX: usize = 16;
/// Marks in one `Welcome`: an agent gets an epoch a stream, and keeps batches of some hours.
pub const MARKS_MAX: usize = 64;
/// The arguments of a trace: a name and some numbers.
pub const TRACE_ORDER_BYTES_MAX: usize = 1024;
/// Hops told of one trace: 16 flows of 64 hops.
pub const TRACE_HOPS_MAX: usize = 1024;
/// The output of one update: as many hops with eight addresses each, which no network has, stay
/// below half a frame.
pub const TRACE_REPORT_BYTES_MAX: usize = 512 * 1024;
/// A certificate or a certificate request, DER: far above any with one key.
pub const DER_BYTES_MAX: usize = 16 * 1024;

/// How long a spool may keep a batch that is not acknowledged: as long as the server remembers
/// which batches it has, so that none counts twice.
pub const SPOOL_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often an agent says that it lives, unless `Welcome` says otherwise.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// HTTP/2 pings in both directions: shorter than what network address translation forgets after.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// No answer to a ping for this long ends the connection.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open stream that was not heard for this long, three heartbeats, no longer holds its agent.
pub const LEASE_MAX: Duration = Duration::from_secs(15);
/// A copy has to wait until its original was not heard for this long: longer than a restart takes,
/// short enough for a machine that was restored from a snapshot and has no original any more.
pub const HOLD_MAX: Duration = Duration::from_secs(300);
/// A backlog that is not older goes before live batches, not beside them: nobody waits for so
/// little, and rounds that come in order need no second judgement.
pub const RECENT_MAX: Duration = Duration::from_secs(15);
/// A round is over this long after it began, its confirm burst included. For so long after it was
/// welcomed beside a backlog an agent still puts what it learns behind that: a round that began
/// before the server heard the agent again belongs to the past, and must not come before it.
pub const ROUND_MAX: Duration = Duration::from_secs(5);

/// The name in the server's certificate, whatever address an agent dials.
pub const SERVER_NAME: &str = "server.faultline.internal";
