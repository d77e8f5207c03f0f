use super::*;

const SMALL: &str = r#"
[source]
kind = "outbox"
url = "postgres://localhost/db"
[sink]
kind = "kafka"
brokers = "localhost:9092"
"#;

fn parse(text: &str) -> Result<Config> {
    Config::parse(text, Path::new("/etc/relay"), &|name| (name == "PW").then(|| "s3cret".to_owned()))
}

fn refused(text: &str) -> String {
    parse(text).expect_err("must be refused").to_string()
}

#[test]
fn small_is_enough() {
    let config = parse(SMALL).expect("parses");
    assert_eq!((config.name.as_str(), config.sink.topic()), ("relay", "outbox.event.{aggregate_type}"));
}

#[test]
fn the_whole_form_of_the_design_parses() {
    let text = r#"
name = "orders"
delivery = "at-least-once"
[source]
kind = "outbox"
url = "postgres://relay:${PW}@localhost/db"
table = "public.outbox"
poll_max = "50ms"
[source.columns]
id = "event_id"
[[transform]]
name = "redact"
path = "redact.wasm"
settings = { fields = ["card"], nested = { a = 1 } }
when = { entity = ["order"], event_type = ["OrderPlaced"], operation = ["insert"] }
topics = ["orders.*"]
limits = { memory = "32MiB", event_deadline = "100ms" }
[sink]
kind = "kafka"
brokers = "localhost:9092"
topic = "outbox.event.{aggregate_type}"
create_topics = { partitions = 3, replication = 1 }
[sink.librdkafka]
"compression.type" = "zstd"
"linger.ms" = 10
[flow]
in_flight_bytes = "8MiB"
"#;
    let config = parse(text).expect("parses");
    let Source::Outbox(outbox) = &config.source else { panic!("outbox") };
    assert!(outbox.url.contains("s3cret"));
    assert_eq!(config.transforms[0].path, Path::new("/etc/relay/redact.wasm"));
    assert_eq!(config.transforms[0].limits.memory.as_u64(), 32 << 20);
    let Sink::Kafka(kafka) = &config.sink else { panic!("kafka") };
    assert_eq!(kafka.raw(), [("compression.type", "zstd".to_owned()), ("linger.ms", "10".to_owned())]);
}

#[test]
fn refusals_name_the_field_and_the_remedy() {
    for (text, expected) in [
        (SMALL.replace("brokers", "brokerz"), "brokerz"),
        (SMALL.replace("\"outbox\"", "\"outbux\""), "outbux"),
        (format!("surprise = 1\n{SMALL}"), "surprise"),
        (SMALL.replace("localhost/db", "${NOPE}/db"), "environment variable `NOPE` is not set"),
        (format!("delivery = \"exactly-twice\"\n{SMALL}"), "exactly-twice"),
        (format!("{SMALL}topic = \"a.{{nope}}\"\n"), "unknown placeholder"),
        (format!("{SMALL}[sink.librdkafka]\nacks = 1\n"), "would undo a guarantee"),
        (format!("{SMALL}[flow]\nbatch_events = 0\n"), "flow.batch_events"),
        (format!("{SMALL}[[transform]]\npath = \"a.wasm\"\n[[transform]]\npath = \"b/a.wasm\"\n"), "two transforms are called `a`"),
        (format!("{SMALL}[[transform]]\npath = \"a.wasm\"\nlimits = {{ memory = \"1KiB\" }}\n"), "limits.memory"),
        (format!("{SMALL}[[transform]]\npath = \"a.wasm\"\nlimits = {{ memry = \"1MiB\" }}\n"), "memry"),
        (SMALL.replace("brokers = \"localhost:9092\"", "brokers = \"\""), "sink.brokers is empty"),
        ("[source]\nkind = \"file\"\n".to_owned(), "path"),
        ("not toml".to_owned(), "not TOML"),
    ] {
        let message = refused(&text);
        assert!(message.contains(expected), "wanted `{expected}` in: {message}");
    }
}

#[test]
fn no_bound_can_be_taken_away() {
    let outbox = |line: &str| SMALL.replace("[sink]", &format!("{line}\n[sink]"));
    let cdc = |line: &str| outbox(line).replace("\"outbox\"", "\"cdc\"\noutbox = \"o\"");
    let after = |lines: &str| format!("{SMALL}{lines}\n");
    let transform = |limit: &str| after(&format!("[[transform]]\npath = \"a.wasm\"\nlimits = {{ {limit} }}"));
    for (text, field) in [
        (outbox("lock_retry = \"0s\""), "source.lock_retry"),
        (outbox("session_check = \"0s\""), "source.session_check"),
        (outbox("floor_warning = \"0s\""), "source.floor_warning"),
        (outbox("delete_rows = 0"), "source.delete_rows"),
        (outbox("acknowledge_linger = \"2m\""), "source.acknowledge_linger"),
        // Meanwhile nobody looks whether the lock is still ours.
        (outbox("select_stall = \"1m\""), "source.select_stall"),
        (cdc("hand_over_delay = \"1m\""), "source.hand_over_delay"),
        (cdc("hand_over_quiet = \"1m\""), "source.hand_over_quiet"),
        (cdc("lock_retry = \"0s\""), "source.lock_retry"),
        (cdc("slot_check = \"0s\""), "source.slot_check"),
        (cdc("snapshot_patience = \"0s\""), "source.snapshot_patience"),
        (after("request_timeout = \"2h\""), "sink.request_timeout"),
        (after("topic_check = \"0s\""), "sink.topic_check"),
        (after("[flow]\nhand_over_events = 0"), "flow.hand_over_events"),
        (after("[admin]\nconnections = 0"), "admin.connections"),
        (after("[admin]\nconnections = 100000"), "admin.connections"),
        (after("[admin]\nhead_timeout = \"0s\""), "admin.head_timeout"),
        (after("[admin]\nupload_timeout = \"0s\""), "admin.upload_timeout"),
        (after("[modules]\nfetch_timeout = \"0s\""), "modules.fetch_timeout"),
        (after("[modules]\nregistry_timeout = \"0s\""), "modules.registry_timeout"),
        (after("[swap]\nshadow_time = \"0s\""), "swap.shadow_time"),
        (after("[swap]\nhistory = 0"), "swap.history"),
        (after("[swap]\nhistory = 100000"), "swap.history"),
        (transform("memory_watermark = 0"), "limits.memory_watermark"),
        (transform("memory_watermark = 101"), "limits.memory_watermark"),
    ] {
        let message = refused(&text);
        assert!(message.contains(field), "wanted `{field}` in: {message}");
    }
    assert!(parse(&cdc("slot_check = \"1s\"")).is_ok() && parse(&outbox("lock_retry = \"1s\"")).is_ok());
}
