//! Cases run on the production engine: each batch twice on one instance, again
//! on a fresh one, and event by event, so that hidden state shows.

use super::case::{Case, Demand};
use super::expected::{self, Expected};
use super::meaning::Difference;
use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::transform::{Answer, Engine, Module, Workbench};
use std::path::{Path, PathBuf};

/// Stack of the thread that runs a component: that of a lane.
const STACK: usize = crate::lane::STACK;

/// A component and its cases.
pub struct Suite {
    engine: Engine,
    module: Module,
    component: PathBuf,
    cases: Vec<Case>,
}

/// How one case went.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// How many events it has.
    pub events: usize,
    /// What they cost together, in wasmtime's fuel: the same on every machine.
    pub fuel: u64,
    /// What is wrong; empty where it passed.
    pub problems: Vec<Problem>,
    /// What the component said of each event; `None` where `when` keeps it out.
    pub answers: Vec<Option<Answer>>,
}

/// One thing that is wrong with a case.
#[derive(Clone, Debug)]
pub enum Problem {
    /// An event became something else than expected.
    Differs {
        /// The event's id; the case's name where it is about all of them.
        event: String,
        /// Where.
        differences: Vec<Difference>,
    },
    /// The same event became something else when it came again: the component
    /// keeps state between calls, or is not deterministic.
    Unstable {
        /// What was different about the second time.
        how: &'static str,
        /// The event's id.
        event: String,
        /// Where; expected is the first time, got the second.
        differences: Vec<Difference>,
    },
    /// The settings were refused, or not.
    Settings(String),
    /// The case cost more than its budget.
    Fuel {
        /// What it cost.
        used: u64,
        /// What it may cost.
        budget: u64,
    },
    /// The case says nothing of what should come out.
    Unwritten,
}

impl Problem {
    /// Whether it is about answers that change.
    #[must_use]
    pub fn is_unstable(&self) -> bool {
        matches!(self, Self::Unstable { .. })
    }
}

impl CaseReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Runs on a thread with the stack of a lane.
///
/// # Errors
/// `Internal` where there is no thread to be had, or it panicked.
pub fn on_lane_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let failed = |what: &str| Error::new(Kind::Internal, what.to_owned());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("workbench".into()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|e| failed("cannot start a thread").cause(e))?;
        thread.join().map_err(|_| failed("the thread that runs the component panicked"))
    })
}

impl Suite {
    /// Loads a component to run these cases on.
    ///
    /// # Errors
    /// `Component` if it cannot be used at all.
    pub fn load(component: &Path, cases: Vec<Case>) -> Result<Self> {
        Self::on(Engine::metered(&limits(&cases))?, component, cases)
    }

    /// As [`Suite::load`], on the engine that production has: what is compiled is
    /// compiled for it, and nobody counts what a case costs.
    ///
    /// # Errors
    /// As [`Suite::load`].
    pub fn unmetered(component: &Path, cases: Vec<Case>) -> Result<Self> {
        Self::on(Engine::new(&limits(&cases))?, component, cases)
    }

    fn on(engine: Engine, component: &Path, cases: Vec<Case>) -> Result<Self> {
        let module = engine.load(component)?;
        Ok(Self { engine, module, component: component.to_owned(), cases })
    }

    /// The component's digest.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.module.short_digest()
    }

    /// The cases.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    /// The component as a case configures it.
    pub(super) fn bench(&self, case: &Case) -> Workbench {
        let name = self.component.file_stem().unwrap_or_default().to_string_lossy();
        Workbench::new(&self.engine, &self.module, &case.spec(&self.component, &name))
    }

    /// Runs one case.
    ///
    /// # Errors
    /// When the component cannot be instantiated for another reason than its
    /// settings, which are a problem of the case.
    pub fn run(&self, case: &Case) -> Result<CaseReport> {
        let mut report = CaseReport {
            name: case.name.clone(),
            file: case.file.clone(),
            events: case.events.len(),
            fuel: 0,
            problems: Vec::new(),
            answers: Vec::new(),
        };
        let mut bench = self.bench(case);
        on_lane_stack(|| execute(&mut bench, case, &mut report))??;
        Ok(report)
    }
}

fn limits(cases: &[Case]) -> Vec<Limits> {
    cases.iter().map(|case| case.limits.clone()).collect()
}

