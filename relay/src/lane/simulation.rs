//! Lanes, ledger, dead letters and epochs under a scheduler that a seed decides: events in
//! any interleaving, acknowledgements late, letters redriven in between, deaths at any
//! moment, relays that were taken over and go on, in both ways of delivery, from a table
//! and from the log. What is simulated is the source, the broker and the redrive's loop;
//! everything between them is what runs.
//!
//! `RELAY_SEED=n cargo test -p relay simulation` replays one.

mod broker;

use super::Isolation;
use super::work::Bench;
use super::worker::Task;
use crate::checkpoint::{Gate, Head, Ledger, Pace};
use crate::config::{DeadLetters, Flow, OnFailure};
use crate::dead_letters::{Errand, Letter, Letters, Plan as RedrivePlan, Round};
use crate::event::Position;
use crate::event::fixture::event;
use crate::generation::{Board, Generation, Recent};
use crate::sink::Sink as _;
use crate::transform::Chain;
use broker::{Broker, Simulated};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SEEDS: u64 = 3000;
const STEPS: usize = 120;
const KEYS: u64 = 4;

/// Events of a transaction of the log.
const SPAN: u64 = 3;

/// What dies.
struct Life {
    sink: Arc<Simulated>,
    bench: Bench,
    ledger: Arc<Ledger>,
    letters: Arc<Letters>,
    queues: BTreeMap<usize, VecDeque<Task>>,
    read: BTreeSet<u64>,
    redrive: Option<(Arc<Round>, Vec<Letter>, RedrivePlan)>,
    forgetting: Option<(Arc<Round>, Vec<Arc<str>>)>,
    tried: HashSet<Arc<str>>,
}

struct World {
    rng: StdRng,
    transactional: bool,
    board: Arc<Board>,
    max_letters: u32,
    /// Key and version of each row that is in the source; of the log, of all.
    rows: BTreeMap<u64, (u64, u64)>,
    /// Whether the source is the log, which forgets nothing, and is read from a position.
    log: bool,
    /// How far that is published, as it is remembered.
    recorded: Option<Head>,
    inserted: Vec<u64>,
    life: Life,
    /// One that was taken over, and does not know.
    zombie: Option<Life>,
}

fn lane_of(key: u64) -> usize {
    usize::try_from(key % 3).expect("a lane")
}

/// Where the log has a row: transactions of three.
fn place(seq: u64) -> Position {
    Position { commit: seq / SPAN * 10, index: seq % SPAN }
}

/// Whether everything up to there includes it.
fn covers(head: Option<Head>, at: Position) -> bool {
    head.is_some_and(|head| if head.event { at <= head.position } else { at < head.position })
}

fn begin(board: &Arc<Board>, sink: &Arc<Simulated>, transactional: bool, max_events: u32) -> Life {
    let config = DeadLetters { max_events, ..DeadLetters::default() };
    let stored: Vec<Letter> = sink.broker().letters.values().map(|bytes| serde_json::from_slice(bytes).expect("a letter")).collect();
    let entries = stored.iter().map(|letter| (letter.order, letter.entry().expect("an entry")));
    let ledger =
        Ledger::with_gate(1000, 1 << 30, transactional.then(|| Gate::new(Arc::new(Pace::new(1000, Duration::from_secs(60))), 1 << 30)));
    let letters = Arc::new(Letters::of(&config, &ledger, entries));
    let isolation = Isolation {
        trial: None,
        letters: Some(Arc::clone(&letters)),
        on_refused: OnFailure::Park,
        transactional,
        suspects: Arc::default(),
        skips: None,
    };
    Life {
        sink: Arc::clone(sink),
        bench: Bench::new(board, Arc::clone(sink) as _, isolation),
        ledger,
        letters,
        queues: BTreeMap::new(),
        read: BTreeSet::new(),
        redrive: None,
        forgetting: None,
        tried: HashSet::new(),
    }
}

impl World {
    fn new(seed: u64, board: &Arc<Board>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (transactional, max_letters) = (rng.random(), if rng.random_bool(0.3) { rng.random_range(1..4) } else { 1000 });
        let broker = Arc::new(Mutex::new(Broker { transactional, ..Broker::default() }));
        let sink = Arc::new(Simulated::next(&broker));
        let life = begin(board, &sink, transactional, max_letters);
        let inserted = vec![0; usize::try_from(KEYS).expect("few")];
        let (board, rows, log) = (Arc::clone(board), BTreeMap::new(), rng.random());
        Self { rng, transactional, board, max_letters, rows, log, recorded: None, inserted, life, zombie: None }
    }

    fn insert(&mut self) {
        let key = self.rng.random_range(0..KEYS);
        let version = &mut self.inserted[usize::try_from(key).expect("few")];
        *version += 1;
        let (version, seq) = (*version, self.inserted.iter().sum());
        self.rows.insert(seq, (key, version));
        if self.rng.random_bool(0.1) {
            self.life.sink.broker().poison.insert((key, version));
        }
    }

