//! Where letters lie. The sink writes them, with the messages; this reads them.

use super::letter::Letter;
use super::table::Table;
use crate::config::{Config, DeadLetters, Sink};
use crate::error::{Context as _, Error, Kind, Result};
use crate::sink::kafka::Compacted;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Clone)]
pub enum Store {
    /// A compacted topic of one partition.
    Topic(Box<Compacted>, DeadLetters),
    /// A table beside what is read.
    Table(Box<Table>),
    /// A file of JSON Lines, [`Line`] each.
    File(PathBuf),
}

/// A line of the file: a letter, or that there is none any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Name of the letter.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The letter.
    #[serde(borrow)]
    pub letter: Option<&'a RawValue>,
}

impl Store {
    /// Of a configuration that has dead letters.
    ///
    /// # Errors
    /// `Config` for options, names or a URL that cannot be used.
    pub fn open(config: &Config) -> Result<Option<Self>> {
        let Some(letters) = &config.dead_letters else { return Ok(None) };
        if let Some(table) = Table::of(config)? {
            return Ok(Some(Self::Table(Box::new(table))));
        }
        Ok(match (&config.sink, config.dead_letter_topic()) {
            (Sink::Kafka(kafka), Some(name)) => {
                Some(Self::Topic(Box::new(Compacted::new(kafka, name, "the topic of the dead letters")?), letters.clone()))
            }
            _ => letters.file.clone().map(Self::File),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Topic(topic, _) => format!("topic {}", topic.name()),
            Self::Table(table) => table.place(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Makes it if it is missing.
    ///
    /// # Errors
    /// Those of the broker or the database.
    pub async fn prepare(&self) -> Result<()> {
        match self {
            Self::Topic(topic, letters) => topic.create(&[("max.message.bytes", &letters.letter_bytes.as_u64().to_string())]).await,
            Self::Table(table) => table.prepare().await,
            Self::File(_) => Ok(()),
        }
    }

    /// What `see` makes of the letters that are wanted by their names. `must` is whether
    /// the topic has to be there.
    ///
    /// # Errors
    /// Those of the broker or the database, or `Io`; `BadEvent` for a letter that is none.
    pub async fn read<T: Send + 'static>(
        &self,
        must: bool,
        wanted: impl Fn(&str) -> bool + Send + 'static,
        see: impl Fn(Letter) -> Result<T> + Send + 'static,
    ) -> Result<Vec<T>> {
        let understand = move |bytes: &[u8]| {
            let letter = serde_json::from_slice::<Letter>(bytes);
            see(letter.or_kind(Kind::BadEvent, "a dead letter is none that this relay understands")?)
        };
        // One that cannot be read may be replaced by one that can.
        let keep = move |found: &mut BTreeMap<String, Result<T>>, id: String, value: Option<&[u8]>| match value.filter(|_| wanted(&id)) {
            None => drop(found.remove(&id)),
            Some(bytes) => drop(found.insert(id, understand(bytes))),
        };
        let found = match self {
            Self::Topic(topic, _) => topic.read(must, BTreeMap::new(), keep).await?,
            Self::Table(table) => table.read(must, keep).await?,
            Self::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || scan(&path, keep)).await;
                read.or_kind(Kind::Internal, "reading the dead letters failed")??
            }
        };
        let located = |(id, letter): (String, Result<T>)| {
            letter.map_err(|e| {
                e.at("letter", id).at("store", self.place()).remedy("was it written by a newer relay? use that one, or delete the record")
            })
        };
        found.into_iter().map(located).collect()
    }
}

fn scan<T: Default>(path: &Path, keep: impl Fn(&mut T, String, Option<&[u8]>)) -> Result<T> {
    let mut seen = T::default();
    let failed = |e: Error| e.at("file", path.display()).remedy("make it readable, or move it away to start without it");
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(seen),
        opened => opened.or_kind(Kind::Io, "cannot read the dead letters").map_err(failed)?,
    };
    for line in BufReader::new(file).split(b'\n') {
        let line = line.or_kind(Kind::Io, "cannot read the dead letters").map_err(failed)?;
        // Half a line is what a crash left of a letter that was never acknowledged; the next
        // one begins behind it.
        let Ok(Line { id, letter }) = serde_json::from_slice(&line) else { continue };
        keep(&mut seen, id.into_owned(), letter.map(|letter| letter.get().as_bytes()));
    }
    Ok(seen)
}
