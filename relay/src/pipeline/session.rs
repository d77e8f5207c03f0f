//! One life of the connections: its ledger, its sink, its workers, and under
//! exactly-once its transactions.

use super::epochs::{Ending, Epochs};
use super::lives::Living;
use super::redrive::{Redriver, Redriving};
use super::{Pipeline, allowed_topics};
use crate::checkpoint::{Gate, Ledger};
use crate::config::{Config, Delivery, Flow, Sink as SinkConfig, Source};
use crate::dead_letters::{Letters, Table};
use crate::error::{Error, Kind, Result};
use crate::lane::{Isolation, Workers};
use crate::progress::Reporter;
use crate::sink::kafka::{Kafka, Transactional};
use crate::sink::{Lines, Sink, Tabled};
use crate::state::{Records, Skips};
use crate::swap::Owned;
use futures_util::future::FusedFuture;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::sync::watch;

/// The group of lanes that a relay owns: all of them. Part of names that outlive it, so
/// that more groups can come without a change of them.
pub const GROUP: u32 = 0;

/// The parts of one session.
pub(super) struct Session {
    pub(super) ledger: Arc<Ledger>,
    sink: Arc<dyn Sink>,
    pub(super) workers: Arc<Workers>,
    redriving: Option<Redriving>,
    /// Under exactly-once.
    pub(super) epochs: Option<Epochs>,
    /// What the state has, under exactly-once: read after the relay before was fenced.
    pub(super) records: Records,
    living: Option<Living>,
    /// Until the session ends, swaps are possible.
    owned: Owned,
}

impl Pipeline {
    pub(super) async fn session(&self) -> Result<Session> {
        let Flow { in_flight_bytes, in_flight_events, .. } = self.config.flow;
        let bytes = usize::try_from(in_flight_bytes.as_u64()).unwrap_or(usize::MAX);
        let transactions = &self.config.transactions;
        let transactional = (self.config.delivery == Delivery::ExactlyOnce)
            .then(|| Transactional { id: format!("{}-{GROUP}", self.config.name), timeout: transactions.timeout });
        let gate = transactional
            .as_ref()
            .map(|_| Gate::new(Arc::clone(&self.pace), usize::try_from(transactions.max_bytes.as_u64()).unwrap_or(usize::MAX)));
        let ledger = Ledger::with_gate(in_flight_events as usize, bytes, gate);
        let mut patterns = allowed_topics(&self.config.sink, &self.template);
        patterns.extend(self.config.dead_letter_topic());
        let (config, runtime) = (self.config.clone(), tokio::runtime::Handle::current());
        let singly = self.suspects.singly();
        let opening = move || open_sink(&config, in_flight_events, &patterns, runtime, transactional, singly);
        let opened = tokio::task::spawn_blocking(opening).await;
        let (sink, kafka) = opened.map_err(|e| Error::new(Kind::Internal, "opening the sink failed").cause(e))??;
        let sink = (self.wrap)(sink);
        let records = match &self.store {
            Some(store) if kafka.is_some() => store.load().await?,
            _ => Records::new(),
        };
        let letters = match (&self.config.dead_letters, &self.letters) {
            // Before the source starts, and after the relay before was fenced: which keys
            // are held is known with the first event.
            (Some(config), Some(store)) => Some(Arc::new(Letters::load(config, store, &ledger).await?)),
            _ => None,
        };
        let passing = match &self.config.source {
            Source::Cdc(source) => source.status_interval,
            _ => transactions.linger,
        };
        let epochs = kafka.map(|kafka| Epochs {
            ledger: Arc::clone(&ledger),
            kafka,
            config: transactions.clone(),
            pace: Arc::clone(&self.pace),
            topic: self.config.state_topic(),
            letters: letters.clone(),
            passing,
        });
        let owned = self.control.recall().await?;
        let living = self.living(&ledger).await?;
        let on_refused = self.config.on_failure(self.config.sink.on_refused());
        let isolation = Isolation {
            letters: letters.clone(),
            on_refused,
            transactional: epochs.is_some(),
            suspects: Arc::clone(&self.suspects),
            skips: Some(Arc::new(Skips::of(&self.config))),
            trial: living.as_ref().map(|living| Arc::clone(&living.trial)),
        };
        let workers = Arc::new(Workers::start(&self.config.flow, self.control.board(), &sink, &isolation)?);
        // Last, for what it begins has to be finished.
        let redriving = letters.clone().zip(self.letters.clone()).map(|(letters, store)| {
            Redriving::start(Redriver {
                desk: Arc::clone(&self.desk),
                letters,
                store,
                ledger: Arc::clone(&ledger),
                workers: Arc::clone(&workers),
                sink: Arc::clone(&sink),
                transactional: epochs.is_some(),
                since: AtomicU64::new(0),
                budget: self.config.dead_letters.as_ref().map_or(0, |c| usize::try_from(c.redrive_bytes.as_u64()).unwrap_or(usize::MAX)),
            })
        });
        Ok(Session { ledger, sink, workers, redriving, epochs, records, living, owned })
    }
}

