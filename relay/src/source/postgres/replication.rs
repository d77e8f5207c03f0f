//! The streaming protocol, by `pgwire-replication`: how a [`Target`] is reached
//! with it, and what its errors mean.

use super::connect::Target;
use super::errors::meaning;
use super::tls::SslMode;
use crate::error::{Error, Kind};
use pgwire_replication::{PgWireError, ReplicationConfig, SslMode as Mode, TlsConfig};
use tokio_postgres::error::SqlState;

/// Settings under which values are printed as `source::cdc::value` reads them.
pub(super) const PRINTING: &str = "-c DateStyle=ISO -c IntervalStyle=postgres -c TimeZone=UTC -c bytea_output=hex -c extra_float_digits=1";

impl Target {
    /// How to open a replication session on the same server, as the same user.
    #[must_use]
    pub fn replication(&self, slot: &str, publication: &str) -> ReplicationConfig {
        let address = self.address();
        let tls = TlsConfig {
            mode: match address.mode {
                SslMode::Disable => Mode::Disable,
                SslMode::Prefer => Mode::Prefer,
                // With own roots, libpq verifies the chain under `require` too.
                SslMode::Require if address.root.is_some() => Mode::VerifyCa,
                SslMode::Require => Mode::Require,
                SslMode::VerifyCa => Mode::VerifyCa,
                SslMode::VerifyFull => Mode::VerifyFull,
            },
            ca_pem_path: address.root.clone(),
            // Said explicitly, an address is verified as any other name is.
            sni_hostname: Some(address.host.clone()),
            ..TlsConfig::default()
        };
        let quoted = format!("\"{}\"", publication.replace('"', "\"\""));
        ReplicationConfig::new(&address.host, &address.user, &address.password, &address.database, slot, quoted)
            .with_port(address.port)
            .with_tls(tls)
            .with_options(PRINTING)
            .with_application_name(&address.application)
    }
}

/// What an error of the stream means for the relay.
#[must_use]
pub fn stream_error(error: PgWireError, what: &str) -> Error {
    let text = error.to_string();
    let state = text.split_once("SQLSTATE ").and_then(|(_, rest)| rest.get(..5)).map(SqlState::from_code);
    let (kind, remedy) = match (&error, state) {
        // In use: by the session of a relay that died a moment ago, or by another reader.
        (_, Some(state)) if state == SqlState::OBJECT_IN_USE => {
            (Kind::DatabaseUnavailable, "another process reads the slot; the relay waits for it to go")
        }
        (_, Some(state)) if state == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            (Kind::SlotInvalidated, "the slot cannot be read any more; `relay check` says why, the server's log says more")
        }
        (_, Some(state)) if state == SqlState::UNDEFINED_OBJECT => (
            Kind::DatabaseUnusable,
            "slot or publication does not exist; a publication made after the slot is not seen by what was committed before: \
             make both anew with `relay init --cdc --apply`, the publication first",
        ),
        (_, Some(state)) => meaning(&state),
        (PgWireError::Auth(_), None) => (Kind::DatabaseUnusable, "correct user and password, and allow replication in pg_hba.conf"),
        (PgWireError::Tls(_), None) => (Kind::DatabaseUnusable, "correct sslmode and sslrootcert in source.url"),
        (PgWireError::MessageTooLarge { .. }, None) => {
            (Kind::BadEvent, "a single change is larger than Postgres can send; shorten the row, or exclude its table from the publication")
        }
        _ => (Kind::DatabaseUnavailable, "the relay connects again by itself"),
    };
    Error::new(kind, what).cause(error).remedy(remedy)
}
