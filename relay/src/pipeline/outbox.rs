//! Sessions of the polled outbox.

use super::epochs::Ending;
use super::{End, Pipeline, conclude};
use crate::config::OutboxSource;
use crate::error::{Error, Result};
use crate::source::Intake;
use crate::source::outbox::{Acknowledger, Backlog, Reader, Table, Unfinished, audit, published, refuse};
use crate::source::postgres::{TableName, Target, lock};
use crate::state::Server;
use futures_util::FutureExt as _;
use std::sync::Arc;
use tokio::sync::watch;

impl Pipeline {
    /// Polls the table until drained, stopped or broken.
    pub(super) async fn outbox(&self, source: &OutboxSource) -> Result<()> {
        let application = format!("relay/{}", self.config.name);
        let target = Target::parse(&source.url, &application, source.statement_timeout, source.connect_timeout)?;
        let table = TableName::parse(&source.table)?;
        // Published, but the session ended before they were deleted.
        let mut waiting = Vec::new();
        let mut target_backlog = None;
        let located = |e: Error| e.at("source", "outbox").at("table", &table);
        self.persist(async || self.outbox_session(source, &target, &table, &mut waiting, &mut target_backlog).await.map_err(located)).await
    }

    async fn outbox_session(
        &self,
        source: &OutboxSource,
        target: &Target,
        name: &TableName,
        waiting: &mut Vec<i64>,
        backlog: &mut Option<Backlog>,
    ) -> Result<End> {
        let open = async {
            let (reader, acknowledger) = self.open(source, target, name, waiting).await?;
            if self.options.until_drained && backlog.is_none() {
                *backlog = Some(reader.backlog().await?);
            }
            let session = self.session().await?;
            Ok((reader, acknowledger, session))
        };
        let (mut reader, (mut acknowledger, found), session) = match self.until_stopped(open).await? {
            Ok(opened) => opened,
            Err(end) => return Ok(end),
        };
        if session.epochs.is_some() {
            let settled = async { acknowledger.settle(&found, published::find(&session.records)?).await };
            if let Err(error) = settled.await {
                session.finish(&self.reporter, false).await?;
                return Err(error);
            }
        }
        self.readiness.set(true);
        self.reporter.watch(&session.ledger, backlog.map(|b| b.rows));
        let mut intake = Intake::new(&session.ledger, &session.workers, &self.template, self.config.flow.hand_over_events);
        let (end, ending) = watch::channel(Ending::No);
        let ledger = Arc::clone(&session.ledger);
        let mut acknowledging = Box::pin(
            async {
                match &session.epochs {
                    Some(epochs) => epochs.run(ending, published::records, async || acknowledger.flush(&ledger).await).await,
                    None => acknowledger.run(&ledger).await,
                }
            }
            .fuse(),
        );
        let ended = tokio::select! {
            read = reader.run(&mut intake, *backlog) => read.map(|()| End::Drained),
            acknowledged = &mut acknowledging => acknowledged.map(|()| End::Stopped),
            () = session.ledger.failed() => Ok(End::Stopped),
            tired = self.tires_of_singles() => tired.map(|()| End::Stopped),
            () = self.shutdown.requested() => Ok(End::Stopped),
        };
        self.readiness.set(false);
        intake.hand_over();
        let patience = self.patience(&ended, source.takeover_delay);
        let drained = self.drain(&session, &ended, patience, &mut acknowledging).await;
        let committed = session.conclude_epochs(&end, acknowledging, &ended, &drained).await;
        let finished = session.finish(&self.reporter, ended.is_ok() && drained.is_ok()).await;
        // After the sink closed, so that its last reports count.
        let flushed = acknowledger.flush(&ledger).await;
        *waiting = acknowledger.into_waiting();
        finished?;
        let end = ended?;
        committed?;
        flushed?;
        conclude(&ledger, end, drained, self.options.until_drained)
    }

    /// Compares a server with the one that the state knows, where there is a state;
    /// remembers the first.
    async fn known_server(&self, identity: Option<(i64, i32)>) -> Result<()> {
        let (Some(store), Some(server)) = (&self.store, identity.map(Server::new)) else { return Ok(()) };
        if server.continues(&store.load().await?)? {
            return Ok(());
        }
        server.remember(store).await
    }

    /// Connects, takes the lock, checks the table, restores what is known.
    async fn open(
        &self,
        source: &OutboxSource,
        target: &Target,
        name: &TableName,
        waiting: &[i64],
    ) -> Result<(Reader, (Acknowledger, Table))> {
        let connection = target.connect().await?;
        let identity = connection.identify().await?;
        self.same_server(identity)?;
        let table_lock = (!source.retain).then_some(name);
        lock::acquire(&connection, &self.config.name, table_lock, source.lock_retry, self.takeover_delay(source.takeover_delay)).await?;
        self.known_server(identity).await?;
        let table = Table::find(&connection.client, name, &source.columns).await?;
        let findings = audit(&connection.client, &table, source.retain).await?;
        refuse(&table, &findings)?;
        let unfinished = Unfinished::default();
        let second = target.connect().await?;
        let (acknowledger, floor) = if source.retain {
            let (acknowledger, checkpoint) = Acknowledger::retaining(second, &table, source, &self.config.name, unfinished.clone()).await?;
            (acknowledger, checkpoint.floor)
        } else {
            (Acknowledger::deleting(second, &table, source, unfinished.clone(), waiting.to_vec()).await?, 0)
        };
        let reader = Reader::new(connection, &table, source, floor, unfinished).await?;
        tracing::info!(database = target.label(), table = %name, pipeline = self.config.name, "reading the outbox");
        Ok((reader, (acknowledger, table)))
    }
}
