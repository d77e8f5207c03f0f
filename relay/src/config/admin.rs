//! `[admin]`.

use super::limits;
use crate::error::{Context as _, Error, Kind, Result};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The HTTP port. What changes something, or tells what is at work, wants the token.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port, such as `127.0.0.1:7070`; none where left out.
    pub listen: Option<std::net::SocketAddr>,
    /// Who has it may swap transforms; best from the environment, `${RELAY_ADMIN_TOKEN}`.
    pub token: Option<String>,
    /// A file that holds it, relative to the configuration file.
    pub token_file: Option<PathBuf>,
    /// Connections at a time; more wait. Probes, a scraper and an operator are five.
    pub connections: usize,
    /// A client that takes longer to send its request's head is cut off.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// And one that takes longer to send a component: 64 MiB take a minute at 9 Mbit/s.
    #[serde(with = "humantime_serde")]
    pub upload_timeout: Duration,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: None,
            token: None,
            token_file: None,
            connections: 32,
            head_timeout: Duration::from_secs(10),
            upload_timeout: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("listen", &self.listen).field("token", &self.token.as_ref().map(|_| "…")).finish_non_exhaustive()
    }
}

/// A shorter token could be guessed.
const TOKEN: usize = 16;

impl Admin {
    pub(super) fn validate(&self) -> Result<()> {
        limits::at_least(&[
            ("admin.connections", self.connections as u64, 1),
            ("admin.head_timeout (ms)", limits::millis(self.head_timeout), 1),
            ("admin.upload_timeout (ms)", limits::millis(self.upload_timeout), 1),
        ])?;
        // More than a process has file descriptors.
        if self.connections > usize::from(u16::MAX) {
            let what = format!("admin.connections is {}, must be at most {}", self.connections, u16::MAX);
            return Err(Error::new(Kind::Config, what).at("field", "admin.connections"));
        }
        Ok(())
    }

    /// The token, if there is one.
    ///
    /// # Errors
    /// `Config` if its file cannot be read, or it is too short.
    pub fn token(&self) -> Result<Option<String>> {
        let (token, field) = match (&self.token, &self.token_file) {
            (Some(_), Some(_)) => {
                return Err(Error::new(Kind::Config, "admin.token and admin.token_file: give one of them").at("field", "admin.token"));
            }
            (Some(token), None) => (token.clone(), "admin.token"),
            (None, Some(file)) => {
                let read = std::fs::read_to_string(file).or_kind(Kind::Config, "cannot read the admin token");
                (read.map_err(|e| e.at("field", "admin.token_file").at("file", file.display()))?, "admin.token_file")
            }
            (None, None) => return Ok(None),
        };
        let token = token.trim().to_owned();
        if token.len() < TOKEN {
            return Err(Error::new(Kind::Config, format!("the admin token has {} characters, must have at least {TOKEN}", token.len()))
                .at("field", field)
                .remedy("make one with `openssl rand -hex 32`"));
        }
        Ok(Some(token))
    }
}
