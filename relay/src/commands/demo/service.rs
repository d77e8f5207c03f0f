//! The service of the story, as a process that can be killed: it changes a
//! customer and the address in one transaction, and tells the world about it
//! in one of three ways. What it does it says on stdout, a line a step.

use super::scratch::SCHEMA;
use crate::error::{Context as _, Error, Kind, Result};
use crate::source::postgres::{Target, classify};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use std::io::Write as _;
use std::time::Duration;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

/// How the service publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Part {
    /// By itself, before it commits.
    Before,
    /// By itself, after it committed.
    After,
    /// Into the outbox, in the same transaction.
    Outbox,
}

/// Customers of the story.
const CUSTOMERS: u32 = 20;

/// Every how many changes a business rule fails and the transaction is rolled
/// back.
const ROLLBACK_EVERY: u32 = 7;

/// How long the service waits for its own broker.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// One change and the event about it.
struct Change {
    id: Uuid,
    customer: i32,
    event: &'static str,
    body: String,
}

/// Plays a part for `changes` changes.
pub(super) async fn play(part: Part, source: &str, brokers: &str, topic: &str, changes: u32) -> Result<()> {
    let target = Target::parse(source, "relay/demo-service", Duration::from_secs(30), PUBLISH_TIMEOUT)?;
    let mut connection = target.connect().await?;
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "0").create().or_kind(Kind::Config, "librdkafka")?;
    for n in 1..=changes {
        one(part, &mut connection.client, &producer, topic, n).await?;
    }
    Ok(())
}

async fn one(part: Part, client: &mut Client, producer: &FutureProducer, topic: &str, n: u32) -> Result<()> {
    let rolls_back = n.is_multiple_of(ROLLBACK_EVERY);
    let sql = |e| classify(e, "the service's own SQL failed");
    let tx = client.transaction().await.map_err(sql)?;
    let change = change(&tx, n).await.map_err(sql)?;
    match part {
        Part::Outbox => {
            let table = format!("{SCHEMA}.customer_events");
            let insert = format!(
                "INSERT INTO {table} (event_id, subject, customer_id, what, body) VALUES ($1, 'customer', $2::int4::text, $3, $4::text::jsonb)"
            );
            tx.execute(&insert, &[&change.id, &change.customer, &change.event, &change.body]).await.map_err(sql)?;
        }
        Part::Before => {
            publish(producer, topic, &change).await?;
            say("published")?;
        }
        Part::After => {}
    }
    if rolls_back {
        return tx.rollback().await.map_err(sql);
    }
    tx.commit().await.map_err(sql)?;
    say("committed")?;
    if part == Part::After {
        publish(producer, topic, &change).await?;
        say("published")?;
    }
    Ok(())
}

/// Two tables changed, and the change's id kept as the truth.
async fn change(tx: &Transaction<'_>, n: u32) -> std::result::Result<Change, tokio_postgres::Error> {
    let customer = i32::try_from(n % CUSTOMERS).unwrap_or(0) + 1;
    let (id, moved) = (Uuid::new_v4(), n.is_multiple_of(2));
    tx.execute(&format!("UPDATE {SCHEMA}.customer SET version = version + 1 WHERE id = $1"), &[&customer]).await?;
    tx.execute(&format!("UPDATE {SCHEMA}.addresses SET street = $2 WHERE customer_id = $1"), &[&customer, &format!("{n} Main Street")])
        .await?;
    tx.execute(&format!("INSERT INTO {SCHEMA}.changes (id, customer_id) VALUES ($1, $2)"), &[&id, &customer]).await?;
    let row = tx
        .query_one(
            &format!(
                "SELECT jsonb_build_object('customer', to_jsonb(c), 'address', to_jsonb(a) - 'customer_id')::text \
                 FROM {SCHEMA}.customer c JOIN {SCHEMA}.addresses a ON a.customer_id = c.id WHERE c.id = $1"
            ),
            &[&customer],
        )
        .await?;
    Ok(Change { id, customer, event: if moved { "CustomerMoved" } else { "CustomerChanged" }, body: row.get(0) })
}

async fn publish(producer: &FutureProducer, topic: &str, change: &Change) -> Result<()> {
    let (key, id) = (change.customer.to_string(), change.id.to_string());
    let headers = OwnedHeaders::new().insert(Header { key: "id", value: Some(&id) });
    let record = FutureRecord::to(topic).key(&key).payload(&change.body).headers(headers);
    let sent = producer.send(record, PUBLISH_TIMEOUT).await;
    sent.map(drop).map_err(|(error, _)| Error::new(Kind::BrokerUnavailable, "the service cannot publish").cause(error))
}

fn say(step: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{step}").and_then(|()| out.flush()).or_kind(Kind::Io, "nobody listens")
}
