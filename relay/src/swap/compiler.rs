//! A compiler in a process of its own: `relay compile`, whose product this process
//! finds in the cache.
//!
//! Inside this process it would hold the memory map and the allocator that the lanes
//! share with it, and keep its memory, ten times the component's; and a component
//! made to exhaust it would take the relay with it.

use crate::config::Swap;
use crate::error::{Error, Kind, Result};
use crate::transform::cache;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use tokio::process::Command;
use tokio::runtime::Handle;

/// Where the cache is, and what wasmtime's code depends on.
const PASSED_ON: [&str; 3] = ["HOME", "XDG_CACHE_HOME", "WASMTIME_BACKTRACE_DETAILS"];

/// This program, where it is `relay`.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says which program has `relay compile`. Whoever uses the library and says nothing
/// compiles in its own process.
pub fn use_program(program: PathBuf) {
    // The first is the one that runs.
    drop(PROGRAM.set(program));
}

/// As [`use_program`], with the program that runs.
pub fn use_this_program() {
    // What runs, also if a newer one lies in its place.
    let linux = Path::new("/proc/self/exe");
    if linux.exists() {
        use_program(linux.to_owned());
    } else if let Ok(program) = std::env::current_exe() {
        use_program(program);
    }
}

/// See the module.
#[derive(Clone)]
pub struct Compiler {
    config: Swap,
    runtime: Handle,
}

impl Compiler {
    /// Of this runtime; made within it.
    #[must_use]
    pub fn new(config: Swap) -> Self {
        Self { config, runtime: Handle::current() }
    }

    /// Has this component compiled, so that it is found in the cache; `false` leaves
    /// it to the caller: there is no cache or no program, or the component is invalid.
    /// Blocks; not for threads of the runtime.
    ///
    /// # Errors
    /// `SwapRefused` if the compiler died or took too long: it would here, too.
    pub fn compile(&self, component: &Path) -> Result<bool> {
        let Some(program) = PROGRAM.get().filter(|_| cache::is_kept()) else { return Ok(false) };
        let refused =
            |what: String, remedy: &'static str| Error::new(Kind::SwapRefused, what).at("file", component.display()).remedy(remedy);
        let limit = self.config.compile_time;
        let ended = self.runtime.block_on(async {
            let mut process = self.command(program, component).spawn().ok()?;
            Some(tokio::time::timeout(limit, process.wait()).await)
        });
        match ended {
            // An old kernel, a sandbox.
            None | Some(Ok(Err(_))) => Ok(false),
            Some(Ok(Ok(status))) if status.code().is_some() => Ok(status.success()),
            Some(Ok(Ok(status))) => Err(refused(
                format!("the compiler died: {status}"),
                "is there memory for ten times the component? Else please report it, with the component",
            )),
            Some(Err(_)) => {
                Err(refused(format!("compiling took longer than {limit:?}"), "make the component smaller, or raise swap.compile_time"))
            }
        }
    }

    fn command(&self, program: &Path, component: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("compile").arg("--niceness").arg(self.config.compile_niceness.to_string()).arg("--").arg(component);
        // Neither passwords nor tokens are its business.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed)));
        command.env("RAYON_NUM_THREADS", self.config.compile_threads.to_string()).env("RUST_LOG", "off");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }
}
