//! One engine for the process: compile or load from the cache, check against
//! the contract, keep time.

use super::anatomy::Anatomy;
use super::bindings::{self, TransformPre};
use super::cache;
use super::instance::Guest;
use crate::config::{LANES, Limits};
use crate::error::{Context as _, Error, Kind, Result};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Resolution of deadlines. One tick is one atomic add a millisecond.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// A component larger than this is refused before it is read: CPython with its
/// library is 18 MB, and compiling needs about ten times the size.
const MAX_COMPONENT_BYTES: u64 = 256 << 20;

/// Interfaces a component may import: this package's, and nothing else.
const ALLOWED_IMPORTS: &[&str] = &["relay:transform/host@1.", "relay:transform/types@1."];

/// What it must export.
const WORLD_EXPORT: &str = "relay:transform/transformer@1.";

/// Instances alive at once for each lane: two of each stage while one is being
/// replaced, and four stages; more stages make a larger pool.
const INSTANCES_PER_STAGE: u32 = 2;

/// Core modules inside one component: SpiderMonkey brings a handful of adapters,
/// and a componentized CPython with its library is 38 modules.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// See the module.
#[derive(Clone)]
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Arc<Linker<Guest>>,
    metered: bool,
}

/// What an engine is for.
#[derive(Clone, Copy)]
struct Mode {
    metered: bool,
    cached: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self { metered: false, cached: true }
    }
}

/// A checked component, compiled for this process.
#[derive(Clone)]
pub struct Module {
    pre: TransformPre<Guest>,
    digest: String,
    size: u64,
    path: Option<PathBuf>,
}

impl Module {
    /// sha256 of the file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest's first 12 digits, for people.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        &self.digest[..12]
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its file, if it is from one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(super) fn pre(&self) -> &TransformPre<Guest> {
        &self.pre
    }
}

impl Engine {
    /// An engine whose pool fits the given limits, one set a stage.
    ///
    /// # Errors
    /// `Internal` where the machine cannot give the address space.
    pub fn new(limits: &[Limits]) -> Result<Self> {
        Self::build(limits, limits.len(), Mode::default())
    }

    /// For one component at a time, under any of these limits. It also counts the
    /// guest's instructions, and finds file and line of a trap where the component
    /// carries DWARF; code runs slower.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn metered(limits: &[Limits]) -> Result<Self> {
        Self::build(limits, 1, Mode { metered: true, ..Mode::default() })
    }

    /// As [`Engine::new`], and every component is compiled anew.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn uncached(limits: &[Limits]) -> Result<Self> {
        Self::build(limits, limits.len(), Mode { cached: false, ..Mode::default() })
    }

    fn build(limits: &[Limits], stages: usize, mode: Mode) -> Result<Self> {
        let Mode { metered, cached } = mode;
        let stages = u32::try_from(stages.max(1)).unwrap_or(u32::MAX);
        let memory = limits.iter().map(|l| l.memory.as_u64()).max().unwrap_or(64 << 20);
        let tables = limits.iter().map(|l| l.table_elements).max().unwrap_or(50_000);
        let stack = limits.iter().map(|l| l.stack.as_u64()).max().unwrap_or(512 << 10);
        let components = stages.saturating_mul(INSTANCES_PER_STAGE).saturating_mul(LANES as u32);

        let mut pool = PoolingAllocationConfig::default();
        pool.total_component_instances(components)
            .total_core_instances(components.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
            .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
            .total_memories(components.saturating_mul(2))
            .max_memories_per_component(4)
            .total_tables(components.saturating_mul(4))
            .max_tables_per_component(8)
            .max_tables_per_module(4)
            .table_elements(tables as usize)
            .max_memory_size(usize::try_from(memory).unwrap_or(usize::MAX))
            // Freed slots give their pages back at once: a replaced instance
            // must not keep what its leak had touched.
            .linear_memory_keep_resident(0)
            .max_unused_warm_slots(LANES as u32);

        let mut config = Config::new();
        config
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .epoch_interruption(true)
            .consume_fuel(metered)
            .wasm_backtrace_details(if metered { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Environment })
            .concurrency_support(false)
            .cranelift_nan_canonicalization(true)
            .relaxed_simd_deterministic(true)
            .max_wasm_stack(usize::try_from(stack).unwrap_or(usize::MAX))
            .memory_init_cow(true)
            .cache(if cached { cache::open() } else { None });
        let engine = wasmtime::Engine::new(&config)
            .or_kind(Kind::Internal, "cannot start the Wasm engine")
            .map_err(|e| e.remedy("the pool reserves address space: check `ulimit -v`, or lower limits.memory"))?;

        let weak = engine.weak();
        std::thread::Builder::new()
            .name("wasm-ticker".into())
            .spawn(move || tick(&weak))
            .or_kind(Kind::Internal, "cannot start the ticker thread")?;

        let mut linker = Linker::new(&engine);
        bindings::add_to_linker::<_, wasmtime::component::HasSelf<Guest>>(&mut linker, |guest| guest).or_kind(Kind::Internal, "linker")?;
        Ok(Self { engine, linker: Arc::new(linker), metered })
    }

    /// Reads, checks and compiles a component.
    ///
    /// # Errors
    /// `Component`, naming the file and what is wrong with it.
    pub fn load(&self, path: &Path) -> Result<Module> {
        let bytes = read(path)?;
        let mut module = self.compile(&bytes).map_err(|e| e.at("file", path.display()))?;
        module.path = Some(path.to_owned());
        Ok(module)
    }

    /// Checks and compiles a component from memory.
    pub fn compile(&self, bytes: &[u8]) -> Result<Module> {
        check_preamble(bytes)?;
        let digest = digest(bytes);
        let component = Component::new(&self.engine, bytes).map_err(|cause| {
            Error::new(Kind::Component, "not a valid component")
                .cause(cause)
                .at("digest", &digest[..12])
                .remedy("the file is damaged, cut short, or uses a feature this host lacks; build it again")
        })?;
        self.check_world(&component)?;
        let pre = self.linker.instantiate_pre(&component).and_then(TransformPre::new);
        let pre = pre.map_err(|cause| differs(None).cause(cause).at("digest", &digest[..12]))?;
        Ok(Module { pre, digest, size: bytes.len() as u64, path: None })
    }

    /// The contract in words, before wasmtime's type checker speaks.
    fn check_world(&self, component: &Component) -> Result<()> {
        let ty = component.component_type();
        check_names(ty.imports(&self.engine).map(|(name, _)| name), ty.exports(&self.engine).map(|(name, _)| name))
    }

    /// Whether the guest's instructions are counted.
    pub(super) fn is_metered(&self) -> bool {
        self.metered
    }

    pub(super) fn inner(&self) -> &wasmtime::Engine {
        &self.engine
    }
}

