//! What a pipeline shows of itself: the admin port, and `relay status`.

use crate::support::cdc::Capture;
use crate::support::database::Database;
use crate::support::eventually;
use crate::support::relay::{PATIENCE, Relay};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// One request; status line and body.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("asks");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

/// Where the log says that the port is.
fn address(relay: &Relay) -> String {
    relay.await_log("serving /livez");
    let log = relay.log();
    let line = log.lines().find(|l| l.contains("serving /livez")).expect("the line").to_owned();
    let rest = line.split("address=").nth(1).expect("an address");
    rest.split_whitespace().next().expect("an address").to_owned()
}

/// GIVEN a relay at work, WHEN it is asked, THEN it is alive and ready, and its
/// numbers are those of what it did.
#[test]
fn the_admin_port_tells_what_is_going_on() {
    let database = Database::new();
    let mut client = database.connect();
    client.batch_execute("CREATE TABLE item (id int PRIMARY KEY)").expect("creates");
    let source = "tables = [\"public.item\"]\nsnapshot = \"initial\"\nstatus_interval = \"100ms\"";
    let capture = Capture::new(&database, source);
    capture.write(source, "[admin]\nlisten = \"127.0.0.1:0\"");
    client.batch_execute("INSERT INTO item SELECT generate_series(1, 7)").expect("inserts");
    let relay = capture.start();
    let address = address(&relay);
    assert_eq!(get(&address, "/livez"), ("HTTP/1.1 200 OK".to_owned(), "alive\n".to_owned()));
    eventually("it is ready", PATIENCE, || get(&address, "/readyz").0.contains("200"));
    // Seven inserts, and seven rows of the snapshot.
    eventually("everything is counted", PATIENCE, || get(&address, "/metrics").1.contains("relay_events_total 14"));
    let slot = ["relay_replication_lag_bytes", "relay_slot_wal_kept_bytes", "relay_oldest_transaction_seconds"];
    let slot = slot.map(|name| format!("{name}{{slot=\"{}\"}}", capture.slot));
    let all = ["relay_messages_total 14", "relay_in_flight_events 0", "relay_snapshot_rows_total{table=\"public.item\"} 7"];
    for name in all.into_iter().chain(slot.iter().map(String::as_str)) {
        eventually(name, PATIENCE, || get(&address, "/metrics").1.contains(name));
    }
    assert!(get(&address, "/nothing").0.contains("404"));

    let told = capture.run("status", &["--json"]).expect(0, &[]).stdout;
    let status: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(status["pipeline"], capture.name);
    assert_eq!(status["snapshots"]["public.item"]["rows"], 7);
    assert!(status["slot"]["read_by"].is_i64() && status["published"].is_string(), "{told}");
    let told = capture.run("status", &[]).expect(0, &[]).stdout;
    assert!(told.contains("WAL kept") && told.contains("read by       process"), "{told}");

    relay.stop().expect(0, &[]);
    let told = capture.run("status", &[]).expect(0, &[]).stdout;
    assert!(told.contains("read by       nobody"), "{told}");
}

/// GIVEN an address that is taken, WHEN the relay starts, THEN it says so.
#[test]
fn a_taken_address_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let database = Database::new();
    let capture = Capture::new(&database, "messages = [\"a\"]");
    capture.write("messages = [\"a\"]", &format!("[admin]\nlisten = \"{}\"", taken.local_addr().expect("bound")));
    capture.run("run", &[]).expect(3, &["admin.listen", "cannot listen"]);
}
