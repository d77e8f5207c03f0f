//! A pipeline whose transform is swapped while it runs: its configuration, its
//! admin port, and components that differ by one byte or by what they do.

use super::consumer::{Received, create_topic};
use super::database::Database;
use super::relay::{Finished, PATIENCE, Relay};
use super::{component, eventually, services, unique};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// Long enough to be accepted, and nobody's.
pub const TOKEN: &str = "0123456789abcdef-test";

/// How the chameleon's mode begins in its bytes, and how long it is there.
const MARK: &[u8] = b"RELAY-CHAMELEON:";
const MODE: usize = 32;

/// See the module.
pub struct Swapping {
    pub database: Database,
    pub topic: String,
    directory: tempfile::TempDir,
}

impl Swapping {
    /// A pipeline from an outbox through a chameleon that passes; its topic has four
    /// partitions.
    pub fn new(swap: &str, transform: &str) -> Self {
        let this = Self { database: Database::with_outbox(), topic: unique("swap"), directory: tempfile::tempdir().expect("a directory") };
        create_topic(&this.topic, 4, &[]);
        std::fs::write(this.path("chameleon.wasm"), chameleon("pass")).expect("writes");
        this.configure(swap, transform);
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes `relay.toml`; the arguments are lines of `[swap]` and of the transform.
    pub fn configure(&self, swap: &str, transform: &str) {
        let toml = format!(
            "name = \"{topic}\"\n[source]\nkind = \"outbox\"\nurl = \"{url}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\n\
             topic = \"{topic}\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n[modules]\ndirectory = \"modules\"\n[swap]\n{swap}\n\
             [[transform]]\nname = \"c\"\npath = \"chameleon.wasm\"\n{transform}\n",
            topic = self.topic,
            url = self.database.url,
            brokers = services::kafka().brokers,
        );
        std::fs::write(self.path("relay.toml"), toml).expect("writes");
    }

    pub fn config(&self) -> String {
        self.path("relay.toml").to_str().expect("a path").to_owned()
    }

    pub fn start(&self) -> Relay {
        self.start_with(&[])
    }

    /// Starts it with this in its environment.
    pub fn start_with(&self, env: &[(&str, &str)]) -> Relay {
        Relay::start_with(&["run", "-c", &self.config()], env)
    }

    /// Starts it and waits until it may be swapped.
    pub fn serve(&self) -> (Relay, Port) {
        let relay = self.start();
        let port = Port::of(&relay);
        (relay, port)
    }

    /// Publishes what is there and stops.
    pub fn drain(&self) -> Finished {
        Relay::run(&["run", "-c", &self.config(), "--until-drained"])
    }

    /// Writes a component that does this; its path.
    pub fn component(&self, mode: &str) -> PathBuf {
        let path = self.path(&format!("{}.wasm", mode.replace(' ', "-")));
        std::fs::write(&path, chameleon(mode)).expect("writes");
        path
    }

    /// Inserts events of these keys, so many of each, in turns.
    pub fn insert(&self, keys: &[&str], count: usize) {
        let mut client = self.database.connect();
        let mut tx = client.transaction().expect("begins");
        for n in 0..count {
            for key in keys {
                super::database::insert(&mut tx, key, "Changed", &format!("{{\"n\":{n}}}"));
            }
        }
        tx.commit().expect("commits");
    }

    /// Waits until nothing is left in the outbox.
    pub fn until_published(&self) {
        eventually("the outbox is empty", PATIENCE, || self.database.rows() == 0);
    }
}

/// The chameleon with another mode.
pub fn chameleon(mode: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(component("guests/chameleon")).expect("reads");
    let at = bytes.windows(MARK.len()).position(|window| window == MARK).expect("the mode") + MARK.len();
    bytes[at..at + MODE].copy_from_slice(format!("{mode:MODE$}").as_bytes());
    bytes
}

/// Which component made a message.
pub fn made_by(message: &Received) -> String {
    message.header("relay-transform").expect("a header")
}

/// Its first twelve digits, as headers and the status have them.
pub fn short_digest(path: &Path) -> String {
    relay::transform::digest(&std::fs::read(path).expect("reads"))[..12].to_owned()
}

/// The admin port of a running relay.
pub struct Port(pub String);

impl Port {
    /// Of a relay that holds its pipeline, and may be swapped.
    pub fn of(relay: &Relay) -> Self {
        let port = Self::listening(relay);
        eventually("the relay is ready", PATIENCE, || port.request("GET", "/readyz", None, b"").0 == 200);
        port
    }

    /// Of one that perhaps waits.
    pub fn listening(relay: &Relay) -> Self {
        relay.await_log("serving /livez");
        let log = relay.log();
        let line = log.lines().find(|l| l.contains("serving /livez")).expect("the line").to_owned();
        let rest = line.split("address=").nth(1).expect("an address");
        Self(rest.split_whitespace().next().expect("an address").to_owned())
    }

    /// One request as it stands; status code and body.
    pub fn raw(&self, request: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.0).expect("connects");
        // A relay that answers early closes before everything is read.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let code = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, body.to_owned())
    }

    pub fn request(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> (u16, Value) {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{authorization}Content-Length: {}\r\n\r\n",
            self.0,
            body.len()
        );
        let (code, body) = self.raw(&[head.as_bytes(), body].concat());
        (code, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Asks for a swap; status code and report.
    pub fn swap(&self, query: &str, component: &[u8]) -> (u16, Value) {
        self.request("POST", &format!("/v1/transforms/c{query}"), Some(TOKEN), component)
    }

    /// What is at work.
    pub fn generations(&self) -> Value {
        let (code, status) = self.request("GET", "/v1/status", Some(TOKEN), b"");
        assert_eq!(code, 200, "{status}");
        status["generations"].clone()
    }

    /// Digest of the active component, its first twelve digits.
    pub fn active(&self) -> String {
        self.generations()["active"]["stages"][0]["digest"].as_str().expect("a digest")[..12].to_owned()
    }

    /// The newest entry of the history.
    pub fn newest(&self) -> Value {
        self.generations()["history"].as_array().and_then(|all| all.last().cloned()).unwrap_or_default()
    }

    /// Runs `relay swap` or `relay rollback` against it.
    pub fn command(&self, args: &[&str]) -> Finished {
        Relay::start_with(&[args, &["--admin", &self.0]].concat(), &[("RELAY_ADMIN_TOKEN", TOKEN)]).wait()
    }
}
