//! The acts, and the count at the end of each.

use super::broker::{Broker, Published};
use super::scratch::{Database, SCHEMA};
use super::service::Part;
use crate::config::{Columns, Config, KafkaSink, OutboxSource, Sink, Source, Transform};
use crate::error::{Context as _, Error, Kind, Result};
use crate::pipeline::{self, Options};
use crate::shutdown::Shutdown;
use crate::source::outbox::statements;
use crate::source::postgres::classify;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How often the service is killed in each act.
const KILLS: u32 = 5;

/// Rows shown beside their messages.
const SHOWN: usize = 3;

/// What the story stands on.
pub(super) struct Stage<'a> {
    pub(super) database: &'a Database,
    pub(super) broker: &'a Broker,
    pub(super) components: &'a Path,
    pub(super) changes: u32,
}

#[expect(clippy::print_stdout, reason = "the story is this command's data")]
fn say(text: &str) {
    println!("{text}");
}

/// Tells it all; an error means that the promise was not kept.
pub(super) async fn tell(stage: &Stage<'_>) -> Result<()> {
    let run = uuid::Uuid::new_v4().simple().to_string();
    let prefix = format!("relay-demo-{}", &run[..8]);
    say(&format!(
        "Postgres: {}. Broker: {}.\n",
        if stage.database.found { "the one you gave" } else { "a scratch server started for this demo" },
        if stage.broker.is_embedded() {
            "EMBEDDED in this process (librdkafka's mock cluster); give --brokers to use a real one"
        } else {
            "the one you gave"
        }
    ));
    say("A service changes `customer` and `addresses` in one transaction and tells the world with one event.");
    say("It is killed five times in each act, and every seventh transaction is rolled back.\n");
    dual_write(stage, &prefix, Part::Before, "ACT 1: it publishes by itself, before it commits.").await?;
    dual_write(stage, &prefix, Part::After, "ACT 2: it publishes by itself, after it committed.").await?;
    outbox(stage, &prefix).await
}

async fn execute(stage: &Stage<'_>, sql: &str) -> Result<()> {
    let connection = stage.database.connect().await?;
    connection.client.batch_execute(sql).await.map_err(|e| classify(e, "the demo's SQL failed"))
}

async fn reset(stage: &Stage<'_>) -> Result<()> {
    let sql = format!(
        "DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};
         CREATE TABLE {SCHEMA}.customer (id int PRIMARY KEY, name text NOT NULL, email text NOT NULL, card text NOT NULL, version int NOT NULL DEFAULT 0);
         CREATE TABLE {SCHEMA}.addresses (customer_id int PRIMARY KEY REFERENCES {SCHEMA}.customer, street text NOT NULL, city text NOT NULL);
         CREATE TABLE {SCHEMA}.changes (id uuid PRIMARY KEY, customer_id int NOT NULL);
         INSERT INTO {SCHEMA}.customer (id, name, email, card) SELECT i, 'Customer ' || i, 'c' || i || '@example.org', '4111 1111 1111 ' || (1000 + i) FROM generate_series(1, 20) i;
         INSERT INTO {SCHEMA}.addresses SELECT i, 'Old Road ' || i, 'Springfield' FROM generate_series(1, 20) i"
    );
    execute(stage, &sql).await
}

async fn committed(stage: &Stage<'_>) -> Result<HashSet<String>> {
    let connection = stage.database.connect().await?;
    let rows = connection.client.query(&format!("SELECT id::text FROM {SCHEMA}.changes"), &[]).await;
    Ok(rows.map_err(|e| classify(e, "the demo's SQL failed"))?.iter().map(|r| r.get(0)).collect())
}

/// Runs the service and kills it at the worst step of its part, over and over.
async fn perform(stage: &Stage<'_>, part: Part, topic: &str) -> Result<()> {
    // Between the two writes: what was said last is done, the other is not.
    let worst = if part == Part::Before { "published" } else { "committed" };
    let program = std::env::current_exe().or_kind(Kind::Io, "cannot find this program")?;
    let name = match part {
        Part::Before => "before",
        Part::After => "after",
        Part::Outbox => "outbox",
    };
    let each = stage.changes / (KILLS + 1);
    for round in 0..=KILLS {
        let mut child = Command::new(&program)
            .args(["demo", "--play", name, "--play-topic", topic, "--changes", &each.max(2).to_string()])
            .args(["--source", &stage.database.url, "--brokers", &stage.broker.brokers])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .or_kind(Kind::Io, "cannot start the service")?;
        let Some(out) = child.stdout.take() else { continue };
        let mut lines = BufReader::new(out).lines();
        let mut left = each / 2 + round;
        while let Ok(Some(line)) = lines.next_line().await {
            left = left.saturating_sub(u32::from(line == worst));
            if left == 0 && round < KILLS {
                child.kill().await.or_kind(Kind::Io, "cannot kill the service")?;
                break;
            }
        }
        child.wait().await.or_kind(Kind::Io, "the service is lost")?;
    }
    Ok(())
}

async fn dual_write(stage: &Stage<'_>, prefix: &str, part: Part, title: &str) -> Result<()> {
    say(title);
    reset(stage).await?;
    let topic = format!("{prefix}.{}", if part == Part::Before { "before" } else { "after" });
    stage.broker.create_topic(&topic).await?;
    perform(stage, part, &topic).await?;
    let truth = committed(stage).await?;
    let told: HashSet<String> = stage.broker.read(&[&topic])?.into_iter().map(|m| m.id).collect();
    let (lost, untrue) = (truth.difference(&told).count(), told.difference(&truth).count());
    say(&format!(
        "  {} changes committed, {} events published: {lost} LOST (committed, never told), {untrue} FALSE (told, never happened).\n",
        truth.len(),
        told.len()
    ));
    Ok(())
}

