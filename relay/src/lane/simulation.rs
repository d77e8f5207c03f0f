//! Lanes, ledger, dead letters and epochs under a scheduler that a seed decides: events in
//! any interleaving, acknowledgements late, letters redriven in between, deaths at any
//! moment, in both ways of delivery. What is simulated is the source, the broker and the
//! redrive's loop; everything between them is what runs.
//!
//! `RELAY_SEED=n cargo test -p relay simulation` replays one.

mod broker;

use super::Isolation;
use super::work::Bench;
use super::worker::Task;
use crate::checkpoint::{Gate, Ledger, Pace};
use crate::config::{DeadLetters, Flow, OnFailure};
use crate::dead_letters::{Errand, Letter, Letters, Plan as RedrivePlan, Round};
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

/// What dies.
struct Life {
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
    sink: Arc<Simulated>,
    max_letters: u32,
    /// Key and version of each row that is in the source.
    rows: BTreeMap<u64, (u64, u64)>,
    inserted: Vec<u64>,
    life: Life,
}

fn lane_of(key: u64) -> usize {
    usize::try_from(key % 3).expect("a lane")
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
        let sink = Arc::new(Simulated(Mutex::new(Broker { transactional, ..Broker::default() })));
        let life = begin(board, &sink, transactional, max_letters);
        let inserted = vec![0; usize::try_from(KEYS).expect("few")];
        Self { rng, transactional, board: Arc::clone(board), sink, max_letters, rows: BTreeMap::new(), inserted, life }
    }

    fn insert(&mut self) {
        let key = self.rng.random_range(0..KEYS);
        let version = &mut self.inserted[usize::try_from(key).expect("few")];
        *version += 1;
        let (version, seq) = (*version, self.inserted.iter().sum());
        self.rows.insert(seq, (key, version));
        if self.rng.random_bool(0.1) {
            self.sink.broker().poison.insert(seq);
        }
    }

    fn read(&mut self, count: usize) {
        let life = &mut self.life;
        let new: Vec<_> = self.rows.iter().filter(|(seq, _)| !life.read.contains(seq)).take(count).map(|(seq, row)| (*seq, *row)).collect();
        for (seq, (key, version)) in new {
            let mut event = event(seq);
            event.key = Some(Bytes::from(key.to_string()));
            event.payload = Some(Bytes::from(format!("{key}/{version}")));
            let Some(ticket) = life.ledger.try_admit(event.position, event.size(), &event.id) else { return };
            life.read.insert(seq);
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
        drop(self.sink.broker().acknowledge(count));
        self.go_on_redriving();
    }

    /// Takes what is done out of the source.
    fn settle(&mut self) {
        let (done, _) = self.life.ledger.take_done();
        self.rows.retain(|seq, _| !done.iter().any(|position| position.commit == *seq));
    }

    /// Ends the epoch, where everything of it is acknowledged.
    fn commit(&mut self) {
        if !self.transactional || self.life.ledger.progress().in_flight > 0 {
            return;
        }
        self.life.ledger.close();
        let closed = futures_util::FutureExt::now_or_never(self.life.ledger.seal()).expect("nothing is in flight");
        self.sink.broker().commit();
        // The record of it is in the transaction: also after a death these are deleted.
        self.rows.retain(|seq, _| !closed.done.iter().any(|(position, _)| position.commit == *seq));
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
        let broker = self.sink.broker();
        let known = |id: &str| broker.letters.get(id).map(|bytes| serde_json::from_slice::<Letter>(bytes).expect("a letter"));
        let mut found: Vec<Letter> = plan.letters.iter().filter_map(|(_, entry)| known(&entry.id)).collect();
        drop(broker);
        found.sort_by_key(|letter| letter.order);
        let round = Arc::new(Round::default());
        for (at, letter) in found.iter().enumerate() {
            let (errand, event) = (Arc::new(Errand::new(letter, at, &round)), letter.event().expect("an event"));
            let ticket = life.ledger.admit_record(event.size(), Arc::clone(&errand) as _);
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
                            self.sink.keep(id, None, &ticket).expect("keeps");
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
        let mut broker = self.sink.broker();
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
            let all = std::mem::take(&mut broker.pending);
            broker.uncommitted.clear();
            drop(broker);
            drop(all);
        }
        self.life = begin(&self.board, &self.sink, self.transactional, self.max_letters);
    }

    fn step(&mut self) {
        let count = self.rng.random_range(1..8);
        match self.rng.random_range(0..100) {
            0..25 => self.insert(),
            25..45 => self.read(count),
            45..65 => self.work(count),
            65..80 => self.acknowledge(count),
            80..88 => self.settle(),
            88..93 => self.commit(),
            93..96 => self.redrive(),
            96..98 => {
                let mut broker = self.sink.broker();
                let mended = broker.poison.iter().min().copied();
                broker.poison.retain(|seq| Some(*seq) != mended);
            }
            _ => self.die(),
        }
    }

    /// Everything is mended, and done.
    fn finish(&mut self) {
        self.sink.broker().poison.clear();
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
            if self.rows.is_empty() && self.life.letters.index().is_empty() && self.sink.broker().letters.is_empty() {
                return;
            }
        }
        panic!("it does not end: {} rows, {} letters", self.rows.len(), self.life.letters.index().len());
    }

    fn judge(&self) {
        let mut last = vec![0; self.inserted.len()];
        for (key, version) in &self.sink.broker().visible {
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
                letters += usize::from(!world.sink.broker().letters.is_empty());
                deaths += usize::from(world.life.read.is_empty());
            }
            world.finish();
            world.judge();
        }));
        assert!(judged.is_ok(), "replay it with RELAY_SEED={seed}");
    }
    assert!(letters > 0 && deaths > 0 || std::env::var("RELAY_SEED").is_ok(), "there was something to prove");
}
