//! Property: letters lie in a table as they do in a topic: whole, in order, known to the
//! next relay, and no event is done before its letter is durable.

use crate::dead_letters::{Letters, ask};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::swapping::Port;
use crate::support::{eventually, unique};

const TABLE: &str = "table = \"letters\"";

fn versions(it: &Letters, aggregate: i64) -> Vec<i64> {
    let of = |m: &crate::support::consumer::Received| (m.json()["aggregate"] == aggregate).then(|| m.json()["version"].as_i64());
    it.received().iter().filter_map(of).flatten().collect()
}

/// GIVEN dead letters in a table, WHEN events fail, THEN they and the later ones of their
/// keys are rows; WHEN relays are killed and started, THEN the keys are held; WHEN the
/// letters are redriven and discarded, THEN the order is kept and the table is empty.
#[test]
fn letters_lie_in_a_table() {
    let it = Letters::new("", TABLE);
    let (relay, _) = it.serve();
    it.insert(&[(1, 1, "pass"), (1, 2, "poison"), (1, 3, "pass"), (2, 1, "trap"), (3, 1, "pass")]);
    it.until_done();
    let rows = "SELECT letter->>'state', letter->'event'->>'key', letter->'error'->>'code' FROM letters ORDER BY (letter->>'order')::int";
    let rows = it.database.connect().query(rows, &[]).expect("rows");
    let mut told: Vec<(String, String, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    told.sort();
    let row = |state: &str, key: &str, code: Option<&str>| (state.to_owned(), key.to_owned(), code.map(str::to_owned));
    assert_eq!(told, [row("dead", "1", Some("poison")), row("dead", "2", Some("trap")), row("parked", "1", None)]);
    relay.kill();
    it.configure(&it.mended(), "", TABLE);
    let (relay, port) = it.serve();
    it.insert(&[(1, 4, "pass"), (2, 2, "pass"), (3, 2, "pass")]);
    it.until_done();
    assert_eq!(it.list().len(), 5, "the keys are held over a restart");
    ask(&port, &["redrive", "--key", "1"]).expect(0, &[]);
    ask(&port, &["discard", "--key", "2", "--state", "dead"]).expect(0, &[]);
    ask(&port, &["redrive", "--all"]).expect(0, &[]);
    relay.stop().expect(0, &[]);
    assert_eq!(it.database.connect().query_one("SELECT count(*) FROM letters", &[]).expect("a count").get::<_, i64>(0), 0);
    assert_eq!((versions(&it, 1), versions(&it, 2), versions(&it, 3)), (vec![1, 2, 3, 4], vec![2], vec![1, 2]));
}

/// GIVEN a relay that dies when a letter was handed over, WHEN another starts, THEN the
/// event is a letter, once; and one that dies in a redrive loses none.
#[test]
fn a_letter_in_a_table_survives_kills() {
    let it = Letters::new("", TABLE);
    it.insert(&[(1, 1, "poison"), (1, 2, "pass"), (1, 3, "pass")]);
    it.die_at("letter-written*2", None);
    it.drain().expect(0, &[]);
    assert_eq!(it.list().len(), 3);
    it.configure(&it.mended(), "", TABLE);
    it.die_at("letter-published", Some("redrive"));
    let (relay, port) = it.serve();
    assert_eq!(it.list().len(), 3, "published, and not taken away");
    ask(&port, &["redrive", "--all"]).expect(0, &[]);
    relay.stop().expect(0, &[]);
    assert_eq!(versions(&it, 1), [1, 2, 3, 1, 2, 3]);
}

/// GIVEN a table that goes away under a running relay, WHEN an event fails, THEN the relay
/// ends and says so, and the event is still in the outbox; WHEN it may not be made, THEN
/// the statement is said.
#[test]
fn a_table_that_cannot_be_used() {
    let it = Letters::new("", TABLE);
    let mut relay = Relay::start(&["run", "-c", &it.config()]);
    drop(Port::of(&relay));
    it.database.connect().batch_execute("DROP TABLE letters").expect("drops");
    it.insert(&[(1, 1, "poison")]);
    eventually("the relay ends", PATIENCE, || relay.ended().is_some());
    relay.wait().expect(5, &["[database-unusable]", "cannot write dead letters", "public.letters"]);
    assert_eq!(it.database.rows(), 1);

    let role = unique("reader");
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT, DELETE ON outbox TO {role}; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    it.database.connect().batch_execute(&grant).expect("grants");
    let mut url = url::Url::parse(&it.database.url).expect("a URL");
    url.set_username(&role).expect("a user");
    url.set_password(Some("x")).expect("a password");
    let toml = std::fs::read_to_string(it.config()).expect("reads").replace(&it.database.url, url.as_str());
    std::fs::write(it.config(), toml).expect("writes");
    it.drain()
        .expect(5, &["cannot make the table of the dead letters", "make it yourself: CREATE TABLE IF NOT EXISTS \"public\".\"letters\""]);
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    it.database.connect().batch_execute(&gone).expect("drops");
}
