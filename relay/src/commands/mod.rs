//! One module a command, each a struct with `execute()`.

pub mod attempt;
pub mod bench;
pub mod capture;
pub mod check;
pub mod compile;
mod component;
pub mod dead_letters;
pub mod demo;
pub mod init;
pub mod inspect;
pub mod new;
mod origin;
pub mod replay;
pub mod run;
pub mod skip;
pub mod snapshot;
pub mod status;
pub mod swap;
pub mod test;

use crate::cli::Flags;
use crate::config::{CdcSource, Config, CreateTopics, FileSource, KafkaSink, LinesSink, OutboxSource, Sink, Source, Transform};
use crate::error::{Error, Kind, Result};

/// The outbox where no other is named.
pub(crate) const DEFAULT_TABLE: &str = "public.outbox";

/// The configuration that file and flags make together.
pub(crate) fn configure(flags: &Flags) -> Result<Config> {
    let mut config = match &flags.config {
        Some(path) => Config::load(path)?,
        None => from_flags(flags)?,
    };
    apply(flags, &mut config)?;
    config.validate()?;
    Ok(config)
}

fn missing(what: &str, flag: &str) -> Error {
    Error::new(Kind::Config, format!("{what} is missing")).remedy(format!("give {flag}, or a configuration file with -c"))
}

fn is_postgres(source: &str) -> bool {
    source.starts_with("postgres://") || source.starts_with("postgresql://") || source.contains("host=")
}

fn from_flags(flags: &Flags) -> Result<Config> {
    // Only here: a file says all, and the environment must not overrule it.
    let source = flags.source.clone().or_else(|| std::env::var("DATABASE_URL").ok());
    let source = source.ok_or_else(|| missing("the source", "--source postgres://… or --source FILE"))?;
    let sink = read_sink(flags).ok_or_else(|| missing("the sink", "--brokers HOST:PORT, --stdout or --out FILE"))?;
    Ok(Config::new("relay".to_owned(), read_source(&source, flags)?, sink))
}

fn read_source(source: &str, flags: &Flags) -> Result<Source> {
    match (is_postgres(source), flags.cdc) {
        (true, true) => {
            Ok(Source::Cdc(Box::new(CdcSource { outbox: Some(DEFAULT_TABLE.to_owned()), url: source.to_owned(), ..CdcSource::default() })))
        }
        (true, false) => Ok(Source::Outbox(Box::new(OutboxSource { url: source.to_owned(), ..OutboxSource::default() }))),
        (false, true) => {
            Err(Error::new(Kind::Config, "--cdc with a file as source").remedy("give --source postgres://…, or leave --cdc out"))
        }
        (false, false) => Ok(Source::File(FileSource { path: source.into() })),
    }
}

fn read_sink(flags: &Flags) -> Option<Sink> {
    if flags.stdout {
        return Some(Sink::Stdout(LinesSink::new(None)));
    }
    if let Some(path) = &flags.out {
        return Some(Sink::File(LinesSink::new(Some(path.clone()))));
    }
    let brokers = flags.brokers.clone().or_else(|| std::env::var("KAFKA_BROKERS").ok());
    brokers.map(|brokers| Sink::Kafka(Box::new(KafkaSink::new(&brokers))))
}

fn apply(flags: &Flags, config: &mut Config) -> Result<()> {
    if let Some(name) = &flags.name {
        config.name.clone_from(name);
    }
    if let Some(source) = &flags.source {
        match (&mut config.source, is_postgres(source)) {
            (Source::Outbox(outbox), true) if !flags.cdc => outbox.url.clone_from(source),
            (Source::Cdc(cdc), true) => cdc.url.clone_from(source),
            (other, _) => *other = read_source(source, flags)?,
        }
    }
    if let Some(table) = &flags.table {
        match &mut config.source {
            Source::Outbox(outbox) => outbox.table.clone_from(table),
            Source::Cdc(cdc) => cdc.outbox = Some(table.clone()),
            Source::File(_) => return Err(Error::new(Kind::Config, "--table with a file as source").remedy("leave --table out")),
        }
    }
    apply_sink(flags, config)?;
    if !flags.transform.is_empty() {
        config.transforms = transforms(flags)?;
    } else if !flags.settings.is_empty() {
        return Err(
            Error::new(Kind::Config, "--settings without --transform").remedy("give the component too, or write settings into the file")
        );
    }
    Ok(())
}

fn apply_sink(flags: &Flags, config: &mut Config) -> Result<()> {
    if flags.stdout || flags.out.is_some() {
        let topic = config.sink.topic().to_owned();
        if let Some(mut sink) = read_sink(flags) {
            sink.set_topic(topic);
            config.sink = sink;
            // To look at what comes out leaves no letters.
            config.dead_letters = None;
            let said = config.transforms.iter_mut().map(|transform| &mut transform.on_poison);
            said.for_each(|said| *said = said.filter(|said| !said.writes()));
        }
    }
    if let Some(topic) = &flags.topic {
        config.sink.set_topic(topic.clone());
    }
    match &mut config.sink {
        Sink::Kafka(kafka) => {
            if let Some(brokers) = &flags.brokers {
                kafka.brokers.clone_from(brokers);
            }
            if let Some(partitions) = flags.create_topics {
                kafka.create_topics = Some(CreateTopics { partitions, replication: -1, config: Default::default() });
            }
            kafka.topics.extend(flags.allow_topic.iter().cloned());
            for option in &flags.option {
                let (name, value) = option
                    .split_once('=')
                    .ok_or_else(|| Error::new(Kind::Config, format!("-X {option}: no `=`")).remedy("write -X name=value"))?;
                kafka.librdkafka.insert(name.to_owned(), toml::Value::String(value.to_owned()));
            }
        }
        Sink::Stdout(lines) | Sink::File(lines) => {
            if flags.create_topics.is_some() || !flags.option.is_empty() {
                return Err(Error::new(Kind::Config, "--create-topics and -X are for Kafka, and the sink is not").remedy("leave them out"));
            }
            lines.topics.extend(flags.allow_topic.iter().cloned());
        }
    }
    Ok(())
}

fn transforms(flags: &Flags) -> Result<Vec<Transform>> {
    if flags.settings.len() > flags.transform.len() {
        return Err(
            Error::new(Kind::Config, "more --settings than --transform").remedy("give one JSON object for each component, in order")
        );
    }
    let settings = flags.settings.iter().map(|text| {
        serde_json::from_str(text).map_err(|e| {
            Error::new(Kind::Config, format!("--settings is no JSON object: {e}"))
                .remedy("write it like --settings '{\"fields\":[\"card\"]}'")
        })
    });
    let mut settings: Vec<_> = settings.collect::<Result<_>>()?;
    settings.resize(flags.transform.len(), serde_json::Map::new());
    let paths = flags.transform.iter();
    Ok(paths.zip(settings).map(|(path, settings)| Transform::new(path.clone(), settings)).collect())
}
