//! Opening a session.

use super::errors::classify;
use super::password;
use super::replication::PRINTING;
use super::tls::{self, SslMode};
use crate::error::{Context as _, Error, Kind, Result};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::config::Host;
use tokio_postgres::{AsyncMessage, Client, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A dead peer is noticed after this long without traffic.
const TCP_DEAD: Duration = Duration::from_secs(30);

/// Notifications waiting to be looked at; further ones are dropped, because one
/// is enough to wake the poll.
const NOTIFICATIONS: usize = 1;

/// Where and how to connect; parsed once, used for every session.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    label: String,
    address: Address,
}

/// The parts of a URL, for the client that does not take one.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
    pub(super) application: String,
    pub(super) mode: SslMode,
    pub(super) root: Option<PathBuf>,
}

/// One open session. Dropping it closes the session.
pub struct Connection {
    /// The client; `Client::is_closed` tells that the session is gone.
    pub client: Client,
    /// One entry when a `NOTIFY` came.
    pub notified: mpsc::Receiver<Notification>,
    tls: MakeRustlsConnect,
}

impl Target {
    /// Parses a URL or a `key=value` string with libpq's `sslmode` and
    /// `sslrootcert`, and finds the password.
    ///
    /// # Errors
    /// `Config`; the message never holds the URL, which may hold a password.
    pub fn parse(url: &str, application: &str, statement_timeout: Duration, connect_timeout: Duration) -> Result<Self> {
        let at = |e: Error| e.at("field", "source.url").remedy("write postgres://user:password@host:port/database?sslmode=…");
        let (plain, mode, root) = split_tls(url)?;
        let mut config: Config = plain.parse().or_kind(Kind::Config, "not a Postgres URL").map_err(at)?;
        let Some(user) = config.get_user().map(str::to_owned) else {
            return Err(at(Error::new(Kind::Config, "the URL names no user")));
        };
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => return Err(at(Error::new(Kind::Config, "the URL names no host"))),
        };
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        if config.get_password().is_none()
            && let Some(password) = password::find(&host, port, &database, &user)
        {
            config.password(password);
        }
        // The planner must use the index on the sequence number even when the
        // statistics say that the queue is empty. Sent at start-up: a pooler
        // refuses it, which is how one is recognised. The server too must notice
        // a dead peer, or its session would keep the lock for hours.
        let options = format!(
            "-c statement_timeout={} -c jit=off -c enable_seqscan=off -c enable_bitmapscan=off -c idle_in_transaction_session_timeout=60000 -c synchronous_commit=on \
             -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=30000",
            statement_timeout.as_millis()
        );
        let options = config.get_options().map_or(options.clone(), |own| format!("{options} {own}"));
        config
            .ssl_mode(match mode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                _ => tokio_postgres::config::SslMode::Require,
            })
            .application_name(application)
            .options(options)
            .connect_timeout(connect_timeout)
            .keepalives_idle(TCP_DEAD)
            .tcp_user_timeout(TCP_DEAD);
        let tls = MakeRustlsConnect::new(tls::client(mode, root.as_deref())?);
        let password = config.get_password().map(|p| String::from_utf8_lossy(p).into_owned()).unwrap_or_default();
        let label = format!("{host}:{port}/{database}");
        let address = Address { host, port, user, password, database, application: application.to_owned(), mode, root };
        Ok(Self { config, tls, label, address })
    }

    /// `host:port/database`, for logs.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.address.database
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Opens a session that prints values as the replication stream does.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub async fn connect_printing(&self) -> Result<Connection> {
        let mut target = self.clone();
        let options = self.config.get_options().unwrap_or_default();
        target.config.options(format!("{options} {PRINTING}"));
        target.connect().await
    }

    /// Opens a session and drives it in a task of its own.
    ///
    /// # Errors
    /// `DatabaseUnavailable` or `DatabaseUnusable`.
    pub async fn connect(&self) -> Result<Connection> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, mut connection) = connected.map_err(|e| classify(e, "cannot connect to the database").at("database", &self.label))?;
        let (sender, notified) = mpsc::channel(NOTIFICATIONS);
        let label = self.label.clone();
        tokio::spawn(async move {
            loop {
                match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(n))) => drop(sender.try_send(n)),
                    Some(Ok(AsyncMessage::Notice(notice))) => tracing::debug!(%notice, "from the server"),
                    Some(Ok(_)) => {}
                    // The client's next call reports it with coordinates.
                    Some(Err(error)) => {
                        tracing::debug!(%error, database = label, "session ended");
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(Connection { client, notified, tls: self.tls.clone() })
    }
}

