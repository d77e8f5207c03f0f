//! Where redrives are asked for; the session that owns the lanes carries them out.

use super::letter::Filter;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

/// Requests that wait behind one that is carried out; more are refused.
const WAITING: usize = 8;

/// What is to become of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// Through the lanes once more.
    Redrive,
    /// Forgotten.
    Discard,
}

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Published, or dropped by a transform.
    pub redriven: usize,
    /// Failed again; they stay, and what is behind them.
    pub failed: usize,
    /// Forgotten.
    pub discarded: usize,
    /// Letters that are left of all.
    pub left: usize,
}

/// One request.
pub struct Request {
    /// What is to be done.
    pub wish: Wish,
    /// With which letters.
    pub filter: Filter,
    /// Who asks.
    pub by: String,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Answer>>,
}

/// See the module.
pub struct Desk {
    sender: mpsc::Sender<Request>,
    receiver: Mutex<mpsc::Receiver<Request>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Desk {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// `Admin` if too many ask or the session ended; those of the work.
    pub async fn ask(&self, wish: Wish, filter: Filter, by: String) -> Result<Answer> {
        let (answer, wait) = oneshot::channel();
        let busy = |_| Error::new(Kind::Admin, "too many requests wait already").remedy("ask again when they are done");
        self.sender.try_send(Request { wish, filter, by, answer }).map_err(busy)?;
        wait.await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Admin, "the session of the relay ended meanwhile")
                .remedy("what was done is done, the rest is still there: ask again"))
        })
    }

    /// The requests, for the session that carries them out.
    pub async fn requests(&self) -> MutexGuard<'_, mpsc::Receiver<Request>> {
        self.receiver.lock().await
    }
}
