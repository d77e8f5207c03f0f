//! Connections to Postgres: URL, password, TLS, and what its errors mean.

mod connect;
mod errors;
mod password;
mod replication;
mod tls;

pub use connect::{Connection, Target};
pub use errors::classify;
pub use replication::stream_error;
