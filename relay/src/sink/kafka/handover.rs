//! Handing messages to librdkafka: at once, singly, or after those under way.

use super::accumulator::Accumulator;
use super::context::{self, Deliveries};
use super::wave::Offer;
use crate::checkpoint::Ticket;
use crate::error::{Error, Result};
use crate::event::Shared;
use bytes::Bytes;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::Arc;
use std::time::Duration;

/// A full queue is looked at again after this long even if no delivery report
/// came: covers a report between the look and the wait.
const FULL_RETRY: Duration = Duration::from_millis(20);

/// One look at a topic that librdkafka knows as smaller than it is; whoever closes the sink
/// waits for it.
const LOOK: Duration = Duration::from_secs(2);

/// A message as librdkafka is to have it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: Shared,
    pub(super) partition: Option<i32>,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Option<Bytes>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) ticket: Arc<Ticket>,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        super::RECORD_OVERHEAD + length(&self.key) + length(&self.payload)
    }

    /// Hands it to librdkafka, or gives it back.
    #[expect(clippy::result_large_err, reason = "the error is the message itself, moved back")]
    fn send(self, producer: &BaseProducer<Deliveries>) -> Result<(), (KafkaError, Self)> {
        let Self { topic, partition, key, payload, headers, ticket } = self;
        let mut record: BaseRecord<'_, [u8], [u8], Arc<Ticket>> = BaseRecord::with_opaque_to(&topic, ticket);
        (record.partition, record.key, record.payload, record.headers) = (partition, key.as_deref(), payload.as_deref(), headers);
        let Err((error, back)) = producer.send(record) else { return Ok(()) };
        let (headers, ticket) = (back.headers, back.delivery_opaque);
        Err((error, Self { topic, partition, key, payload, headers, ticket }))
    }
}

/// See the module.
pub(super) struct Handover {
    pub(super) producer: Arc<BaseProducer<Deliveries>>,
    /// Whether one message is sent at a time.
    pub(super) singly: bool,
    /// One request to the cluster that is not about messages.
    pub(super) request_timeout: Duration,
}

impl Handover {
    fn accumulator(&self) -> &Accumulator {
        self.producer.context().accumulator()
    }

    /// Takes a message; waits while too much is there already.
    pub(super) fn take(&self, mut message: Outgoing) -> Result<()> {
        if self.singly {
            self.accumulator().joined();
            self.hand(message).map_err(|(error, _)| error)?;
            return self.wait_alone();
        }
        let bytes = message.bytes();
        loop {
            // After a failure the session has its error by now.
            if self.accumulator().is_over() {
                return Err(super::closing());
            }
            match self.accumulator().offer(message, bytes) {
                Offer::Now(message) => return self.hand(message).map_err(|(error, _)| error),
                Offer::Waits => return Ok(()),
                Offer::Full(back) => {
                    message = back;
                    self.producer.context().wait(FULL_RETRY);
                }
            }
        }
    }

    /// Hands over what waited, until the sink closes.
    pub(super) fn work(&self) {
        while let Some((batch, _turn)) = self.accumulator().next() {
            let bytes = batch.iter().map(|(_, bytes)| bytes).sum();
            for (message, _) in batch {
                if let Err((error, ticket)) = self.hand(message) {
                    // Who ended it said why.
                    let over = self.accumulator().is_over();
                    // Nothing may follow what was not sent.
                    self.accumulator().give_up();
                    if !over {
                        ticket.fail(error.at("position", ticket.position()));
                    }
                    break;
                }
            }
            self.accumulator().released(bytes);
            self.producer.context().room();
        }
    }

    /// Hands a message that counts as under way to librdkafka; waits while its queue is full.
    fn hand(&self, message: Outgoing) -> Result<(), (Error, Arc<Ticket>)> {
        self.push(message).inspect_err(|_| self.accumulator().reported())
    }

    fn push(&self, mut message: Outgoing) -> Result<(), (Error, Arc<Ticket>)> {
        let mut looked = false;
        loop {
            if self.accumulator().is_over() {
                return Err((super::closing(), message.ticket));
            }
            let Err((error, back)) = message.send(&self.producer) else { return Ok(()) };
            message = back;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) => self.producer.context().wait(FULL_RETRY),
                // `check` saw the partition: the topic has grown, and the producer does not know.
                Some(Code::UnknownPartition) if !std::mem::replace(&mut looked, true) => {
                    if let Err(error) = self.producer.client().fetch_metadata(Some(&message.topic), LOOK.min(self.request_timeout)) {
                        tracing::debug!(topic = &*message.topic, %error, "cannot look at the topic again");
                    }
                }
                _ => {
                    let error = self.producer.context().cause().unwrap_or(error);
                    return Err((context::refusal(&error, &message.topic, message.partition.unwrap_or(-1)), message.ticket));
                }
            }
        }
    }

    /// Waits for what was sent, so that nothing is sent behind what is refused.
    fn wait_alone(&self) -> Result<()> {
        while self.producer.in_flight_count() > 0 && !self.accumulator().is_over() {
            self.producer.context().wait(FULL_RETRY);
        }
        if self.accumulator().is_over() { Err(super::closing()) } else { Ok(()) }
    }
}
