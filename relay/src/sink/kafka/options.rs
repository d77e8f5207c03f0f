//! librdkafka's options: ours, then the user's, then those that carry a guarantee.

use crate::config::KafkaSink;
use crate::error::Result;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Ours, which the user may override.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "relay"),
    ("linger.ms", "5"),
    // Checked against the topic's own limit instead, before sending.
    ("message.max.bytes", "1000000000"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.max.ms", "5000"),
    ("statistics.interval.ms", "0"),
];

/// The options of every client of this sink: producer, admin, check.
///
/// # Errors
/// None today; conflicts were refused when the configuration was read.
pub fn client_config(config: &KafkaSink) -> Result<ClientConfig> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers);
    for (name, value) in DEFAULTS {
        client.set(*name, *value);
    }
    for (name, value) in config.raw() {
        client.set(name, value);
    }
    for (name, value) in crate::config::GUARANTEED {
        client.set(*name, *value);
    }
    client.set_log_level(RDKafkaLogLevel::Warning);
    Ok(client)
}
