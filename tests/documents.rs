//! Property: what the documents say is so: every snippet runs, every code and
//! exit code is explained, the demo keeps its promise.

use crate::support::consumer::{Consumer, create_topic};
use crate::support::database::Database;
use crate::support::relay::Relay;
use crate::support::{component, root, services, unique};
use relay::error::Kind;
use std::path::Path;
use std::process::{Command, Stdio};

/// Fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned())).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Runs every `sh` block of a document in order, from a copy of the root that
/// holds what the snippets name, against a database of its own.
fn run_blocks(document: &str) {
    let database = Database::new();
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["target", "examples", "wit", "transforms", "tests"] {
        std::os::unix::fs::symlink(root().join(name), directory.path().join(name)).expect("links");
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_relay")).parent().expect("a directory");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let text = read(document);
    let snippets = blocks(&text, "sh");
    assert!(!snippets.is_empty(), "{document} has no sh block");
    if let Some(toml) = blocks(&text, "toml").first() {
        std::fs::write(directory.path().join("relay.toml"), toml).expect("writes");
    }
    for snippet in snippets {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &snippet])
            .current_dir(&directory)
            .env("PATH", &path)
            .env("DATABASE_URL", &database.url)
            .env("KAFKA_BROKERS", &services::kafka().brokers)
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{document}: this block fails with {}:\n{snippet}\n---\n{said}", output.status);
    }
}

#[test]
fn the_readme_runs() {
    run_blocks("README.md");
}

#[test]
fn the_example_runs() {
    run_blocks("examples/customer-events/README.md");
}

/// Every `toml` block that is a whole configuration, and every example's file,
/// is accepted.
#[test]
fn every_configuration_shown_is_accepted() {
    let mut shown: Vec<String> = ["README.md", "docs/ARCHITECTURE.md", "docs/cdc.md", "docs/debezium.md", "docs/delivery.md"]
        .iter()
        .flat_map(|d| blocks(&read(d), "toml"))
        .collect();
    shown.retain(|text| text.contains("[source]"));
    shown.push(read("examples/customer-events/relay.toml").replace("../../", ""));
    for text in shown {
        let name = unique("shown");
        // Paths are relative to the file, and the snippets stand in the root.
        let path = root().join("target").join(format!("{name}.toml"));
        std::fs::write(&path, text.replace("target/components", "components")).expect("writes");
        let args = ["check", "--offline", "-c", path.to_str().expect("a path")];
        let finished = Relay::start_with(&args, &[("DATABASE_URL", "postgres://u@h/d"), ("KAFKA_BROKERS", "h:1")]).wait();
        std::fs::remove_file(&path).expect("removes");
        assert_eq!(finished.code, Some(0), "{text}\n{}{}", finished.stdout, finished.stderr);
    }
}

