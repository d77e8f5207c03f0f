//! The relay as a user runs it: a process.

use super::eventually;
use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Longer than anything here takes on two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running relay; killed when dropped, its log printed when the test fails.
pub struct Relay {
    child: Child,
    args: Vec<String>,
    directory: tempfile::TempDir,
}

/// What a finished relay left behind.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Relay {
    /// Starts it with these arguments.
    pub fn start<S: AsRef<str>>(args: &[S]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts it with these arguments and environment.
    pub fn start_with<S: AsRef<str>>(args: &[S], env: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_relay")), args, env)
    }

    /// Starts it where no file can grow beyond so many KiB, its log included.
    pub fn start_on_full_disk<S: AsRef<str>>(args: &[S], kib: u32) -> Self {
        let mut shell = Command::new("bash");
        // Without the signal a write fails, as on a full disk.
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_relay")]);
        Self::spawn(shell, args, &[])
    }

    fn spawn<S: AsRef<str>>(mut command: Command, args: &[S], env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = |name: &str| File::create(directory.path().join(name)).expect("a file");
        let args: Vec<String> = args.iter().map(|a| a.as_ref().to_owned()).collect();
        let child = command
            .args(&args)
            .env_remove("DATABASE_URL")
            .env_remove("KAFKA_BROKERS")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("relay starts");
        Self { child, args, directory }
    }

    /// Runs it to its end.
    pub fn run<S: AsRef<str>>(args: &[S]) -> Finished {
        Self::start(args).wait()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("stderr")).unwrap_or_default()
    }

    /// Waits until its log contains a text.
    pub fn await_log(&self, text: &str) {
        eventually(&format!("`{text}` in the log of relay {:?}", self.args), PATIENCE, || self.log().contains(text));
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes, if it still runs.
    pub fn rss(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        super::signal(&self.child.id().to_string(), name);
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("waits")
    }

    /// Asks it to stop and waits.
    pub fn stop(self) -> Finished {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let mut status = None;
        eventually(&format!("the end of relay {:?}", self.args), PATIENCE, || {
            status = self.ended();
            status.is_some()
        });
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        Finished { code: status.and_then(|s| s.code()), stdout: read("stdout"), stderr: read("stderr") }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- relay {}\n{}---", self.args.join(" "), self.log());
        }
    }
}

impl Finished {
    /// Demands an exit code and texts in what it said.
    pub fn expect(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "stderr:\n{}", self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "wanted `{text}` in:\n{}", self.stderr);
        }
        self
    }
}
