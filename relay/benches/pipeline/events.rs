//! The events that are measured: one order after another, payloads of one size.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use relay::config::OutboxSource;
use relay::event::{Event, Header, Operation, Position};
use relay::source::outbox::statements;
use relay::source::postgres::{Connection, Target};
use std::time::Duration;

/// Bytes of a payload in the pipeline's runs.
pub const PAYLOAD: usize = 500;

/// Stands for an order's number; every event has its own.
const NUMBER: &str = "1000000000";

/// A payload of about this size, in Postgres's own way to write `jsonb`, so
/// that a database changes nothing about it.
pub fn payload(bytes: usize, number: u64) -> String {
    let head = format!(
        r#"{{"id": "order-{NUMBER}", "card": "4111 1111 1111 1111", "total": 129.95, "customer": {{"name": "Ada Lovelace", "email": "ada@example.com"}}"#
    );
    let mut text = head;
    let item = r#"{"sku": "sku-00017", "price": 19.95, "quantity": 2}"#;
    let mut open = false;
    while text.len() + item.len() + 60 < bytes {
        text.push_str(if open { ", " } else { r#", "items": ["# });
        text.push_str(item);
        open = true;
    }
    if open {
        text.push(']');
    }
    text.push_str(r#", "remarks": ""#);
    text.extend(std::iter::repeat_n('.', bytes.saturating_sub(text.len() + 2)));
    text.push_str(r#""}"#);
    text.replace(NUMBER, &number.to_string())
}

/// An event as the outbox source makes it.
pub fn event(number: u64, payload_bytes: usize, event_type: &str, headers: usize) -> Event {
    let header = |n| Header::new(format!("header-{n}"), format!("value-{n}"));
    Event {
        id: format!("0198c0de-0000-7000-8000-{number:012}").into(),
        position: Position { commit: number, index: 0 },
        time: 1_700_000_000_000_000,
        operation: Operation::Insert,
        entity: "order".into(),
        event_type: event_type.into(),
        topic: "outbox.event.order".into(),
        partition: None,
        key: Some(Bytes::from(format!("customer-{}", number % 5000))),
        payload: Some(Bytes::from(payload(payload_bytes, 1_000_000_000 + number))),
        before: None,
        unchanged: Vec::new(),
        headers: (0..headers).map(header).collect(),
    }
}

/// A database of this run's own, with the outbox table `relay init` makes.
pub struct Database {
    /// Sessions with the relay's own settings.
    pub target: Target,
    /// The database.
    pub url: String,
    server: Target,
    name: String,
    client: Connection,
}

/// An event as it lies in the table.
pub struct Stored {
    pub id: String,
    pub key: String,
    pub payload: String,
}

fn target(url: &str) -> Result<Target> {
    // Filling the table takes longer than a poll may.
    Ok(Target::parse(url, "relay/bench", Duration::from_secs(600), Duration::from_secs(10))?)
}

impl Database {
    /// Makes it.
    pub async fn create(server_url: &str) -> Result<Self> {
        let (server, name) = (target(server_url)?, format!("relay_bench_{}", std::process::id()));
        server.connect().await?.client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let mut url = url::Url::parse(server_url).context("DATABASE_URL must be a URL")?;
        url.set_path(&name);
        let target = target(url.as_str())?;
        let client = target.connect().await?;
        for statement in statements(None, &OutboxSource::default()).await? {
            client.client.batch_execute(&statement).await?;
        }
        Ok(Self { target, url: url.into(), server, name, client })
    }

    /// Drops it.
    pub async fn drop(self) -> Result<()> {
        let Self { server, name, .. } = self;
        Ok(server.connect().await?.client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?)
    }

    /// Empties the table and puts `rows` events into it, vacuumed: the hint
    /// bits are set and the statistics right, in every run alike.
    pub async fn fill(&self, rows: u64) -> Result<()> {
        let client = &self.client.client;
        client.batch_execute("TRUNCATE outbox RESTART IDENTITY").await?;
        let insert = "INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload) \
             SELECT 'order', 'customer-' || (g * 7919) % 5000, 'OrderPlaced', \
             replace($1::text, '1000000000', (1000000000 + g)::text)::jsonb FROM generate_series(1, $2::bigint) g";
        client.execute(insert, &[&payload(PAYLOAD, 1_000_000_000), &i64::try_from(rows)?]).await?;
        client.batch_execute("VACUUM ANALYZE outbox").await?;
        Ok(client.batch_execute("CHECKPOINT").await?)
    }

    /// Rows left.
    pub async fn rows(&self) -> Result<i64> {
        Ok(self.client.client.query_one("SELECT count(*) FROM outbox", &[]).await?.get(0))
    }

    /// Some of the events, as text.
    pub async fn sample(&self, rows: i64) -> Result<Vec<Stored>> {
        let select = "SELECT id::text, aggregate_id, payload::text FROM outbox ORDER BY seq LIMIT $1";
        let rows = self.client.client.query(select, &[&rows]).await?;
        Ok(rows.iter().map(|r| Stored { id: r.get(0), key: r.get(1), payload: r.get(2) }).collect())
    }
}
