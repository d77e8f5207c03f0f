//! Property: the relay works with the tables, passwords and encryption people
//! have, and refuses in time what would lose events.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::{Database, insert};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{eventually, services, unique};
use std::os::unix::fs::PermissionsExt as _;

fn run_args<'a>(database: &'a Database, topic: &'a str) -> Vec<&'a str> {
    vec!["--source", &database.url, "--brokers", &services::kafka().brokers, "--topic", topic]
}

#[test]
fn a_wrong_password_and_a_wrong_database() {
    let database = Database::new();
    let wrong = database.url.replacen("relay:relay@", "relay:wr0ng@", 1);
    let finished = Relay::run(&["run", "--source", &wrong, "--stdout"]).expect(5, &["[database-unusable]", "password", "PGPASSWORD"]);
    assert!(!finished.stderr.contains("wr0ng"), "no secret in the output");
    let missing = format!("{}x", database.url);
    Relay::run(&["run", "--source", &missing, "--stdout"]).expect(5, &["check the database name"]);
    Relay::run(&["run", "--source", &database.url, "--stdout"]).expect(5, &["public.outbox does not exist", "relay init --apply"]);
    Relay::run(&["check", "--source", "postgres://u:p@127.0.0.1:1/d", "--stdout"]).expect(5, &["127.0.0.1:1"]);
}

