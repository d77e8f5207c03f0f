//! One instance of a component: its store, its limits, its log.

use super::bindings::{GuestEvent, GuestHost, Level, Outcome, Transform, Unused as UnusedFlags};
use super::contract;
use super::engine::{Engine, Module, TICK, differs};
use super::fault::Fault;
use crate::config::Limits;
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::Shared;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceAny;
use wasmtime::{ResourceLimiter, Store};

/// What the store knows: limits and log, nothing of the world outside.
pub struct Guest {
    limiter: Limiter,
    log: Log,
}

struct Limiter {
    memory: usize,
    tables: usize,
    /// Bytes of all linear memories together.
    used: usize,
    refused: bool,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let after = self.used.saturating_add(desired.saturating_sub(current));
        let granted = after <= self.memory;
        if granted {
            self.used = after;
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.refused |= desired > self.tables;
        Ok(desired <= self.tables)
    }
}

/// The guest's log: rate-limited by the second, cut, never failing.
struct Log {
    transform: String,
    digest: String,
    rate: u32,
    line: usize,
    second: Instant,
    written: u32,
    suppressed: u64,
    ids: Vec<Shared>,
}

impl GuestHost for Guest {
    fn log(&mut self, level: Level, message: String, event: Option<u32>) {
        self.log.write(level, message, event);
    }
}

impl Log {
    fn write(&mut self, level: Level, mut message: String, event: Option<u32>) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.flush();
            self.second = Instant::now();
            self.written = 0;
        }
        if self.written >= self.rate {
            self.suppressed += 1;
            return;
        }
        self.written += 1;
        if message.len() > self.line {
            let cut = (0..=self.line).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
            message.truncate(cut);
            message.push('…');
        }
        let (transform, digest) = (self.transform.as_str(), self.digest.as_str());
        let id = event.and_then(|i| self.ids.get(i as usize)).map_or("", |id| &**id);
        match level {
            Level::Trace => tracing::trace!(target: "relay::guest", transform, digest, event = id, "{message}"),
            Level::Debug => tracing::debug!(target: "relay::guest", transform, digest, event = id, "{message}"),
            Level::Info => tracing::info!(target: "relay::guest", transform, digest, event = id, "{message}"),
            Level::Warn => tracing::warn!(target: "relay::guest", transform, digest, event = id, "{message}"),
            Level::Error => tracing::error!(target: "relay::guest", transform, digest, event = id, "{message}"),
        }
    }

    fn flush(&mut self) {
        if self.suppressed > 0 {
            let (transform, digest) = (self.transform.as_str(), self.digest.as_str());
            tracing::warn!(target: "relay::guest", transform, digest, lines = self.suppressed, "log lines over limits.log_rate were left out");
            self.suppressed = 0;
        }
    }
}

/// What the guest does not read and the host need not copy in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// The payload.
    pub payload: bool,
    /// The row before the change.
    pub before: bool,
    /// The headers.
    pub headers: bool,
}

/// See the module. After any fault it must be dropped whole.
pub struct Instance {
    store: Store<Guest>,
    bindings: Transform,
    transform: ResourceAny,
    unused: Unused,
    calls: u64,
}

