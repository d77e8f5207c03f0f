//! SDK for relay transforms in Rust.
//!
//! A transform is a type that implements [`Transform`] and one line that
//! exports it:
//!
//! ```
//! use relay_guest::{Event, Failure, Outcome, Transform};
//!
//! #[derive(Default, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! pub struct Settings {
//!     entity: String,
//! }
//!
//! pub struct OnlyEntity(Settings);
//!
//! impl Transform for OnlyEntity {
//!     type Settings = Settings;
//!
//!     fn new(settings: Settings) -> Result<Self, String> {
//!         Ok(Self(settings))
//!     }
//!
//!     fn apply(&self, event: &Event) -> Result<Outcome, Failure> {
//!         Ok(relay_guest::drop_if(event.entity() != self.0.entity, "other-entity"))
//!     }
//! }
//!
//! relay_guest::export!(OnlyEntity);
//! ```
//!
//! Nothing here shows which WIT world carries the events, so a transform needs
//! no change when a faster world is added. The crate also compiles natively:
//! there [`create`] and [`Transform::apply`] are plain calls, [`export!`] is
//! empty and [`log`] goes nowhere.

// The generated export macro names this crate from outside and inside.
#[cfg(target_arch = "wasm32")]
extern crate self as relay_guest;

mod event;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod glue;
mod helpers;
pub mod json;
pub mod log;
mod outcome;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
mod settings;

pub use event::{Event, Header, Operation, Position};
pub use helpers::{drop_if, map_json, map_object, route};
pub use outcome::{Content, Failure, FailureKind, Message, Outcome};
#[cfg(not(target_arch = "wasm32"))]
pub use schema::check_schema;
pub use serde_json;
pub use settings::{create, parse_settings};

/// What a transform does not read, so the host need not copy it in.
///
/// An input named here arrives empty: a payload that was not copied looks like
/// a tombstone. Leaving everything `false` is always correct, only slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    pub payload: bool,
    pub before: bool,
    pub headers: bool,
}

/// A transform: made once from its settings, then applied to one event after
/// another.
///
/// There is no clock, no randomness and no I/O; the same event must give the
/// same outcome. What a transform remembers between events is only a cache:
/// the host may replace the instance at any time.
pub trait Transform: Sized + 'static {
    /// The JSON object from the config. An absent one is read as `{}`, so give
    /// the fields defaults; `#[serde(deny_unknown_fields)]` turns a misspelt
    /// setting into an error before the first event.
    type Settings: serde::de::DeserializeOwned;

    /// Checks the settings; an error refuses the module and is shown to the
    /// operator, so it should name the field.
    fn new(settings: Self::Settings) -> Result<Self, String>;

    /// Asked once, after [`Transform::new`].
    fn unused(&self) -> Unused {
        Unused::default()
    }

    /// What becomes of one event. A panic here traps the instance; the host
    /// then blames the event, so prefer a [`Failure`].
    fn apply(&self, event: &Event) -> Result<Outcome, Failure>;
}

/// Exports a [`Transform`] as the component's transformer. Once per component;
/// natively it expands to nothing.
///
/// `settings` names a file with the JSON Schema of the settings, from where the
/// source file is: `export!(Redact, settings = "../settings.schema.json")`. The
/// component then has it, with the crate's name and version, in the custom section
/// `relay:manifest` of the contract, for `relay inspect` to show.
/// [`check_schema`] helps a test to keep it true.
#[macro_export]
macro_rules! export {
    ($transform:ty $(, settings = $schema:literal)? $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::glue::Component<$transform>;
            $crate::glue::export_transformer!(Exported with_types_in $crate::glue::bindings);
            $(
                const MANIFEST: &str = concat!(
                    r#"{"name":""#, env!("CARGO_PKG_NAME"), r#"","version":""#, env!("CARGO_PKG_VERSION"), r#"","settings":"#,
                    include_str!($schema), "}"
                );
                // Without `#[used]`, which would keep a copy in the memory too.
                #[unsafe(link_section = "relay:manifest")]
                static _MANIFEST: [u8; MANIFEST.len()] = $crate::glue::bytes(MANIFEST);
            )?
        };
    };
}
