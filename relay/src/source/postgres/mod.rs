//! Connections to Postgres: URL, password, TLS, and what its errors mean.

mod connect;
mod errors;
pub mod lock;
mod name;
mod password;
mod replication;
mod tls;

pub use connect::{Connection, Target};
pub use errors::classify;
pub use name::TableName;
pub(crate) use name::{literal, quote};
pub use replication::stream_error;
