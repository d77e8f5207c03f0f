//! What was compiled before, by this process or by another of the same relay.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use wasmtime::{Cache, CacheConfig};

/// In a directory only this user may enter: what lies in it is executed. Without a
/// usable directory, every start compiles anew.
static CACHE: LazyLock<Option<Cache>> = LazyLock::new(|| make(&directory()?));

pub(super) fn open() -> Option<Cache> {
    CACHE.clone()
}

/// Whether what is compiled here is there for the next who needs it.
#[must_use]
pub fn is_kept() -> bool {
    CACHE.is_some()
}

/// How often this process found something in it.
#[must_use]
pub fn hits() -> usize {
    CACHE.as_ref().map_or(0, Cache::cache_hits)
}

fn make(directory: &Path) -> Option<Cache> {
    std::fs::create_dir_all(directory).ok()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700)).ok()?;
    }
    let mut config = CacheConfig::new();
    config.with_directory(directory);
    match Cache::new(config) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "no compilation cache; every start compiles");
            None
        }
    }
}

fn directory() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    base.is_absolute().then(|| base.join("relay").join("aot"))
}