fn source(stage: &Stage<'_>) -> OutboxSource {
    let name = |text: &str| Some(text.to_owned());
    OutboxSource {
        url: stage.database.url.clone(),
        table: format!("{SCHEMA}.customer_events"),
        columns: Columns {
            id: name("event_id"),
            aggregate_type: name("subject"),
            aggregate_id: name("customer_id"),
            event_type: name("what"),
            payload: name("body"),
            created_at: name("happened_at"),
            ..Columns::default()
        },
        ..OutboxSource::default()
    }
}

fn transform(stage: &Stage<'_>, name: &str, settings: &serde_json::Value, topics: &[String]) -> Transform {
    let path = stage.components.join(name).with_extension("wasm");
    Transform { topics: topics.to_vec(), ..Transform::new(path, settings.as_object().cloned().unwrap_or_default()) }
}

async fn outbox(stage: &Stage<'_>, prefix: &str) -> Result<()> {
    say("ACT 3: it writes the event into the table `customer_events`, in the same transaction; the relay publishes.");
    reset(stage).await?;
    let source = source(stage);
    let connection = stage.database.connect().await?;
    for statement in statements(Some(&connection.client), &source).await? {
        connection.client.batch_execute(&statement).await.map_err(|e| classify(e, "cannot make the outbox"))?;
    }
    let (changed, moved) = (format!("{prefix}.changed"), format!("{prefix}.moved"));
    for topic in [&changed, &moved] {
        stage.broker.create_topic(topic).await?;
    }
    perform(stage, Part::Outbox, "").await?;
    let rows = connection
        .client
        .query(&format!("SELECT event_id::text, customer_id, what, body::text FROM {SCHEMA}.customer_events ORDER BY seq"), &[])
        .await
        .map_err(|e| classify(e, "the demo's SQL failed"))?;
    let rows: Vec<[String; 4]> = rows.iter().map(|r| [r.get(0), r.get(1), r.get(2), r.get(3)]).collect();

    let mut kafka = KafkaSink::new(&stage.broker.brokers);
    kafka.topic.clone_from(&changed);
    let routes = serde_json::json!({ "by": "event-type", "routes": { "CustomerMoved": moved } });
    let fields = serde_json::json!({ "fields": ["customer.email", "customer.card"] });
    let mut config = Config::new(prefix.to_owned(), Source::Outbox(Box::new(source)), Sink::Kafka(Box::new(kafka)));
    config.transforms = vec![transform(stage, "redact", &fields, &[]), transform(stage, "route", &routes, std::slice::from_ref(&moved))];
    config.validate()?;
    let (_trigger, shutdown) = Shutdown::channel();
    pipeline::run(&config, Options { until_drained: true, reread: None }, shutdown).await?;

    let published = stage.broker.read(&[&changed, &moved])?;
    show(&rows, &published);
    verify(&rows, &published, &committed(stage).await?, &moved)
}

fn show(rows: &[[String; 4]], published: &[Published]) {
    let by_id: HashMap<&str, &Published> = published.iter().map(|m| (m.id.as_str(), m)).collect();
    for [id, customer, what, body] in rows.iter().take(SHOWN) {
        let Some(message) = by_id.get(id.as_str()) else { continue };
        say(&format!("  row      {what} customer_id={customer} body={body}"));
        say(&format!("  message  topic={} key={} payload={}\n", message.topic, message.key, message.payload));
    }
}

fn verify(rows: &[[String; 4]], published: &[Published], truth: &HashSet<String>, moved: &str) -> Result<()> {
    let broken = |what: String| Error::new(Kind::Internal, what).remedy("please report this: the promise of the relay was not kept");
    let mut order: HashMap<(&str, &str), i64> = HashMap::new();
    let by_id: HashMap<&str, &[String; 4]> = rows.iter().map(|r| (r[0].as_str(), r)).collect();
    let mut seen = HashSet::new();
    // Per topic the order of each customer is that of the versions.
    for message in published {
        let row = by_id.get(message.id.as_str()).ok_or_else(|| broken(format!("message {} was never committed", message.id)))?;
        if !seen.insert(&message.id) {
            return Err(broken(format!("message {} came twice", message.id)));
        }
        let (mut want, got): (serde_json::Value, serde_json::Value) = (json(&row[3])?, json(&message.payload)?);
        want["customer"]["email"] = "***".into();
        want["customer"]["card"] = "***".into();
        let routed = (message.topic == moved) == (row[2] == "CustomerMoved");
        if want != got || message.key != row[1] || !routed {
            return Err(broken(format!("message {} is not what the transforms should have made", message.id)));
        }
        let version = got["customer"]["version"].as_i64().unwrap_or(0);
        let last = order.entry((&message.topic, &message.key)).or_default();
        if version <= *last {
            return Err(broken(format!("customer {} came out of order", message.key)));
        }
        *last = version;
    }
    if seen.len() != truth.len() || !truth.iter().all(|id| seen.contains(id)) {
        return Err(broken(format!("{} changes were committed, {} came", truth.len(), seen.len())));
    }
    say(&format!(
        "  {} changes committed, {} events published: 0 lost, 0 false, 0 doubled; each redacted, routed and in its customer's order.",
        truth.len(),
        published.len()
    ));
    Ok(())
}

fn json(text: &str) -> Result<serde_json::Value> {
    serde_json::from_str(text).or_kind(Kind::Internal, "a payload is no JSON")
}
