//! What the relay knows of topics: whether they exist, their partitions, and
//! the limits that make a message impossible.

use super::options::client_config;
use crate::config::{CreateTopics, KafkaSink};
use crate::error::{Context as _, Error, Kind, Result};
use crate::event::check_topic_name;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;
use wildmatch::WildMatch;

/// Limits of topics only sharpen the checks, so nobody waits long for them.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two tries to reach a broker that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// librdkafka's default; smaller where a topic takes less, because a batch is
/// refused as a whole even if each of its messages would fit.
const BATCH_SIZE: usize = 1_000_000;

/// A topic as it was when first used.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// Number of partitions.
    pub partitions: u32,
    /// `max.message.bytes`; `None` where this client may not know.
    pub max_message_bytes: Option<usize>,
    /// Whether `cleanup.policy` has `compact`, which refuses null keys.
    pub compacted: bool,
}

type Known = Arc<RwLock<HashMap<String, TopicInfo>>>;

/// See the module.
pub struct Topics {
    admin: Arc<AdminClient<DefaultClientContext>>,
    runtime: tokio::runtime::Handle,
    create: Option<CreateTopics>,
    known: Known,
    closing: Arc<AtomicBool>,
    request_timeout: Duration,
    batch_size: usize,
    /// Whether the batch size is ours to choose.
    adapts: bool,
    /// Whether descriptions are not to be had.
    opaque: AtomicBool,
    _watch: Watch,
}

impl Topics {
    /// Reads the topics that the patterns match, if a broker answers; one that
    /// does not is waited for at the first message.
    pub fn new(config: &KafkaSink, patterns: &[String], runtime: tokio::runtime::Handle, closing: Arc<AtomicBool>) -> Result<Self> {
        let mut client = client_config(config)?;
        // Options of producers only, which an admin client would warn about.
        for (name, _) in crate::config::GUARANTEED {
            client.remove(name);
        }
        let admin: AdminClient<_> = client
            .create()
            .or_kind(Kind::Config, "librdkafka refuses the configuration")
            .map_err(|e| e.at("field", "sink.librdkafka").remedy("correct the option it names"))?;
        let admin = Arc::new(admin);
        let known = Known::default();
        let watch = Watch::start(&admin, &known, config)?;
        let mut topics = Self {
            admin,
            runtime,
            create: config.create_topics.clone(),
            known,
            closing,
            request_timeout: config.request_timeout,
            batch_size: BATCH_SIZE,
            adapts: !config.librdkafka.contains_key("batch.size"),
            opaque: AtomicBool::new(false),
            _watch: watch,
        };
        let patterns: Vec<_> = patterns.iter().map(|p| WildMatch::new(p)).collect();
        match topics.partitions() {
            Ok(partitions) => {
                let ours = |name: &&String| patterns.iter().any(|p| p.matches(name));
                let names: Vec<&str> = partitions.keys().filter(ours).map(String::as_str).collect();
                for (name, info) in topics.describe(&names, &partitions) {
                    topics.batch_size = topics.batch_size.min(info.max_message_bytes.unwrap_or(BATCH_SIZE).max(1));
                    topics.remember(&name, info);
                }
            }
            Err(error) if error.kind() == Kind::BrokerUnavailable => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        Ok(topics)
    }

    /// The largest batch that every known topic takes.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// A topic's description; waits for a broker, makes the topic if the policy
    /// says so. Blocks; for worker threads.
    ///
    /// # Errors
    /// `MessageRefused` for a topic that is missing, `BrokerUnavailable` for one
    /// that takes less than this producer sends, `BrokerUnusable` when the
    /// cluster refuses this client, `Interrupted` when the sink closes.
    pub fn get(&self, name: &str) -> Result<TopicInfo> {
        if let Some(info) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(info.clone());
        }
        let info = self.wait_for(name)?;
        match info.max_message_bytes {
            Some(max) if max < self.batch_size && self.adapts => {
                Err(Error::new(Kind::BrokerUnavailable, format!("topic `{name}` takes {max} bytes, less than a batch of this producer"))
                    .at("topic", name)
                    .remedy("none needed: the producer is replaced by one with smaller batches"))
            }
            _ => Ok(info),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a worker thread that can do nothing without a broker")]
    fn wait_for(&self, name: &str) -> Result<TopicInfo> {
        loop {
            if self.closing.load(Ordering::Acquire) {
                return Err(super::closing());
            }
            match self.find(name) {
                Err(error) if error.kind() == Kind::BrokerUnavailable => {
                    tracing::debug!(topic = name, %error, "waiting for a broker");
                    std::thread::sleep(RETRY_PAUSE);
                }
                other => return other.map_err(|e| e.at("topic", name)),
            }
        }
    }

    /// One try of [`Topics::get`].
    pub fn find(&self, name: &str) -> Result<TopicInfo> {
        check_topic_name(name)?;
        let mut partitions = self.partitions()?;
        if !partitions.contains_key(name) {
            let Some(create) = &self.create else {
                return Err(Error::new(Kind::MessageRefused, format!("topic `{name}` does not exist"))
                    .at("topic", name)
                    .remedy("create it, or let the relay do so: [sink] create_topics = { partitions = 3 }, or --create-topics 3"));
            };
            self.make(name, create)?;
            partitions.insert(name.to_owned(), create.partitions.unsigned_abs());
            tracing::info!(topic = name, partitions = create.partitions, "topic created");
        }
        let info = self.describe(&[name], &partitions).pop().map(|(_, info)| info);
        let info = info.ok_or_else(|| Error::new(Kind::Internal, "a topic without a description"))?;
        self.remember(name, info.clone());
        Ok(info)
    }

    fn remember(&self, name: &str, info: TopicInfo) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), info);
    }

    /// All topics with their partition counts. All, because asking for one by
    /// name makes it where the broker creates topics by itself.
    ///
    /// # Errors
    /// `BrokerUnavailable` or `BrokerUnusable`.
    pub fn partitions(&self) -> Result<HashMap<String, u32>> {
        partitions(&self.admin, self.request_timeout)
    }

    fn make(&self, name: &str, create: &CreateTopics) -> Result<()> {
        let mut topic = NewTopic::new(name, create.partitions, TopicReplication::Fixed(create.replication));
        for (key, value) in &create.config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().request_timeout(Some(self.request_timeout)).operation_timeout(Some(self.request_timeout));
        let request = self.admin.create_topics([&topic], &options);
        let results = self.block_on(request).map_err(|e| broker_error(&e))?;
        for result in results {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((_, code)) => {
                    return Err(Error::new(Kind::MessageRefused, format!("cannot create topic `{name}`: {code}"))
                        .remedy("create it by hand, or grant this user CREATE on the cluster"));
                }
            }
        }
        Ok(())
    }

    /// Limits of topics; without the right to describe them, or from a broker
    /// that cannot (the embedded one of the demo), none are known.
    fn describe(&self, names: &[&str], partitions: &HashMap<String, u32>) -> Vec<(String, TopicInfo)> {
        let mut resources = HashMap::new();
        if !names.is_empty() && !self.opaque.load(Ordering::Relaxed) {
            let specifiers: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
            let options = AdminOptions::new().request_timeout(Some(DESCRIBE_TIMEOUT.min(self.request_timeout)));
            match self.block_on(self.admin.describe_configs(&specifiers, &options)) {
                Ok(found) => resources = found.into_iter().flatten().map(|r| (topic_of(&r), r)).collect(),
                Err(error) => {
                    tracing::debug!(%error, "limits of topics are unknown; the broker will judge");
                    self.opaque.store(true, Ordering::Relaxed);
                }
            }
        }
        let info = |name: &str| {
            let value = |key: &str| resources.get(name).and_then(|r| r.get(key)).and_then(|entry| entry.value.clone());
            TopicInfo {
                partitions: partitions.get(name).copied().unwrap_or(0),
                max_message_bytes: value("max.message.bytes").and_then(|v| v.parse().ok()),
                compacted: value("cleanup.policy").is_some_and(|v| v.contains("compact")),
            }
        };
        names.iter().map(|name| ((*name).to_owned(), info(name))).collect()
    }

    fn block_on<T>(&self, future: impl Future<Output = T> + Send) -> T
    where
        T: Send,
    {
        // From a worker thread or from a task; a task must give way first.
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::task::block_in_place(|| self.runtime.block_on(future))
        } else {
            self.runtime.block_on(future)
        }
    }
}

