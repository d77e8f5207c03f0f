//! How new code takes the place of old, and where modules are kept.

use super::limits::{at_least, millis};
use crate::error::{Error, Kind, Result};
use bytesize::ByteSize;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// Entries of a history that fit into one record of Kafka's default size.
const HISTORY: usize = 500;

/// What is looked at before, during and after a swap.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Swap {
    /// How long a new generation is watched beside the old one, which is kept
    /// warm. A minute sees a busy pipeline's every kind of event.
    #[serde(with = "humantime_serde")]
    pub probation: Duration,
    /// Shares of the lanes that a new generation gets first, one step after the
    /// other; none is all lanes at once.
    pub canary: Vec<f64>,
    /// How long each of these steps lasts.
    #[serde(with = "humantime_serde")]
    pub canary_step: Duration,
    /// What the shadow may find: `gate` refuses other topics, keys and numbers of
    /// messages, `report` only shows them. Failures are refused by both.
    pub shadow: Shadow,
    /// Bytes of recent events kept for the shadow; 0 keeps none. Each swap runs them
    /// three times, beside the lanes: a hundred swaps a minute over 4 MiB each cost an
    /// eighth of the rate on two busy cores.
    pub shadow_bytes: ByteSize,
    /// Longer than this nobody wants to wait for the shadow; what was seen by then
    /// must do. A sample of 4 MiB takes JavaScript a second.
    #[serde(with = "humantime_serde")]
    pub shadow_time: Duration,
    /// Entries of the history that are kept; the oldest go.
    pub history: usize,
    /// A larger component is refused before it is looked at. CPython with its
    /// library is 18 MB.
    pub max_component: ByteSize,
    /// Threads that compile, in a process of their own. One leaves a core of two to the lanes.
    pub compile_threads: usize,
    /// Niceness of these threads, 0 to 19 (source: setpriority(2)). At 15 they get
    /// a thirtieth of a core that the lanes want too, and all that they leave.
    pub compile_niceness: i32,
    /// A component that takes longer to compile is refused. CPython takes 13 s of a
    /// core, and many times that where the lanes leave little of one.
    #[serde(with = "humantime_serde")]
    pub compile_time: Duration,
    /// What a new generation may do worse than the old one.
    pub tolerate: Tolerances,
}

/// What the shadow's findings mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shadow {
    /// They refuse the swap.
    #[default]
    Gate,
    /// They are shown.
    Report,
}

/// How far a new generation may fall behind the old one before it is sent back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerances {
    /// Times the old one's bytes and messages an event.
    pub growth: f64,
    /// Times the old one's time an event, if that is over `event_time` too.
    pub slowdown: f64,
    /// Time an event that is never called slow. JavaScript in the place of Rust
    /// is sixty times as slow, with 0.2 ms an event.
    #[serde(with = "humantime_serde")]
    pub event_time: Duration,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { growth: 10.0, slowdown: 10.0, event_time: Duration::from_millis(1) }
    }
}

impl Default for Swap {
    fn default() -> Self {
        Self {
            probation: Duration::from_secs(60),
            canary: Vec::new(),
            canary_step: Duration::from_secs(30),
            shadow: Shadow::Gate,
            shadow_bytes: ByteSize::mib(1),
            shadow_time: Duration::from_secs(15),
            history: 100,
            max_component: ByteSize::mib(64),
            compile_threads: 1,
            compile_niceness: 15,
            compile_time: Duration::from_secs(600),
            tolerate: Tolerances::default(),
        }
    }
}

impl Swap {
    pub(super) fn validate(&self) -> Result<()> {
        at_least(&[
            ("swap.canary_step (ms)", millis(self.canary_step), 1),
            ("swap.max_component", self.max_component.as_u64(), 1),
            ("swap.history", self.history as u64, 1),
            ("swap.shadow_time (ms)", millis(self.shadow_time), 1),
            ("swap.compile_time (ms)", millis(self.compile_time), 1),
            ("swap.compile_threads", self.compile_threads as u64, 1),
        ])?;
        let bad = |field: &'static str, what: String| Err(Error::new(Kind::Config, what).at("field", field));
        check_canary(&self.canary)?;
        // All of it is one record of the state, with what each gate said.
        if self.history > HISTORY {
            return bad("swap.history", format!("swap.history is {}, must be at most {HISTORY}", self.history));
        }
        if !(0..=19).contains(&self.compile_niceness) {
            return bad("swap.compile_niceness", format!("swap.compile_niceness is {}, must be 0 to 19", self.compile_niceness));
        }
        for (field, value) in [("swap.tolerate.growth", self.tolerate.growth), ("swap.tolerate.slowdown", self.tolerate.slowdown)] {
            if value.is_nan() || value < 1.0 {
                return bad(field, format!("{field} is {value}, must be at least 1"));
            }
        }
        Ok(())
    }
}

/// Whether these can be steps of a canary.
///
/// # Errors
/// `Config` naming the wrong one.
pub fn check_canary(steps: &[f64]) -> Result<()> {
    let mut last = 0.0;
    for step in steps {
        if !(*step > last && *step < 1.0) {
            return Err(Error::new(
                Kind::Config,
                format!("a canary's step of {step}: steps are shares between 0 and 1, each above the one before"),
            )
            .at("field", "swap.canary")
            .remedy("write it like canary = [0.05, 0.25]"));
        }
        last = *step;
    }
    Ok(())
}

/// Where the modules that were swapped in are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modules {
    /// Directory, relative to the configuration file, `$XDG_DATA_HOME/relay/modules`
    /// where left out; each pipeline has one of its own under it.
    pub directory: Option<PathBuf>,
    /// What all modules there may take; the ones not used for longest go first,
    /// and those of the active and the previous generation never.
    pub max_bytes: ByteSize,
    /// All of a component has to be here from its registry by then: 64 MiB at 2 Mbit/s.
    #[serde(with = "humantime_serde")]
    pub fetch_timeout: Duration,
    /// A registry that is silent for so long is away.
    #[serde(with = "humantime_serde")]
    pub registry_timeout: Duration,
}

impl Modules {
    pub(super) fn validate(&self) -> Result<()> {
        at_least(&[
            ("modules.fetch_timeout (ms)", millis(self.fetch_timeout), 1),
            ("modules.registry_timeout (ms)", millis(self.registry_timeout), 1),
        ])
    }
}

impl Default for Modules {
    fn default() -> Self {
        Self {
            directory: None,
            max_bytes: ByteSize::gib(1),
            fetch_timeout: Duration::from_secs(300),
            registry_timeout: Duration::from_secs(30),
        }
    }
}
