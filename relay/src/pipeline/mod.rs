//! The one place that knows all stages: source → lanes → transforms → sink →
//! checkpoint → source.
//!
//! A *session* is one life of the connections: its ledger, its workers, its
//! producer. Trouble with database or broker ends a session, never the relay:
//! what is in flight is drained, what is not acknowledged is read again.

mod cdc;
mod epochs;
mod lives;
mod outbox;
mod redrive;
mod reload;
mod session;
mod thread;

use crate::admin::{self, Readiness};
use crate::checkpoint::{Ledger, Pace};
use crate::config::{Config, Delivery, OnFailure, Sink as SinkConfig, Source, Transform};
use crate::dead_letters::{Desk, Store as LetterStore};
use crate::error::{Error, Kind, Policy, Result};
use crate::event::TopicTemplate;
use crate::progress::Reporter;
use crate::shutdown::Shutdown;
use crate::sink::Sink;
use crate::sink::kafka::Suspects;
use crate::source::{Intake, file};
use crate::state::Store;
use crate::swap::{Configured, Control, Reread};
use crate::transform::StageSpec;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use reload::reload;
pub use session::GROUP;
use session::Session;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use uuid::Uuid;

/// A session that lived this long was healthy: the next trouble starts the
/// backoff from its beginning.
const HEALTHY: Duration = Duration::from_secs(30);

/// What to do beside running for ever.
#[derive(Clone, Default)]
pub struct Options {
    /// End when the backlog at start is published.
    pub until_drained: bool,
    /// What to do on SIGHUP; without it the signal is not handled.
    pub reread: Option<Reread>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Events done: published, dropped, in all sessions.
    pub events: u64,
    /// Messages acknowledged.
    pub messages: u64,
}

/// Topics a chain may publish to, as patterns.
#[must_use]
pub fn allowed_topics(sink: &SinkConfig, template: &TopicTemplate) -> Vec<String> {
    std::iter::once(template.pattern()).chain(sink.topics().iter().cloned()).collect()
}

/// The stages of a configuration.
pub fn stage_specs(config: &Config) -> Result<Vec<StageSpec>> {
    let template = TopicTemplate::parse(config.sink.topic())?;
    let topics = allowed_topics(&config.sink, &template);
    let otherwise = config.on_failure(None);
    Ok(config.transforms.iter().map(|t| StageSpec::new(t, &topics, otherwise)).collect())
}

/// The transforms of a configuration, as what can be swapped.
fn configured(config: &Config) -> Result<Vec<Configured>> {
    let specs = stage_specs(config)?;
    let all = specs.into_iter().zip(&config.transforms);
    let one = |(spec, t): (StageSpec, &Transform)| Configured {
        local: spec.path.clone(),
        digest: String::new(),
        cases: t.cases.clone(),
        watch: t.watch,
        spec,
    };
    Ok(all.map(one).collect())
}

/// Everything that stays the same over all sessions.
struct Pipeline {
    config: Config,
    control: Arc<Control>,
    store: Option<Arc<Store>>,
    letters: Option<LetterStore>,
    desk: Arc<Desk>,
    suspects: Arc<Suspects>,
    template: TopicTemplate,
    shutdown: Shutdown,
    reporter: Reporter,
    options: Options,
    wrap: Wrap,
    readiness: Readiness,
    /// System identifier and timeline of the server, once one answered.
    identity: OnceLock<Option<(i64, i32)>>,
    /// Events a transaction.
    pace: Arc<Pace>,
    /// Which of the pipeline's relays this is.
    relay: String,
}

/// How a session ended well.
enum End {
    /// Nothing left to do.
    Drained,
    /// Asked to stop.
    Stopped,
}

/// Runs a configuration until it is drained, stopped or broken. The sessions have a thread of
/// their own, which goes on if this is dropped: ask it to stop by `shutdown`, and wait.
///
/// # Errors
/// The first failure that does not pass by itself; everything before it in its
/// lane is published, nothing after.
pub async fn run(config: &Config, options: Options, shutdown: Shutdown) -> Result<Summary> {
    run_with(config, options, shutdown, Arc::new(|sink| sink)).await
}

/// Puts something of the caller's between the lanes and the sink of a session:
/// a clock, a fault, a transform in native code.
pub type Wrap = Arc<dyn Fn(Arc<dyn Sink>) -> Arc<dyn Sink> + Send + Sync>;

