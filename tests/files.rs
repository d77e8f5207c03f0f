//! Property: the event form of files keeps bytes, order and meaning, both ways.

use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually};

const EVENTS: &str = r#"{"id":"1","entity":"order","event_type":"OrderPlaced","key":"a","payload":{"card":"4111","total":1.10}}
{"id":"2","entity":"order","event_type":"OrderPlaced","key":"a","payload_text":"not json"}
{"id":"3","entity":"order","key_base64":"/w==","payload_base64":"AP8=","headers":[{"name":"h","value":"x"},{"name":"h"}]}
{"id":"4","entity":"order","key":"b","payload":null}
"#;

fn with_events(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events.jsonl");
    std::fs::write(&path, text).expect("writes");
    let path = path.to_str().expect("a path").to_owned();
    (directory, path)
}

#[test]
fn what_is_written_reads_back_the_same() {
    let (directory, path) = with_events(EVENTS);
    let out = directory.path().join("out.jsonl").to_str().expect("a path").to_owned();
    Relay::run(&["run", "--source", &path, "--out", &out]).expect(0, &["events=4"]);
    let once = std::fs::read_to_string(&out).expect("reads");
    let again = Relay::run(&["run", "--source", &out, "--stdout"]).expect(0, &[]).stdout;
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&once), sorted(&again));
    assert_eq!(once.lines().count(), 4);
    assert!(once.contains(r#""payload":{"card":"4111","total":1.10}"#), "{once}");
    assert!(once.contains(r#""topic":"outbox.event.order""#), "{once}");
}

#[test]
fn a_chain_of_transforms_reshapes_routes_filters_and_multiplies() {
    let (_directory, path) = with_events(
        r#"{"id":"1","entity":"order","event_type":"OrderPlaced","key":"a","payload":{"order_id":7,"card":"4111","lines":[{"sku":"x"},{"sku":"y"}]}}
{"id":"2","entity":"audit","event_type":"Seen","key":"a","payload":{"card":"4111"}}
"#,
    );
    let paths = ["filter", "redact", "split", "route"].map(|n| component(n).to_str().expect("a path").to_owned());
    let finished = Relay::run(&[
        "run",
        "--source",
        &path,
        "--stdout",
        "--allow-topic",
        "orders.*",
        "--transform",
        &paths[0],
        "--settings",
        r#"{"drop":[{"entity":["audit"]}]}"#,
        "--transform",
        &paths[1],
        "--settings",
        r#"{"fields":["card"]}"#,
        "--transform",
        &paths[2],
        "--settings",
        r#"{"path":"lines","event-type":"OrderLine","copy":["order_id"]}"#,
        "--transform",
        &paths[3],
        "--settings",
        r#"{"by":"event-type","template":"orders.{value}"}"#,
    ])
    .expect(0, &["events=2 messages=2"]);
    let lines: Vec<serde_json::Value> = finished.stdout.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["id"].as_str(), lines[1]["id"].as_str()), (Some("1:0"), Some("1:1")));
    assert!(
        lines.iter().all(|l| l["topic"] == "orders.OrderLine" && l["payload"]["order_id"] == 7 && l["event_type"] == "OrderLine"),
        "{lines:?}"
    );
    assert_eq!(lines[1]["payload"]["sku"], "y");
}

#[test]
fn when_decides_in_the_host_what_a_transform_sees() {
    let (directory, path) = with_events(EVENTS);
    let config = directory.path().join("relay.toml");
    let redact = component("redact");
    // Line 2 is no JSON: redact would fail it, so `when` keeps it away.
    let text = format!(
        "[source]\nkind = \"file\"\npath = \"{path}\"\n[[transform]]\npath = \"{}\"\nsettings = {{ fields = [\"card\"] }}\n\
         when = {{ event_type = [\"Nothing\"] }}\n[sink]\nkind = \"stdout\"\n",
        redact.display()
    );
    std::fs::write(&config, text).expect("writes");
    let finished = Relay::run(&["run", "-c", config.to_str().expect("a path")]).expect(0, &["events=4 messages=4"]);
    assert!(finished.stdout.contains("4111"));
}

#[test]
fn an_empty_input_is_done_at_once() {
    let (_directory, path) = with_events("\n\n");
    Relay::run(&["run", "--source", &path, "--stdout"]).expect(0, &["events=0"]);
}

/// GIVEN events from a pipe that stays open, WHEN a blank line follows one, THEN it
/// is published without waiting for more.
#[test]
fn an_event_of_an_open_pipe_is_not_held_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let (pipe, out) = (path("pipe"), path("out"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let relay = Relay::start(&["run", "--source", &pipe, "--out", &out]);
    let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).expect("opens");
    std::io::Write::write_all(&mut writer, b"{\"id\":\"1\",\"entity\":\"order\"}\n\n").expect("writes");
    eventually("the event in the file", PATIENCE, || std::fs::read_to_string(&out).is_ok_and(|text| text.contains("order")));
    drop(writer);
    relay.wait().expect(0, &["events=1"]);
}
