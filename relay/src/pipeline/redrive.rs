//! Carries out what is asked for at the desk: letters through the lanes once more, in
//! order for each key, or forgotten.

use crate::checkpoint::{Ledger, Watcher as _};
use crate::crash::{self, Point};
use crate::dead_letters::{Answer, Desk, Entry, Errand, Filter, Letter, Letters, Request, Round, SourceKey, Store, Wish};
use crate::error::{Error, Kind, Result};
use crate::event::Position;
use crate::lane::{Task, Workers};
use crate::sink::Sink;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the end of a session waits for the records of letters that are done.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long whoever asked waits for the commit of what was done.
const COMMIT: Duration = Duration::from_secs(60);

/// How often letters are looked for that are on their way to the store, and how long
/// between two looks: the acknowledgement of a message takes milliseconds.
const MISSING: u32 = 50;
const ACKNOWLEDGED: Duration = Duration::from_millis(20);

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
    /// Commits before what was done last, which the next one holds.
    pub(super) since: AtomicU64,
}

/// What there is to do.
enum Next {
    /// Somebody asks.
    Asked(Request),
    /// Letters are to be tried again by themselves.
    Due(Vec<Arc<str>>),
}

/// A running redriver; ends between two rounds when told to, and with its owner.
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
                let next = tokio::select! {
                    request = requests.recv() => request.map(Next::Asked),
                    ids = redriver.letters.due() => Some(Next::Due(ids)),
                    // Also if nobody is there any more who could.
                    _ = stopped.wait_for(|stop| *stop) => None,
                };
                let Request { wish, filter, by, answer } = match next {
                    Some(Next::Asked(request)) => request,
                    Some(Next::Due(ids)) => {
                        redriver.retry(&ids, &stopped).await;
                        continue;
                    }
                    None => break,
                };
                let done = redriver.carry_out(wish, &filter, &stopped).await;
                match &done {
                    Ok(done) => tracing::info!(?wish, by, ?filter, ?done, "dead letters"),
                    Err(error) => tracing::warn!(?wish, by, "{error}"),
                }
                // Who asked may have gone.
                drop(answer.send(done));
            }
            // Who waits is told: another session may begin in a day.
            while requests.try_recv().is_ok() {}
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
    pub(super) async fn abort(mut self) {
        self.task.abort();
        drop((&mut self.task).await);
    }
}

impl Drop for Redriving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Redriver {
    async fn carry_out(&self, wish: Wish, filter: &Filter, stopped: &watch::Receiver<bool>) -> Result<Answer> {
        if !filter.ids.is_empty() && self.letters.index().select(|entry| filter.wants(entry)).is_empty() {
            return Err(Error::new(Kind::Config, "there is no such letter").remedy("`relay dead-letters list` has them all"));
        }
        let mut answer = match wish {
            Wish::Redrive => self.redrive(|entry| filter.wants(entry), false, stopped).await?,
            Wish::Discard => {
                let wanted = self.letters.index().select(|entry| filter.wants(entry));
                Answer { discarded: self.forget(wanted).await, ..Answer::default() }
            }
        };
        answer.left = self.letters.index().len();
        if let Some(mut commits) = self.ledger.commits().filter(|_| answer.redriven + answer.failed + answer.discarded > 0) {
            let since = self.since.load(Ordering::Acquire);
            if !matches!(tokio::time::timeout(COMMIT, commits.wait_for(|commits| *commits > since)).await, Ok(Ok(_))) {
                return Err(
                    Error::new(Kind::Admin, "what was done is not committed yet").remedy("`relay dead-letters list` says what is left")
                );
            }
        }
        Ok(answer)
    }

    /// Tries letters again that nobody asked for.
    async fn retry(&self, ids: &[Arc<str>], stopped: &watch::Receiver<bool>) {
        let wanted: HashSet<&str> = ids.iter().map(|id| &**id).collect();
        match self.redrive(|entry| wanted.contains(&*entry.id), true, stopped).await {
            Ok(done) => tracing::info!(letters = ids.len(), ?done, "tried again by themselves"),
            Err(error) => tracing::warn!(letters = ids.len(), "{error}"),
        }
    }

