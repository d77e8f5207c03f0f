//! What a component says of one event, before anything follows from it.

use super::bindings::{FailureKind, Outcome};
use super::convert::{Topics, apply};
use super::fault::Fault;
use crate::config::Limits;
use crate::error::{Error, Kind};
use crate::event::Event;

/// Longest code of a failure that is taken from a guest; it is a label.
const CODE_CHARS: usize = 64;

/// Longest detail of a failure that is taken from a guest.
const DETAIL_CHARS: usize = 4096;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Publish it as it is.
    Pass,
    /// Publish nothing, for this reason.
    Drop(Option<String>),
    /// Publish these.
    Emit(Vec<Event>),
    /// The component failed it.
    Fail(Failure),
    /// The component broke a limit or the contract over it.
    Fault(Fault),
}

/// A failure as the component declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the component called itself unusable, and not only the event.
    pub halt: bool,
    /// Its name; a metric label.
    pub code: String,
    /// More of it, for people.
    pub detail: String,
}

impl Failure {
    /// As an error of the relay.
    #[must_use]
    pub fn into_error(self) -> Error {
        let Self { halt, code, detail } = self;
        let (kind, remedy) = if halt {
            (Kind::TransformHalt, "the transform declared itself unusable; see its documentation")
        } else {
            (Kind::Poison, "correct the event in the source or the transform, then start again")
        };
        let error = Error::new(kind, format!("the transform failed the event: {code}")).at("code", code);
        let error = if detail.is_empty() { error } else { error.guest(detail) };
        error.remedy(remedy)
    }
}

impl Answer {
    /// Reads what the guest returned for `event`.
    pub(super) fn read(event: &Event, outcome: Outcome, topics: &mut Topics, limits: &Limits) -> Self {
        match outcome {
            Outcome::Pass => Self::Pass,
            Outcome::Drop(reason) => Self::Drop(reason),
            Outcome::Emit(messages) => {
                let mut made = Vec::with_capacity(messages.len().min(limits.messages as usize));
                match apply(event, messages, topics, limits, &mut made) {
                    Ok(()) => Self::Emit(made),
                    Err(fault) => Self::Fault(fault),
                }
            }
            Outcome::Fail(failure) => Self::Fail(Failure {
                halt: matches!(failure.kind, FailureKind::Halt),
                code: failure.code.chars().take(CODE_CHARS).collect(),
                detail: failure.detail.chars().take(DETAIL_CHARS).collect(),
            }),
        }
    }
}
