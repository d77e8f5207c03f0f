//! `relay swap` and `relay rollback`.

use crate::admin::Client;
use crate::config::Config;
use crate::error::{Context as _, Error, Kind, Result};
use crate::modules::is_remote;
use crate::transform::read;
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which relay.
#[derive(Debug, Args)]
pub(crate) struct Port {
    /// Configuration file of the pipeline: its admin.listen and admin.token are used.
    #[arg(short, long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// Its admin port in the place of the file's; the token is then the
    /// environment's RELAY_ADMIN_TOKEN, or in --token-file.
    #[arg(long, value_name = "HOST:PORT|URL", env = "RELAY_ADMIN")]
    admin: Option<String>,
    /// File that holds the token.
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
}

impl Port {
    /// A client of it.
    pub(crate) fn client(&self) -> Result<Client> {
        if let Some(admin) = &self.admin {
            return Client::new(admin, self.token()?);
        }
        let file = self.config.as_deref().unwrap_or(Path::new("relay.toml"));
        Client::of(&Config::load(file)?, file)
    }

    fn token(&self) -> Result<String> {
        if let Some(file) = &self.token_file {
            let read = std::fs::read_to_string(file).or_kind(Kind::Config, "cannot read the admin token");
            return read.map(|token| token.trim().to_owned()).map_err(|e| e.at("file", file.display()));
        }
        std::env::var("RELAY_ADMIN_TOKEN")
            .map_err(|_| Error::new(Kind::Config, "there is no admin token").remedy("set RELAY_ADMIN_TOKEN, or give --token-file"))
    }
}

/// Arguments of `relay swap`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay swap redact ./redact.wasm -c relay.toml --dry-run
  relay swap redact ./redact.wasm -c relay.toml --canary 0.05,0.25
  relay swap redact oci://ghcr.io/acme/redact@sha256:… -c relay.toml
  relay swap redact sha256:… -c relay.toml          a component of the history

Exit codes: 0 swapped (or could be, with --dry-run), 12 refused: the old generation goes on.")]
pub struct Swap {
    /// Name of the transform whose component is to be another.
    name: String,
    /// The component: a file, oci://…@sha256:…, or sha256:… of one that the relay keeps.
    #[arg(value_name = "WASM|REFERENCE")]
    component: PathBuf,
    #[command(flatten)]
    port: Port,
    /// Refuse the component unless this is its sha256.
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    /// Pass every gate and stop before the switch.
    #[arg(long)]
    dry_run: bool,
    /// Allow recent events to get other topics, keys and numbers of messages.
    #[arg(long)]
    accept_changes: bool,
    /// Allow nothing that differs, not even in payloads.
    #[arg(long, conflicts_with = "accept_changes")]
    expect_same: bool,
    /// Shares of the lanes that get it first, step by step [default: swap.canary].
    #[arg(long, value_name = "SHARE,…")]
    canary: Option<String>,
    /// The report as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Swap {
    /// Asks the relay, and says what each gate said.
    ///
    /// # Errors
    /// `SwapRefused` if a gate is shut, `Admin` if the relay cannot be asked.
    pub async fn execute(self) -> Result<()> {
        let client = self.port.client()?;
        let mut said: Vec<(&str, String)> = Vec::new();
        for (flag, name) in [(self.dry_run, "dry_run"), (self.accept_changes, "accept_changes"), (self.expect_same, "expect_same")] {
            if flag {
                said.push((name, "true".to_owned()));
            }
        }
        said.extend(self.digest.map(|digest| ("digest", digest)));
        said.extend(self.canary.map(|steps| ("canary", steps)));
        let text = self.component.to_string_lossy();
        let component = if is_remote(&self.component) || text.starts_with("sha256:") {
            said.push(("reference", text.into_owned()));
            None
        } else {
            Some(read(&self.component)?)
        };
        let report = client.swap(&self.name, &said, component).await?;
        if self.json {
            anstream::println!("{report}");
        } else {
            print(&report);
        }
        let text = |name: &str| report.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if text("outcome") == "refused" {
            let refused = Error::new(Kind::SwapRefused, format!("refused, the old generation goes on: {}", text("reason")));
            let guest = report.get("guest").and_then(Value::as_str);
            return Err(guest.into_iter().fold(refused.remedy(text("remedy")), Error::guest));
        }
        Ok(())
    }
}

/// A line for each gate, then what came of it.
fn print(report: &Value) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for gate in report.get("gates").and_then(Value::as_array).into_iter().flatten() {
        let millis = gate.get("millis").and_then(Value::as_u64).unwrap_or_default();
        anstream::println!("{:<9} {:<8} {:>6} ms  {}", text(gate, "gate"), text(gate, "passage"), millis, text(gate, "detail"));
    }
    let stages: Vec<_> = report.get("stages").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let number = report.get("generation").and_then(Value::as_u64).map(|n| format!(" as generation {n}")).unwrap_or_default();
    anstream::println!("{}{number}: {}", text(report, "outcome"), stages.join(", "));
}

/// Arguments of `relay rollback`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  relay rollback -c relay.toml")]
pub struct Rollback {
    #[command(flatten)]
    port: Port,
    /// What is active now, as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

impl Rollback {
    /// Asks the relay.
    ///
    /// # Errors
    /// `Admin` if it cannot be asked, or has nothing to go back to.
    pub async fn execute(self) -> Result<()> {
        let answer = self.port.client()?.rollback().await?;
        if self.json {
            anstream::println!("{answer}");
        } else {
            let number = |path: &str| answer.pointer(path).and_then(Value::as_u64).unwrap_or_default();
            anstream::println!("generation {} is gone, {} is active", number("/gone"), number("/generations/active/number"));
        }
        Ok(())
    }
}
