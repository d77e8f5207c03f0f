//! `relay test`.

use super::component::{Component, locate, on_disk};
use crate::error::{Context as _, Error, Kind, Result};
use crate::modules::is_remote;
use crate::suite::{Case, CaseReport, Fuzz, Suite, Summary, find, junit, update};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often `--watch` looks at the files.
const GLANCE: Duration = Duration::from_millis(300);

/// Arguments of `relay test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay test                              the component and the cases/ of this directory
  relay test build/mask.wasm --cases more/cases
  relay test oci://ghcr.io/acme/mask@sha256:…
  relay test --update                     write what comes out as what must come out
  relay test --fuzz 1000                  look for events that break the component
  relay test --junit report.xml           for CI

Exit codes: 0 all passed, 10 a case failed, 11 a case cannot be read, 4 the component cannot be used.")]
pub struct Test {
    /// Directory of a project, a component, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM", default_value = ".")]
    path: PathBuf,
    /// Case file, or directory of some; may be given several times [default: cases/ beside the component].
    #[arg(long, value_name = "PATH")]
    cases: Vec<PathBuf>,
    /// Only cases whose name or file has this in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Write what comes out into the case files as what must come out.
    #[arg(long, conflicts_with_all = ["fuzz", "watch"])]
    update: bool,
    /// Run again whenever the component or a case changes, until interrupted.
    #[arg(long)]
    watch: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Write JUnit XML to a file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Also try this many made-up events with the settings of each case.
    #[arg(long, value_name = "N")]
    fuzz: Option<u32>,
    /// Seed of the made-up events; printed when it was chosen.
    #[arg(long, value_name = "SEED", requires = "fuzz")]
    seed: Option<u64>,
}

impl Test {
    /// Runs the cases.
    ///
    /// # Errors
    /// `TestFailed`, `TestBroken`, or `Component`.
    pub async fn execute(self) -> Result<()> {
        // What a digest stands for does not change; a file may appear while it is watched.
        let fetched = if is_remote(&self.path) { Some(locate(&self.path).await?) } else { None };
        tokio::task::block_in_place(|| if self.watch { self.watch(fetched.as_ref()) } else { self.once(fetched.as_ref()) })
    }

    fn component(&self, fetched: Option<&Component>) -> Result<Component> {
        fetched.map_or_else(|| on_disk(&self.path), |fetched| Ok(fetched.clone()))
    }

    fn once(&self, fetched: Option<&Component>) -> Result<()> {
        let component = self.component(fetched)?;
        let mut cases = Vec::new();
        for file in self.files(&component)? {
            let case = Case::load(&file)?;
            let named = |text: &String| case.name.contains(text.as_str()) || file.to_string_lossy().contains(text.as_str());
            if self.only.as_ref().is_none_or(named) {
                cases.push(case);
            }
        }
        if cases.is_empty() {
            return Err(Error::new(Kind::TestBroken, "no case is named so").at("only", self.only.as_deref().unwrap_or_default()));
        }
        let suite = Suite::load(&component.path, cases)?;
        let mut reports = Vec::new();
        for case in suite.cases() {
            reports.push(suite.run(case)?);
        }
        if self.update {
            return written(&suite, &reports);
        }
        let fuzzed = self.fuzz.map(|events| Fuzz::new(events, self.seed)).map(|fuzz| fuzz.run(&suite).map(|found| (fuzz, found)));
        let fuzzed = fuzzed.transpose()?;
        if let Some(path) = &self.junit {
            let xml = junit(&component.path.display().to_string(), &reports)?;
            std::fs::write(path, xml).or_kind(Kind::Io, "cannot write the report").map_err(|e| e.at("file", path.display()))?;
        }
        let summary = Summary::of(&reports);
        let found = fuzzed.as_ref().and_then(|(_, found)| found.as_ref());
        if self.json {
            let cases: Vec<_> = reports.iter().map(CaseReport::json).collect();
            let fuzz = fuzzed.as_ref().map(|(fuzz, found)| fuzz.json(found.as_ref()));
            let all = serde_json::json!({ "component": component.path, "digest": suite.digest(), "passed": summary.passed,
                "failed": summary.failed, "cases": cases, "fuzz": fuzz });
            anstream::println!("{all}");
        } else {
            reports.iter().for_each(|report| anstream::print!("{report}"));
            if let Some((fuzz, found)) = &fuzzed {
                anstream::print!("{}", fuzz.describe(found.as_ref()));
            }
            anstream::println!("{} passed, {} failed  ({} {})", summary.passed, summary.failed, component.path.display(), suite.digest());
        }
        match (summary.failed, found) {
            (0, None) => Ok(()),
            (0, Some(_)) => Err(Error::new(Kind::TestFailed, "a made-up event breaks the transform").remedy("the event is shown above")),
            (failed, _) => Err(Error::new(Kind::TestFailed, format!("{failed} of {} cases failed", reports.len()))
                .remedy("correct the transform; or the cases, with --update if what comes out is right")),
        }
    }

    fn files(&self, component: &Component) -> Result<Vec<PathBuf>> {
        if self.cases.is_empty() {
            return find(&component.directory.join("cases"));
        }
        let mut files = Vec::new();
        for path in &self.cases {
            files.extend(find(path)?);
        }
        Ok(files)
    }

    #[expect(clippy::disallowed_methods, reason = "looking again after a while is what watching is")]
    fn watch(&self, fetched: Option<&Component>) -> Result<()> {
        let mut seen = None;
        loop {
            let now = self.stamps(fetched);
            if seen.as_ref() != Some(&now) {
                // A build writes in pieces; a change that goes on is seen again.
                seen = Some(now);
                if let Err(error) = self.once(fetched) {
                    tracing::error!("{error}");
                }
                tracing::info!("waiting for changes");
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Every file that matters and when it was changed.
    fn stamps(&self, fetched: Option<&Component>) -> Vec<(PathBuf, Option<SystemTime>)> {
        let Ok(component) = self.component(fetched) else { return Vec::new() };
        let files = self.files(&component).unwrap_or_default();
        let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let all = files.into_iter().chain([component.path]);
        all.map(|path| (path.clone(), changed(&path))).collect()
    }
}

fn written(suite: &Suite, reports: &[CaseReport]) -> Result<()> {
    for (case, report) in suite.cases().iter().zip(reports) {
        // What passes stays as its author wrote it.
        if report.passed() {
            continue;
        }
        // A golden outcome that changes by itself would be a lie.
        if let Some(problem) = report.problems.iter().find(|problem| problem.is_unstable()) {
            return Err(
                Error::new(Kind::TestFailed, format!("not written: {}", problem.to_string().trim())).at("file", case.file.display())
            );
        }
        if matches!(case.demand, crate::suite::Demand::Refused(_)) {
            continue;
        }
        if update(case, report)? {
            anstream::println!("written {}", case.file.display());
        }
    }
    Ok(())
}
