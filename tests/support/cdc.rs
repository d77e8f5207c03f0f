//! A pipeline that reads the log: its `relay.toml`, publication, slot and topic.

use super::consumer::{Consumer, Received, create_topic_on};
use super::database::Database;
use super::relay::{Finished, Relay};
use super::{services, unique};
use std::path::PathBuf;

/// See the module. Publication and slot go with the database.
pub struct Capture {
    /// Of the pipeline and of its topic.
    pub name: String,
    pub slot: String,
    url: String,
    brokers: String,
    directory: tempfile::TempDir,
}

impl Capture {
    /// With this text under `[source]`, a topic of one partition, and
    /// publication and slot made by `relay init --cdc --apply`.
    pub fn new(database: &Database, source: &str) -> Self {
        let capture = Self::partitioned(database, source, 1);
        capture.init(&["--apply"]).expect(0, &[]);
        capture
    }

    /// With a topic of several partitions, and neither publication nor slot.
    pub fn partitioned(database: &Database, source: &str, partitions: i32) -> Self {
        Self::on(&services::kafka().brokers, database, source, partitions)
    }

    /// The same, with a broker of one's own.
    pub fn on(brokers: &str, database: &Database, source: &str, partitions: i32) -> Self {
        let name = unique("cdc");
        create_topic_on(brokers, &name, partitions, &[]);
        let directory = tempfile::tempdir().expect("a directory");
        let capture = Self { slot: format!("relay_{name}"), name, url: database.url.clone(), brokers: brokers.to_owned(), directory };
        capture.write(source, "");
        capture
    }

    /// Writes `relay.toml` anew: this under `[source]`, and further text at its end.
    pub fn write(&self, source: &str, rest: &str) {
        let Self { name, url, brokers, .. } = self;
        let text = format!(
            "name = \"{name}\"\n[sink]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\ntopic = \"{name}\"\n{rest}\n\
             [source]\nkind = \"cdc\"\nurl = \"{url}\"\n{source}\n"
        );
        std::fs::write(self.config(), text).expect("writes");
    }

    pub fn config(&self) -> PathBuf {
        self.directory.path().join("relay.toml")
    }

    /// A command with this configuration.
    pub fn args(&self, command: &str, flags: &[&str]) -> Vec<String> {
        let config = self.config().to_string_lossy().into_owned();
        [command, "-c", &config].iter().chain(flags).map(|a| (*a).to_owned()).collect()
    }

    /// The same for a shell.
    pub fn shell(&self, command: &str) -> String {
        format!("{} {}", env!("CARGO_BIN_EXE_relay"), self.args(command, &[]).join(" "))
    }

    /// Runs a command to its end.
    pub fn run(&self, command: &str, flags: &[&str]) -> Finished {
        Relay::run(&self.args(command, flags))
    }

    /// Runs `relay init --cdc`.
    pub fn init(&self, flags: &[&str]) -> Finished {
        self.run("init", &[&["--cdc"], flags].concat())
    }

    /// Publishes what is committed, and ends.
    pub fn drain(&self) -> Finished {
        self.run("run", &["--until-drained"])
    }

    /// A relay that reads the log.
    pub fn start(&self) -> Relay {
        let relay = Relay::start(&self.args("run", &[]));
        relay.await_log("reading the log");
        relay
    }

    /// A consumer of its topic.
    pub fn consumer(&self) -> Consumer {
        Consumer::on(&self.brokers, &[&self.name])
    }

    /// Publishes what is committed and reads all there is, put in the order of
    /// the log: between keys the topic has none.
    pub fn publish(&self) -> Vec<Received> {
        self.drain().expect(0, &[]);
        let mut received = self.consumer().read_to_end().to_vec();
        received.sort_by_key(position);
        received
    }
}

/// Key and payload of each message as text.
pub fn texts(received: &[Received]) -> Vec<(Option<&str>, Option<&str>)> {
    received.iter().map(|m| (m.key.as_deref(), m.payload.as_deref().map(|p| std::str::from_utf8(p).expect("text")))).collect()
}

/// Commit and index of the header `relay-position`.
pub fn position(message: &Received) -> (u64, u64) {
    let text = message.header("relay-position").expect("a position");
    let (commit, index) = text.split_once('/').expect("two numbers");
    (commit.parse().expect("a commit"), index.parse().expect("an index"))
}
