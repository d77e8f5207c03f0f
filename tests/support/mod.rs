//! What the integration tests share: services, the relay as a process, a
//! consumer that reads everything, and an oracle that demands every event.

pub mod cdc;
pub mod consumer;
pub mod database;
pub mod oracle;
pub mod proxy;
pub mod registry;
pub mod relay;
pub mod services;
pub mod swapping;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The root of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A built component, by path below `target/components` without the ending.
pub fn component(name: &str) -> PathBuf {
    let base = std::env::var_os("RELAY_COMPONENTS").map_or_else(|| root().join("target/components"), PathBuf::from);
    let path = base.join(name).with_extension("wasm");
    assert!(path.is_file(), "{} is missing: run `make transforms`", path.display());
    path
}

/// A name no other test and no other run uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{:08x}", rand::random::<u32>())
}

/// The seed of a randomised test: printed, and taken from `RELAY_SEED` to
/// replay a failure.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("RELAY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("{test}: RELAY_SEED={seed}");
    seed
}

/// How often something is killed; `RELAY_KILLS` says another number.
pub fn kills(usually: usize) -> usize {
    std::env::var("RELAY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usually)
}

/// Sends a process a signal by name, such as `STOP`. By the shell's own `kill`: a bare
/// machine has no other.
pub fn signal(process: &str, name: &str) {
    let status = Command::new("bash").args(["-c", "kill -s \"$0\" \"$1\"", name, process]).status().expect("bash starts");
    assert!(status.success(), "{name} to {process}");
}

/// Waits for a condition; says what was awaited when it does not come true.
pub fn eventually(what: &str, within: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !condition() {
        assert!(Instant::now() < deadline, "after {within:?} still not: {what}");
        pause();
    }
}

/// Between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "the poll interval of `eventually`, the only wait by time")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