impl Session {
    /// Has what is published committed if all went well, and given up otherwise; waits
    /// for a commit that is under way.
    pub(super) async fn conclude_epochs<T>(
        &self,
        end: &watch::Sender<Ending>,
        mut committing: impl FusedFuture<Output = Result<()>> + Unpin,
        ended: &Result<T>,
        drained: &Result<()>,
    ) -> Result<()> {
        if self.epochs.is_none() {
            return Ok(());
        }
        let well = ended.is_ok()
            && drained.is_ok()
            && !self.ledger.has_failed()
            && self.ledger.progress().abandoned == 0
            && !self.ledger.is_torn();
        end.send_replace(if well { Ending::Commit } else { Ending::Abandon });
        // Where it ended already, with an error, that is in `ended` or `drained`.
        if committing.is_terminated() { Ok(()) } else { (&mut committing).await }
    }

    /// No redrive begins any more.
    pub(super) fn wind_down(&self) {
        self.redriving.iter().for_each(Redriving::stop);
    }

    /// Ends workers and sink and returns the session's failure, if it has one.
    pub(super) async fn finish(self, reporter: &Reporter, well: bool) -> Result<()> {
        let Session { ledger, sink, workers, redriving, epochs, living, owned, .. } = self;
        drop(owned);
        match redriving {
            // Nothing may be sent behind a lock that is lost.
            Some(redriving) if !well || ledger.has_failed() => redriving.abort().await,
            Some(redriving) => redriving.finish().await,
            None => {}
        }
        // Joining threads blocks. The order matters: nobody may publish behind
        // what is given up.
        let ended = tokio::task::spawn_blocking(move || {
            sink.close();
            workers.discard();
            drop(workers);
            // What is committed is; nobody is to see anything of what is not. What is under
            // way to the broker has to arrive before, or it would come behind the end.
            epochs.iter().for_each(|epochs| epochs.kafka.abort());
            sink.purge();
        });
        ended.await.map_err(|e| Error::new(Kind::Internal, "closing the session failed").cause(e))?;
        if let Some(living) = living {
            living.end(well && !ledger.has_failed()).await;
        }
        reporter.ended(ledger.progress());
        ledger.take_failure().map_or(Ok(()), Err)
    }
}

/// The sink, and once more as what has transactions, where it is to have them.
type Opened = (Arc<dyn Sink>, Option<Arc<Kafka>>);

fn open_sink(
    config: &Config,
    events: u32,
    patterns: &[String],
    runtime: tokio::runtime::Handle,
    transactional: Option<Transactional>,
    singly: bool,
) -> Result<Opened> {
    let file = config.dead_letters.as_ref().and_then(|letters| letters.file.as_deref());
    let lines = |lines: Lines| if let Some(file) = file { lines.with_letters(file) } else { Ok(lines) };
    let handle = runtime.clone();
    let tabled = |sink: Arc<dyn Sink>| -> Result<Arc<dyn Sink>> {
        Ok(match Table::of(config)? {
            Some(table) => Arc::new(Tabled::new(sink, table, handle)),
            None => sink,
        })
    };
    let sink: Arc<dyn Sink> = match &config.sink {
        SinkConfig::Kafka(kafka) => {
            let kafka = Kafka::new(kafka, events, patterns, runtime, transactional.as_ref(), singly)?;
            let kafka = Arc::new(kafka.with_letters(config.dead_letter_topic()));
            return Ok((tabled(Arc::clone(&kafka) as _)?, transactional.map(|_| kafka)));
        }
        SinkConfig::Stdout(_) => Arc::new(lines(Lines::stdout())?),
        SinkConfig::File(sink) => Arc::new(lines(Lines::append(sink.path.as_deref().unwrap_or_else(|| "-".as_ref()))?)?),
    };
    Ok((tabled(sink)?, None))
}
