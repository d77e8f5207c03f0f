//! Generated from `wit/transform.wit`; nothing generated leaves this module's
//! parent. Arguments are borrowed, so a call copies only into the guest.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "transform",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub use self::exports::relay::transform::transformer::{Event as GuestEvent, Outcome, Unused};
pub use self::relay::transform::host::{Host as GuestHost, Level, add_to_linker};
pub use self::relay::transform::types::{
    Content, FailureKind, HeaderParam as GuestHeader, HeaderResult, Message as GuestMessage, Operation as GuestOperation,
    Position as GuestPosition,
};
