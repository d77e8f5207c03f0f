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
