//! Connections to Postgres: URL, password, TLS, and what its errors mean.

mod connect;
mod errors;
mod password;
mod tls;

pub use connect::{Connection, Target};
pub use errors::classify;