fn topic_of(resource: &ConfigResource) -> String {
    match &resource.specifier {
        OwnedResourceSpecifier::Topic(name) => name.clone(),
        _ => String::new(),
    }
}

fn partitions(admin: &AdminClient<DefaultClientContext>, timeout: Duration) -> Result<HashMap<String, u32>> {
    let metadata = admin.inner().fetch_metadata(None, timeout).map_err(|e| broker_error(&e))?;
    let counts = metadata.topics().iter().filter(|t| t.error().is_none());
    Ok(counts.map(|t| (t.name().to_owned(), u32::try_from(t.partitions().len()).unwrap_or(u32::MAX))).collect())
}

/// An error of a whole request.
fn broker_error(error: &KafkaError) -> Error {
    let code = error.rdkafka_error_code();
    let refused = matches!(
        code,
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::ClusterAuthorizationFailed
                | Code::SSL
        )
    );
    if refused {
        return Error::new(Kind::BrokerUnusable, "the broker refuses this client")
            .cause(error.clone())
            .remedy("check sasl.* and ssl.* under [sink.librdkafka]");
    }
    Error::new(Kind::BrokerUnavailable, "no broker answers")
        .cause(error.clone())
        .remedy("check sink.brokers and that the cluster is up; with authentication or TLS, check sasl.* and ssl.* under [sink.librdkafka]")
}

/// Notices that a topic gained partitions, which moves keys for any producer.
struct Watch {
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl Watch {
    fn start(admin: &Arc<AdminClient<DefaultClientContext>>, known: &Known, config: &KafkaSink) -> Result<Self> {
        let (interval, timeout) = (config.topic_check, config.request_timeout);
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (admin, known, stopped) = (Arc::clone(admin), Arc::clone(known), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("kafka-watch".into())
            .spawn(move || {
                let (flag, changed) = &*stopped;
                loop {
                    let guard = flag.lock().unwrap_or_else(PoisonError::into_inner);
                    let (guard, _) = changed.wait_timeout_while(guard, interval, |stop| !*stop).unwrap_or_else(PoisonError::into_inner);
                    if *guard {
                        return;
                    }
                    drop(guard);
                    let Ok(now) = partitions(&admin, timeout) else { continue };
                    for (name, info) in known.write().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                        if let Some(count) = now.get(name).filter(|count| **count != info.partitions) {
                            tracing::warn!(
                                topic = name,
                                before = info.partitions,
                                now = count,
                                "the number of partitions changed: keys move, order per key breaks at this point"
                            );
                            info.partitions = *count;
                        }
                    }
                }
            })
            .or_kind(Kind::Internal, "cannot start the watch thread")?;
        Ok(Self { stop })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (flag, changed) = &*self.stop;
        *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}
