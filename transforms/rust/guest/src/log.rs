//! Log lines to the host: `log::info!("{n} lines")`.
//!
//! The host limits their rate and length and adds pipeline, transform and the
//! event being processed. Natively they go nowhere.

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Writes one line. The macros beside it format only where someone listens.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::glue::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = (level, message);
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($arg:tt)+) => {
        if ::core::cfg!(target_arch = "wasm32") {
            $crate::log::write($crate::log::Level::$level, &::std::format!($($arg)+));
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __trace { ($($arg:tt)+) => { $crate::__log!(Trace, $($arg)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($arg:tt)+) => { $crate::__log!(Debug, $($arg)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($arg:tt)+) => { $crate::__log!(Info, $($arg)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($arg:tt)+) => { $crate::__log!(Warn, $($arg)+) }; }
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($arg:tt)+) => { $crate::__log!(Error, $($arg)+) }; }

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};