/// sha256 in hexadecimal: how a component is named everywhere.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Whether this can be a transform, as far as can be seen without compiling it.
///
/// # Errors
/// `Component`, saying what it is instead.
pub fn check_contract(bytes: &[u8]) -> Result<()> {
    check_preamble(bytes)?;
    let found = Anatomy::read(bytes)?;
    check_names(found.imports.iter().map(String::as_str), found.exports.iter().map(String::as_str))
}

/// The contract by the names of what a component imports and exports.
fn check_names<'a>(imports: impl Iterator<Item = &'a str>, exports: impl Iterator<Item = &'a str>) -> Result<()> {
    for name in imports {
        if !ALLOWED_IMPORTS.iter().any(|allowed| name.starts_with(allowed)) {
            let wasi = if name.starts_with("wasi:") { "; build it without WASI" } else { "" };
            return Err(Error::new(Kind::Component, format!("imports `{name}`, which a transform may not"))
                .remedy(format!("a transform imports only relay:transform/host{wasi}")));
        }
    }
    let exports: Vec<_> = exports.collect();
    if !exports.iter().any(|name| name.starts_with(WORLD_EXPORT)) {
        let found = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
        return Err(Error::new(Kind::Component, format!("does not export `{WORLD_EXPORT}0.0`; it exports {found}"))
            .remedy("build it for the world `transform` of wit/transform.wit"));
    }
    Ok(())
}

/// A component of another contract, and where it differs.
pub(super) fn differs(what: Option<String>) -> Error {
    let what = what.map(|what| format!(": {what}")).unwrap_or_default();
    Error::new(Kind::Component, format!("differs from the contract relay:transform@1.0.0{what}"))
        .remedy("build it against wit/transform.wit of this release")
}

/// Reads a file that may be a component or a core module.
///
/// # Errors
/// `Component` for one that is neither or too large, naming it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let at = |e: Error| e.at("file", path.display());
    let remedy = "give the path of a .wasm component; `make transforms` builds the examples";
    let failed = |e: Error| at(e).remedy(remedy);
    let meta = std::fs::metadata(path).or_kind(Kind::Component, "cannot read the component").map_err(failed)?;
    if meta.len() > MAX_COMPONENT_BYTES {
        let what = format!("the file has {} bytes, the limit is {MAX_COMPONENT_BYTES}", meta.len());
        return Err(failed(Error::new(Kind::Component, what)));
    }
    let bytes = std::fs::read(path).or_kind(Kind::Component, "cannot read the component").map_err(failed)?;
    if bytes.starts_with(b"\0asm") { Ok(bytes) } else { check_preamble(&bytes).map(|()| bytes).map_err(at) }
}

/// Keeps time until the engine is gone, which it therefore holds weakly.
#[expect(clippy::disallowed_methods, reason = "this thread is the clock")]
fn tick(engine: &wasmtime::EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        std::thread::sleep(TICK);
    }
}

/// Tells a component from a core module, a text file and a stub of a file.
fn check_preamble(bytes: &[u8]) -> Result<()> {
    let what = match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => "a core module, not a component: wrap it with `wasm-tools component new`",
        [0, b'a', b's', b'm', ..] => "Wasm of an unknown version",
        [] => "an empty file",
        _ => "not WebAssembly",
    };
    Err(Error::new(Kind::Component, format!("this is {what}")).remedy("build it for the world `transform` of wit/transform.wit"))
}