    fn read(&mut self, count: usize) {
        let (log, recorded, life) = (self.log, self.recorded, &mut self.life);
        let is_new = |seq: &u64| !(life.read.contains(seq) || log && covers(recorded, place(*seq)));
        let new: Vec<_> = self.rows.iter().filter(|(seq, _)| is_new(seq)).take(count).map(|(seq, row)| (*seq, *row)).collect();
        for (seq, (key, version)) in new {
            let mut event = event(seq);
            if log {
                event.position = place(seq);
            }
            event.key = Some(Bytes::from(key.to_string()));
            event.payload = Some(Bytes::from(format!("{key}/{version}")));
            let Some(ticket) = life.ledger.try_admit(event.position, event.footprint(), &event.id) else { return };
            life.read.insert(seq);
            if log && seq % SPAN == SPAN - 1 {
                // The end of a transaction, where the next one may begin.
                life.ledger.pass(place(seq + 1));
            }
            life.queues.entry(lane_of(key)).or_default().push_back(Task::Event(event, ticket));
        }
    }

    fn work(&mut self, count: usize) {
        let lanes: Vec<usize> = self.life.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(lane, _)| *lane).collect();
        if lanes.is_empty() {
            return;
        }
        let lane = lanes[self.rng.random_range(0..lanes.len())];
        let Some(queue) = self.life.queues.get_mut(&lane) else { return };
        let tasks: Vec<Task> = queue.drain(..count.min(queue.len())).collect();
        self.life.bench.work(lane, tasks);
    }

    fn acknowledge(&mut self, count: usize) {
        if self.life.sink.is_fenced() {
            return;
        }
        let tickets = self.life.sink.broker().acknowledge(count);
        drop(tickets);
        self.go_on_redriving();
    }

    /// Takes what is done out of the source.
    fn settle(&mut self) {
        let (done, head) = self.life.ledger.take_done();
        self.leave(done.iter().copied());
        // One that was taken over has lost the right to say so; in a transaction it is said there.
        if !self.transactional {
            self.recorded = self.recorded.max(head);
        }
    }

    /// The source is told that these are published.
    fn leave(&mut self, done: impl Iterator<Item = Position>) {
        if !self.log {
            done.for_each(|position| {
                self.rows.remove(&position.commit);
            });
        }
    }

    /// Ends the epoch, where everything of it is acknowledged.
    fn commit(&mut self) {
        let progress = self.life.ledger.progress();
        if !self.transactional || progress.in_flight > 0 || progress.abandoned > 0 || self.life.sink.is_fenced() {
            return;
        }
        self.life.ledger.close();
        let closed = futures_util::FutureExt::now_or_never(self.life.ledger.seal()).expect("nothing is in flight");
        self.life.sink.broker().commit();
        // The record of it is in the transaction: also after a death these are deleted, and
        // the log is read from there.
        self.leave(closed.done.iter().map(|(position, _)| *position));
        self.recorded = self.recorded.max(closed.head);
        self.life.ledger.open(closed);
        self.settle();
    }

    /// What `pipeline::redrive` does.
    fn redrive(&mut self) {
        let life = &mut self.life;
        if life.redrive.is_some() || life.forgetting.is_some() {
            return;
        }
        let plan = {
            let mut index = life.letters.index();
            let plan = index.plan(|_| true, |id| life.tried.contains(id), 2000);
            plan.whole.iter().for_each(|(lane, key)| index.close(*lane, key, true));
            plan
        };
        if plan.letters.is_empty() {
            life.tried.clear();
            return;
        }
        // A letter that is not durable yet is not found, and is not redriven.
        let broker = life.sink.broker();
        let known = |id: &str| broker.letters.get(id).map(|bytes| serde_json::from_slice::<Letter>(bytes).expect("a letter"));
        let mut found: Vec<Letter> = plan.letters.iter().filter_map(|(_, entry)| known(&entry.id)).collect();
        drop(broker);
        found.sort_by_key(|letter| letter.order);
        let round = Arc::new(Round::default());
        for (at, letter) in found.iter().enumerate() {
            let (errand, event) = (Arc::new(Errand::new(letter, at, false, &round)), letter.event().expect("an event"));
            let ticket = life.ledger.admit_record(event.footprint(), Arc::clone(&errand) as _);
            life.queues.entry(letter.lane).or_default().push_back(Task::Letter(event, ticket, errand));
        }
        for (lane, key) in &plan.whole {
            life.queues.entry(*lane).or_default().push_back(Task::Settle(key.clone()));
        }
        life.redrive = Some((round, found, plan));
        self.go_on_redriving();
    }

    fn go_on_redriving(&mut self) {
        let life = &mut self.life;
        if let Some((round, letters, plan)) = life.redrive.take() {
            match round.try_all(letters.len()) {
                None => life.redrive = Some((round, letters, plan)),
                Some(outcomes) => {
                    let done: Vec<Arc<str>> =
                        outcomes.into_iter().filter(|(_, done)| *done).map(|(at, _)| Arc::from(&*letters[at].id)).collect();
                    life.tried.extend(plan.letters.into_iter().map(|(_, entry)| entry.id));
                    if self.transactional {
                        done.iter().for_each(|id| life.letters.gone(id));
                    } else {
                        let round = Arc::new(Round::default());
                        for (at, id) in done.iter().enumerate() {
                            let ticket = Arc::new(life.ledger.admit_record(1, Arc::new(Errand::notice(id, at, &round))));
                            ticket.expect(1);
                            life.sink.keep(id, None, &ticket).expect("keeps");
                        }
                        life.forgetting = Some((round, done));
                    }
                }
            }
        }
        if let Some((round, ids)) = life.forgetting.take() {
            match round.try_all(ids.len()) {
                None => life.forgetting = Some((round, ids)),
                Some(_) => {
                    ids.iter().for_each(|id| life.letters.gone(id));
                }
            }
        }
    }

    /// What is with the broker, or on its way there, may be there afterwards: up to some
    /// record, for they are in order. Of an open transaction nothing is.
    fn die(&mut self) {
        let sink = Arc::clone(&self.life.sink);
        let mut broker = sink.broker();
        if !self.transactional {
            let (count, all) = (broker.pending.len(), std::mem::take(&mut broker.pending));
            let cut = self.rng.random_range(0..=count);
            let mut tickets = Vec::new();
            for (record, ticket) in all.into_iter().take(cut) {
                broker.apply(record);
                tickets.push(ticket);
            }
            drop(broker);
            drop(tickets);
        } else {
            drop(broker);
        }
        self.take_over();
        if !self.rng.random_bool(0.3) {
            self.zombie = None;
        }
    }

    /// Another relay begins; in transactions, the one before may go on for a while.
    fn take_over(&mut self) {
        let sink = Arc::new(Simulated::next(self.life.sink.shared()));
        let next = begin(&self.board, &sink, self.transactional, self.max_letters);
        let before = std::mem::replace(&mut self.life, next);
        self.zombie = self.transactional.then_some(before);
    }

    /// What the one that was taken over does.
    fn haunt(&mut self) {
        let Some(zombie) = self.zombie.take() else { return };
        let owner = std::mem::replace(&mut self.life, zombie);
        match self.rng.random_range(0..5) {
            0 => self.read(4),
            1 => self.work(4),
            2 => self.acknowledge(4),
            3 => self.commit(),
            _ => self.settle(),
        }
        self.zombie = Some(std::mem::replace(&mut self.life, owner));
    }

    fn step(&mut self) {
        let count = self.rng.random_range(1..8);
        if self.rng.random_bool(0.3) {
            self.haunt();
        }
        match self.rng.random_range(0..100) {
            0..25 => self.insert(),
            25..45 => self.read(count),
            45..65 => self.work(count),
            65..80 => self.acknowledge(count),
            80..88 => self.settle(),
            88..93 => self.commit(),
            93..96 => self.redrive(),
            96..98 => {
                let mut broker = self.life.sink.broker();
                let mended = broker.poison.iter().min().copied();
                broker.poison.retain(|version| Some(*version) != mended);
            }
            _ => self.die(),
        }
    }

    /// Everything is mended, and done.
    fn finish(&mut self) {
        self.life.sink.broker().poison.clear();
        self.max_letters = 1000;
        self.die();
        for _ in 0..1000 {
            self.read(usize::MAX);
            while self.life.queues.values().any(|queue| !queue.is_empty()) {
                self.work(usize::MAX);
            }
            self.acknowledge(usize::MAX);
            self.commit();
            self.settle();
            self.redrive();
            let published = if self.log { self.rows.keys().all(|seq| covers(self.recorded, place(*seq))) } else { self.rows.is_empty() };
            if published && self.life.letters.index().is_empty() && self.life.sink.broker().letters.is_empty() {
                return;
            }
        }
        panic!("it does not end: {} rows, {} letters", self.rows.len(), self.life.letters.index().len());
    }

    fn judge(&self) {
        let mut last = vec![0; self.inserted.len()];
        for (key, version) in &self.life.sink.broker().visible {
            let last = &mut last[usize::try_from(*key).expect("few")];
            assert!(*version <= *last + 1, "key {key}: {version} came first after {last}");
            assert!(!self.transactional || *version == *last + 1, "key {key}: {version} came again after {last}");
            *last = (*last).max(*version);
        }
        assert_eq!(last, self.inserted, "each version of each key");
        assert_eq!(self.life.ledger.progress().in_flight, 0);
    }
}

#[test]
fn nothing_is_lost_reordered_or_doubled() {
    let chain = Chain::compile(&[], &Flow::default()).expect("an empty chain");
    let board = Board::new(Generation::new(1, chain), Recent::new(0));
    let seeds = std::env::var("RELAY_SEED").ok().and_then(|seed| seed.parse().ok()).map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let (mut letters, mut deaths) = (0, 0);
    for seed in seeds {
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed, &board);
            for _ in 0..STEPS {
                world.step();
                letters += usize::from(!world.life.sink.broker().letters.is_empty());
                deaths += usize::from(world.life.read.is_empty());
            }
            world.finish();
            world.judge();
        }));
        assert!(judged.is_ok(), "replay it with RELAY_SEED={seed}");
    }
    assert!(letters > 0 && deaths > 0 || std::env::var("RELAY_SEED").is_ok(), "there was something to prove");
}
