//! The contract between agent and server: messages, their limits, the columns of a batch.
//!
//! [`v1`] is generated from `proto/`. The modules beside it hold what the schema cannot say: how
//! large a thing may be ([`limits`]), how rounds become columns ([`rounds`]), how a payload is
//! compressed and opened again without trusting it ([`seal`](mod@seal)).
//!
//! Nothing here knows a clock, a socket or a service: the gRPC stubs live in `agent` and
//! `server`, each with its own half only.

/// Messages of `faultline.agent.v1`, as generated.
pub mod v1 {
    include!("generated/faultline.agent.v1.rs");
}
