//! Rows as they stand in the table, for trying transforms on: nothing is locked,
//! changed or acknowledged.

use super::queries::Queries;
use super::row;
use super::table::Table;
use crate::error::Result;
use crate::event::Event;
use crate::source::Names;
use crate::source::postgres::classify;
use futures_util::{StreamExt as _, pin_mut};
use tokio::sync::mpsc::Sender;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// Reads at most `limit` committed rows by sequence number, until the receiver is
/// gone.
///
/// # Errors
/// When the session ends or a row cannot be read.
pub async fn capture(client: &Client, table: &Table, limit: u64, names: &mut Names<'_>, out: &Sender<Event>) -> Result<()> {
    let failed = |e| classify(e, "cannot read the outbox");
    client.batch_execute("SET default_transaction_read_only = on").await.map_err(failed)?;
    let statement = client.prepare(&Queries::new(table, false).select).await.map_err(failed)?;
    // From the first row on, leaving none out.
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params: [&(dyn ToSql + Sync); 3] = [&i64::MIN, &"{}", &limit];
    let rows = client.query_raw(&statement, params).await.map_err(failed)?;
    pin_mut!(rows);
    while let Some(found) = rows.next().await {
        let (_, _, event) = row::read(&found.map_err(failed)?, names)?;
        if out.send(event).await.is_err() {
            break;
        }
    }
    Ok(())
}
