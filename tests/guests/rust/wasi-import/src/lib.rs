//! A guest that keeps the contract but imports WASI, as most toolchains make
//! them do. The host must refuse it unless the config grants that import.

wit_bindgen::generate!({
    path: "../../../../wit",
    world: "relay:wants-wasi/guest",
    inline: r#"
        package relay:wants-wasi;

        world guest {
          include relay:transform/transform@1.0.0;
          import wasi:cli/environment@0.2.6;
        }

        package wasi:cli@0.2.6 {
          interface environment {
            get-environment: func() -> list<tuple<string, string>>;
          }
        }
    "#,
    generate_all,
});

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::types::{Content, Event, Message, Outcome, Unused};

struct Component;
struct WithEnvironment;

impl Guest for Component {
    type Transform = WithEnvironment;
}

impl GuestTransform for WithEnvironment {
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
    let text = wasi::cli::environment::get_environment().len().to_string();
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