    async fn redrive(&self, wanted: impl Fn(&Entry) -> bool, by_itself: bool, stopped: &watch::Receiver<bool>) -> Result<Answer> {
        let (mut answer, mut tried, mut patience) = (Answer::default(), HashSet::<Arc<str>>::new(), MISSING);
        while !*stopped.borrow() && patience > 0 {
            let plan = {
                let mut index = self.letters.index();
                let plan = index.plan(&wanted, |id| tried.contains(id), self.budget);
                // From here on events of these keys wait until their last letter is sent.
                plan.whole.iter().for_each(|(lane, key)| index.close(*lane, key, true));
                plan
            };
            if plan.letters.is_empty() {
                break;
            }
            let letters = match self.bodies(&plan.letters).await {
                Ok(letters) if !*stopped.borrow() => letters,
                other => {
                    // What came meanwhile waits for them in vain.
                    self.workers.push_all(&mut settles(&plan.whole));
                    other?;
                    break;
                }
            };
            // One that is on its way to the store is not there yet: it comes with the next
            // round, and so does what is behind it.
            patience = if letters.len() < plan.letters.len() { patience - 1 } else { MISSING };
            let ids: Vec<Arc<str>> = letters.iter().map(|letter| Arc::from(&*letter.id)).collect();
            let done = self.round(letters, &plan.whole, by_itself).await;
            answer.redriven += done.len();
            answer.failed += ids.len() - done.len();
            crash::point(Point::LetterPublished);
            if ids.is_empty() {
                tokio::time::sleep(ACKNOWLEDGED).await;
            }
            tried.extend(ids);
            if self.transactional {
                self.gone(&done);
            } else {
                self.forget(done).await;
            }
            crash::point(Point::LetterTaken);
        }
        Ok(answer)
    }

    /// The letters of these entries, in order; of a key none behind one that is missing.
    async fn bodies(&self, entries: &[(u64, Entry)]) -> Result<Vec<Letter>> {
        let wanted: HashSet<String> = entries.iter().map(|(_, entry)| entry.id.to_string()).collect();
        let found = self.store.read(true, move |id| wanted.contains(id), Ok).await?;
        let mut found: HashMap<String, Letter> = found.into_iter().map(|letter| (letter.id.clone(), letter)).collect();
        let (mut letters, mut cut) = (Vec::new(), HashSet::new());
        for (_, entry) in entries {
            let place = (entry.lane, entry.key.clone());
            // The newest of it first.
            match self.letters.fresh(&entry.id).or_else(|| found.remove(&*entry.id)) {
                Some(letter) if !entry.holds || !cut.contains(&place) => letters.push(letter),
                Some(_) => {}
                None => drop(cut.insert(place)),
            }
        }
        Ok(letters)
    }

    /// Gives letters to their lanes; those whose events are done.
    async fn round(&self, letters: Vec<Letter>, whole: &[(usize, SourceKey)], by_itself: bool) -> Vec<Arc<str>> {
        let round = Arc::new(Round::default());
        let mut tasks = Vec::new();
        let ids: Vec<Arc<str>> = letters.iter().map(|letter| Arc::from(&*letter.id)).collect();
        for (at, letter) in letters.iter().enumerate() {
            let errand = Arc::new(Errand::new(letter, at, by_itself, &round));
            match letter.event() {
                Ok(event) => {
                    let ticket = self.ledger.admit_aside(event.position, event.footprint(), Arc::clone(&errand) as _).await;
                    tasks.push((letter.lane, Task::Letter(event, ticket, errand)));
                }
                Err(error) => {
                    tracing::warn!("{error}");
                    errand.settled(false);
                }
            }
        }
        tasks.extend(settles(whole));
        self.mark();
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
        self.mark();
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

    /// Nothing that was admitted can be committed before it is dealt with.
    fn mark(&self) {
        self.since.store(self.ledger.commits().map_or(0, |commits| *commits.borrow()), Ordering::Release);
    }

    fn gone(&self, ids: &[Arc<str>]) {
        ids.iter().for_each(|id| self.letters.gone(id));
    }
}

/// That the letters of these keys have all been given.
fn settles(whole: &[(usize, SourceKey)]) -> Vec<(usize, Task)> {
    whole.iter().map(|(lane, key)| (*lane, Task::Settle(key.clone()))).collect()
}
