//! A new generation on trial: measured against the old one on real events, and
//! condemned by the first lane that sees reason to.

use super::{Generation, Totals};
use crate::config::Tolerances;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// Mean values say little about fewer events than a batch at the boundary.
const ENOUGH: u64 = 64;

/// Bytes an event below which its size says nothing: ten times of little is little.
const SMALL: f64 = 512.0;

/// So many instances have to outgrow their memory before it is called a leak: one
/// event may be large.
const LEAKS: u64 = 2;

/// See the module.
pub struct Probation {
    new: Arc<Generation>,
    old: Arc<Generation>,
    tolerances: Tolerances,
    verdict: OnceLock<String>,
    condemned: Notify,
}

impl Probation {
    /// Watches `new` beside `old`.
    #[must_use]
    pub fn new(new: Arc<Generation>, old: Arc<Generation>, tolerances: Tolerances) -> Arc<Self> {
        Arc::new(Self { new, old, tolerances, verdict: OnceLock::new(), condemned: Notify::new() })
    }

    /// The new one and the old one.
    #[must_use]
    pub fn generations(&self) -> (&Arc<Generation>, &Arc<Generation>) {
        (&self.new, &self.old)
    }

    /// Looks at the numbers; condemns if they are out of tolerance.
    pub fn judge(&self, fault: Option<&str>) {
        if let Some(reason) = verdict(&self.new.meter.totals(), &self.old.meter.totals(), &self.tolerances, fault) {
            self.condemn(reason);
        }
    }

    /// Sends every lane back to the old generation; the first reason counts.
    pub fn condemn(&self, reason: String) {
        if self.verdict.set(reason).is_ok() {
            self.condemned.notify_one();
        }
    }

    /// Whether it is condemned.
    #[must_use]
    pub fn is_condemned(&self) -> bool {
        self.verdict.get().is_some()
    }

    /// Waits for the reason; for ever if none comes. One task waits.
    pub async fn condemned(&self) -> String {
        loop {
            if let Some(reason) = self.verdict.get() {
                return reason.clone();
            }
            self.condemned.notified().await;
        }
    }
}

/// Why a generation with these numbers has to go, beside one with those.
#[must_use]
pub fn verdict(new: &Totals, old: &Totals, tolerances: &Tolerances, fault: Option<&str>) -> Option<String> {
    // Doubled: the same rate in few events may be a little higher by chance.
    let worse = |bad: u64, before: u64| bad > 0 && bad.saturating_mul(old.events) > before.saturating_mul(2).saturating_mul(new.events);
    if worse(new.faults, old.faults) || (new.faults > 0 && old.faults == 0) {
        let code = fault.unwrap_or("a call");
        return Some(format!(
            "faults: {code}, {} in {} events; the old generation had {} in {}",
            new.faults, new.events, old.faults, old.events
        ));
    }
    if new.outgrown >= LEAKS && (worse(new.outgrown, old.outgrown) || old.outgrown == 0) {
        return Some(format!(
            "memory: {} instances grew past limits.memory_watermark in {} events; {} of the old generation in {}",
            new.outgrown, new.events, old.outgrown, old.events
        ));
    }
    if new.events < ENOUGH || old.events < ENOUGH {
        return None;
    }
    let per = |total: u64, events: u64| total as f64 / events as f64;
    let (size, before) = (per(new.bytes_out, new.events), per(old.bytes_out, old.events));
    if size > before.max(SMALL) * tolerances.growth {
        return Some(format!(
            "output: {size:.0} bytes an event, {before:.0} of the old generation; tolerated are {} times",
            tolerances.growth
        ));
    }
    let (count, before) = (per(new.messages, new.events), per(old.messages, old.events));
    if count > before.max(1.0) * tolerances.growth {
        return Some(format!(
            "output: {count:.1} messages an event, {before:.1} of the old generation; tolerated are {} times",
            tolerances.growth
        ));
    }
    let (time, before) = (per(new.nanos, new.events), per(old.nanos, old.events));
    if time > before * tolerances.slowdown && time > tolerances.event_time.as_nanos() as f64 {
        return Some(format!(
            "time: {:.2} ms an event, {:.2} of the old generation; tolerated are {} times, or {:?}",
            time / 1e6,
            before / 1e6,
            tolerances.slowdown,
            tolerances.event_time
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Totals {
        Totals { events: 1000, messages: 1000, bytes_out: 500_000, nanos: 3_000_000, faults: 0, outgrown: 0 }
    }

    fn reason(new: Totals, old: Totals) -> String {
        verdict(&new, &old, &Tolerances::default(), Some("trap:unreachable")).unwrap_or_default()
    }

    #[test]
    fn what_is_tolerated() {
        assert_eq!(reason(good(), good()), "");
        // JavaScript in the place of Rust: a hundred times as slow, and allowed.
        assert_eq!(reason(Totals { nanos: 300_000_000, ..good() }, good()), "");
        // One event more that traps, where a tenth did before.
        assert_eq!(reason(Totals { faults: 101, ..good() }, Totals { faults: 100, ..good() }), "");
        assert_eq!(reason(Totals { outgrown: 1, ..good() }, good()), "");
        // Nothing to compare with yet.
        assert_eq!(reason(Totals { nanos: 1 << 40, bytes_out: 1 << 40, ..good() }, Totals::default()), "");
        assert_eq!(reason(Totals::default(), good()), "");
    }

    #[test]
    fn what_is_not() {
        assert!(reason(Totals { faults: 1, ..good() }, good()).starts_with("faults: trap:unreachable, 1 in 1000 events"));
        assert!(reason(Totals { faults: 1, events: 3, ..good() }, Totals::default()).starts_with("faults"));
        assert!(reason(Totals { faults: 201, ..good() }, Totals { faults: 100, ..good() }).starts_with("faults"));
        assert!(reason(Totals { outgrown: 2, ..good() }, good()).starts_with("memory"));
        assert!(reason(Totals { bytes_out: 10_000_000, ..good() }, good()).starts_with("output: 10000 bytes"));
        assert!(reason(Totals { messages: 100_000, ..good() }, good()).starts_with("output: 100.0 messages"));
        assert!(reason(Totals { nanos: 10_000_000_000, ..good() }, good()).starts_with("time: 10.00 ms"));
    }

    #[tokio::test]
    async fn the_first_reason_counts() {
        let chain = crate::transform::Chain::load(&[], &crate::config::Flow::default()).expect("an empty chain");
        let (new, old) = (Generation::new(2, Arc::clone(&chain)), Generation::new(1, chain));
        let probation = Probation::new(new, old, Tolerances::default());
        assert!(!probation.is_condemned());
        probation.condemn("first".into());
        probation.condemn("second".into());
        assert_eq!(probation.condemned().await, "first");
    }
}
