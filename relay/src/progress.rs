//! Progress for people: a bar on a terminal, a line now and then elsewhere.

use crate::checkpoint::{Ledger, Progress};
use crate::pipeline::Summary;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Redraws of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(200);

/// Lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    /// Of sessions that ended.
    before: Summary,
    task: Option<JoinHandle<()>>,
}

/// Reports one session after another.
pub struct Reporter {
    bar: Option<ProgressBar>,
    started: Instant,
    state: Mutex<State>,
}

impl Reporter {
    /// A bar if stderr is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.set_style(spinner());
            bar
        });
        Self { bar, started: Instant::now(), state: Mutex::default() }
    }

    /// Follows a session; `total` is the backlog to be drained, where known.
    pub fn watch(&self, ledger: &Arc<Ledger>, total: Option<i64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = state.task.take() {
            task.abort();
        }
        let total = total.and_then(|t| u64::try_from(t).ok());
        if let (Some(bar), Some(total)) = (&self.bar, total) {
            bar.set_length(total);
            bar.set_style(drain_bar());
        }
        let (ledger, bar, before, started) = (Arc::clone(ledger), self.bar.clone(), state.before, self.started);
        state.task = Some(tokio::spawn(async move {
            let mut last = before.events;
            loop {
                tokio::time::sleep(if bar.is_some() { BAR_INTERVAL } else { LINE_INTERVAL }).await;
                let progress = ledger.progress();
                let events = before.events + progress.completed;
                match &bar {
                    Some(bar) => bar.set_position(events),
                    None if events != last => line(events, events - last, &progress, total, started),
                    None => {}
                }
                last = events;
            }
        }));
    }

    /// Adds up a session that ended.
    pub fn ended(&self, progress: Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.before.events += progress.completed;
        state.before.messages += progress.messages;
        if let Some(task) = state.task.take() {
            task.abort();
        }
    }

    /// The total of all sessions.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).before
    }

    /// Clears the bar and says what was done.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let Summary { events, messages } = self.summary();
        tracing::info!(events, messages, elapsed = %HumanDuration(self.started.elapsed()), "stopped");
    }
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new()
    }
}

fn line(events: u64, new: u64, progress: &Progress, total: Option<u64>, started: Instant) {
    let rate = new / LINE_INTERVAL.as_secs().max(1);
    let remaining = total.map(|t| t.saturating_sub(events));
    tracing::info!(
        events,
        per_second = rate,
        in_flight = progress.in_flight,
        remaining,
        elapsed_s = started.elapsed().as_secs(),
        "progress"
    );
}

fn count(n: u64, out: &mut dyn Write) {
    // A bar that cannot be drawn must not stop the relay.
    let _ = write!(out, "{}", HumanCount(n));
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("events", |s: &ProgressState, w: &mut dyn Write| count(s.pos(), w))
        .with_key("total", |s: &ProgressState, w: &mut dyn Write| count(s.len().unwrap_or(0), w))
        .with_key("left", |s: &ProgressState, w: &mut dyn Write| count(s.len().unwrap_or(0).saturating_sub(s.pos()), w))
        .with_key("rate", |s: &ProgressState, w: &mut dyn Write| {
            let _ = write!(w, "{:.0}", s.per_sec());
        })
}

fn spinner() -> ProgressStyle {
    style("{spinner} {events} events  {rate}/s  {elapsed_precise}")
}

fn drain_bar() -> ProgressStyle {
    style("{bar:30} {events} of {total} events  {rate}/s  {left} left  {eta}")
}
