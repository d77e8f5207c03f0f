//! Callbacks of librdkafka: delivery reports and its log.

use super::accumulator::Accumulator;
use crate::checkpoint::Ticket;
use crate::error::{Error, Kind};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Broker errors repeat with every attempt to connect; one line in this time
/// is enough to know.
const ERROR_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Context of the producer.
pub(super) struct Deliveries {
    producer: OnceLock<Weak<BaseProducer<Deliveries>>>,
    accumulator: Accumulator,
    /// Whether a thread waits for room; waking one is a system call.
    waiting: AtomicBool,
    reported: Mutex<()>,
    changed: Condvar,
    logged: Mutex<Option<Instant>>,
}

impl Deliveries {
    pub(super) fn new(accumulator: Accumulator) -> Self {
        Self {
            accumulator,
            producer: OnceLock::new(),
            waiting: AtomicBool::new(false),
            reported: Mutex::default(),
            changed: Condvar::new(),
            logged: Mutex::default(),
        }
    }

    /// Says whose deliveries these are.
    pub(super) fn watch(&self, producer: &Arc<BaseProducer<Self>>) {
        // Set once, by the one who made both.
        let _ = self.producer.set(Arc::downgrade(producer));
    }

    /// What waits for messages under way.
    pub(super) fn accumulator(&self) -> &Accumulator {
        &self.accumulator
    }

    /// What ended the producer, where something did: librdkafka then reports
    /// only the consequences, and gives up its queue by itself.
    pub(super) fn cause(&self) -> Option<KafkaError> {
        let (code, _) = self.producer.get()?.upgrade()?.client().fatal_error()?;
        Some(KafkaError::MessageProduction(code))
    }

    /// Waits for a delivery report, at most `timeout`.
    pub(super) fn wait(&self, timeout: Duration) {
        self.waiting.store(true, Ordering::Release);
        let guard = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it came or not, the caller tries again.
        drop(self.changed.wait_timeout(guard, timeout));
    }

    /// Wakes threads that wait for room.
    pub(super) fn room(&self) {
        if self.waiting.swap(false, Ordering::AcqRel) {
            self.changed.notify_all();
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "librdkafka", facility, "{message}");
            }
            // Reported through `error` with a limit on the rate.
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::debug!(target: "librdkafka", facility, "{message}"),
            _ => tracing::trace!(target: "librdkafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= ERROR_LOG_INTERVAL) {
            *logged = Some(Instant::now());
            tracing::warn!(%error, reason, "trouble with the broker; retrying, the source waits when the queue is full");
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Arc<Ticket>) {
        match result {
            Ok(_) => ticket.acknowledge(),
            Err((KafkaError::MessageProduction(Code::PurgeQueue | Code::PurgeInflight), _)) if self.accumulator.is_closing() => {}
            Err((error, message)) => {
                let ended = matches!(error.rdkafka_error_code(), Some(Code::PurgeQueue | Code::PurgeInflight | Code::Fatal));
                let cause = ended.then(|| self.cause()).flatten();
                let error = refusal(cause.as_ref().unwrap_or(error), message.topic(), message.partition());
                ticket.fail(error.at("position", ticket.position()));
                // The session ends, and nothing is to follow this message.
                self.accumulator.give_up();
            }
        }
        drop(ticket);
        self.accumulator.reported();
        self.room();
    }
}

/// What a refused message means for the relay.
pub(super) fn refusal(error: &KafkaError, topic: &str, partition: i32) -> Error {
    let (kind, remedy) = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => (
            Kind::MessageRefused,
            "raise max.message.bytes of the topic, let a transform shorten the payload, or set a smaller \"batch.size\" under [sink.librdkafka]",
        ),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic) => {
            (Kind::MessageRefused, "create the topic, or let the relay do so with [sink.create_topics]")
        }
        Some(
            Code::InvalidRecord
            | Code::InvalidMessage
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType,
        ) => (Kind::MessageRefused, "the broker's rules for the topic exclude this record: its format, compression, timestamp or key"),
        Some(Code::TopicAuthorizationFailed) => (Kind::MessageRefused, "grant this user WRITE and DESCRIBE on the topic"),
        Some(Code::ClusterAuthorizationFailed) => {
            (Kind::BrokerUnusable, "grant this user WRITE and DESCRIBE on its topics, and IDEMPOTENT_WRITE on old brokers")
        }
        Some(Code::TransactionalIdAuthorizationFailed) => {
            (Kind::BrokerUnusable, "grant this user WRITE and DESCRIBE on the transactional id, which is the pipeline's name and a number")
        }
        Some(Code::InvalidTransactionTimeout) => {
            (Kind::BrokerUnusable, "lower transactions.timeout, or raise the broker's transaction.max.timeout.ms")
        }
        // Fatal errors of the idempotent producer end it; a new one starts
        // with what was not acknowledged.
        _ => (Kind::BrokerUnavailable, "the producer is replaced; events not acknowledged are sent again"),
    };
    let error = Error::new(kind, "the broker refused a message").cause(error.clone()).at("topic", topic).remedy(remedy);
    if partition >= 0 { error.at("partition", partition) } else { error }
}
