//! `relay inspect`.

use super::component::{Component, Setup, locate};
use crate::error::{Error, Kind, Result};
use crate::suite::on_lane_stack;
use crate::transform::{Anatomy, Engine, Manifest, Workbench, read};
use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `relay inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  relay inspect mask.wasm --settings '{\"mask\":\"card\"}'

Exit codes: 0 it can be used, 4 it cannot, or refuses the settings that were given.")]
pub struct Inspect {
    /// The component, the directory it is in, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM", default_value = ".")]
    component: PathBuf,
    #[command(flatten)]
    setup: Setup,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What a trial says.
struct Verdict {
    error: Option<Error>,
    /// Linear memory of a fresh instance, in bytes.
    memory: usize,
}

impl Inspect {
    /// Prints what is known of a component, then fails if it cannot be used.
    ///
    /// # Errors
    /// `Component` or `SettingsRefused`.
    pub async fn execute(self) -> Result<()> {
        let component = locate(&self.component).await?;
        tokio::task::block_in_place(|| self.run(&component))
    }

    fn run(&self, component: &Component) -> Result<()> {
        let path = &component.path;
        let failed = |e: Error| e.at("file", path.display());
        let bytes = read(path)?;
        let anatomy = Anatomy::read(&bytes).map_err(failed)?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let verdict = self.trial(component)?;
        // Without settings, a refusal only tells what is needed.
        let asked = self.setup.settings.trim() != "{}";
        let usable = verdict.error.as_ref().is_none_or(|error| error.kind() == Kind::SettingsRefused && !asked);
        if self.json {
            let reason = verdict.error.as_ref().map(Error::what);
            let about = json!({ "component": path, "digest": digest, "bytes": bytes.len(), "usable": usable, "reason": reason,
                "memory": verdict.memory, "anatomy": anatomy });
            anstream::println!("{about}");
        } else {
            anstream::print!("{}", describe(path, &digest, bytes.len(), &anatomy, &verdict));
        }
        match verdict.error {
            Some(error) if !usable => Err(error),
            _ => Ok(()),
        }
    }

    /// Loads and creates it as a relay does.
    fn trial(&self, component: &Component) -> Result<Verdict> {
        let spec = self.setup.stage(component)?;
        let engine = Engine::new(std::slice::from_ref(&spec.limits))?;
        let tried = engine.load(&spec.path).and_then(|module| {
            let mut bench = Workbench::new(&engine, &module, &spec);
            on_lane_stack(|| bench.renew().map(|()| bench.memory()))?
        });
        Ok(match tried {
            Ok(memory) => Verdict { error: None, memory },
            Err(error) => Verdict { error: Some(error.at("file", spec.path.display())), memory: 0 },
        })
    }
}

fn describe(path: &Path, digest: &str, bytes: usize, anatomy: &Anatomy, verdict: &Verdict) -> String {
    let mut out = format!("{}\n", path.display());
    let mut line = |name: &str, text: &str| {
        let _ = writeln!(out, "  {name:<10}{text}");
    };
    line("digest", digest);
    line(
        "size",
        &format!(
            "{bytes} bytes: {} of code in {} functions, {} of data, {} of names, {} of DWARF; {} core modules",
            anatomy.code, anatomy.functions, anatomy.data, anatomy.names, anatomy.debug, anatomy.modules
        ),
    );
    let list = |items: &[String]| if items.is_empty() { "nothing".to_owned() } else { items.join(", ") };
    line("imports", &list(&anatomy.imports));
    line("exports", &list(&anatomy.exports));
    if !anatomy.languages.is_empty() {
        line("language", &anatomy.languages.join(", "));
    }
    if !anatomy.tools.is_empty() {
        line("built by", &anatomy.tools.join(", "));
    }
    match &anatomy.manifest {
        Some(Manifest::Read(manifest)) => {
            let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or("?");
            line("says", &format!("{} {}", text("name"), text("version")));
            if let Some(schema) = manifest.get("settings").and_then(Value::as_object) {
                settings(schema, &mut out);
            }
        }
        Some(Manifest::Broken(why)) => line("says", &format!("a manifest that cannot be read: {why}")),
        None => line("settings", "it does not say which it takes"),
    }
    let verdict = match &verdict.error {
        None => format!("a transform; an instance has {} bytes of memory", verdict.memory),
        Some(error) if error.kind() == Kind::SettingsRefused => {
            format!("a transform; {}: {}", error.what(), error.said().unwrap_or_default())
        }
        Some(error) => format!("refused: {}", error.what()),
    };
    let _ = writeln!(out, "  {:<10}{verdict}", "verdict");
    // Much of it is the component's word, and the terminal obeys control characters.
    out.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The properties of a JSON Schema, one a line.
fn settings(schema: &Map<String, Value>, out: &mut String) {
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut heading = "settings";
    for (name, property) in properties {
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        let _ = write!(out, "  {heading:<10}{name}: {}", text("type").unwrap_or("any"));
        if required.contains(&name.as_str()) {
            out.push_str(", required");
        }
        if let Some(default) = property.get("default") {
            let _ = write!(out, " = {default}");
        }
        if let Some(description) = text("description") {
            let _ = write!(out, "; {description}");
        }
        out.push('\n');
        heading = "";
    }
}