fn execute(bench: &mut Workbench, case: &Case, report: &mut CaseReport) -> Result<()> {
    match (bench.renew(), &case.demand) {
        (Ok(()), Demand::Refused(text)) => {
            report.problems.push(Problem::Settings(format!("the settings were accepted, an error with `{text}` was expected")));
            return Ok(());
        }
        (Ok(()), _) => {}
        (Err(error), Demand::Refused(text)) if error.kind() == Kind::SettingsRefused => {
            let said = error.said().unwrap_or_default();
            if !said.contains(text.as_str()) {
                report.problems.push(Problem::Settings(format!("expected an error with `{text}`, got: {said}")));
            }
            return Ok(());
        }
        (Err(error), _) if error.kind() == Kind::SettingsRefused => {
            report.problems.push(Problem::Settings(format!("{}: {}", error.what(), error.said().unwrap_or_default())));
            return Ok(());
        }
        (Err(error), _) => return Err(error),
    }
    let seen: Vec<&Event> = case.events.iter().filter(|event| bench.sees(event)).collect();
    let first = bench.process(&seen)?;
    report.fuel = bench.fuel();
    // What the guest logs was logged.
    let quiet = tracing::subscriber::NoSubscriber::new();
    tracing::subscriber::with_default(quiet, || repeat(bench, &seen, &first, report))?;
    let mut answers = first.into_iter();
    report.answers = case.events.iter().map(|event| bench.sees(event).then(|| answers.next()).flatten()).collect();
    match &case.demand {
        Demand::Outcomes(expected) => outcomes(case, expected, report),
        Demand::Messages(expected) => messages(case, expected, report),
        Demand::Refused(_) => {}
        Demand::Unwritten => report.problems.push(Problem::Unwritten),
    }
    if let Some(budget) = case.fuel
        && report.fuel > budget
    {
        report.problems.push(Problem::Fuel { used: report.fuel, budget });
    }
    Ok(())
}

fn outcomes(case: &Case, expected: &[Expected], report: &mut CaseReport) {
    for ((event, expected), got) in case.events.iter().zip(expected).zip(&report.answers) {
        let mut differences = Vec::new();
        expected::differences(expected, got.as_ref(), &mut differences);
        if !differences.is_empty() {
            report.problems.push(Problem::Differs { event: event.id.to_string(), differences });
        }
    }
}

fn messages(case: &Case, expected: &[expected::Message], report: &mut CaseReport) {
    let mut published: Vec<&Event> = Vec::new();
    for (event, answer) in case.events.iter().zip(&report.answers) {
        match answer {
            None | Some(Answer::Pass) => published.push(event),
            Some(Answer::Emit(made)) => published.extend(made),
            Some(Answer::Drop(_)) => {}
            Some(failed) => {
                let difference = Difference { field: "outcome".into(), expected: None, got: Some(expected::describe(failed)) };
                report.problems.push(Problem::Differs { event: event.id.to_string(), differences: vec![difference] });
            }
        }
    }
    let mut differences = Vec::new();
    expected::lists("messages", expected, &published, &mut differences);
    if !differences.is_empty() {
        report.problems.push(Problem::Differs { event: "all".into(), differences });
    }
}

/// The same events again in other ways.
fn repeat(bench: &mut Workbench, seen: &[&Event], first: &[Answer], report: &mut CaseReport) -> Result<()> {
    let again = bench.process(seen)?;
    unstable("again on the same instance", seen, first, &again, report);
    bench.renew()?;
    let fresh = bench.process(seen)?;
    unstable("on a fresh instance", seen, first, &fresh, report);
    bench.renew()?;
    let mut singly = Vec::with_capacity(seen.len());
    for event in seen {
        singly.extend(bench.process(&[event])?);
    }
    unstable("one event at a time", seen, first, &singly, report);
    Ok(())
}

fn unstable(how: &'static str, events: &[&Event], first: &[Answer], second: &[Answer], report: &mut CaseReport) {
    for ((event, a), b) in events.iter().zip(first).zip(second) {
        let mut differences = Vec::new();
        expected::between(a, b, &mut differences);
        if !differences.is_empty() {
            report.problems.push(Problem::Unstable { how, event: event.id.to_string(), differences });
        }
    }
}
