//! `relay compile`.

use super::component::locate;
use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use crate::priority::{be_nice, serve_the_parent};
use crate::transform::{Engine, cache};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `relay compile`.
#[derive(Debug, Args)]
#[command(after_help = "A start, and a swap, find there what was compiled by the same relay on such a machine: \
$XDG_CACHE_HOME/relay/aot, or ~/.cache/relay/aot.

Example:
  relay compile redact.wasm route.wasm

Exit codes: 0 they are there, 3 there is no directory for it, 4 one cannot be used.")]
pub struct Compile {
    /// Components, the directories they are in, or oci://…@sha256:….
    #[arg(value_name = "DIR|WASM", required = true)]
    components: Vec<PathBuf>,
    /// On behalf of a running relay, to which it gives way.
    #[arg(long, value_name = "0…19", hide = true)]
    niceness: Option<i32>,
}

impl Compile {
    /// Compiles each that is not in the cache.
    ///
    /// # Errors
    /// `Config` without a cache; `Component`.
    pub async fn execute(self) -> Result<()> {
        if let Some(niceness) = self.niceness {
            serve_the_parent();
            be_nice(niceness);
        }
        if !cache::is_kept() {
            return Err(Error::new(Kind::Config, "there is no directory for what is compiled")
                .remedy("set XDG_CACHE_HOME, or HOME, to a directory that can be written to"));
        }
        // Limits are kept when it runs; what is compiled is the same under all of them.
        let engine = Engine::new(&[Limits::default()])?;
        for component in &self.components {
            let component = locate(component).await?;
            tokio::task::block_in_place(|| compile(&engine, &component.path))?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
fn compile(engine: &Engine, path: &Path) -> Result<()> {
    let (started, before) = (Instant::now(), cache::hits());
    let module = engine.load(path)?;
    let word = if cache::hits() == before { "compiled" } else { "was there" };
    println!("{} {} {word} {:.2?}", module.short_digest(), path.display(), started.elapsed());
    Ok(())
}
