//! A guest that keeps the contract but wants one import more: a clock. The
//! host must refuse it by name, whatever its linker could offer.

wit_bindgen::generate!({
    path: "../../../../wit",
    world: "relay:extra/guest",
    inline: r#"
        package relay:extra;

        interface clock {
          now: func() -> u64;
        }

        world guest {
          include relay:transform/transform@1.0.0;
          import clock;
        }
    "#,
    generate_all,
});

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::types::{Content, Event, Message, Outcome, Unused};

struct Component;
struct Clocked;

impl Guest for Component {
    type Transform = Clocked;
}

impl GuestTransform for Clocked {
    fn create(_settings: String) -> Result<Transform, String> {
        Ok(Transform::new(Self))
    }

    fn unused(&self) -> Unused {
        Unused::empty()
    }

    fn process(&self, events: Vec<Event>) -> Vec<Outcome> {
        events.iter().map(|_| answer()).collect()
    }
}

/// Uses the import, or the linker would leave it out.
fn answer() -> Outcome {
    let text = relay::extra::clock::now().to_string();
    Outcome::Emit(vec![Message {
        id: None,
        event_type: None,
        topic: None,
        partition: None,
        key: None,
        payload: Some(Content::Text(text)),
        headers: None,
    }])
}

export!(Component);
