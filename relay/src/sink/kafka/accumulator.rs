//! What waits for its partition, as in the accumulator of Kafka's own producer. An
//! idempotent librdkafka has one batch of a partition under way, and while another
//! message of it is older than `linger.ms`, its thread looks for the answer without a
//! pause (source: librdkafka 2.12, `rd_kafka_toppar_producer_serve`); that was a quarter
//! of the relay's time. So it gets no more than the batch that it collects, and the rest
//! when that is acknowledged: fewer batches, and larger ones.

use super::context::Deliveries;
use super::wave::{Bounds, Wave};
use crate::checkpoint::Ticket;
use crate::event::Shared;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// librdkafka's defaults, where the configuration does not say (source: its
/// CONFIGURATION.md).
const LINGER_MS: f64 = 5.0;
const BATCH_BYTES: usize = 1_000_000;
const BATCH_MESSAGES: usize = 10_000;

/// A message that waits.
pub(super) struct Waiting {
    pub(super) topic: Shared,
    pub(super) partition: i32,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Option<Bytes>,
    pub(super) headers: Option<OwnedHeaders>,
    pub(super) ticket: Arc<Ticket>,
}

impl Waiting {
    /// Hands it to librdkafka, or gives it back.
    #[expect(clippy::result_large_err, reason = "the error is the message itself, moved back")]
    pub(super) fn send(self, producer: &BaseProducer<Deliveries>) -> Result<(), (KafkaError, Self)> {
        let Self { topic, partition, key, payload, headers, ticket } = self;
        let mut record: BaseRecord<'_, [u8], [u8], Arc<Ticket>> = BaseRecord::with_opaque_to(&topic, ticket).partition(partition);
        (record.key, record.payload, record.headers) = (key.as_deref(), payload.as_deref(), headers);
        match producer.send(record) {
            Ok(()) => Ok(()),
            Err((error, back)) => {
                let (headers, ticket) = (back.headers, back.delivery_opaque);
                Err((error, Self { topic, partition, key, payload, headers, ticket }))
            }
        }
    }
}

/// The messages of one partition.
pub(super) struct Place(Mutex<Wave<Waiting>>);

impl Place {
    pub(super) fn lock(&self) -> MutexGuard<'_, Wave<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Accumulator {
    bounds: Bounds,
    /// Bytes that may wait.
    budget: usize,
    waiting: AtomicUsize,
    /// By topic and partition.
    places: RwLock<HashMap<Shared, Vec<Arc<Place>>>>,
    /// Whether something was not released for librdkafka's queue was full.
    stalled: AtomicBool,
    /// Held while a wave is released.
    turn: Mutex<()>,
}

impl Accumulator {
    /// For a producer with this configuration; at most `budget` bytes wait.
    pub(super) fn new(client: &ClientConfig, budget: usize) -> Self {
        let number = |names: &[&str]| names.iter().find_map(|name| client.get(name)?.parse::<f64>().ok());
        let count = |name: &str| client.get(name).and_then(|value| value.parse().ok());
        let linger = number(&["linger.ms", "queue.buffering.max.ms"]).unwrap_or(LINGER_MS);
        let bounds = Bounds {
            linger: Duration::try_from_secs_f64(linger / 1000.0).unwrap_or_default(),
            bytes: count("batch.size").unwrap_or(BATCH_BYTES),
            messages: count("batch.num.messages").unwrap_or(BATCH_MESSAGES),
        };
        Self {
            bounds,
            budget,
            waiting: AtomicUsize::new(0),
            places: RwLock::default(),
            stalled: AtomicBool::new(false),
            turn: Mutex::default(),
        }
    }

    /// Where the messages of that partition are.
    pub(super) fn place(&self, topic: &Shared, partition: usize) -> Arc<Place> {
        if let Some(place) = self.known(topic, partition) {
            return place;
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        let places = places.entry(Arc::clone(topic)).or_default();
        while places.len() <= partition {
            places.push(Arc::new(Place(Mutex::new(Wave::new(self.bounds)))));
        }
        Arc::clone(&places[partition])
    }

    fn known(&self, topic: &str, partition: usize) -> Option<Arc<Place>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).get(topic)?.get(partition).cloned()
    }

    /// Whether so many bytes more may wait; they count then.
    pub(super) fn admit(&self, bytes: usize) -> bool {
        let before = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        let admitted = before == 0 || before + bytes <= self.budget;
        if !admitted {
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        }
        admitted
    }

    /// They wait no more.
    pub(super) fn leave(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// A message was reported; the place of it, if what waits there is due.
    pub(super) fn reported(&self, topic: &str, partition: i32) -> Option<Arc<Place>> {
        let place = self.known(topic, usize::try_from(partition).ok()?)?;
        let due = place.lock().reported();
        due.then_some(place)
    }

    /// The queue was full: places are to be looked at once there is room.
    pub(super) fn stall(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// The places that are due though nothing of them is under way, if that may be.
    pub(super) fn unstall(&self) -> Vec<Arc<Place>> {
        if !self.stalled.load(Ordering::Acquire) || !self.stalled.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.values().flatten().filter(|place| place.lock().is_due()).cloned().collect()
    }

    /// To be held while a wave is released; whoever closes waits for it.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up all that wait: their tickets are dropped.
    pub(super) fn discard(&self) {
        let places: Vec<_> = self.places.read().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect();
        for place in places {
            let gone = place.lock().discard();
            self.leave(gone.iter().map(|(_, bytes)| bytes).sum());
        }
    }
}

/// The partition of a key, as Kafka's clients choose it (source: Apache Kafka,
/// `Utils.murmur2` and `BuiltInPartitioner`; librdkafka's `murmur2_random`, which this
/// producer has for what comes without passing here).
pub(super) fn partition_of(key: &[u8], partitions: u32) -> Option<u32> {
    (murmur2(key) & 0x7fff_ffff).checked_rem(partitions)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let words = data.chunks_exact(4);
    let tail = words.remainder();
    let mut hash = words.fold(0x9747_b28c ^ length, |hash, word| {
        let word = word.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)).wrapping_mul(M);
        hash.wrapping_mul(M) ^ (word ^ word >> 24).wrapping_mul(M)
    });
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are Kafka's (source: `UtilsTest.testMurmur2`) and librdkafka's
    /// (`unittest_murmur2`).
    #[test]
    fn the_hash_is_kafkas() {
        let known: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 0x106e_08d9),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key), hash.cast_unsigned(), "{key:?}");
        }
        assert_eq!(partition_of(b"abc", 0), None);
        assert_eq!(partition_of(b"foobar", 1), Some(0));
    }
}
