//! Messages that the broker refused although nothing said beforehand that it would. A
//! batch is refused as a whole; sent singly, the guilty one is found, and is then refused
//! before it is sent.

use crate::error::{Error, Kind};
use crate::event::Position;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More of them are a broker that takes nothing.
const MOST: usize = 1000;

/// See the module. One a pipeline, over all its sessions.
#[derive(Debug, Default)]
pub struct Suspects {
    /// Whether the next session is to send singly.
    singly: AtomicBool,
    /// What the broker said of each.
    guilty: Mutex<HashMap<Position, String>>,
    any: AtomicBool,
}

impl Suspects {
    fn guilty(&self) -> MutexGuard<'_, HashMap<Position, String>> {
        self.guilty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether messages are sent singly, for one of many was refused.
    #[must_use]
    pub fn singly(&self) -> bool {
        self.singly.load(Ordering::Acquire)
    }

    /// Nothing was refused while they were sent singly.
    pub fn give_up(&self) {
        self.singly.store(false, Ordering::Release);
    }

    /// A session ended because the broker refused a message; whether the next one will
    /// know better.
    pub fn accuse(&self, error: &Error) -> bool {
        if error.kind() != Kind::MessageRefused {
            return false;
        }
        if !self.singly.swap(true, Ordering::AcqRel) {
            return true;
        }
        self.singly.store(false, Ordering::Release);
        // Right, for it was sent singly.
        let at = error.coordinates().find(|(name, _)| *name == "position").and_then(|(_, at)| at.split_once('/'));
        let Some((Ok(commit), Ok(index))) = at.map(|(commit, index)| (commit.parse(), index.parse())) else { return false };
        self.any.store(true, Ordering::Release);
        let said = error.line().split_once("] ").map_or_else(|| error.line(), |(_, said)| said.to_owned());
        let mut guilty = self.guilty();
        // A row that has another place each time would come for ever.
        if guilty.len() >= MOST {
            return false;
        }
        // Who is known already was refused before it was sent: this is somebody else's trouble.
        guilty.insert(Position { commit, index }, said).is_none()
    }

    /// Why the messages of this event are refused.
    #[must_use]
    pub fn refusal(&self, position: Position) -> Option<Error> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let said = self.guilty().get(&position)?.clone();
        Some(Error::new(Kind::MessageRefused, said).remedy("the broker's rules for the topic exclude it, or this user may not write there"))
    }

    /// It is to be tried once more.
    pub fn pardon(&self, position: Position) {
        if self.any.load(Ordering::Acquire) {
            self.guilty().remove(&position);
        }
    }
}
