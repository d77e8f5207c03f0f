//! Letters in a table of the database that the events come from. One table serves any
//! number of pipelines.

use crate::config::{Config, Source};
use crate::error::{Error, Kind, Result};
use crate::source::postgres::{Connection, TableName, Target, classify};
use futures_util::{TryStreamExt as _, future};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

/// A write is given this long at least, however short `takeover_delay` is.
const SHORTEST: Duration = Duration::from_millis(500);

/// Where the table is.
#[derive(Clone)]
pub struct Table {
    target: Target,
    /// For writing: a statement ends before another relay begins.
    writing: Target,
    name: TableName,
    pipeline: String,
}

/// A session that writes letters.
pub struct Writer {
    connection: Connection,
    table: Table,
}

/// A letter under its name, or that there is none any more.
pub type Write = (String, Option<String>);

impl Table {
    /// As a configuration says; `None` where it names no table.
    ///
    /// # Errors
    /// `Config` for a name or a URL that is none.
    pub fn of(config: &Config) -> Result<Option<Self>> {
        let Some(name) = config.dead_letters.as_ref().and_then(|letters| letters.table.as_deref()) else { return Ok(None) };
        let name = TableName::parse(name).map_err(|e| Error::new(Kind::Config, e.what().to_owned()).at("field", "dead_letters.table"))?;
        let application = format!("relay/{} letters", config.name);
        let (url, statement, takeover, connect) = match &config.source {
            Source::Outbox(s) => (&s.url, s.statement_timeout, s.takeover_delay, s.connect_timeout),
            Source::Cdc(s) => (&s.url, s.statement_timeout, s.takeover_delay, s.connect_timeout),
            // Refused when the configuration is read.
            Source::File(_) => return Ok(None),
        };
        let target = Target::parse(url, &application, statement, connect)?;
        let writing = Target::parse(url, &application, statement.min(takeover / 2).max(SHORTEST), connect)?;
        Ok(Some(Self { target, writing, name, pipeline: config.name.clone() }))
    }

    /// For logs.
    #[must_use]
    pub fn place(&self) -> String {
        format!("table {}", self.name)
    }

    fn at(&self, error: tokio_postgres::Error, what: &str) -> Error {
        let state = error.code().cloned();
        let error = classify(error, what).at("table", &self.name);
        match state {
            Some(SqlState::INSUFFICIENT_PRIVILEGE) => error.instead("grant the relay's user SELECT, INSERT, UPDATE and DELETE on it"),
            Some(SqlState::UNDEFINED_TABLE) => error.instead("start the relay again, which makes it; the letters in it are gone"),
            _ => error,
        }
    }

    /// The statement that makes it.
    #[must_use]
    pub fn ddl(&self) -> String {
        // `json`, not `jsonb`: an event is kept to the letter.
        format!(
            "CREATE TABLE IF NOT EXISTS {} (pipeline text NOT NULL, id text NOT NULL, letter json NOT NULL, \
             written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (pipeline, id))",
            self.name.sql()
        )
    }

    /// Makes it if it is missing, which needs a privilege that writing does not.
    ///
    /// # Errors
    /// `DatabaseUnavailable` or `DatabaseUnusable`.
    pub async fn prepare(&self) -> Result<()> {
        let connection = self.target.connect().await?;
        if self.is_there(&connection).await? {
            return Ok(());
        }
        let made = connection.client.batch_execute(&self.ddl()).await;
        // Another relay may have made it just now, which is an error in some versions.
        if made.is_err() && self.is_there(&connection).await? {
            return Ok(());
        }
        made.map_err(|e| self.at(e, "cannot make the table of the dead letters").instead(format!("make it yourself: {};", self.ddl())))
    }

    async fn is_there(&self, connection: &Connection) -> Result<bool> {
        let there = connection.client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&self.name.sql()]).await;
        Ok(there.map_err(|e| self.at(e, "cannot look for the table of the dead letters"))?.get(0))
    }

    /// Folds the letters of this pipeline into what is kept. `must` is whether the table
    /// has to be there.
    ///
    /// # Errors
    /// `DatabaseUnavailable` or `DatabaseUnusable`.
    pub async fn read<T>(&self, must: bool, keep: impl Fn(&mut BTreeMap<String, T>, String, Option<&[u8]>)) -> Result<BTreeMap<String, T>> {
        let (mut found, connection) = (BTreeMap::new(), self.target.connect().await?);
        if !must && !self.is_there(&connection).await? {
            return Ok(found);
        }
        let failed = |e| self.at(e, "cannot read the dead letters");
        let sql = format!("SELECT id, letter::text FROM {} WHERE pipeline = $1", self.name.sql());
        let of: [&(dyn ToSql + Sync); 1] = [&self.pipeline];
        let rows = connection.client.query_raw(&sql, of).await.map_err(failed)?;
        futures_util::pin_mut!(rows);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            let (id, letter): (String, String) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
            keep(&mut found, id, Some(letter.as_bytes()));
        }
        Ok(found)
    }

    /// Opens a session that writes.
    ///
    /// # Errors
    /// As [`Table::prepare`].
    pub async fn writer(&self) -> Result<Writer> {
        Ok(Writer { connection: self.writing.connect().await?, table: self.clone() })
    }
}

impl Writer {
    /// Writes these in their order, all or none.
    ///
    /// # Errors
    /// `DatabaseUnavailable` or `DatabaseUnusable`.
    pub async fn write(&mut self, writes: &[Write]) -> Result<()> {
        let Self { connection, table } = self;
        let failed = |e| table.at(e, "cannot write dead letters");
        let name = table.name.sql();
        let put = format!(
            "INSERT INTO {name} (pipeline, id, letter) VALUES ($1, $2, $3::text::json) \
             ON CONFLICT (pipeline, id) DO UPDATE SET letter = EXCLUDED.letter, written_at = now()"
        );
        let transaction = connection.client.transaction().await.map_err(failed)?;
        let put = transaction.prepare(&put).await.map_err(failed)?;
        let take = transaction.prepare(&format!("DELETE FROM {name} WHERE pipeline = $1 AND id = $2")).await.map_err(failed)?;
        // One after the other at the server, without a round trip for each.
        let all = writes.iter().map(|(id, letter)| {
            let (transaction, put, take, pipeline) = (&transaction, &put, &take, &table.pipeline);
            async move {
                match letter {
                    Some(letter) => transaction.execute(put, &[pipeline, id, letter]).await,
                    None => transaction.execute(take, &[pipeline, id]).await,
                }
            }
        });
        future::try_join_all(all).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}
