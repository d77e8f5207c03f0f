//! Sessions of change data capture.

use super::epochs::Ending;
use super::{End, Pipeline, conclude};
use crate::checkpoint::Closed;
use crate::config::{CdcSource, SnapshotMode};
use crate::error::{Error, Result};
use crate::source::Intake;
use crate::source::cdc::{Reader, findings};
use crate::source::postgres::{Connection, Target, lock};
use crate::state::Store;
use futures_util::FutureExt as _;
use std::sync::Arc;
use tokio::sync::watch;

impl Pipeline {
    /// Reads the log until drained, stopped or broken.
    pub(super) async fn cdc(&self, source: &CdcSource) -> Result<()> {
        let application = format!("relay/{}", self.config.name);
        let target = Target::parse(&source.url, &application, source.statement_timeout, source.connect_timeout)?;
        let located = |e: Error| e.at("source", "cdc").at("slot", &source.slot);
        let store = self.store.clone().unwrap_or_else(|| Arc::new(Store::Nowhere));
        if matches!(*store, Store::Nowhere) {
            tracing::debug!("no state: a slot that somebody moves is not noticed; set state.file");
        }
        // Where the log ended when the first session began.
        let mut until = None;
        self.persist(async || self.cdc_session(source, &target, &store, &mut until).await.map_err(located)).await
    }

    async fn cdc_session(&self, source: &CdcSource, target: &Target, store: &Arc<Store>, until: &mut Option<u64>) -> Result<End> {
        let open = async {
            let control = self.open_cdc(source, target).await?;
            let session = self.session().await?;
            Ok((control, session))
        };
        let (control, session) = match self.until_stopped(open).await? {
            Ok(opened) => opened,
            Err(end) => return Ok(end),
        };
        let begin = async {
            let ledger = Arc::clone(&session.ledger);
            let reader = Reader::start(control, target, source, ledger, Arc::clone(store), session.epochs.is_some()).await?;
            if until.is_none() {
                *until = match source.snapshot {
                    SnapshotMode::Only => Some(0),
                    _ if self.options.until_drained => Some(reader.newest().await?),
                    _ => None,
                };
            }
            Ok(reader)
        };
        // However it ends, the session says so.
        let mut reader = match self.until_stopped(begin).await {
            Ok(Ok(reader)) => reader,
            other => {
                session.finish(&self.reporter, false).await?;
                return other?.map_or_else(Ok, |_| Ok(End::Stopped));
            }
        };
        tracing::info!(database = target.label(), slot = source.slot, publication = source.publication, "reading the log");
        self.readiness.set(true);
        self.reporter.watch(&session.ledger, None);
        let mut intake = Intake::new(&session.ledger, &session.workers, &self.template, self.config.flow.hand_over_events);
        let (end, ending) = watch::channel(Ending::No);
        let (progress, chunks) = reader.memory();
        let record = move |closed: &Closed| {
            let mut records = vec![progress.record(closed.head)?];
            for (key, scan) in closed.head.map(|head| chunks.take(head.position)).unwrap_or_default() {
                records.push((key, serde_json::json!(scan)));
            }
            Ok(records)
        };
        let mut committing = Box::pin(
            async {
                match &session.epochs {
                    Some(epochs) => epochs.run(ending, record, async || Ok(())).await,
                    None => std::future::pending().await,
                }
            }
            .fuse(),
        );
        let ended = tokio::select! {
            read = reader.run(&mut intake, *until) => read.map(|()| End::Drained),
            committed = &mut committing => committed.map(|()| End::Stopped),
            () = session.ledger.failed() => Ok(End::Stopped),
            tired = self.tires_of_singles() => tired.map(|()| End::Stopped),
            () = self.shutdown.requested() => Ok(End::Stopped),
        };
        self.readiness.set(false);
        intake.hand_over();
        let patience = self.patience(&ended, source.takeover_delay);
        let alongside = async {
            tokio::select! {
                told = reader.acknowledge_on() => told,
                committed = &mut committing => committed,
            }
        };
        let drained = self.drain(&session, &ended, patience, alongside).await;
        let committed = session.conclude_epochs(&end, committing, &ended, &drained).await;
        let ledger = Arc::clone(&session.ledger);
        let finished = session.finish(&self.reporter, ended.is_ok() && drained.is_ok()).await;
        // After the sink closed, so that its last reports count.
        reader.finish().await;
        finished?;
        committed?;
        conclude(&ledger, ended?, drained, self.options.until_drained)
    }

    /// Connects, takes the lock, looks at the publication.
    async fn open_cdc(&self, source: &CdcSource, target: &Target) -> Result<Connection> {
        let control = target.connect().await?;
        // Who answers is compared with what is remembered, when the stream starts.
        control.identify().await?;
        lock::acquire(&control, &self.config.name, None, source.lock_retry, self.takeover_delay(source.takeover_delay)).await?;
        for finding in findings(&control.client, source).await? {
            tracing::warn!("{finding}");
        }
        Ok(control)
    }
}
