//! Carries out what is asked for at the desk: letters through the lanes once more, in
//! order for each key, or forgotten.

use crate::checkpoint::{Ledger, Watcher as _};
use crate::crash::{self, Point};
use crate::dead_letters::{Answer, Desk, Entry, Errand, Filter, Letter, Letters, Request, Round, SourceKey, Store, Wish};
use crate::error::Result;
use crate::event::Position;
use crate::lane::{Task, Workers};
use crate::sink::Sink;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the end of a session waits for the records of letters that are done.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a session's redrives need.
pub(super) struct Redriver {
    pub(super) desk: Arc<Desk>,
    pub(super) letters: Arc<Letters>,
    pub(super) store: Store,
    pub(super) ledger: Arc<Ledger>,
    pub(super) workers: Arc<Workers>,
    pub(super) sink: Arc<dyn Sink>,
    /// Whether the lanes take redriven letters away themselves.
    pub(super) transactional: bool,
    /// Bytes of letters in memory at a time.
    pub(super) budget: usize,
}

/// A running redriver; ends between two rounds when told to.
pub(super) struct Redriving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Redriving {
    pub(super) fn start(redriver: Redriver) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let desk = Arc::clone(&redriver.desk);
            let mut requests = desk.requests().await;
            loop {
                let request = tokio::select! {
                    request = requests.recv() => request,
                    // Also if nobody is there any more who could.
                    _ = stopped.wait_for(|stop| *stop) => None,
                };
                let Some(Request { wish, filter, by, answer }) = request else { return };
                let done = redriver.carry_out(wish, &filter, &stopped).await;
                match &done {
                    Ok(done) => tracing::info!(?wish, by, ?filter, ?done, "dead letters"),
                    Err(error) => tracing::warn!(?wish, by, "{error}"),
                }
                // Who asked may have gone.
                drop(answer.send(done));
            }
        });
        Self { stop, task }
    }

    /// Asks it to end after the round that is under way.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end; for a session whose events are all done.
    pub(super) async fn finish(mut self) {
        self.stop();
        // Its letters are settled; what it still writes is a record for each.
        if tokio::time::timeout(FAREWELL, &mut self.task).await.is_err() {
            self.abort().await;
        }
    }

    /// Ends it where it is: what was published stays a letter, and may be published again.
    pub(super) async fn abort(self) {
        self.task.abort();
        drop(self.task.await);
    }
}

impl Redriver {
    async fn carry_out(&self, wish: Wish, filter: &Filter, stopped: &watch::Receiver<bool>) -> Result<Answer> {
        let mut answer = match wish {
            Wish::Redrive => self.redrive(filter, stopped).await?,
            Wish::Discard => {
                let wanted = self.letters.index().select(|entry| filter.wants(entry));
                Answer { discarded: self.forget(wanted).await, ..Answer::default() }
            }
        };
        answer.left = self.letters.index().len();
        Ok(answer)
    }

    async fn redrive(&self, filter: &Filter, stopped: &watch::Receiver<bool>) -> Result<Answer> {
        let (mut answer, mut tried) = (Answer::default(), HashSet::<Arc<str>>::new());
        while !*stopped.borrow() {
            let plan = {
                let mut index = self.letters.index();
                let plan = index.plan(|entry| filter.wants(entry), |id| tried.contains(id), self.budget);
                // From here on events of these keys wait until their last letter is sent.
                plan.whole.iter().for_each(|(lane, key)| index.close(*lane, key, true));
                plan
            };
            if plan.letters.is_empty() {
                break;
            }
            let read = self.bodies(&plan.letters).await;
            if read.is_err() {
                let mut index = self.letters.index();
                plan.whole.iter().for_each(|(lane, key)| index.close(*lane, key, false));
            }
            let done = self.round(read?, &plan.whole).await;
            crash::point(Point::LetterPublished);
            answer.redriven += done.len();
            answer.failed += plan.letters.len() - done.len();
            tried.extend(plan.letters.into_iter().map(|(_, entry)| entry.id));
            if self.transactional {
                self.gone(&done);
            } else {
                self.forget(done).await;
            }
            crash::point(Point::LetterTaken);
        }
        Ok(answer)
    }

    /// The letters of these entries, in order.
    async fn bodies(&self, entries: &[(u64, Entry)]) -> Result<Vec<Letter>> {
        let wanted: HashSet<String> = entries.iter().map(|(_, entry)| entry.id.to_string()).collect();
        let mut letters = self.store.read(true, move |id| wanted.contains(id), Ok).await?;
        letters.sort_by_key(|letter| letter.order);
        Ok(letters)
    }

    /// Gives letters to their lanes; those whose events are done.
    async fn round(&self, letters: Vec<Letter>, whole: &[(usize, SourceKey)]) -> Vec<Arc<str>> {
        let round = Arc::new(Round::default());
        let mut tasks = Vec::new();
        let ids: Vec<Arc<str>> = letters.iter().map(|letter| Arc::from(&*letter.id)).collect();
        for (at, letter) in letters.iter().enumerate() {
            let errand = Arc::new(Errand::new(letter, at, &round));
            match letter.event() {
                Ok(event) => {
                    let ticket = self.ledger.admit_aside(event.position, event.size(), Arc::clone(&errand) as _).await;
                    tasks.push((letter.lane, Task::Letter(event, ticket, errand)));
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    errand.settled(false);
                }
            }
        }
        tasks.extend(whole.iter().map(|(lane, key)| (*lane, Task::Settle(key.clone()))));
        self.workers.push_all(&mut tasks);
        let outcomes = round.all(ids.len()).await;
        outcomes.into_iter().filter(|(_, done)| *done).map(|(at, _)| Arc::clone(&ids[at])).collect()
    }

    /// Takes letters out of the store; how many are gone.
    async fn forget(&self, ids: Vec<Arc<str>>) -> usize {
        let (round, count) = (Arc::new(Round::default()), ids.len());
        let sink = Arc::clone(&self.sink);
        let mut records = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let watcher = Arc::new(Errand::notice(id, at, &round));
            let ticket = Arc::new(self.ledger.admit_aside(Position::default(), id.len(), watcher).await);
            ticket.expect(1);
            records.push((Arc::clone(id), ticket));
        }
        // The sink may have to wait for room in its queue.
        let written = tokio::task::spawn_blocking(move || {
            for (id, ticket) in records {
                if let Err(error) = sink.keep(&id, None, &ticket) {
                    tracing::debug!(%error, "a dead letter that is done could not be taken away");
                }
            }
        });
        drop(written.await);
        let gone: Vec<_> = round.all(count).await.into_iter().filter(|(_, done)| *done).map(|(at, _)| Arc::clone(&ids[at])).collect();
        self.gone(&gone);
        gone.len()
    }

    fn gone(&self, ids: &[Arc<str>]) {
        ids.iter().for_each(|id| self.letters.gone(id));
        self.workers.make_room();
    }
}
