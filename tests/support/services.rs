//! A scratch Postgres and a real Apache Kafka, started once for all tests, or
//! alone for a test that stops and kills them.

use super::root;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

fn script(name: &str) -> PathBuf {
    root().join("tests/services").join(name)
}

/// An OCI registry of a test's own, empty; its address.
pub fn registry(name: &str) -> (PathBuf, String) {
    let dir = scratch(name);
    reap_at_exit("registry", &dir);
    let found = run("registry.sh", &["start", &dir.to_string_lossy()]);
    (dir, found["REGISTRY"].clone())
}

/// Runs a script and reads its `NAME=value` lines.
fn run(name: &str, args: &[&str]) -> HashMap<String, String> {
    let output = Command::new(script(name)).args(args).stdin(Stdio::null()).output().expect("the script starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {args:?}: {}\n{err}", output.status);
    out.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// Where scratch data of this run lies.
fn scratch(name: &str) -> PathBuf {
    root().join("target/services").join(format!("test-{}-{name}", std::process::id()))
}

/// A shell that waits for the end of this process, however it ends, and then
/// stops the services and removes their data.
struct Reaper(Mutex<Child>);

static REAPER: LazyLock<Reaper> = LazyLock::new(|| {
    let loop_ = r#"dirs=(); while read -r kind dir; do dirs+=("$kind $dir"); done
        for d in "${dirs[@]}"; do set -- $d; "$0/$1.sh" stop "$2" --kill >/dev/null 2>&1; rm -rf "$2"; done"#;
    let child = Command::new("bash")
        .args(["-c", loop_])
        .arg(root().join("tests/services"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("bash starts");
    Reaper(Mutex::new(child))
});

fn reap_at_exit(kind: &str, dir: &Path) {
    let mut child = REAPER.0.lock().expect("the reaper");
    writeln!(child.stdin.as_mut().expect("piped"), "{kind} {}", dir.display()).expect("the reaper listens");
}

/// A Postgres server.
pub struct Postgres {
    dir: Option<PathBuf>,
    pub url: String,
    pub ca: Option<String>,
}

/// A Kafka broker.
pub struct Kafka {
    dir: Option<PathBuf>,
    pub brokers: String,
    /// Where a proxy leads to, if there is one.
    pub behind: Option<String>,
    pub secure: Option<(String, String)>,
}

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| match std::env::var("DATABASE_URL") {
    Ok(url) => Postgres { dir: None, url, ca: None },
    Err(_) => Postgres::start("postgres", &[]),
});

static KAFKA: LazyLock<Kafka> = LazyLock::new(|| match std::env::var("KAFKA_BROKERS") {
    Ok(brokers) => Kafka { dir: None, brokers, behind: None, secure: None },
    Err(_) => Kafka::start("kafka", &[]),
});

/// The server all tests share.
pub fn postgres() -> &'static Postgres {
    &POSTGRES
}

/// The broker all tests share.
pub fn kafka() -> &'static Kafka {
    &KAFKA
}

impl Postgres {
    /// A server of one's own.
    pub fn start(name: &str, flags: &[&str]) -> Self {
        let dir = scratch(name);
        reap_at_exit("postgres", &dir);
        let dir_text = dir.to_string_lossy().into_owned();
        let found = run("postgres.sh", &[&["start", &dir_text], flags].concat());
        Self { url: found["DATABASE_URL"].clone(), ca: found.get("POSTGRES_CA").cloned(), dir: Some(dir) }
    }

    /// A standby of it.
    pub fn standby(&self, name: &str, flags: &[&str]) -> Self {
        let dir = self.dir.as_ref().expect("own server").to_string_lossy();
        Self::start(name, &[&["--standby-of", &*dir], flags].concat())
    }

    /// Where its data lies.
    pub fn data(&self) -> PathBuf {
        let dir = self.dir.as_ref().expect("own server");
        std::fs::read_link(dir.join("elsewhere")).unwrap_or_else(|_| dir.clone()).join("data")
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("a URL on loopback")
    }

    /// Kills it, or stops it in order; data and port stay.
    pub fn stop(&self, kill: bool) {
        stop("postgres.sh", self.dir.as_deref(), kill);
    }

    /// Starts it again where it was.
    pub fn start_again(&self) {
        run("postgres.sh", &["start", &self.dir.as_ref().expect("own server").to_string_lossy()]);
    }
}

impl Kafka {
    /// A broker of one's own.
    pub fn start(name: &str, flags: &[&str]) -> Self {
        let dir = scratch(name);
        reap_at_exit("kafka", &dir);
        let dir_text = dir.to_string_lossy().into_owned();
        let found = run("kafka.sh", &[&["start", &dir_text], flags].concat());
        let secure = found.get("KAFKA_SECURE_BROKERS").map(|b| (b.clone(), found["KAFKA_CA"].clone()));
        Self { brokers: found["KAFKA_BROKERS"].clone(), behind: found.get("KAFKA_BEHIND").cloned(), secure, dir: Some(dir) }
    }

    /// Kills it, or stops it in order; data and port stay.
    pub fn stop(&self, kill: bool) {
        stop("kafka.sh", self.dir.as_deref(), kill);
    }

    /// Sends its process a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(self.dir.as_ref().expect("own broker").join("pid")).expect("a pid");
        super::signal(pid.trim(), name);
    }

    /// Starts it again where it was.
    pub fn start_again(&self) {
        let port = self.brokers.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port");
        // A connection that somebody made meanwhile may have been given its port for a while.
        super::eventually("the broker's port is free", super::relay::PATIENCE, || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
        run("kafka.sh", &["start", &self.dir.as_ref().expect("own broker").to_string_lossy()]);
    }
}

/// Stops one.
pub fn stop(name: &str, dir: Option<&Path>, kill: bool) {
    let dir = dir.expect("a service of one's own").to_string_lossy().into_owned();
    run(name, if kill { vec!["stop", &dir, "--kill"] } else { vec!["stop", &dir] }.as_slice());
}