/// Like [`run`], with the sink of each session wrapped.
///
/// # Errors
/// Those of [`run`].
pub async fn run_with(config: &Config, options: Options, shutdown: Shutdown, wrap: Wrap) -> Result<Summary> {
    let token = config.admin.token()?;
    // Without a token nobody can make active what relay.toml does not say.
    let remembers = token.is_some() || matches!(config.source, Source::Cdc(_)) || config.delivery == Delivery::ExactlyOnce;
    let remembers = remembers || config.dead_letters.is_some();
    let store = remembers.then(|| Store::open(config)).transpose()?.map(Arc::new);
    let control = Control::start(config, configured(config)?, store.clone().filter(|_| token.is_some())).await?;
    let pipeline = Arc::new(Pipeline {
        config: config.clone(),
        control: Arc::clone(&control),
        store,
        letters: LetterStore::open(config)?,
        desk: Arc::default(),
        suspects: Arc::default(),
        template: TopicTemplate::parse(config.sink.topic())?,
        shutdown,
        reporter: Reporter::new(),
        options,
        wrap,
        readiness: Readiness::default(),
        identity: OnceLock::new(),
        pace: Arc::new(Pace::new(config.transactions.max_events as usize, config.transactions.timeout)),
        relay: Uuid::new_v4().to_string(),
    });
    let mut background = Vec::new();
    if let Some(address) = config.admin.listen {
        let desk = config.dead_letters.is_some().then(|| Arc::clone(&pipeline.desk));
        let port = admin::serve(&config.admin, address, pipeline.readiness.clone(), Arc::clone(&control), desk, token).await?;
        background.push(Background(port));
    }
    background.push(Background(tokio::spawn(Arc::clone(&control).watch())));
    if let Some(reread) = &pipeline.options.reread {
        background.push(Background(tokio::spawn(reload(control, reload::hangups()?, config.clone(), Arc::clone(reread)))));
    }
    let result = Arc::clone(&pipeline).run().await;
    drop(background);
    pipeline.reporter.finish();
    result.map(|()| pipeline.reporter.summary())
}

