//! A guest compiled against a contract whose `operation` has no `message`. It
//! links against the host and passes its checks of names; only making an
//! instance and calling it shows that the types differ, which is why the host
//! must try a component before it accepts it.

wit_bindgen::generate!({
    world: "transform",
    inline: r#"
        package relay:transform@1.0.0;

        interface types {
          record header { name: string, value: option<list<u8>> }
          enum operation { insert, update, delete, truncate, snapshot }
          record position { commit: u64, index: u64 }
          record event {
            id: string,
            position: position,
            time: s64,
            operation: operation,
            entity: string,
            event-type: string,
            topic: string,
            key: option<list<u8>>,
            payload: option<list<u8>>,
            before: option<list<u8>>,
            unchanged: list<string>,
            headers: list<header>,
          }
          variant content { null, text(string), bytes(list<u8>) }
          record header-edit { remove: list<string>, append: list<header> }
          record message {
            id: option<string>,
            event-type: option<string>,
            topic: option<string>,
            partition: option<u32>,
            key: option<content>,
            payload: option<content>,
            headers: option<header-edit>,
          }
          enum failure-kind { poison, halt }
          record failure { kind: failure-kind, code: string, detail: string }
          variant outcome { pass, drop(option<string>), emit(list<message>), fail(failure) }
          flags unused { payload, before, headers }
        }

        interface transformer {
          use types.{event, outcome, unused};
          resource transform {
            create: static func(settings: string) -> result<transform, string>;
            unused: func() -> unused;
            process: func(events: list<event>) -> list<outcome>;
          }
        }

        world transform {
          export transformer;
        }
    "#,
});

use exports::relay::transform::transformer::{Guest, GuestTransform, Transform};
use relay::transform::types::{Event, Outcome, Unused};

struct Component;
struct Old;

impl Guest for Component {
    type Transform = Old;
}

impl GuestTransform for Old {
    fn create(_settings: String) -> Result<Transform, String> {
        Ok(Transform::new(Self))
    }

    fn unused(&self) -> Unused {
        Unused::empty()
    }

    fn process(&self, events: Vec<Event>) -> Vec<Outcome> {
        events.iter().map(|_| Outcome::Pass).collect()
    }
}

export!(Component);
