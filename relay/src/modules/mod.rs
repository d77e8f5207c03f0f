//! Where components come from and where those that were swapped in are kept: a
//! path, a registry, a local library by digest.

mod library;
mod registry;

pub use library::Library;

use crate::error::Result;
use std::path::{Path, PathBuf};

/// How a reference to a registry begins.
const SCHEME: &str = "oci://";

/// Whether this is a reference to a registry and not a file.
#[must_use]
pub fn is_remote(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.starts_with(SCHEME))
}

/// What a component is called where nobody named it: its file's stem, or the last
/// part of its repository.
#[must_use]
pub fn name_of(path: &Path) -> Option<String> {
    match path.to_str().and_then(|text| text.strip_prefix(SCHEME)) {
        Some(reference) => {
            let repository = reference.split('@').next()?.rsplit('/').next()?;
            repository.split(':').next().map(str::to_owned)
        }
        None => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
    }
}

/// The file of a component: the path itself, or what the registry has under that
/// digest, from the library where it is there already. At most `limit` bytes.
///
/// # Errors
/// `Component` if the reference has no digest, or the registry does not give it.
pub async fn local(path: &Path, library: &Library, limit: u64) -> Result<PathBuf> {
    match path.to_str().and_then(|text| text.strip_prefix(SCHEME)) {
        Some(reference) => registry::fetch(reference, library, limit).await.map_err(|e| e.at("file", path.display())),
        None => Ok(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let name = |path: &str| name_of(Path::new(path)).unwrap_or_default();
        assert_eq!(name("a/redact.wasm"), "redact");
        assert_eq!(name("oci://ghcr.io/acme/mask@sha256:ab"), "mask");
        assert_eq!(name("oci://localhost:5000/mask:v1@sha256:ab"), "mask");
        assert!(is_remote(Path::new("oci://x")) && !is_remote(Path::new("./oci/x.wasm")));
    }
}