/// A task that ends with the run.
struct Background(tokio::task::JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pipeline {
    async fn file(&self) -> Result<()> {
        let Source::File(source) = &self.config.source else { return Ok(()) };
        let session = self.session().await?;
        self.reporter.watch(&session.ledger, None);
        self.readiness.set(true);
        let mut intake = Intake::new(&session.ledger, &session.workers, &self.template, self.config.flow.hand_over_events);
        let ended = tokio::select! {
            read = file::read(source, &mut intake) => read.map(|()| End::Drained),
            () = session.ledger.failed() => Ok(End::Stopped),
            () = self.shutdown.requested() => Ok(End::Stopped),
        };
        self.readiness.set(false);
        intake.hand_over();
        let drained = self.drain(&session, &ended, self.config.flow.drain_timeout, std::future::pending()).await;
        let ledger = Arc::clone(&session.ledger);
        session.finish(&self.reporter, ended.is_ok() && drained.is_ok()).await?;
        conclude(&ledger, ended?, drained, true).map(drop)
    }

    /// Runs sessions until one ends well or in trouble that does not pass.
    async fn persist(&self, mut session: impl AsyncFnMut() -> Result<End>) -> Result<()> {
        let backoff = ExponentialBuilder::new()
            .with_min_delay(self.config.flow.retry_min)
            .with_max_delay(self.config.flow.retry_max)
            .with_jitter()
            // Its own seed is a constant: relays would retry in step.
            .with_jitter_seed(Uuid::new_v4().as_u64_pair().0)
            .without_max_times();
        let mut delays = backoff.build();
        loop {
            let started = tokio::time::Instant::now();
            let error = match session().await {
                Ok(End::Drained | End::Stopped) => return Ok(()),
                Err(error) if error.kind().policy().1 != Policy::Retry && !self.accuses(&error) => return Err(error),
                Err(error) => error,
            };
            if started.elapsed() >= HEALTHY {
                delays = backoff.build();
            }
            let delay = delays.next().unwrap_or(self.config.flow.retry_max);
            tracing::warn!(retry_in = ?delay, "{error}");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shutdown.requested() => return if self.options.until_drained { Err(not_drained()) } else { Ok(()) },
            }
        }
    }

    /// Whether a message that the broker refused is to be found, or was, so that the next
    /// session can deal with its event.
    fn accuses(&self, error: &Error) -> bool {
        self.config.on_failure(self.config.sink.on_refused()) != OnFailure::Halt && self.suspects.accuse(error)
    }

    /// Ends a session that sends singly, to no end, after a while.
    async fn tires_of_singles(&self) -> Result<()> {
        if !self.suspects.singly() {
            return std::future::pending().await;
        }
        tokio::time::sleep(HEALTHY).await;
        self.suspects.give_up();
        Err(Error::new(Kind::BrokerUnavailable, "no message was refused while they were sent singly")
            .remedy("none needed: the producer is replaced by one that sends batches"))
    }

    /// Opens the connections of a session; until the lock is ours, a request to
    /// stop has nothing to drain, and gives `Err` with how to end.
    async fn until_stopped<T>(&self, open: impl Future<Output = Result<T>>) -> Result<std::result::Result<T, End>> {
        tokio::select! {
            opened = open => opened.map(Ok),
            () = self.shutdown.requested() => if self.options.until_drained { Err(not_drained()) } else { Ok(Err(End::Stopped)) },
        }
    }

    /// Compares a server with the first one that answered.
    fn same_server(&self, identity: Option<(i64, i32)>) -> Result<()> {
        match (self.identity.get_or_init(|| identity), identity) {
            (Some(known), Some(now)) if *known != now => {
                Err(Error::new(Kind::ServerChanged, format!("another server answers: system and timeline were {known:?}, are {now:?}"))
                    .remedy(if self.store.is_some() {
                        "make sure that it has every commit of the old one, then go on with `relay init --adopt-server`"
                    } else {
                        "after a failover, make sure that the new primary has lost no commit, then start the relay again"
                    }))
            }
            _ => Ok(()),
        }
    }

    /// How long a relay that takes over waits: not at all for one that will be fenced.
    fn takeover_delay(&self, configured: Duration) -> Duration {
        if self.config.delivery == Delivery::ExactlyOnce { Duration::ZERO } else { configured }
    }

    /// How long what is in flight may take when a session ends: without its
    /// session the lock is free, and a taker waits `takeover_delay`.
    fn patience(&self, ended: &Result<End>, takeover_delay: Duration) -> Duration {
        let lost = matches!(ended, Err(e) if e.kind() == Kind::DatabaseUnavailable);
        if lost { takeover_delay / 2 } else { self.config.flow.drain_timeout }
    }

    /// Waits until nothing is in flight, while `alongside` goes on
    /// acknowledging. A backlog that was read to its end gets all the time it
    /// needs, everything else `patience`.
    async fn drain(
        &self,
        session: &Session,
        ended: &Result<End>,
        patience: Duration,
        alongside: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let ledger = &session.ledger;
        let mut bounded = !matches!(ended, Ok(End::Drained));
        if bounded {
            session.wind_down();
        }
        let (mut broken, deadline) = (None, tokio::time::sleep(patience));
        tokio::pin!(alongside, deadline);
        loop {
            tokio::select! {
                () = ledger.idle() => return broken.map_or(Ok(()), Err),
                // Messages still come to their end without a database.
                Err(error) = &mut alongside, if broken.is_none() => broken = Some(error),
                () = async { tokio::select! { () = ledger.failed() => {}, () = self.shutdown.requested() => {} } }, if !bounded => {
                    bounded = true;
                    session.wind_down();
                    deadline.as_mut().reset(tokio::time::Instant::now() + patience);
                }
                () = &mut deadline, if bounded => {
                    let in_flight = ledger.progress().in_flight;
                    return Err(Error::new(Kind::DrainTimeout, format!("{in_flight} events were still unacknowledged after {patience:?}"))
                        .remedy("nothing is lost: they are read again at the next start, and may then arrive a second time under the same id"));
                }
            }
        }
    }
}

/// Judges a session that ended without a failure.
fn conclude(ledger: &Ledger, end: End, drained: Result<()>, to_the_end: bool) -> Result<End> {
    drained?;
    match end {
        End::Drained if ledger.progress().abandoned > 0 => Err(Error::new(Kind::Internal, "events were given up without a reason")
            .remedy("nothing is lost, they are still in the source; please report this")),
        End::Stopped if to_the_end => Err(not_drained()),
        end => Ok(end),
    }
}

fn not_drained() -> Error {
    Error::new(Kind::Interrupted, "stopped before everything was published")
        .remedy("start again: what is published is acknowledged, the rest is read again")
}
