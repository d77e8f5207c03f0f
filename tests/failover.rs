//! Property: a server that lacks what was published, or is not the one that was read, is
//! noticed before anything is read from it, and the relay goes on only when told.

use crate::support::cdc::Capture;
use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::{Database, connect, insert};
use crate::support::proxy::Proxy;
use crate::support::relay::{PATIENCE, Relay};
use crate::support::services::{self, Postgres};
use crate::support::{eventually, unique};
use postgres::Client;
use std::process::Command;

const OUTBOX: &str = "outbox = \"public.outbox\"\n";

fn write(database: &Database, versions: std::ops::RangeInclusive<i64>) {
    let mut client = database.connect();
    versions.for_each(|version| write_to(&mut client, version));
}

fn write_to(client: &mut Client, version: i64) {
    insert(client, "1", "pass", &format!("{{\"aggregate\":1,\"version\":{version}}}"));
}

/// The same database through something else.
fn through(url: &str, address: &str) -> String {
    let url = url::Url::parse(url).expect("a URL");
    format!("postgres://{}:{}@{address}{}", url.username(), url.password().expect("a password"), url.path())
}

/// Has a standby lose its primary after everything so far, and nothing later.
fn cut_off(primary: &Postgres, standby: &Postgres) {
    let end: String = connect(&primary.url).query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).expect("a position").get(0);
    let mut client = connect(&standby.url);
    let has = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
    eventually("the standby has everything", PATIENCE, || client.query_one(&has, &[]).expect("asks").get(0));
    client.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").expect("alters");
    client.batch_execute("SELECT pg_reload_conf()").expect("reloads");
    let mut at_primary = connect(&primary.url);
    let gone = "SELECT count(*) = 0 FROM pg_stat_replication WHERE application_name = 'walreceiver'";
    eventually("nobody follows the primary", PATIENCE, || at_primary.query_one(gone, &[]).expect("asks").get(0));
}

/// A pipeline that polls, in a way of delivery; topic and configuration file.
fn polled(url: &str, delivery: &str, directory: &tempfile::TempDir) -> (String, String) {
    let topic = unique("failover");
    create_topic(&topic, 1, &[]);
    let toml = format!(
        "name = \"{topic}\"\ndelivery = \"{delivery}\"\n[source]\nkind = \"outbox\"\nurl = \"{url}\"\n[sink]\nkind = \"kafka\"\n\
         brokers = \"{}\"\ntopic = \"{topic}\"\n[dead_letters]\n[flow]\nretry_max = \"500ms\"\n",
        services::kafka().brokers
    )
    .replace("[dead_letters]\n", if delivery == "exactly-once" { "" } else { "[dead_letters]\n" });
    let path = directory.path().join(format!("{topic}.toml"));
    std::fs::write(&path, toml).expect("writes");
    (topic, path.to_str().expect("a path").to_owned())
}

fn published(topic: &str, versions: &[i64]) {
    let mut consumer = Consumer::new(&[topic]);
    consumer.until("they are published", PATIENCE, |received| received.len() >= versions.len());
    let received: Vec<i64> = consumer.read_to_end().iter().map(|m| m.json()["version"].as_i64().expect("a version")).collect();
    assert_eq!(received, versions);
}