impl Connection {
    /// System identifier and timeline of the server, where this user may know
    /// them; refuses a pooler that swallowed our settings.
    pub async fn identify(&self) -> Result<Option<(i64, i32)>> {
        let failed = |e| classify(e, "cannot identify the server");
        let row = self.client.query_one("SELECT current_setting('enable_seqscan')", &[]).await.map_err(failed)?;
        if row.get::<_, String>(0) != "off" {
            return Err(Error::new(Kind::DatabaseUnusable, "the connection goes through a pooler, which drops session settings")
                .remedy("the relay holds session locks and must connect to Postgres itself"));
        }
        // Not the checkpoint's timeline: after a promotion that is the old one for a while.
        let identity = "SELECT system_identifier, CASE WHEN pg_is_in_recovery() THEN 0 \
                        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END FROM pg_control_system()";
        match self.client.query_one(identity, &[]).await {
            Ok(row) => Ok(Some((row.get(0), row.get(1)))),
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Cancels the statement in progress; what it returned so far stays valid.
    pub async fn cancel(&self) {
        if let Err(error) = self.client.cancel_token().cancel_query(self.tls.clone()).await {
            tracing::debug!(%error, "cannot cancel a statement");
        }
    }
}

/// Takes `sslmode` and `sslrootcert` out of a URL or key-value string;
/// tokio-postgres knows only three modes and no roots.
fn split_tls(url: &str) -> Result<(String, SslMode, Option<PathBuf>)> {
    let (mut mode, mut root) = (std::env::var("PGSSLMODE").ok(), std::env::var_os("PGSSLROOTCERT").map(PathBuf::from));
    let mut keep = |pair: &str| match pair.split_once('=') {
        Some(("sslmode", value)) => {
            mode = Some(value.to_owned());
            false
        }
        Some(("sslrootcert", value)) => {
            let value = url::form_urlencoded::parse(format!("v={value}").as_bytes()).next().map(|(_, v)| v.into_owned());
            root = value.filter(|v| v != "system").map(PathBuf::from);
            false
        }
        _ => true,
    };
    let plain = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        match url.split_once('?') {
            Some((base, query)) => {
                let rest: Vec<_> = query.split('&').filter(|pair| keep(pair)).collect();
                if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) }
            }
            None => url.to_owned(),
        }
    } else {
        let mut plain = url.to_owned();
        for token in url.split_whitespace().filter(|token| !keep(token)) {
            plain = plain.replacen(token, "", 1);
        }
        if plain.contains("sslmode") || plain.contains("sslrootcert") {
            return Err(
                Error::new(Kind::Config, "sslmode and sslrootcert must be written without blanks around `=`").at("field", "source.url")
            );
        }
        plain
    };
    let mode = mode.map_or(Ok(SslMode::default()), |m| SslMode::parse(&m))?;
    Ok((plain, mode, root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_tls_out_of_urls_and_strings() {
        for url in ["postgres://u@h/d?sslmode=verify-full&sslrootcert=%2Fa%20b&x=1", "host=h sslmode=verify-full sslrootcert=/a%20b x=1"] {
            let (plain, mode, root) = split_tls(url).expect("parses");
            assert!(!plain.contains("ssl") && plain.contains("x=1"), "{plain}");
            assert_eq!((mode, root), (SslMode::VerifyFull, Some(PathBuf::from("/a b"))));
        }
        assert!(split_tls("postgres://u@h/d?sslmode=nope").is_err());
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_it() {
        let parse = |url| Target::parse(url, "t", Duration::from_secs(1), Duration::from_secs(1)).map(|t| t.label);
        for bad in ["postgres://", "nonsense", "postgres://user:s3cret@/db?bogus=1", "postgres://h/db"] {
            let text = parse(bad).expect_err(bad).to_string();
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(parse("postgres://u:p@h:1/d").expect("parses"), "h:1/d");
    }
}
