//! The contract of a sink, one suite for every kind: a ticket is acknowledged
//! when its messages are durable, never before and never by forgetting it.

use crate::support::consumer::{Consumer, Received, create_topic, grow_topic};
use crate::support::relay::PATIENCE;
use crate::support::{eventually, services, unique};
use relay::checkpoint::{Head, Ledger, Ticket};
use relay::config::KafkaSink;
use relay::error::Kind;
use relay::event::{Event, Position, read_line};
use relay::sink::kafka::Kafka;
use relay::sink::{Lines, Sink};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// One kind of sink under test.
struct Subject {
    sink: Arc<dyn Sink>,
    topic: String,
    /// Ids that a reader finds, in order.
    read: Box<dyn Fn(usize) -> Vec<String>>,
}

fn event(n: u64, topic: &str) -> Event {
    read_line(&format!(r#"{{"id":"{n}","entity":"x","topic":"{topic}","key":"k","payload":{{"n":{n}}}}}"#), n).expect("an event")
}

fn admit(ledger: &Arc<Ledger>, n: u64) -> Arc<Ticket> {
    Arc::new(ledger.try_admit(Position { commit: n, index: 0 }, 1, &"id".into()).expect("room"))
}

fn suite(subject: &Subject) {
    let Subject { sink, topic, read } = subject;
    let ledger = Ledger::new(1000, 1000);

    // Published and flushed: done, in order, each once.
    for n in 1..=100 {
        let ticket = admit(&ledger, n);
        ticket.expect(1);
        sink.publish(&event(n, topic), "by@test", &ticket).expect("accepted");
    }
    sink.flush().expect("flushed");
    eventually("a hundred acknowledgements", PATIENCE, || ledger.progress().completed == 100);
    assert_eq!(read(100), (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(ledger.take_done().1, Some(Head { position: Position { commit: 100, index: 0 }, event: true }));

    // An event of two messages is done when both are.
    let ticket = admit(&ledger, 101);
    ticket.expect(2);
    sink.publish(&event(101, topic), "", &ticket).expect("accepted");
    sink.flush().expect("flushed");
    read(101);
    assert_eq!(ledger.progress().completed, 100, "one of two is not done");
    sink.publish(&event(102, topic), "", &ticket).expect("accepted");
    drop(ticket);
    sink.flush().expect("flushed");
    eventually("the event is done", PATIENCE, || ledger.progress().completed == 101);

    // Closed: refuses, and what is refused is not done.
    sink.close();
    let ticket = admit(&ledger, 103);
    ticket.expect(1);
    let refused = sink.publish(&event(103, topic), "", &ticket).expect_err("closed");
    assert_eq!(refused.kind(), Kind::Interrupted);
    drop(ticket);
    sink.purge();
    let progress = ledger.progress();
    assert_eq!((progress.completed, progress.abandoned, progress.in_flight), (101, 1, 0));
    assert!(ledger.take_failure().is_none());
}

#[test]
fn kafka_keeps_the_contract() {
    let topic = unique("sink");
    create_topic(&topic, 1, &[]);
    let runtime = Runtime::new().expect("a runtime");
    let sink = kafka(&topic, 1000, &runtime);
    let name = topic.clone();
    let read = Box::new(move |count: usize| {
        let mut consumer = Consumer::new(&[&name]);
        consumer.until("the messages", PATIENCE, |r| r.len() >= count).iter().map(|m| m.id()).collect()
    });
    suite(&Subject { sink, topic, read });
}

#[test]
fn a_file_keeps_the_contract() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out.jsonl");
    let sink = Arc::new(Lines::append(&path).expect("a sink"));
    let read = Box::new(move |count: usize| {
        let text = std::fs::read_to_string(&path).expect("reads");
        let ids: Vec<_> = text.lines().enumerate().map(|(n, l)| read_line(l, n as u64).expect("an event").id.to_string()).collect();
        assert!(ids.len() >= count);
        ids
    });
    suite(&Subject { sink, topic: "any".to_owned(), read });
}

/// What is purged before it was durable is given up, not acknowledged.
#[test]
fn purging_gives_up_what_is_not_durable() {
    let runtime = Runtime::new().expect("a runtime");
    let ledger = Ledger::new(10, 1000);
    let directory = tempfile::tempdir().expect("a directory");
    let file = Lines::append(&directory.path().join("out.jsonl")).expect("a sink");
    let ticket = admit(&ledger, 1);
    ticket.expect(1);
    file.publish(&event(1, "any"), "", &ticket).expect("accepted");
    drop(ticket);
    file.close();
    file.purge();
    assert_eq!((ledger.progress().completed, ledger.progress().abandoned), (0, 1));

    // A broker that is not there: the topic cannot be looked up, and closing
    // lets the waiting thread go.
    let kafka = Arc::new(Kafka::new(&KafkaSink::new("127.0.0.1:1"), 10, &[], runtime.handle().clone(), None, false).expect("a sink"));
    let ticket = admit(&ledger, 2);
    ticket.expect(1);
    let (other, held) = (Arc::clone(&kafka), Arc::clone(&ticket));
    let waiting = std::thread::spawn(move || other.publish(&event(2, "any"), "", &held).map_err(|e| e.kind()));
    kafka.close();
    assert_eq!(waiting.join().expect("joined"), Err(Kind::Interrupted));
    drop(ticket);
    kafka.purge();
    assert_eq!((ledger.progress().completed, ledger.progress().abandoned), (0, 2));
}

fn kafka(topic: &str, max_events: u32, runtime: &Runtime) -> Arc<Kafka> {
    let config = KafkaSink::new(&services::kafka().brokers);
    Arc::new(Kafka::new(&config, max_events, &[topic.to_owned()], runtime.handle().clone(), None, false).expect("a sink"))
}

/// GIVEN a producer that knows a topic, WHEN the topic grows, THEN messages reach the new
/// partitions, and those without a partition of their own go on.
#[test]
fn a_topic_that_grows() {
    let topic = unique("grows");
    create_topic(&topic, 1, &[]);
    let runtime = Runtime::new().expect("a runtime");
    let sink = kafka(&topic, 1000, &runtime);
    let ledger = Ledger::new(1000, 1000);
    let publish = |n: u64, partition: Option<u32>| {
        let ticket = admit(&ledger, n);
        ticket.expect(1);
        let mut event = event(n, &topic);
        event.partition = partition;
        sink.publish(&event, "", &ticket).expect("accepted");
    };
    publish(1, Some(0));
    eventually("one acknowledgement", PATIENCE, || ledger.progress().completed == 1);
    grow_topic(&topic, 3);
    publish(2, Some(2));
    publish(3, None);
    eventually("all acknowledgements", PATIENCE, || {
        let failure = ledger.take_failure();
        assert!(failure.is_none(), "{failure:?}");
        ledger.progress().completed == 3
    });
    let mut consumer = Consumer::new(&[&topic]);
    let received = consumer.until("all", PATIENCE, |r| r.len() == 3);
    let at = |id: &str| received.iter().find(|m| m.id() == id).expect("published").partition;
    assert_eq!((at("1"), at("2")), (0, 2));
}

/// Publishes from so many threads, each with a key of its own, until one is refused; how
/// many were taken of each.
fn publish_from(threads: u64, each: u64, sink: &Arc<Kafka>, topic: &str, ledger: &Arc<Ledger>) -> Vec<u64> {
    std::thread::scope(|scope| {
        let publish = |thread: u64| {
            (1..=each)
                .take_while(|n| {
                    let mut event = event(thread * each + n, topic);
                    event.key = Some(thread.to_string().into());
                    let ticket = admit(ledger, thread * each + n);
                    ticket.expect(1);
                    sink.publish(&event, "", &ticket).is_ok()
                })
                .count() as u64
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || publish(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("joined")).collect()
    })
}

/// What a reader finds of each key must be its numbers from 1 on; how many.
fn in_order(received: &[Received], threads: u64, each: u64) -> Vec<u64> {
    let of = |thread: u64| {
        let key = thread.to_string();
        let ids = received.iter().filter(|m| m.key.as_deref() == Some(&key)).map(|m| m.id().parse::<u64>().expect("a number"));
        let ids: Vec<_> = ids.map(|id| id - thread * each).collect();
        assert!(ids.iter().copied().eq(1..=ids.len() as u64), "key {key}: {ids:?}");
        ids.len() as u64
    };
    (0..threads).map(of).collect()
}

/// GIVEN room for ten messages in librdkafka's queue, WHEN threads publish thousands, THEN
/// each arrives once and in order.
#[test]
fn a_queue_that_is_full() {
    let (threads, each, topic) = (3, 400, unique("full"));
    create_topic(&topic, 2, &[]);
    let runtime = Runtime::new().expect("a runtime");
    let sink = kafka(&topic, 1, &runtime);
    let ledger = Ledger::new(10_000, 10_000);
    assert_eq!(publish_from(threads, each, &sink, &topic, &ledger), [each; 3]);
    eventually("all acknowledgements", PATIENCE, || ledger.progress().completed == threads * each);
    let mut consumer = Consumer::new(&[&topic]);
    assert_eq!(in_order(consumer.read_to_end(), threads, each), [each; 3]);
}

/// GIVEN threads that publish, WHEN the sink is closed and purged, THEN every event is done
/// or given up, and of each key the first ones arrived, all that are done among them.
#[test]
fn closing_gives_up_the_end_and_nothing_before_it() {
    let (threads, each, topic) = (3, 1 << 40, unique("closing"));
    create_topic(&topic, 2, &[]);
    let runtime = Runtime::new().expect("a runtime");
    let sink = kafka(&topic, 1000, &runtime);
    let ledger = Ledger::new(usize::MAX, usize::MAX);
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish_from(threads, each, &sink, &topic, &ledger));
        eventually("some acknowledgements", PATIENCE, || ledger.progress().completed > 1000);
        sink.close();
        let taken = publishing.join().expect("joined");
        assert!(taken.iter().all(|n| *n < each), "{taken:?}: all was taken before the end");
    });
    sink.purge();
    drop(sink);
    let progress = ledger.progress();
    assert_eq!(progress.in_flight, 0);
    let mut consumer = Consumer::new(&[&topic]);
    let arrived: u64 = in_order(consumer.read_to_end(), threads, each).iter().sum();
    assert!(arrived >= progress.completed, "{arrived} arrived, {} are done", progress.completed);
}
