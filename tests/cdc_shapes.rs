//! Property: what holds for an outbox holds for rows of any table and for logical messages:
//! whatever is killed, nothing is lost or reordered, and repeats have the same id and place.

use crate::cdc_crash::{demand_places, terminate};
use crate::support::cdc::Capture;
use crate::support::consumer::Received;
use crate::support::database::Database;
use crate::support::oracle::{Repeats, Writers, create_aggregates};
use crate::support::relay::{PATIENCE, Relay};
use crate::support::{component, eventually, kills, seed, services};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::{Duration, Instant};

const KILLS: usize = 12;

/// Rows and messages that say what the oracle's outbox says.
const SHAPES: [&str; 2] = ["tables = [\"public.mirror\"]\n", "messages = [\"aggregate\"]\n"];

const TOLD: &str = "
    CREATE TABLE mirror (aggregate int PRIMARY KEY, version bigint, card text);
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO mirror VALUES (NEW.id, NEW.version, '4111') ON CONFLICT (aggregate) DO UPDATE SET version = EXCLUDED.version;
        PERFORM pg_logical_emit_message(true, 'aggregate', json_build_object('aggregate_id', NEW.id::text,
            'payload', json_build_object('aggregate', NEW.id, 'version', NEW.version, 'card', '4111'))::text);
        RETURN NULL;
    END $$;
    CREATE TRIGGER tell AFTER UPDATE ON aggregate FOR EACH ROW EXECUTE FUNCTION tell();";

/// GIVEN writers at work and a transform in the way, WHEN relays of both shapes, their
/// walsenders and Postgres are killed at random, THEN the oracle finds every change and
/// every message.
#[test]
fn kills_lose_nothing_of_rows_and_messages() {
    let seed = seed("cdc-shapes");
    let mut rng = StdRng::seed_from_u64(seed);
    let postgres = services::Postgres::start("postgres-cdc-shapes", &[]);
    let database = Database::on(&postgres.url);
    database.init(&[]);
    create_aggregates(&database, 30);
    database.connect().batch_execute(TOLD).expect("creates");
    let rest = format!(
        "[flow]\nretry_min = \"10ms\"\nretry_max = \"50ms\"\n[[transform]]\npath = \"{}\"\nsettings = {{ fields = [\"card\"] }}",
        component("redact").display()
    );
    let captures = SHAPES.map(|shape| {
        let capture = Capture::partitioned(&database, shape, 4);
        capture.write(&format!("{shape}status_interval = \"100ms\"\n"), &rest);
        capture.init(&["--apply"]).expect(0, &[]);
        capture
    });
    let mut terminated = 0;
    for n in 0..kills(KILLS) {
        // They end before the server does.
        let writers = Writers::start(&database, 4, 30, 40, seed.wrapping_add(10 * n as u64));
        let relays = captures.each_ref().map(|capture| Relay::start(&capture.args("run", &[])));
        if n % 3 > 0 {
            relays.iter().for_each(|relay| relay.await_log("reading the log"));
        }
        let (life, born) = (Duration::from_millis(rng.random_range(5..400)), Instant::now());
        let severed = rng.random_bool(0.5).then(|| &captures[rng.random_range(0..captures.len())]);
        if let Some(capture) = severed {
            eventually("the walsender's last moment", PATIENCE, || born.elapsed() >= life / 2);
            terminated += usize::from(terminate(&mut database.connect(), &capture.slot));
        }
        eventually("their last moment", PATIENCE, || born.elapsed() >= life);
        if n % 4 == 3 {
            writers.join();
            postgres.stop(true);
            postgres.start_again();
            // Some go on by themselves, some do not live to see it.
            relays.into_iter().for_each(Relay::kill);
        } else {
            relays.into_iter().for_each(Relay::kill);
            writers.join();
        }
    }
    println!("walsenders terminated: {terminated}");
    for capture in &captures {
        capture.drain().expect(0, &[]);
        // The key of a row is an object.
        let keyed = |m: &Received| Received { key: Some(m.json()["aggregate"].to_string()), ..m.clone() };
        let received: Vec<_> = capture.consumer().read_to_end().iter().map(keyed).collect();
        demand_places(&received, &database, Repeats::SameId);
        capture.drain().expect(0, &["events=0"]);
    }
}
