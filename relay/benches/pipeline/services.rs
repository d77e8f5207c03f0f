//! Postgres and Kafka to measure against: given by `DATABASE_URL` and
//! `KAFKA_BROKERS`, or scratch ones that go when this process ends.

use anyhow::{Context as _, Result, ensure};
use std::collections::HashMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A built component, by path below `target/components`.
pub fn component(path: &str) -> Result<PathBuf> {
    let base = std::env::var_os("RELAY_COMPONENTS").map_or_else(|| root().join("target/components"), PathBuf::from);
    let path = base.join(path);
    ensure!(path.is_file(), "{} is missing: run `make transforms`", path.display());
    Ok(path)
}

/// See the module.
pub struct Services {
    /// Of the server's own database.
    pub url: String,
    /// Bootstrap servers.
    pub brokers: String,
    /// Process ids of scratch services.
    pub postgres: Option<u32>,
    /// As above.
    pub kafka: Option<u32>,
    // Last: stops what was started.
    _reaper: Option<Reaper>,
}

impl Services {
    /// Uses what the environment names and starts the rest.
    pub fn start() -> Result<Self> {
        let (url, brokers) = (std::env::var("DATABASE_URL").ok(), std::env::var("KAFKA_BROKERS").ok());
        if let (Some(url), Some(brokers)) = (&url, &brokers) {
            return Ok(Self { url: url.clone(), brokers: brokers.clone(), postgres: None, kafka: None, _reaper: None });
        }
        let base = std::env::var_os("RELAY_BENCH_DIR").map_or_else(|| root().join("target/services"), PathBuf::from);
        let dir = base.join(format!("bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let dir = dir.canonicalize()?;
        let reaper = Reaper::start(&dir)?;
        let (mut postgres, mut kafka) = (None, None);
        let url = match url {
            Some(url) => url,
            None => {
                let url = start("postgres", &dir, "DATABASE_URL")?;
                let home = dir.join("postgres");
                let home = home.join("elsewhere").read_link().unwrap_or(home);
                postgres = first_number(&home.join("data/postmaster.pid"));
                url
            }
        };
        let brokers = match brokers {
            Some(brokers) => brokers,
            None => {
                let brokers = start("kafka", &dir, "KAFKA_BROKERS")?;
                kafka = first_number(&dir.join("kafka/pid"));
                brokers
            }
        };
        Ok(Self { url, brokers, postgres, kafka, _reaper: Some(reaper) })
    }
}

fn first_number(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.lines().next()?.trim().parse().ok()
}

/// Runs a start script and reads one of its `NAME=value` lines.
fn start(service: &str, dir: &Path, name: &str) -> Result<String> {
    let script = root().join(format!("tests/services/{service}.sh"));
    let mut command = Command::new(&script);
    command.arg("start").arg(dir.join(service)).stdin(Stdio::null()).stderr(Stdio::inherit());
    if std::env::var_os("KAFKA_JVM_OPTS").is_none() {
        // A broker under load for minutes: the optimising compiler too.
        command.env("KAFKA_JVM_OPTS", "-XX:TieredStopAtLevel=4");
    }
    let output = command.output().with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let text = String::from_utf8(output.stdout)?;
    let lines: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    Ok((*lines.get(name).with_context(|| format!("{} printed no {name}", script.display()))?).to_owned())
}

/// A shell that waits for the end of this process, however it ends, then stops
/// the services and removes their data.
struct Reaper(Child);

impl Reaper {
    fn start(dir: &Path) -> Result<Self> {
        let child = Command::new("bash")
            .args(["-c", r#"read -r _; exec "$0" "$1" >/dev/null 2>&1"#])
            .arg(root().join("tests/services/down.sh"))
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C is for the benchmark, not for this shell.
            .process_group(0)
            .spawn()
            .context("cannot start bash")?;
        Ok(Self(child))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing can be done here about a shell that is gone.
        let _ = self.0.wait();
    }
}