/// GIVEN relays that poll, in both ways of delivery, and one that reads the log, WHEN the
/// database fails over to a standby that lacks the last commits, THEN each ends by name
/// and publishes nothing of it, at the next start too; WHEN it is told to go on with that
/// server, THEN it does.
#[test]
fn a_standby_that_lagged_is_promoted() {
    let primary = Postgres::start("postgres-primary", &[]);
    let databases = [Database::on(&primary.url), Database::on(&primary.url), Database::on(&primary.url)];
    databases.iter().for_each(|database| database.init(&[]));
    let way = Proxy::new();
    way.lead_to(primary.address());
    let directory = tempfile::tempdir().expect("a directory");
    let urls = databases.each_ref().map(|database| through(&database.url, &format!("127.0.0.1:{}", way.port)));
    let pipelines = [polled(&urls[0], "at-least-once", &directory), polled(&urls[1], "exactly-once", &directory)];
    let capture = Capture::new(&databases[2], OUTBOX);
    let toml = std::fs::read_to_string(capture.config()).expect("reads").replace(&databases[2].url, &urls[2]);
    std::fs::write(capture.config(), toml).expect("writes");

    let mut relays: Vec<Relay> = pipelines.iter().map(|(_, config)| Relay::start(&["run", "-c", config])).collect();
    relays.push(capture.start());
    let topics = [pipelines[0].0.clone(), pipelines[1].0.clone(), capture.name.clone()];
    databases.iter().for_each(|database| write(database, 1..=3));
    topics.iter().for_each(|topic| published(topic, &[1, 2, 3]));
    eventually("the rows are gone", PATIENCE, || databases[..2].iter().all(|database| database.rows() == 0));
    let standby = primary.standby("postgres-standby", &[]);
    cut_off(&primary, &standby);
    databases.iter().for_each(|database| write(database, 4..=6));
    topics.iter().for_each(|topic| published(topic, &[1, 2, 3, 4, 5, 6]));

    primary.stop(true);
    connect(&standby.url).batch_execute("SELECT pg_promote()").expect("promotes");
    way.lead_to(standby.address());
    let log = relays.pop().expect("three");
    for relay in relays {
        relay.wait().expect(5, &["[server-changed]", "timeline"]);
    }
    log.wait().expect(5, &["[slot-missing]"]);
    // Its lost versions were given to others there.
    let promoted = databases.each_ref().map(|database| through(&database.url, standby.address()));
    promoted.iter().for_each(|url| write_to(&mut connect(url), 40));
    for (_, config) in &pipelines {
        Relay::run(&["run", "-c", config, "--until-drained"]).expect(5, &["[server-changed]", "timeline 2", "relay init --adopt-server"]);
        Relay::run(&["init", "--adopt-server", "-c", config]).expect(0, &["goes on with this server"]);
        Relay::run(&["run", "-c", config, "--until-drained"]).expect(0, &[]);
    }
    capture.init(&["--apply"]).expect(0, &[]);
    capture.drain().expect(5, &["[server-changed]", "timeline 2", "--adopt-slot"]);
    capture.init(&["--adopt-slot"]).expect(0, &[]);
    write_to(&mut connect(&promoted[2]), 41);
    capture.drain().expect(0, &[]);
    topics[..2].iter().for_each(|topic| published(topic, &[1, 2, 3, 4, 5, 6, 40]));
    published(&topics[2], &[1, 2, 3, 4, 5, 6, 41]);
}

