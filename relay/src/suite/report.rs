//! What a run says: to people, to CI as JUnit XML, to machines as JSON.

use super::meaning::Difference;
use super::runner::{CaseReport, Problem};
use crate::error::{Context as _, Kind, Result};
use anstyle::{AnsiColor, Style};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// Longest text of a value that is shown whole, in characters.
const SHOWN: usize = 2000;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const DIM: Style = Style::new().dimmed();

/// Cases counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Cases with nothing wrong.
    pub passed: usize,
    /// Cases with something wrong.
    pub failed: usize,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(reports: &[CaseReport]) -> Self {
        let passed = reports.iter().filter(|report| report.passed()).count();
        Self { passed, failed: reports.len() - passed }
    }
}

/// For a terminal, colours included; who writes to something else strips them.
impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (style, mark) = if self.passed() { (GREEN, "ok  ") } else { (RED, "FAIL") };
        write!(f, "{style}{mark}{style:#} {}", self.name)?;
        let events = if self.events == 1 { "1 event".to_owned() } else { format!("{} events", self.events) };
        match self.fuel {
            0 => writeln!(f)?,
            fuel => writeln!(f, " {DIM}{events}, {fuel} fuel{DIM:#}")?,
        }
        if !self.passed() {
            writeln!(f, "     {DIM}{}{DIM:#}", self.file.display())?;
        }
        self.problems.iter().try_for_each(|problem| write!(f, "{problem}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { event, differences } => show(f, &format!("event {event}"), ("expected", "got"), differences),
            Self::Unstable { how, event, differences } => {
                let what = format!("event {event} {how}: the transform keeps state between calls, or is nondeterministic");
                show(f, &what, ("at first", "then"), differences)
            }
            Self::Settings(what) => writeln!(f, "     {what}"),
            Self::Fuel { used, budget } => writeln!(f, "     the events cost {used} fuel, the budget is {budget}"),
            Self::Unwritten => writeln!(f, "     the case has no outcomes; `relay test --update` writes them"),
        }
    }
}

/// Writes a heading and the differences below it.
pub(super) fn show(f: &mut fmt::Formatter<'_>, what: &str, (left, right): (&str, &str), differences: &[Difference]) -> fmt::Result {
    writeln!(f, "     {what}")?;
    for difference in differences {
        writeln!(f, "       {}", difference.field)?;
        for (name, style, value) in [(left, GREEN, &difference.expected), (right, RED, &difference.got)] {
            let value = value.as_deref().map_or_else(|| "nothing".to_owned(), cut);
            let value = value.replace('\n', "\n                  ");
            writeln!(f, "         {name:<8} {style}{value}{style:#}")?;
        }
    }
    Ok(())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

impl Problem {
    fn json(&self) -> Value {
        let list = |differences: &[Difference]| {
            let one = |d: &Difference| json!({ "field": d.field, "expected": d.expected, "got": d.got });
            differences.iter().map(one).collect::<Vec<_>>()
        };
        match self {
            Self::Differs { event, differences } => json!({ "kind": "differs", "event": event, "differences": list(differences) }),
            Self::Unstable { how, event, differences } => {
                json!({ "kind": "unstable", "how": how, "event": event, "differences": list(differences) })
            }
            Self::Settings(what) => json!({ "kind": "settings", "what": what }),
            Self::Fuel { used, budget } => json!({ "kind": "fuel", "used": used, "budget": budget }),
            Self::Unwritten => json!({ "kind": "unwritten" }),
        }
    }
}

impl CaseReport {
    /// For machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let problems: Vec<Value> = self.problems.iter().map(Problem::json).collect();
        json!({ "name": self.name, "file": self.file, "passed": self.passed(), "events": self.events, "fuel": self.fuel, "problems": problems })
    }
}

/// JUnit XML, as CI services read it.
///
/// # Errors
/// `Internal` if it cannot be written.
pub fn junit(component: &str, reports: &[CaseReport]) -> Result<String> {
    let mut suite = TestSuite::new(component);
    for report in reports {
        let status = if report.passed() {
            TestCaseStatus::success()
        } else {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let text = anstream::adapter::strip_str(&report.to_string()).to_string();
            status.set_message(format!("{} problems", report.problems.len())).set_description(text);
            status
        };
        let mut case = TestCase::new(report.name.as_str(), status);
        case.set_classname(report.file.display().to_string());
        suite.add_test_case(case);
    }
    let mut all = Report::new("relay test");
    all.add_test_suite(suite);
    all.to_string().or_kind(Kind::Internal, "cannot write JUnit XML")
}
