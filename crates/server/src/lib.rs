//! The control plane: ingest, log, conductor, HTTP API, console.
