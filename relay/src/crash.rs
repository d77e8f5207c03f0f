//! Crash points: where a test can have the relay die as by SIGKILL, named by the
//! step before it. `RELAY_CRASH_AT=swap-kept` dies there, `swap-kept*3` the third
//! time; in a release build there is nothing of it.

use crate::event::Event;
use clap::ValueEnum;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What has just been done. `docs/swapping.md` says what a start finds after each of a
/// swap, `docs/delivery.md` of a transaction and of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Point {
    /// A new component is in the library.
    SwapKept,
    /// It is compiled.
    SwapCompiled,
    /// It has passed every gate.
    SwapTried,
    /// It is active in the state, and has no lane yet.
    SwapRemembered,
    /// The lanes have it, or a canary's share of them.
    SwapSwitched,
    /// The history has it, and whoever asked was not answered yet.
    SwapNoted,
    /// A canary has all lanes, and the state does not know.
    CanaryWidened,
    /// The probation is over, and the state does not know.
    SwapProved,
    /// The lanes have the old generation back, and the state does not know.
    RollbackRestored,
    /// The state knows, and whoever asked was not answered yet.
    RollbackRemembered,
    /// Under exactly-once: everything of a transaction is with the broker.
    EpochSealed,
    /// The record of it too.
    EpochRecorded,
    /// It is committed, and the source does not know.
    EpochCommitted,
    /// The source knows.
    EpochSettled,
    /// A letter was handed to the sink.
    LetterWritten,
    /// The events of redriven letters are published, and the letters still there.
    LetterPublished,
    /// They are gone.
    LetterTaken,
}

/// Where to die, and how many times to pass there first.
static ARMED: LazyLock<Option<(Point, AtomicU32)>> = LazyLock::new(|| {
    let text = std::env::var("RELAY_CRASH_AT").ok()?;
    let (name, times) = text.split_once('*').unwrap_or((&text, "1"));
    Some((Point::from_str(name, false).ok()?, AtomicU32::new(times.parse().ok()?)))
});

/// The id of an event that kills, as a defect of the runtime would: `RELAY_CRASH_ON`.
static DEADLY: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("RELAY_CRASH_ON").ok());

/// Dies if one of these events is such.
pub fn running(events: &[Event]) {
    if cfg!(debug_assertions) && DEADLY.as_ref().is_some_and(|id| events.iter().any(|event| *event.id == **id)) {
        die();
    }
}

/// Dies if this is the point.
pub fn point(here: Point) {
    if !cfg!(debug_assertions) {
        return;
    }
    if let Some((armed, times)) = &*ARMED
        && *armed == here
        && times.fetch_sub(1, Ordering::Relaxed) == 1
    {
        die();
    }
}

/// Nothing is flushed, dropped or said, and no core is left.
fn die() -> ! {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}