#[test]
fn passwords_from_environment_and_pgpass() {
    let database = Database::with_outbox();
    let bare = database.url.replacen("relay:relay@", "relay@", 1);
    let args = ["check", "--source", &bare, "--stdout"];
    let directory = tempfile::tempdir().expect("a directory");
    let pgpass = directory.path().join("pgpass");
    std::fs::write(&pgpass, "*:*:*:relay:relay\n").expect("writes");
    let path = pgpass.to_str().expect("a path");
    Relay::start_with(&args, &[("PGPASSFILE", "/nowhere")]).wait().expect(5, &["PGPASSWORD"]);
    Relay::start_with(&args, &[("PGPASSWORD", "relay")]).wait().expect(0, &[]);
    std::fs::set_permissions(&pgpass, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    Relay::start_with(&args, &[("PGPASSFILE", path)]).wait().expect(5, &["chmod 600"]);
    std::fs::set_permissions(&pgpass, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    Relay::start_with(&args, &[("PGPASSFILE", path)]).wait().expect(0, &[]);
}

#[test]
fn tls_verifies_what_it_promises() {
    let postgres = services::Postgres::start("postgres-tls", &["--tls"]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    let ca = postgres.ca.as_deref().expect("a CA");
    let check = |url: String| Relay::run(&["check", "--source", &url, "--stdout"]);
    check(format!("{}?sslmode=require", database.url)).expect(0, &[]);
    check(format!("{}?sslmode=verify-full&sslrootcert={ca}", database.url)).expect(0, &[]);
    check(format!("{}?sslmode=verify-full", database.url)).expect(5, &["TLS failed"]);
    check(format!("{}?sslmode=verify-full&sslrootcert=/nowhere", database.url)).expect(3, &["sslrootcert"]);
    let plain = Database::new();
    check(format!("{}?sslmode=require", plain.url)).expect(5, &["sslmode=disable"]);
}

/// Each thing polling relies on is found missing, by name, and `init --apply`
/// mends what can be mended, twice without harm.
#[test]
fn tables_that_would_lose_events_are_refused() {
    let database = Database::new();
    let refused = |sql: &str, expected: &str| {
        let mut client = database.connect();
        client.batch_execute("DROP TABLE IF EXISTS outbox CASCADE").expect("drops");
        client.batch_execute(&format!("CREATE TABLE outbox ({sql})")).expect("creates");
        for command in ["run", "check"] {
            let finished = Relay::run(&[command, "--source", &database.url, "--stdout"]);
            assert!(
                finished.stderr.contains(expected) || finished.stdout.contains(expected),
                "wanted `{expected}`:\n{}\n{}",
                finished.stdout,
                finished.stderr
            );
            assert_eq!(finished.code, Some(5));
        }
    };
    let rest = "id uuid DEFAULT gen_random_uuid(), aggregate_type text, aggregate_id text, event_type text, payload jsonb";
    let xid = "xid xid8 NOT NULL DEFAULT pg_current_xact_id()";
    let seq = "seq bigint GENERATED ALWAYS AS IDENTITY";
    refused(&format!("{xid}, {rest}"), "has no column `seq`");
    refused(&format!("{seq} PRIMARY KEY, {rest}"), "takes its sequence number before its transaction id");
    refused(&format!("{seq} PRIMARY KEY, {xid}, {rest}"), "takes its sequence number before its transaction id");
    refused(&format!("{xid}, seq bigserial PRIMARY KEY, {rest}"), "is not GENERATED ALWAYS");
    refused(&format!("{xid}, {seq} (CACHE 20) PRIMARY KEY, {rest}"), "caches");
    refused(&format!("{xid}, {seq}, {rest}"), "no index");
    refused(&format!("{xid}, {seq} PRIMARY KEY, lane smallint, {rest}"), "is not generated");
    refused(&format!("{xid}, {seq} PRIMARY KEY, payload int, id int, aggregate_type text"), "payload");
}

/// A table of another shape, mapped names, with writers already in it.
#[test]
fn a_mapped_table_is_mended_and_relayed() {
    let database = Database::new();
    let mut client = database.connect();
    client
        .batch_execute(
            "CREATE SCHEMA app; CREATE TABLE app.customer_events (event_id text PRIMARY KEY, customer_id bigint NOT NULL, kind text NOT NULL, what text NOT NULL, body bytea, at timestamptz DEFAULT now());
             INSERT INTO app.customer_events VALUES ('e0', 1, 'customer', 'Old', '\\x00ff')",
        )
        .expect("creates");
    let topic = unique("mapped");
    create_topic(&topic, 1, &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("relay.toml");
    let text = format!(
        "name = \"{topic}\"\n[source]\nkind = \"outbox\"\nurl = \"${{TEST_URL}}\"\ntable = \"app.customer_events\"\nnotify = true\npoll_max = \"2s\"\n\
         [source.columns]\nid = \"event_id\"\naggregate_type = \"kind\"\naggregate_id = \"customer_id\"\nevent_type = \"what\"\npayload = \"body\"\ncreated_at = \"at\"\n\
         [sink]\nkind = \"kafka\"\nbrokers = \"{}\"\ntopic = \"{topic}\"\n",
        services::kafka().brokers
    );
    std::fs::write(&config, text).expect("writes");
    let path = config.to_str().expect("a path");
    let env = [("TEST_URL", database.url.as_str())];
    Relay::start_with(&["check", "-c", path], &env).wait().expect(5, &[]);
    for _ in 0..2 {
        Relay::start_with(&["init", "--apply", "-c", path], &env).wait().expect(0, &["ready"]);
    }
    Relay::start_with(&["check", "-c", path], &env).wait().expect(0, &[]);
    let relay = Relay::start_with(&["run", "-c", path], &env);
    relay.await_log("reading the outbox");
    client
        .batch_execute("INSERT INTO app.customer_events VALUES ('e1', 2, 'customer', 'New', 'x'), ('e2', 2, 'customer', 'New', NULL)")
        .expect("inserts");
    let left =
        |client: &mut postgres::Client| client.query_one("SELECT count(*) FROM app.customer_events", &[]).expect("counts").get::<_, i64>(0);
    eventually("all are published", PATIENCE, || left(&mut client) == 0);
    relay.stop().expect(0, &[]);
    let mut consumer = Consumer::new(&[&topic]);
    // Order is per customer; the old row is of another one.
    let mut received = consumer.until("three", PATIENCE, |r| r.len() == 3).to_vec();
    received.sort_by_key(|m| m.key.clone());
    assert_eq!(received.iter().map(|m| m.id()).collect::<Vec<_>>(), ["e0", "e1", "e2"]);
    assert_eq!((received[0].payload.as_deref(), received[0].key.as_deref()), (Some([0, 0xff].as_slice()), Some("1")));
    assert_eq!(received[2].payload, None);
}

/// A row that is no event stops the relay at that row, by number.
#[test]
fn a_row_that_cannot_be_read() {
    let database = Database::with_outbox();
    let mut client = database.connect();
    let first = insert(&mut client, "a", "X", "{}");
    client
        .batch_execute("INSERT INTO outbox (aggregate_type, aggregate_id, event_type, headers) VALUES ('o', 'a', 'X', '[1]')")
        .expect("inserts");
    let topic = unique("badrow");
    create_topic(&topic, 1, &[]);
    let args = [vec!["run", "--until-drained"], run_args(&database, &topic)].concat();
    Relay::run(&args).expect(7, &["[bad-event]", "row 2", "headers must be a JSON object", "table=public.outbox"]);
    let mut consumer = Consumer::new(&[&topic]);
    assert_eq!(consumer.read_to_end().iter().map(|m| m.id()).collect::<Vec<_>>(), [first.to_string()]);
    assert_eq!(database.rows(), 1);
}

#[test]
fn init_prints_what_it_would_do() {
    let printed = Relay::run(&["init", "--table", "shop.events"]).expect(0, &[]).stdout;
    for part in [
        "CREATE SCHEMA IF NOT EXISTS \"shop\"",
        "xid8 NOT NULL DEFAULT pg_current_xact_id()",
        "CACHE 1",
        "GENERATED ALWAYS AS ((hashtextextended",
    ] {
        assert!(printed.contains(part), "{printed}");
    }
    // What it prints can be run as it is.
    let database = Database::new();
    database.connect().batch_execute(&printed).expect("runs");
    Relay::run(&["check", "--source", &database.url, "--table", "shop.events", "--stdout"]).expect(0, &[]);
}
