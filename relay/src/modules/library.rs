//! Components by the digest of their bytes, in a directory of the pipeline.

use crate::config::Modules;
use crate::error::{Context as _, Error, Kind, Result};
use crate::transform::digest;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How the files end.
const ENDING: &str = "wasm";

/// Under it, by the digest of a registry's manifest, the digest of the component.
const MANIFESTS: &str = "oci";

/// See the module. A file's time of change is when it was last used.
#[derive(Clone, Debug)]
pub struct Library {
    directory: PathBuf,
    /// Its bounds, and a registry's.
    pub(super) config: Modules,
}

impl Library {
    /// The library of a pipeline; nothing is made yet.
    ///
    /// # Errors
    /// `Config` where neither the configuration nor the environment names a place.
    pub fn find(config: &Modules, pipeline: &str) -> Result<Self> {
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share"));
        let data = || std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).or_else(home).filter(|path| path.is_absolute());
        // Of the pipeline's own: what another one needs is not known here.
        let directory = config.directory.clone().or_else(|| Some(data()?.join("relay").join("modules")));
        let directory = directory.map(|directory| directory.join(pipeline));
        let directory = directory.ok_or_else(|| {
            Error::new(Kind::Config, "there is no place for modules: neither XDG_DATA_HOME nor HOME is set")
                .at("field", "modules.directory")
                .remedy("set modules.directory")
        })?;
        Ok(Self { directory, config: config.clone() })
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(digest).with_extension(ENDING)
    }

    fn failed(&self, error: Error) -> Error {
        error.at("directory", self.directory.display()).remedy("make it a directory this user may write, or set modules.directory")
    }

    /// Keeps a component; durable when this returns. Its path.
    ///
    /// # Errors
    /// `Io`, naming the directory.
    pub fn put(&self, bytes: &[u8]) -> Result<PathBuf> {
        let digest = digest(bytes);
        if let Some(path) = self.get(&digest)? {
            return Ok(path);
        }
        let path = self.path(&digest);
        self.write(&path, bytes)?;
        Ok(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let write = || -> std::io::Result<()> {
            let parent = path.parent().unwrap_or(&self.directory);
            fs::create_dir_all(parent)?;
            private(&self.directory)?;
            // Two processes may write the same component at once.
            let new = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = File::create(&new)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            File::open(parent)?.sync_all()
        };
        write().or_kind(Kind::Io, "cannot keep a module").map_err(|e| self.failed(e))
    }

    /// The path of a component that is kept and whole.
    ///
    /// # Errors
    /// `Io` if it is there and cannot be read.
    pub fn get(&self, wanted: &str) -> Result<Option<PathBuf>> {
        // It comes from outside, and becomes a file's name.
        if wanted.len() != 64 || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let path = self.path(wanted);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.or_kind(Kind::Io, "cannot read a module that is kept").map_err(|e| self.failed(e))?,
        };
        if digest(&bytes) != wanted {
            tracing::warn!(file = %path.display(), "a module that is kept is not what its name says; it is left out");
            return Ok(None);
        }
        // Only the order of collection hangs on it.
        let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(path))
    }

    /// The component that a registry's manifest stands for, if it was fetched before.
    pub(super) fn of_manifest(&self, manifest: &str) -> Option<PathBuf> {
        let digest = fs::read_to_string(self.directory.join(MANIFESTS).join(manifest)).ok()?;
        self.get(digest.trim()).ok()?
    }

    /// Remembers that.
    pub(super) fn name_manifest(&self, manifest: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.put(bytes)?;
        self.write(&self.directory.join(MANIFESTS).join(manifest), digest(bytes).as_bytes())?;
        Ok(path)
    }

    /// Removes what was not used for longest until the rest fits, and nothing of
    /// `keep`. How many went.
    ///
    /// # Errors
    /// `Io`, naming the directory.
    pub fn collect(&self, keep: &HashSet<String>) -> Result<usize> {
        let mut found = Vec::new();
        let mut total = 0;
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            read => read.or_kind(Kind::Io, "cannot list the modules").map_err(|e| self.failed(e))?,
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|e| e == ENDING)) {
            // Another process may have removed it just now.
            let Ok(meta) = path.metadata() else { continue };
            total += meta.len();
            found.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), path));
        }
        found.sort();
        let mut gone = 0;
        for (_, size, path) in found {
            let kept = path.file_stem().is_some_and(|digest| keep.contains(&*digest.to_string_lossy()));
            if total <= self.config.max_bytes.as_u64() || kept {
                continue;
            }
            if fs::remove_file(&path).is_ok() {
                total -= size;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

/// What lies there is executed.
fn private(directory: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytesize::ByteSize;
    use std::time::Duration;

    fn library(directory: &Path, max_bytes: u64) -> Library {
        let config = Modules { directory: Some(directory.join("modules")), max_bytes: ByteSize(max_bytes), ..Modules::default() };
        Library::find(&config, "p").expect("a library")
    }

    #[test]
    fn what_is_put_is_there_by_its_digest_and_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let library = library(directory.path(), 1000);
        let path = library.put(b"one").expect("puts");
        assert_eq!(library.put(b"one").expect("puts again"), path);
        assert_eq!(library.get(&digest(b"one")).expect("reads"), Some(path.clone()));
        assert_eq!(library.get(&digest(b"two")).expect("reads"), None);
        assert_eq!(library.get("../../etc/passwd").expect("reads"), None);
        fs::write(&path, b"damaged").expect("writes");
        assert_eq!(library.get(&digest(b"one")).expect("reads"), None);
        assert_eq!(library.put(b"one").expect("mends"), path);
        assert_eq!(fs::read(path).expect("reads"), b"one");
    }

    #[test]
    fn the_oldest_go_and_never_what_is_needed() {
        let directory = tempfile::tempdir().expect("a directory");
        let library = library(directory.path(), 25);
        let names: Vec<String> = (0..4_u8)
            .map(|n| {
                let bytes = [n; 10];
                let path = library.put(&bytes).expect("puts");
                let used = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(n));
                File::options().write(true).open(path).and_then(|file| file.set_modified(used)).expect("dates it");
                digest(&bytes)
            })
            .collect();
        let gone = library.collect(&HashSet::from([names[0].clone()])).expect("collects");
        assert_eq!(gone, 2);
        let left: Vec<bool> = names.iter().map(|name| library.get(name).expect("reads").is_some()).collect();
        assert_eq!(left, [true, false, false, true]);
    }
}