/// The move from Debezium, followed literally: its table, publication and slot, the
/// configuration, the commands, and the message that is shown.
#[test]
fn the_move_from_debezium() {
    let database = Database::new();
    let (kind, slot, name) = (unique("Order"), unique("debezium"), unique("orders"));
    let text = read("docs/debezium.md")
        .replace("'Order'", &format!("'{kind}'"))
        .replace("outbox.event.Order\n", &format!("outbox.event.{kind}\n"));
    let after = |mark: &str, end: &str| text.split(mark).nth(1).and_then(|rest| rest.split(end).next()).expect(mark).to_owned();
    let row = after("The row `", "` then is");
    database
        .connect()
        .batch_execute(
            "CREATE TABLE outboxevent (id uuid PRIMARY KEY, aggregatetype varchar(255) NOT NULL, aggregateid varchar(255) NOT NULL, \
             type varchar(255) NOT NULL, payload jsonb); CREATE PUBLICATION dbz_publication FOR TABLE outboxevent",
        )
        .expect("creates");
    database.connect().query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&slot]).expect("creates");
    database.connect().batch_execute(&format!("INSERT INTO outboxevent VALUES {row}")).expect("inserts");
    let topic = after("topic    ", "\n");
    create_topic(&topic, 1, &[]);

    let toml = blocks(&text, "toml").remove(0);
    let toml = toml.replace("\"debezium\"", &format!("\"{slot}\"")).replace("name = \"orders\"", &format!("name = \"{name}\""));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    std::fs::write(&path, toml.replace("localhost:9092", &services::kafka().brokers)).expect("writes");
    let commands: Vec<_> =
        text.lines().map(str::trim).filter(|line| line.starts_with("relay ") && line.ends_with("-c relay.toml")).collect();
    assert_eq!(commands, ["relay init --cdc --adopt-slot -c relay.toml", "relay run -c relay.toml"]);
    for command in commands {
        let mut args: Vec<_> = command.split(' ').skip(1).collect();
        if args[0] == "run" {
            args.push("--until-drained");
        }
        let args: Vec<_> = args.iter().map(|a| if *a == "relay.toml" { path.to_str().expect("a path") } else { a }).collect();
        Relay::start_with(&args, &[("DATABASE_URL", &database.url)]).wait().expect(0, &[]);
    }

    let mut consumer = Consumer::new(&[&topic]);
    let [message] = consumer.read_to_end() else { panic!("one message") };
    assert_eq!(message.key.as_deref(), Some(&*after("key      ", "\n")));
    assert_eq!(message.payload.as_deref(), Some(after("value    ", "\n").as_bytes()));
    let headers = message.headers.iter().map(|(name, value)| match &**name {
        "relay-position" => "relay-position: …".to_owned(),
        _ => format!("{name}: {}", String::from_utf8_lossy(value.as_deref().unwrap_or_default())),
    });
    assert_eq!(headers.collect::<Vec<_>>().join(", "), after("headers  ", "\n"));
}

/// The three shapes: each SQL gives the event that is shown.
#[test]
fn the_shapes_are_as_shown() {
    let text = read("docs/cdc.md");
    let shapes = text.split("### An outbox table").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the shapes");
    let shown = blocks(shapes, "text");
    assert_eq!(shown.len(), 3);
    for (toml, shown) in blocks(shapes, "toml").into_iter().zip(shown) {
        let database = Database::new();
        database
            .connect()
            .batch_execute("CREATE TABLE orders (id int PRIMARY KEY, card text, total numeric, at timestamptz)")
            .expect("creates");
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("relay.toml");
        std::fs::write(&path, toml.replace("name = \"shop\"", &format!("name = \"{}\"", unique("shop")))).expect("writes");
        let relay = |args: &[&str]| {
            let args = [args, &["-c", path.to_str().expect("a path")]].concat();
            Relay::start_with(&args, &[("DATABASE_URL", &database.url), ("KAFKA_BROKERS", &services::kafka().brokers)])
                .wait()
                .expect(0, &[])
        };
        relay(&["init", "--cdc", "--apply"]);
        let (sql, event) = shown.split_once("\n\n").expect("SQL and event");
        let id = "406c07f3-26f0-4eea-a50c-109940064b8f";
        database.connect().batch_execute(&sql.replace("406c07f3-…", id)).expect("runs");
        let written = relay(&["run", "--stdout", "--until-drained"]).stdout;
        let written: serde_json::Value = serde_json::from_str(written.trim()).unwrap_or_else(|e| panic!("{e}: {written}"));
        let event = event.replace("406c07f3-…", id).replace("\n ", "");
        let event: serde_json::Value = serde_json::from_str(&event).unwrap_or_else(|e| panic!("{e}: {event}"));
        for (member, value) in event.as_object().expect("an object") {
            // Where it stands in the log is another matter each time.
            let elsewhere = member == "position" || (member == "id" && value.as_str().is_some_and(|id| id.starts_with("0/")));
            assert!(elsewhere || written[member] == *value, "{member}: {written}\nbut shown is {event}");
        }
    }
}

