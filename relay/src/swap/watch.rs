//! Changes of files: components that are watched.

use super::history::Way;
use super::request::{Choices, Denied, Module, Request};
use super::{Configured, Control, Outcome};
use crate::transform::{digest, read};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Between two looks. Looking works on every file system, and where an
/// orchestrator swaps a link to a directory; notification does not.
const GLANCE: Duration = Duration::from_millis(250);

/// What shows that a file changed: when, its size, and which file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(Option<SystemTime>, u64, u64);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self(meta.modified().ok(), meta.len(), inode))
    }
}

/// What is known of a watched file.
#[derive(Default)]
struct Seen {
    /// As it was when it was last dealt with.
    settled: Option<Stamp>,
    /// As it was at the last look.
    last: Option<Stamp>,
    /// The component that was last tried; a file touched again is no change.
    digest: Option<String>,
}

impl Control {
    /// Swaps components in whose files change; for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut seen: HashMap<String, Seen> = HashMap::new();
        for entry in self.watched() {
            let stamp = Stamp::of(&entry.local);
            let digest = self.digest_of(&entry.spec.name);
            // It may have changed since it was loaded.
            let loaded = read(&entry.local).is_ok_and(|bytes| Some(crate::transform::digest(&bytes)) == digest);
            seen.insert(entry.spec.name.clone(), Seen { settled: stamp.filter(|_| loaded), last: stamp, digest });
        }
        loop {
            tokio::time::sleep(GLANCE).await;
            if self.state().candidate.is_some() || !self.owns() {
                continue;
            }
            for entry in self.watched() {
                let now = Stamp::of(&entry.local);
                let known = seen.entry(entry.spec.name.clone()).or_default();
                // Twice the same: whoever writes it has finished, or rests.
                let rests = known.last == now;
                known.last = now;
                if now.is_none() || known.settled == now || !rests {
                    continue;
                }
                known.settled = now;
                self.try_file(&entry.spec.name, &entry.local, known).await;
            }
        }
    }

    fn watched(&self) -> Vec<Configured> {
        self.state().configured.iter().filter(|c| c.watch).cloned().collect()
    }

    /// Digest of the component that is active under this name.
    fn digest_of(&self, transform: &str) -> Option<String> {
        let state = self.state();
        let mut stages = state.active.chain.stages();
        stages.find(|(spec, _)| spec.name == transform).map(|(_, digest)| digest.to_owned())
    }

    async fn try_file(self: &Arc<Self>, transform: &str, path: &Path, known: &mut Seen) {
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::warn!(transform, "the watched file changed and cannot be used: {error}"),
        };
        let found = digest(&bytes);
        if known.digest.as_ref() == Some(&found) {
            return;
        }
        known.digest = Some(found.clone());
        if self.digest_of(transform).is_some_and(|active| active == found) {
            return;
        }
        let request =
            Request { transform: transform.to_owned(), module: Module::Bytes(bytes.into()), digest: None, choices: Choices::default() };
        match self.patiently(request, Way::Watch, &format!("the file {}", path.display())).await {
            Ok(report) if report.outcome == Outcome::Refused => {}
            Ok(_) => {
                if let Some(written) = self.state().configured.iter_mut().find(|c| c.spec.name == transform) {
                    written.digest = found;
                }
                tracing::info!(transform, file = %path.display(), "the watched file was swapped in");
            }
            // Tried again at the next look, until the other is done.
            Err(Denied::Busy(_)) => (known.settled, known.digest) = (None, None),
            Err(denied) => tracing::warn!(transform, "the watched file was not swapped in: {denied}"),
        }
    }
}