impl Instance {
    /// Instantiates and `create`s.
    ///
    /// # Errors
    /// `Component` with the guest's own reason, or what it did wrong.
    pub(super) fn new(engine: &Engine, module: &Module, name: &str, settings: &str, limits: &Limits) -> Result<Self> {
        let at = |e: Error| e.at("transform", name).at("digest", module.short_digest());
        let guest = Guest {
            limiter: Limiter {
                memory: usize::try_from(limits.memory.as_u64()).unwrap_or(usize::MAX),
                tables: limits.table_elements as usize,
                used: 0,
                refused: false,
            },
            log: Log {
                transform: name.to_owned(),
                digest: module.short_digest().to_owned(),
                rate: limits.log_rate,
                line: usize::try_from(limits.log_line.as_u64()).unwrap_or(usize::MAX),
                second: Instant::now(),
                written: 0,
                suppressed: 0,
                ids: Vec::new(),
            },
        };
        let mut store = Store::new(engine.inner(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_hostcall_fuel(usize::try_from(limits.lifted_bytes.as_u64()).unwrap_or(usize::MAX));
        store.set_epoch_deadline(ticks(limits.create_deadline));
        if engine.is_metered() {
            // Deadlines bound the guest; this only counts.
            store.set_fuel(u64::MAX).or_kind(Kind::Internal, "the engine does not count")?;
        }
        let failed = |store: &Store<Guest>, step: &str, cause: wasmtime::Error| {
            if is_mismatch(&cause) {
                return at(differs(module.path().and_then(contract::difference)).cause(cause));
            }
            let fault = Fault::from_call(&cause, store.data().limiter.refused);
            let error = Error::new(Kind::Component, format!("{step}: the component {}", fault.what)).cause(cause);
            at(error).remedy("build it against wit/transform.wit of this release, and check `settings` and `limits`")
        };
        let bindings = module.pre().instantiate(&mut store).map_err(|e| failed(&store, "instantiation failed", e))?;
        let exports = bindings.relay_transform_transformer().transform();
        let created = exports.call_create(&mut store, settings).map_err(|e| failed(&store, "`create` failed", e))?;
        let transform = created.map_err(|reason| {
            // Apart from the sentence: it may quote the settings, and these may hold secrets.
            at(Error::new(Kind::SettingsRefused, "`create` refused the settings").guest(reason))
                .remedy("correct `settings` of this transform")
        })?;
        let flags = exports.call_unused(&mut store, transform).map_err(|e| failed(&store, "`unused` failed", e))?;
        let unused = Unused {
            payload: flags.contains(UnusedFlags::PAYLOAD),
            before: flags.contains(UnusedFlags::BEFORE),
            headers: flags.contains(UnusedFlags::HEADERS),
        };
        Ok(Self { store, bindings, transform, unused, calls: 0 })
    }

    /// What need not be copied in.
    #[must_use]
    pub fn unused(&self) -> Unused {
        self.unused
    }

    /// Instructions spent so far, as wasmtime counts them; 0 where nobody counts.
    pub(super) fn spent(&self) -> u64 {
        self.store.get_fuel().map_or(0, |left| u64::MAX - left)
    }

    /// Bytes of all linear memories together.
    pub(super) fn memory_used(&self) -> usize {
        self.store.data().limiter.used
    }

    /// Whether it should make room for a fresh one: it has served its calls, or
    /// its memory passed the watermark.
    pub(super) fn is_spent(&self, limits: &Limits) -> bool {
        let served = limits.recycle_after > 0 && self.calls >= limits.recycle_after;
        served || self.is_outgrown(limits)
    }

    /// Whether its memory passed the watermark.
    pub(super) fn is_outgrown(&self, limits: &Limits) -> bool {
        let limiter = &self.store.data().limiter;
        limiter.used.saturating_mul(100) > limiter.memory.saturating_mul(usize::from(limits.memory_watermark))
    }

    /// One call with consecutive events of a lane. `ids` are theirs, for the log.
    pub(super) fn process(
        &mut self,
        events: &[GuestEvent<'_>],
        ids: impl Iterator<Item = Shared>,
        limits: &Limits,
    ) -> std::result::Result<Vec<Outcome>, Fault> {
        self.calls += 1;
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let deadline = limits.event_deadline.saturating_mul(count).min(limits.batch_deadline.max(limits.event_deadline));
        self.store.set_epoch_deadline(ticks(deadline));
        self.store.data_mut().limiter.refused = false;
        let log = &mut self.store.data_mut().log;
        log.ids.clear();
        log.ids.extend(ids);
        let exports = self.bindings.relay_transform_transformer().transform();
        let result = exports.call_process(&mut self.store, self.transform, events);
        let outcomes = result.map_err(|e| Fault::from_call(&e, self.store.data().limiter.refused))?;
        if outcomes.len() == events.len() {
            return Ok(outcomes);
        }
        Err(Fault::new(
            "contract:outcomes",
            format!("returned {} outcomes for {} events; it must be one each", outcomes.len(), events.len()),
        ))
    }
}

/// Whether wasmtime found the exports to be of other types than the contract's. It
/// looks at them on instantiation, and has no error of its own for it.
fn is_mismatch(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| cause.to_string().starts_with("type mismatch with "))
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.store.data_mut().log.flush();
    }
}

/// Deadlines in ticks of the engine's epoch; one more, because the current tick
/// is already running.
fn ticks(deadline: Duration) -> u64 {
    u64::try_from(deadline.as_millis() / TICK.as_millis().max(1)).unwrap_or(u64::MAX).saturating_add(1)
}