/// The SQL of the example is what the command prints.
#[test]
fn the_examples_schema_is_what_init_prints() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("relay.toml");
    std::fs::write(
        &config,
        read("examples/customer-events/relay.toml").replace("${DATABASE_URL}", "").replace("url = \"\"", "url = \"postgres://u@h/d\""),
    )
    .expect("writes");
    let database = Database::new();
    let printed = Relay::start_with(
        &["init", "-c", config.to_str().expect("a path"), "--source", &database.url],
        &[("KAFKA_BROKERS", "h:1"), ("DATABASE_URL", "x")],
    )
    .wait()
    .expect(0, &[])
    .stdout;
    assert!(read("examples/customer-events/schema.sql").contains(printed.trim()), "schema.sql lacks:\n{printed}");
}

#[test]
fn every_error_is_documented() {
    let text = read("docs/errors.md");
    for kind in Kind::ALL {
        let row = text.lines().find(|l| l.starts_with('|') && l.contains(&format!("`{}`", kind.code())));
        let row = row.unwrap_or_else(|| panic!("docs/errors.md lacks `{}`", kind.code()));
        assert!(row.contains(&kind.exit_code().to_string()), "exit code {} is missing in: {row}", kind.exit_code());
    }
    // Codes of faults stand in the source as literals.
    let source = std::fs::read_to_string(root().join("relay/src/transform/fault.rs")).expect("reads")
        + &std::fs::read_to_string(root().join("relay/src/transform/convert.rs")).expect("reads")
        + &std::fs::read_to_string(root().join("relay/src/transform/instance.rs")).expect("reads");
    for code in source.split('"').filter(|s| (s.starts_with("trap:") || s.starts_with("contract:")) && s.len() > 9) {
        assert!(text.contains(&format!("`{code}`")), "docs/errors.md lacks `{code}`");
    }
}

/// The configuration within the manifests, with what they put into its environment.
#[test]
fn the_manifests_configure_a_pipeline() {
    let manifests = read("examples/kubernetes/relay.yaml");
    let inner = manifests.split("relay.toml: |\n").nth(1).and_then(|rest| rest.split("\n---\n").next()).expect("the configuration");
    let toml: String = inner.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    // Fetching it from that registry is not this test's business.
    let component = component("redact");
    let reference = toml.split("path = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a path").to_owned();
    assert!(reference.starts_with("oci://") && reference.contains("@sha256:"), "{reference}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("relay.toml");
    std::fs::write(&path, toml.replace(&reference, component.to_str().expect("a path"))).expect("writes");
    let env = [("DATABASE_URL", "postgres://h/d"), ("RELAY_ADMIN_TOKEN", "0123456789abcdef")];
    Relay::start_with(&["check", "--offline", "-c", path.to_str().expect("a path")], &env).wait().expect(0, &[]);
}

/// Every metric is explained.
#[test]
fn metrics_are_complete() {
    let text = read("README.md");
    for (name, _) in relay::metrics::ALL {
        assert!(text.contains(&format!("`{name}")), "README.md lacks `{name}`");
    }
}

/// The demo on its own embedded broker and on a real one; it verifies itself.
#[test]
fn the_demo_keeps_its_promise() {
    let components = root().join("target/components");
    let components = components.to_str().expect("a path");
    let server = &services::postgres().url;
    for broker in [None, Some(&services::kafka().brokers)] {
        let mut args = vec!["demo", "--components", components, "--changes", "120", "--source", server];
        if let Some(brokers) = broker {
            args.extend(["--brokers", brokers]);
        }
        let told = Relay::run(&args).expect(0, &[]).stdout;
        assert_eq!(told.contains("EMBEDDED"), broker.is_none(), "{told}");
        assert!(told.contains("0 lost, 0 false, 0 doubled"), "{told}");
        // The problem is real: acts 1 and 2 end with false and with lost events.
        let acts: Vec<_> = told.lines().filter(|l| l.contains("LOST")).collect();
        assert!(!acts[0].contains(" 0 FALSE") && !acts[1].contains(": 0 LOST"), "{told}");
    }
}
