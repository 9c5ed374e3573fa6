//! The control plane: ingest, log, conductor, HTTP API, console.
//!
//! [`serve`] starts everything in the order in which it depends on each other and stops it in the
//! other: `http`, `ingest` and `tasks` are doors on `app -> {store, conductor}`; only `serve`
//! imports a door, and `http` calls `app` alone. Agents come in through `ingest`, whatever the
//! engine hears goes through `log`, and only `conductor` owns the engine. What is judged or stored
//! goes by [`clock`]; timers, and how long a request took, by the runtime's. Of this crate only
//! [`config`] reads the environment.

pub mod app;
pub mod archive;
pub mod authority;
pub mod backup;
mod budget;
pub mod clock;
pub mod conductor;
pub mod config;
mod diagnosis;
mod first;
#[doc(hidden)]
pub mod fuzz;
mod home;
pub mod http;
mod ingest;
mod listen;
mod log;
mod metrics;
mod notify;
mod panics;
pub mod past;
mod place;
mod promql;
pub mod restore;
pub mod secrets;
mod serve;
mod space;
mod tasks;
mod trouble;
pub mod verify;

pub use app::{App, desk};
pub use config::{Config, LogFormat, Overrides};
pub use first::{FirstError, FirstStart, reset_password};
pub use home::{FIRST_PASSWORD_FILE, HomeError, is_in_use};
pub use log::LogUnavailable;
pub use serve::{
    HTTP_CERTIFICATE_FILE, Ready, STOP_MAX, ServeError, Turning, serve, serve_demo, serve_with,
};
pub use store::DatabaseUrl;

pub(crate) use app::chain;
