//! Transforms tested in isolation: cases in files, run on the production engine.
//!
//! ```no_run
//! use relay::suite::{Case, Suite, find};
//!
//! let cases = find("cases".as_ref())?.iter().map(|file| Case::load(file)).collect::<Result<_, _>>()?;
//! let suite = Suite::load("mask.wasm".as_ref(), cases)?;
//! for case in suite.cases() {
//!     let report = suite.run(case)?;
//!     assert!(report.passed(), "{report}");
//! }
//! # Ok::<(), relay::error::Error>(())
//! ```

mod case;
mod expected;
mod fuzz;
mod golden;
mod meaning;
mod report;
mod runner;
mod tally;

pub use case::{Case, Demand, ENDINGS, find};
pub use expected::{Expected, Message};
pub use fuzz::{Found, Fuzz};
pub use golden::{outcome, update};
pub use meaning::{Difference, compare};
pub use report::{Summary, junit};
pub use runner::{CaseReport, Problem, Suite, on_lane_stack};
pub use tally::{Disagreement, Failures, Tally};
