//! The agent: sockets, spool, uplink, enrolment. It asks and never judges.
//!
//! The way of a round: [`probing`] asks with real packets; [`run()`] batches what came back, makes
//! it durable in the spool and sends it over one stream, which the agent dials itself; the spool
//! forgets what the server has acknowledged. What to ask comes down the same stream and is kept,
//! so that an agent goes on by itself when the server is away.
//!
//! Nothing of the server is in here, and nothing is decided here: rounds are numbers.

mod assignment;
mod batcher;
pub mod clock;
pub mod config;
mod dial;
pub mod enroll;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod host;
pub mod identity;
mod lanes;
mod pace;
pub mod probing;
mod run;
mod spool;
pub mod status;
mod tls;
mod token;
mod traces;
mod uplink;

/// The client half of the service, as generated.
#[expect(clippy::allow_attributes_without_reason, unreachable_pub, reason = "generated")]
mod generated {
    include!("generated/faultline.agent.v1.rs");
}

pub use dial::DialError;
pub use run::{Networks, RunError, STOP_MAX, lock_state_dir, run, run_in};
pub use spool::{SpoolError, SpoolLimits};
pub use token::{Token, TokenError};

/// The version of this software.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An error with everything that caused it, for a log line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Transparent wrappers say the same again.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Cuts a text to what the contract takes.
fn limited(text: &str) -> &str {
    let end = text.floor_char_boundary(wire::limits::TEXT_BYTES_MAX);
    text.split_at_checked(end).map_or("", |(text, _)| text)
}
