//! Logical messages as the stream meets them: events by their prefix, and what
//! a pipeline says to itself.

use super::Reader;
use crate::error::Result;
use crate::source::Intake;
use crate::source::cdc::message;
use crate::source::cdc::snapshot::PREFIX;
use bytes::Bytes;

impl Reader {
    pub(super) async fn message(
        &mut self,
        transactional: bool,
        lsn: u64,
        prefix: &str,
        content: Bytes,
        intake: &mut Intake<'_>,
    ) -> Result<()> {
        let (position, time) = if transactional {
            let place = self.place()?;
            if prefix.strip_prefix(PREFIX) == Some(&self.source.slot) {
                return self.own_message(&content, place, intake).await;
            }
            (place.position, place.time)
        } else {
            (message::outside(lsn), message::now())
        };
        if self.source.messages.iter().any(|p| prefix.starts_with(p.as_str())) {
            let event = message::read(self.source.message_format, prefix, content, position, time, intake.names())?;
            self.admit(event, intake).await?;
        }
        if !transactional {
            // The slot skips what starts before the position confirmed, and no
            // more: the next record may start right there.
            self.pass(lsn);
        }
        Ok(())
    }
}
