//! A file of JSON, replaced as a whole.

use super::Records;
use crate::error::{Context as _, Error, Kind, Result};
use serde_json::Value;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file; it need not exist. Several tasks write it.
pub struct File(pub PathBuf, Mutex<()>);

impl File {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path, Mutex::default())
    }

    fn at(&self, error: Error) -> Error {
        error.at("file", self.0.display()).remedy("make it readable and writable, or move it away to start without it")
    }

    pub(super) fn load(&self) -> Result<Records> {
        match fs::read(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Records::new()),
            read => {
                let bytes = read.or_kind(Kind::Io, "cannot read the state file").map_err(|e| self.at(e))?;
                serde_json::from_slice(&bytes).or_kind(Kind::Io, "the state file is no JSON").map_err(|e| self.at(e))
            }
        }
    }

    pub(super) fn put(&self, key: &str, value: Value) -> Result<()> {
        let _turn = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = self.load()?;
        records.insert(key.to_owned(), value);
        let mut name = self.0.clone().into_os_string();
        name.push(".new");
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(&name)?;
            file.write_all(&serde_json::to_vec_pretty(&records)?)?;
            file.sync_all()?;
            fs::rename(&name, &self.0)?;
            // The new name too must survive a power cut.
            let parent = self.0.parent().filter(|p| !p.as_os_str().is_empty());
            fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().or_kind(Kind::Io, "cannot write the state file").map_err(|e| self.at(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        assert!(File::new(path.clone()).load().expect("loads").is_empty());
        File::new(path.clone()).put("a", Value::from(1)).expect("puts");
        File::new(path.clone()).put("b", Value::from("x")).expect("puts");
        File::new(path.clone()).put("a", Value::from(2)).expect("puts");
        let records = File::new(path.clone()).load().expect("loads");
        assert_eq!(records.into_iter().collect::<Vec<_>>(), [("a".to_owned(), Value::from(2)), ("b".to_owned(), Value::from("x"))]);
        fs::write(&path, "{").expect("writes");
        assert_eq!(File::new(path).load().expect_err("broken").kind(), Kind::Io);
    }
}
