//! Which server a polled outbox is read from: a standby that was promoted without the last
//! commits has rows back that are published, and lacks others.

use super::{Records, Store, read};
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};

/// Key of the record.
const SERVER: &str = "server";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// System identifier: a number larger than JSON's are exact.
    system: String,
    timeline: i32,
}

impl Server {
    /// As the server says.
    #[must_use]
    pub fn new((system, timeline): (i64, i32)) -> Self {
        Self { system: system.to_string(), timeline }
    }

    /// Compares it with the one that is remembered; whether there is one.
    ///
    /// # Errors
    /// `ServerChanged`; `Config` for a record of another version.
    pub fn continues(&self, records: &Records) -> Result<bool> {
        let Some(known) = read::<Self>(records, SERVER)? else { return Ok(false) };
        if known == *self {
            return Ok(true);
        }
        let what = format!(
            "another server answers: system {} timeline {} was read, this is system {} timeline {}",
            known.system, known.timeline, self.system, self.timeline
        );
        Err(Error::new(Kind::ServerChanged, what)
            .remedy("make sure that it has every commit of the old one, then go on with `relay init --adopt-server`"))
    }

    /// Remembers it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remember(&self, store: &Store) -> Result<()> {
        store.put(SERVER, self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_timeline_is_another_server() {
        let (old, new) = (Server::new((i64::MAX, 1)), Server::new((i64::MAX, 2)));
        let mut records = Records::new();
        assert!(!old.continues(&records).expect("nothing is known"));
        records.insert(SERVER.to_owned(), serde_json::to_value(&old).expect("JSON"));
        assert!(old.continues(&records).expect("the same"));
        assert_eq!(new.continues(&records).expect_err("another").kind(), Kind::ServerChanged);
    }
}
