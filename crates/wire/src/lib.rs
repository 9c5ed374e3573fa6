//! The contract between agent and server: messages, their limits, the columns of a batch.
//!
//! [`v1`] is generated from `proto/`. The modules beside it hold what the schema cannot say: how
//! large a thing may be ([`limits`]), how rounds become columns and come back ([`rounds`]), how a
//! payload is compressed and opened again without trusting it ([`seal()`], [`open`]), what names a
//! batch ([`BatchHead`]), and in which order batches go ([`flow`]).
//!
//! Nothing here knows a clock, a socket or a service: the gRPC stubs live in `agent` and
//! `server`, each with its own half only.

mod address;
mod batch;
mod error;
pub mod flow;
pub mod limits;
pub mod rounds;
mod seal;
pub mod trace;

pub use address::is_host_port;
pub use batch::{Anchor, BatchHead, BootId, Dropped, boot_id};
pub use error::WireError;
pub use seal::{open, seal};

/// Messages of `faultline.agent.v1`, as generated.
#[expect(clippy::large_enum_variant, reason = "one payload a batch: boxing it would save nothing")]
pub mod v1 {
    include!("generated/faultline.agent.v1.rs");
}
