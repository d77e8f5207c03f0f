//! Which errors of Postgres pass by themselves and which never will.

use crate::error::{Error, Kind};
use tokio_postgres::error::SqlState;

/// Turns a client error into ours, with kind and remedy.
pub fn classify(error: tokio_postgres::Error, what: &str) -> Error {
    let (kind, remedy) = judge(&error);
    Error::new(kind, what).cause(error).remedy(remedy)
}

fn judge(error: &tokio_postgres::Error) -> (Kind, &'static str) {
    if let Some(code) = error.code() {
        return judge_code(code, error);
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>()
            && io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        {
            return (Kind::DatabaseUnusable, "TLS failed: check sslmode and sslrootcert in source.url, and the server's certificate");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    if text.contains("password missing") {
        return (Kind::DatabaseUnusable, "give a password in source.url, PGPASSWORD or ~/.pgpass");
    }
    if text.contains("server does not support TLS") {
        return (Kind::DatabaseUnusable, "enable ssl on the server, or set sslmode=disable in source.url");
    }
    (Kind::DatabaseUnavailable, "check host and port in source.url and that the server is up; the relay keeps trying")
}

fn judge_code(code: &SqlState, error: &tokio_postgres::Error) -> (Kind, &'static str) {
    let pooler = error.as_db_error().is_some_and(|e| e.message().contains("unsupported startup parameter"));
    if pooler {
        return (Kind::DatabaseUnusable, "this is a connection pooler; the relay holds session locks and must connect to Postgres itself");
    }
    meaning(code)
}

/// What a SQLSTATE means for the relay, and the remedy.
pub(super) fn meaning(code: &SqlState) -> (Kind, &'static str) {
    match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            (Kind::DatabaseUnusable, "check user and password in source.url, PGPASSWORD or ~/.pgpass, and the server's pg_hba.conf")
        }
        SqlState::INVALID_CATALOG_NAME => (Kind::DatabaseUnusable, "check the database name in source.url"),
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => {
            (Kind::DatabaseUnusable, "check source.table, or make it with `relay init --apply`")
        }
        SqlState::UNDEFINED_COLUMN => (Kind::DatabaseUnusable, "check [source.columns]; `relay check` names what is missing"),
        SqlState::INSUFFICIENT_PRIVILEGE => (
            Kind::DatabaseUnusable,
            "grant the relay's user SELECT and DELETE on the outbox table (and USAGE on its schema); for cdc REPLICATION, and SELECT for snapshots",
        ),
        SqlState::READ_ONLY_SQL_TRANSACTION | SqlState::FEATURE_NOT_SUPPORTED => {
            (Kind::DatabaseUnavailable, "the server is read-only, or the table was altered; the relay connects again")
        }
        SqlState::QUERY_CANCELED => (Kind::DatabaseUnavailable, "the statement ran into source.statement_timeout; is the table locked?"),
        // Shutdown, recovery, too many connections, resources, serialisation.
        _ if ["08", "53", "57", "58", "40", "55"].iter().any(|class| code.code().starts_with(class)) => {
            (Kind::DatabaseUnavailable, "the relay keeps trying; the server's log says more")
        }
        _ => (Kind::DatabaseUnusable, "the server refuses the statement; its log says more"),
    }
}
