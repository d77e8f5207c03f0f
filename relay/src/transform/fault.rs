//! What a guest did wrong, by kind. The code is the metric label and the code
//! of the dead letter.

use crate::error::{Error, Kind};
use std::fmt;
use wasmtime::Trap;

/// One misbehaviour of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `trap:<kind>` or `contract:<kind>`.
    pub code: &'static str,
    /// One sentence.
    pub what: String,
    /// The guest's stack where there is one.
    pub stack: Option<String>,
}

impl Fault {
    /// A fault without a stack.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), stack: None }
    }

    /// Reads what wasmtime says of a failed call; `memory_refused` is the
    /// limiter's word that the guest had asked for more than it may have.
    pub fn from_call(error: &wasmtime::Error, memory_refused: bool) -> Self {
        let stack = error.downcast_ref::<wasmtime::WasmBacktrace>().map(ToString::to_string);
        let cause = error.root_cause().to_string();
        let (code, what) = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => ("trap:deadline", "ran past its deadline".to_owned()),
            Some(Trap::StackOverflow) => ("trap:stack", "exhausted its stack".to_owned()),
            // A guest that is refused memory aborts as it sees fit.
            Some(_) if memory_refused => ("trap:memory", format!("was refused memory beyond its limit, then: {cause}")),
            Some(Trap::UnreachableCodeReached) => ("trap:unreachable", "executed `unreachable` (a panic or an abort)".to_owned()),
            Some(Trap::MemoryOutOfBounds) => ("trap:out-of-bounds", cause),
            Some(Trap::IntegerDivisionByZero | Trap::IntegerOverflow | Trap::BadConversionToInteger) => ("trap:arithmetic", cause),
            Some(_) => ("trap:other", cause),
            None if cause.contains("fuel") => {
                ("trap:lifted-bytes", format!("returned more bytes than limits.lifted_bytes allows: {cause}"))
            }
            None => ("contract:abi", format!("broke the component ABI: {cause}")),
        };
        Self { code, what, stack }
    }

    /// As an error of the relay.
    #[must_use]
    pub fn into_error(self) -> Error {
        let kind = if self.code.starts_with("trap:") { Kind::Trap } else { Kind::Contract };
        let error = Error::new(kind, format!("the transform {}", self.what)).at("code", self.code);
        let error = match self.code {
            "trap:deadline" => error
                .remedy("raise limits.event_deadline if the work is legitimate, else fix the loop; the event is untouched in the source"),
            "trap:memory" | "trap:stack" | "trap:output" | "trap:messages" | "trap:lifted-bytes" => error.remedy(
                "raise the limit named above if the work is legitimate, else fix the transform; the event is untouched in the source",
            ),
            "contract:topic" => error.remedy("add the topic to `topics` of the transform or of [sink], or correct the transform"),
            _ => error.remedy("fix the transform and start again; the event is untouched in the source"),
        };
        match self.stack {
            Some(stack) => error.guest(stack),
            None => error,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the transform {}", self.code, self.what)
    }
}
