//! The contract of a sink, one suite for every kind: a ticket is acknowledged
//! when its messages are durable, never before and never by forgetting it.

use crate::support::consumer::{Consumer, create_topic};
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
    let config = KafkaSink::new(&services::kafka().brokers);
    let sink = Arc::new(Kafka::new(&config, 1000, std::slice::from_ref(&topic), runtime.handle().clone(), None, false).expect("a sink"));
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
