//! A database of one's own on the shared server.

use super::services;
use super::unique;
use postgres::{Client, NoTls};
use std::process::Command;

/// A database that is dropped with its owner.
pub struct Database {
    pub url: String,
    name: String,
    server: String,
}

/// Replaces the database in a URL.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(b, q)| (b, Some(q)));
    let base = base.rsplit_once('/').expect("a URL with a database").0;
    query.map_or(format!("{base}/{name}"), |q| format!("{base}/{name}?{q}"))
}

impl Database {
    /// On the shared server.
    pub fn new() -> Self {
        Self::on(&services::postgres().url)
    }

    /// On a server of one's own.
    pub fn on(server: &str) -> Self {
        let name = unique("relay_test");
        connect(server).batch_execute(&format!("CREATE DATABASE {name}")).expect("creates a database");
        Self { url: with_database(server, &name), name, server: server.to_owned() }
    }

    /// With the outbox table that `relay init --apply` makes.
    pub fn with_outbox() -> Self {
        let database = Self::new();
        database.init(&[]);
        database
    }

    /// Runs `relay init --apply`.
    pub fn init(&self, flags: &[&str]) {
        let output = Command::new(env!("CARGO_BIN_EXE_relay"))
            .args(["init", "--apply", "--source", &self.url])
            .args(flags)
            .output()
            .expect("relay starts");
        assert!(output.status.success(), "relay init: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A new session.
    pub fn connect(&self) -> Client {
        connect(&self.url)
    }

    /// The same, if the database can be asked.
    pub fn try_rows(&self) -> Option<i64> {
        let mut client = Client::connect(&self.url, NoTls).ok()?;
        Some(client.query_one("SELECT count(*) FROM outbox", &[]).ok()?.get(0))
    }

    /// Rows left in the outbox.
    pub fn rows(&self) -> i64 {
        self.connect().query_one("SELECT count(*) FROM outbox", &[]).expect("counts").get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server of a test may be down, or the test may be failing already.
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            // A slot would keep the database; its reader may be about to end.
            let drop = format!(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{0}' AND active_pid IS NOT NULL;
                 SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{0}'",
                self.name
            );
            for _ in 0..100 {
                if client.batch_execute(&drop).is_ok() {
                    break;
                }
                super::pause();
            }
            let _ = client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// A session by URL.
pub fn connect(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap_or_else(|e| panic!("cannot connect to the test's Postgres: {e}"))
}

/// Inserts one event; returns its id.
pub fn insert(client: &mut impl postgres::GenericClient, aggregate: &str, event_type: &str, payload: &str) -> uuid::Uuid {
    client
        .query_one(
            "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) VALUES ('order', $1, $2, $3::text::jsonb) RETURNING id",
            &[&aggregate, &event_type, &payload],
        )
        .expect("inserts")
        .get(0)
}
