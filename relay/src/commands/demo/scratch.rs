//! The demo's Postgres: the one given, or a scratch server of its own.

use crate::error::{Context as _, Error, Kind, Result};
use crate::source::postgres::{Connection, Target};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Starting a server takes a second; a minute is a failure.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The schema that everything of the demo stands in.
pub(super) const SCHEMA: &str = "relay_demo";

/// See the module.
pub(super) struct Database {
    pub(super) url: String,
    pub(super) found: bool,
    server: Option<Server>,
}

struct Server {
    binaries: PathBuf,
    directory: PathBuf,
}

impl Database {
    /// Uses the given server, or starts one.
    pub(super) async fn open(url: Option<&str>) -> Result<Self> {
        if let Some(url) = url {
            return Ok(Self { url: url.to_owned(), found: true, server: None });
        }
        let (url, server) = tokio::task::spawn_blocking(Server::start)
            .await
            .map_err(|e| Error::new(Kind::Internal, "starting Postgres failed").cause(e))??;
        Ok(Self { url, found: false, server: Some(server) })
    }

    /// A session.
    pub(super) async fn connect(&self) -> Result<Connection> {
        Target::parse(&self.url, "relay/demo", Duration::from_secs(30), Duration::from_secs(10))?.connect().await
    }

    /// Drops what the demo made.
    pub(super) async fn clean_up(self) {
        if let Some(server) = self.server {
            server.stop();
            return;
        }
        let dropped = match self.connect().await {
            Ok(connection) => {
                connection.client.batch_execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")).await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = dropped {
            tracing::warn!(schema = SCHEMA, error, "cannot drop the demo's schema");
        }
    }
}

impl Server {
    fn start() -> Result<(String, Self)> {
        let binaries = find_binaries()?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).or_kind(Kind::Io, "no free port")?.port();
        let directory = std::env::temp_dir().join(format!("relay-demo-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory)
            .or_kind(Kind::Io, "cannot make a scratch directory")
            .map_err(|e| e.at("file", directory.display()))?;
        let server = Self { binaries, directory };
        match server.launch(port) {
            Ok(()) => Ok((format!("postgres://relay@127.0.0.1:{port}/postgres"), server)),
            Err(error) => {
                server.stop();
                Err(error)
            }
        }
    }

    fn launch(&self, port: u16) -> Result<()> {
        let data = self.directory.join("data");
        self.give_to_server_user()?;
        self.run("initdb", &["-D", &data.to_string_lossy(), "-U", "relay", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])?;
        let options = format!(
            "-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c max_prepared_transactions=8"
        );
        let (data, log, seconds) = (data.to_string_lossy().into_owned(), self.directory.join("log"), START_TIMEOUT.as_secs().to_string());
        self.run("pg_ctl", &["-D", &data, "-l", &log.to_string_lossy(), "-w", "-t", &seconds, "-o", &options, "start"])
    }

    /// The server refuses to run as root: it runs as `postgres` then.
    fn server_user() -> Option<(u32, u32)> {
        let id = |flag: &str, user: &[&str]| -> Option<u32> {
            let output = Command::new("id").arg(flag).args(user).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse().ok()
        };
        (id("-u", &[])? == 0).then(|| Some((id("-u", &["postgres"])?, id("-g", &["postgres"])?))).flatten()
    }

    fn give_to_server_user(&self) -> Result<()> {
        #[cfg(unix)]
        if let Some((user, group)) = Self::server_user() {
            std::os::unix::fs::chown(&self.directory, Some(user), Some(group))
                .or_kind(Kind::Io, "cannot hand the scratch directory to user postgres")?;
        }
        Ok(())
    }

    fn run(&self, binary: &str, args: &[&str]) -> Result<()> {
        let mut command = Command::new(self.binaries.join(binary));
        command.args(args).current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        // pg_ctl's server inherits stderr: a file, so that nobody waits for its end.
        let log = self.directory.join("output");
        if let Ok(file) = std::fs::File::create(&log) {
            command.stderr(file);
        }
        #[cfg(unix)]
        if let Some((user, group)) = Self::server_user() {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(group);
        }
        let status = command.status().or_kind(Kind::Io, format!("cannot run {binary}"))?;
        if status.success() {
            return Ok(());
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        Err(Error::new(Kind::DatabaseUnavailable, format!("{binary}: {status}"))
            .guest(said)
            .remedy("give a server with --source, or look into the message above"))
    }

    fn stop(self) {
        let data = self.directory.join("data");
        if data.join("postmaster.pid").exists()
            && let Err(error) = self.run("pg_ctl", &["-D", &data.to_string_lossy(), "-m", "immediate", "-w", "stop"])
        {
            tracing::warn!("{error}");
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "cannot remove the scratch directory");
        }
    }
}

/// The newest server on PATH or where Debian and Red Hat put it.
fn find_binaries() -> Result<PathBuf> {
    let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|e| e.ok().map(|e| e.path().join("bin"))).collect())
        .unwrap_or_default();
    installed.sort();
    installed.reverse();
    installed.push(PathBuf::from("/usr/pgsql/bin"));
    let complete = |directory: &Path| ["initdb", "pg_ctl", "postgres"].iter().all(|b| directory.join(b).is_file());
    installed.into_iter().chain(on_path).find(|d| complete(d)).ok_or_else(|| {
        Error::new(Kind::DatabaseUnavailable, "no Postgres given and none installed")
            .remedy("give --source postgres://…, or install one: apt-get install postgresql")
    })
}
