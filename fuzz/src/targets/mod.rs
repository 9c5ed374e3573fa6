//! The targets: bytes in, properties checked, whether they were taken out.

pub(crate) mod files;
pub(crate) mod http;
pub(crate) mod network;
pub(crate) mod packets;
pub(crate) mod text;
pub(crate) mod wire;