/// GIVEN a slot made with `failover = true` and a standby that copies it, WHEN the primary is
/// lost, THEN the relay stops by name, and goes on from the copy when told: nothing is lost.
#[test]
fn a_slot_that_fails_over() {
    let primary = Postgres::start("postgres17-primary", &["--postgres17"]);
    connect(&primary.url).batch_execute("SELECT pg_create_physical_replication_slot('standby')").expect("creates");
    primary.stop(false);
    let standby = primary.standby("postgres17-standby", &["--postgres17"]);
    let set = |server: &Postgres, settings: &[&str]| {
        let mut client = connect(&server.url);
        settings.iter().for_each(|setting| client.batch_execute(&format!("ALTER SYSTEM SET {setting}")).expect("alters"));
        client.batch_execute("SELECT pg_reload_conf()").expect("reloads");
    };
    set(&standby, &["primary_slot_name = 'standby'", "hot_standby_feedback = on", "wal_retrieve_retry_interval = '100ms'"]);
    primary.start_again();
    set(&primary, &["synchronized_standby_slots = 'standby'"]);

    let database = Database::on(&primary.url);
    database.init(&[]);
    let capture = Capture::new(&database, &format!("{OUTBOX}failover = true\n"));
    assert!(capture.run("status", &["--json"]).expect(0, &[]).stdout.contains("\"failover\":true"));
    let way = Proxy::new();
    way.lead_to(primary.address());
    let toml = std::fs::read_to_string(capture.config()).expect("reads");
    let led = toml.replace(&database.url, &through(&database.url, &format!("127.0.0.1:{}", way.port)));
    std::fs::write(capture.config(), led).expect("writes");

    let relay = capture.start();
    write(&database, 1..=3);
    published(&capture.name, &[1, 2, 3]);
    let (mut at_primary, mut at_standby) = (connect(&primary.url), connect(&standby.url));
    let confirmed = format!("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'", capture.slot);
    let confirmed: String = at_primary.query_one(&confirmed, &[]).expect("asks").get(0);
    let copied = format!(
        "SELECT count(*) > 0 FROM pg_replication_slots WHERE slot_name = '{}' AND synced AND NOT temporary AND confirmed_flush_lsn >= '{confirmed}'",
        capture.slot
    );
    eventually("the standby has the slot", PATIENCE, || {
        // What is copied has to be behind what the standby knows of transactions.
        at_primary.batch_execute("SELECT pg_log_standby_snapshot()").expect("logs");
        at_standby.batch_execute("SELECT pg_sync_replication_slots()").is_ok() && at_standby.query_one(&copied, &[]).expect("asks").get(0)
    });
    write(&database, 4..=6);
    published(&capture.name, &[1, 2, 3, 4, 5, 6]);

    primary.stop(true);
    at_standby.batch_execute("SELECT pg_promote()").expect("promotes");
    way.lead_to(standby.address());
    relay.wait().expect(5, &["[server-changed]", "timeline", "--adopt-slot"]);
    let mut client = connect(&through(&database.url, standby.address()));
    (7..=9).for_each(|version| write_to(&mut client, version));
    capture.init(&["--adopt-slot"]).expect(0, &[]);
    capture.drain().expect(0, &[]);
    // What was confirmed after the slot was copied comes twice.
    let received = capture.consumer().read_to_end().iter().map(|m| m.json()["version"].as_i64().expect("a version")).collect::<Vec<_>>();
    let again = received.iter().rposition(|version| *version <= 6).map_or(6, |last| last + 1);
    assert_eq!((&received[..6], &received[again..]), (&[1, 2, 3, 4, 5, 6][..], &[7, 8, 9][..]), "{received:?}");
    let repeats = received[6..again].iter().rev();
    assert!(repeats.zip((1..=6).rev()).all(|(version, expected)| *version == expected), "{received:?}");
}

/// GIVEN a relay that reads the log, WHEN the server's data is put back to what it was
/// before, slot and all, THEN the relay says that it lacks what was published.
#[test]
fn a_server_that_was_put_back() {
    let postgres = Postgres::start("postgres-restored", &[]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    let capture = Capture::new(&database, OUTBOX);
    write(&database, 1..=1);
    capture.drain().expect(0, &[]);
    postgres.stop(false);
    let (data, saved) = (postgres.data(), postgres.data().with_extension("saved"));
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp starts").success());
    };
    copy(&data, &saved);
    postgres.start_again();
    write(&database, 2..=4);
    capture.drain().expect(0, &[]);
    postgres.stop(false);
    std::fs::remove_dir_all(&data).expect("removes");
    std::fs::rename(&saved, &data).expect("moves");
    postgres.start_again();
    capture.drain().expect(5, &["[server-behind]", "--adopt-slot"]);
    capture.init(&["--adopt-slot"]).expect(0, &[]);
    write(&database, 5..=5);
    capture.drain().expect(0, &[]);
    // What the slot of the copy does not know as confirmed comes twice.
    let mut versions = Vec::new();
    let received = capture.consumer().read_to_end().iter().map(|m| m.json()["version"].as_i64().expect("a version")).collect::<Vec<_>>();
    received.iter().filter(|version| **version != 1).for_each(|version| versions.push(*version));
    assert_eq!((received[0], &*versions), (1, &[2, 3, 4, 5][..]), "{received:?}");
}
