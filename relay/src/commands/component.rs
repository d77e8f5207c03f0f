//! How the commands for transforms find a component.

use crate::config::{Limits, Modules, OnFailure, Swap, When};
use crate::error::{Context as _, Error, Kind, Result};
use crate::modules::{Library, is_remote, local, name_of};
use crate::transform::StageSpec;
use clap::Args;
use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How a component's file begins (source: WebAssembly component model, *Binary format*).
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// The library of these commands; no pipeline can be called so.
const LIBRARY: &str = "@commands";

/// A component, what it is called, and the directory it is the product of.
#[derive(Clone)]
pub(crate) struct Component {
    /// The file.
    pub(crate) path: PathBuf,
    /// As it was named.
    pub(crate) name: String,
    /// Where its cases lie.
    pub(crate) directory: PathBuf,
}

/// The component that a path means: what a registry has under a reference, the file
/// itself, or the only one in that directory.
pub(crate) async fn locate(path: &Path) -> Result<Component> {
    if !is_remote(path) {
        return on_disk(path);
    }
    // As where relay.toml says nothing of it.
    let library = Library::find(&Modules::default(), LIBRARY)?;
    let fetched = local(path, &library, Swap::default().max_component.as_u64()).await?;
    let kept = fetched.file_stem().map(|digest| digest.to_string_lossy().into_owned());
    library.collect(&HashSet::from_iter(kept))?;
    // Its cases are not at the registry; those of this directory may be its own.
    Ok(Component { path: fetched, name: name_of(path).unwrap_or_default(), directory: PathBuf::new() })
}

/// As [`locate`], for what is no reference to a registry.
pub(crate) fn on_disk(path: &Path) -> Result<Component> {
    let failed = |e: Error| e.at("path", path.display());
    let meta = std::fs::metadata(path).or_kind(Kind::Component, "there is no such component or directory").map_err(failed)?;
    if !meta.is_dir() {
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        return Ok(Component { path: path.to_owned(), name: name_of(path).unwrap_or_default(), directory });
    }
    let entries = std::fs::read_dir(path).or_kind(Kind::Component, "cannot read the directory").map_err(failed)?;
    let plain = |file: PathBuf| file.strip_prefix(".").map(Path::to_owned).unwrap_or(file);
    let files = entries.filter_map(|entry| Some(plain(entry.ok()?.path())));
    let mut found: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "wasm")).collect();
    found.sort();
    // A build may leave the core module beside the component made of it.
    let components: Vec<PathBuf> = found.iter().filter(|file| is_component(file)).cloned().collect();
    if !components.is_empty() {
        found = components;
    }
    match found.as_slice() {
        [one] => {
            let directory = path.strip_prefix(".").unwrap_or(path).to_owned();
            Ok(Component { path: one.clone(), name: name_of(one).unwrap_or_default(), directory })
        }
        [] => Err(failed(Error::new(Kind::Component, "no .wasm file in the directory")).remedy("build the component first, or name it")),
        several => {
            let names: Vec<_> = several.iter().map(|file| file.display().to_string()).collect();
            Err(failed(Error::new(Kind::Component, format!("several components: {}", names.join(", ")))).remedy("name the one to use"))
        }
    }
}

fn is_component(file: &Path) -> bool {
    let mut preamble = [0; 8];
    let read = std::fs::File::open(file).and_then(|mut file| file.read_exact(&mut preamble));
    read.is_ok() && preamble == COMPONENT
}

/// How a component is configured without a configuration file.
#[derive(Clone, Debug, Args)]
pub(crate) struct Setup {
    /// Settings as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub(crate) settings: String,
    /// Topics the transform may choose; * matches any run of characters.
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pub(crate) allow_topic: Vec<String>,
}

impl Setup {
    /// The stage of this component.
    pub(crate) fn stage(&self, component: &Component) -> Result<StageSpec> {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.settings)
            .or_kind(Kind::Config, "--settings is no JSON object")
            .map_err(|e| e.remedy("write it like --settings '{\"fields\":[\"card\"]}'"))?;
        Ok(StageSpec {
            name: component.name.clone(),
            path: component.path.clone(),
            settings: self.settings.clone(),
            limits: Limits::default(),
            when: When::default(),
            topics: self.allow_topic.clone(),
            on_poison: OnFailure::Halt,
        })
    }
}
