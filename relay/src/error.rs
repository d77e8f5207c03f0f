//! What can go wrong, where it happened, and what the operator does about it.
//!
//! Every failure that leaves a module is an [`Error`]: a kind, a sentence, the
//! coordinates that find the row or the topic, a remedy, and the cause. The
//! kinds and what follows from them stand in one table, [`Kind::policy`].

use std::fmt;

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Try again for ever, with backoff and the source paused; nothing is lost
    /// meanwhile because the database is the buffer.
    Retry,
    /// The event's own failure: what `on_poison` of the transform says, or `on_refused`
    /// of the sink. Halt where there is nowhere to put dead letters.
    Event,
    /// Stop the relay; the exit code tells a supervisor why.
    Halt,
}

/// The kind of a failure. `code()` is a stable, low-cardinality name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The configuration is unreadable, unknown or contradictory.
    Config,
    /// A component cannot be used: not a component, another world, a forbidden
    /// import.
    Component,
    /// A component's `create` refused the settings.
    SettingsRefused,
    /// The database cannot be reached or went away.
    DatabaseUnavailable,
    /// The database answered, and its answer will not change by itself: wrong
    /// password, missing table, missing column, missing privilege.
    DatabaseUnusable,
    /// The replication slot is not there.
    SlotMissing,
    /// The server cannot serve the slot any more.
    SlotInvalidated,
    /// The slot stands beyond what the relay has published.
    SlotAhead,
    /// Another server answers, or another timeline of it.
    ServerChanged,
    /// The server has less than the relay has published.
    ServerBehind,
    /// No broker answers.
    BrokerUnavailable,
    /// The broker refuses this client: authentication, authorisation, options.
    BrokerUnusable,
    /// A message can never be published: topic missing, too large, partition
    /// out of range.
    MessageRefused,
    /// A transform said `fail(poison)`.
    Poison,
    /// A transform said `fail(halt)`.
    TransformHalt,
    /// A transform trapped or overran a limit, twice, on this event alone.
    Trap,
    /// A transform's answer breaks the contract: wrong number of outcomes, a
    /// topic outside the allow-list, a reserved header.
    Contract,
    /// Relays died while they ran this event alone.
    Deadly,
    /// An input row or line cannot be read as an event.
    BadEvent,
    /// A local file cannot be read or written.
    Io,
    /// Stopped by a signal before everything was published.
    Interrupted,
    /// Acknowledgements outstanding when the drain deadline passed.
    DrainTimeout,
    /// A case of `relay test` is not as it should be.
    TestFailed,
    /// A case of `relay test` cannot be read.
    TestBroken,
    /// A new generation did not pass a gate.
    SwapRefused,
    /// The admin port of a relay does not answer, or refuses.
    Admin,
    /// A defect of the relay itself.
    Internal,
}

impl Kind {
    /// Every kind, for tests and for the documentation.
    pub const ALL: &[Kind] = &[
        Kind::Config,
        Kind::Component,
        Kind::SettingsRefused,
        Kind::DatabaseUnavailable,
        Kind::DatabaseUnusable,
        Kind::SlotMissing,
        Kind::SlotInvalidated,
        Kind::SlotAhead,
        Kind::ServerChanged,
        Kind::ServerBehind,
        Kind::BrokerUnavailable,
        Kind::BrokerUnusable,
        Kind::MessageRefused,
        Kind::Poison,
        Kind::TransformHalt,
        Kind::Trap,
        Kind::Contract,
        Kind::Deadly,
        Kind::BadEvent,
        Kind::Io,
        Kind::Interrupted,
        Kind::DrainTimeout,
        Kind::TestFailed,
        Kind::TestBroken,
        Kind::SwapRefused,
        Kind::Admin,
        Kind::Internal,
    ];

    /// The table: stable code, policy while running, exit code when it halts.
    #[must_use]
    pub const fn policy(self) -> (&'static str, Policy, u8) {
        match self {
            Kind::Internal => ("internal", Policy::Halt, 1),
            // 2 is clap's exit code for a wrong command line.
            Kind::Config => ("config", Policy::Halt, 3),
            Kind::Component => ("component", Policy::Halt, 4),
            Kind::SettingsRefused => ("settings-refused", Policy::Halt, 4),
            Kind::DatabaseUnavailable => ("database-unavailable", Policy::Retry, 5),
            Kind::DatabaseUnusable => ("database-unusable", Policy::Halt, 5),
            Kind::SlotMissing => ("slot-missing", Policy::Halt, 5),
            Kind::SlotInvalidated => ("slot-invalidated", Policy::Halt, 5),
            Kind::SlotAhead => ("slot-ahead", Policy::Halt, 5),
            Kind::ServerChanged => ("server-changed", Policy::Halt, 5),
            Kind::ServerBehind => ("server-behind", Policy::Halt, 5),
            Kind::BrokerUnavailable => ("broker-unavailable", Policy::Retry, 6),
            Kind::BrokerUnusable => ("broker-unusable", Policy::Halt, 6),
            Kind::MessageRefused => ("message-refused", Policy::Event, 7),
            Kind::Poison => ("poison", Policy::Event, 7),
            Kind::TransformHalt => ("transform-halt", Policy::Halt, 7),
            Kind::Trap => ("trap", Policy::Event, 7),
            Kind::Contract => ("contract", Policy::Event, 7),
            Kind::Deadly => ("deadly", Policy::Event, 7),
            Kind::BadEvent => ("bad-event", Policy::Halt, 7),
            Kind::Io => ("io", Policy::Halt, 8),
            Kind::DrainTimeout => ("drain-timeout", Policy::Halt, 9),
            Kind::TestFailed => ("test-failed", Policy::Halt, 10),
            Kind::TestBroken => ("test-broken", Policy::Halt, 11),
            Kind::SwapRefused => ("swap-refused", Policy::Halt, 12),
            Kind::Admin => ("admin", Policy::Halt, 13),
            Kind::Interrupted => ("interrupted", Policy::Halt, 130),
        }
    }

    /// Stable name for logs, metrics and documentation.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.policy().0
    }

    /// Process exit code when a command ends with this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        self.policy().2
    }
}

/// One failure with everything needed to act on it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    at: Vec<(&'static str, String)>,
    guest: Option<String>,
    remedy: Option<String>,
    cause: Option<anyhow::Error>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `kind`, said in one sentence without a full stop.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), at: Vec::new(), guest: None, remedy: None, cause: None }
    }

    /// Adds a coordinate; the first of a name wins, because the place nearest
    /// to the failure knows best.
    #[must_use]
    pub fn at(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if !self.at.iter().any(|(n, _)| *n == name) {
            self.at.push((name, value.to_string()));
        }
        self
    }

    /// What to do about it; the first one said wins.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// What to do about it, known better than where it was said first.
    #[must_use]
    pub fn instead(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The underlying error.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The guest's stack or message, shown on its own lines.
    #[must_use]
    pub fn guest(mut self, text: impl Into<String>) -> Self {
        self.guest = Some(text.into());
        self
    }

    /// The kind, which decides what follows.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Kind, sentence, cause and coordinates on one line; not what the guest said.
    #[must_use]
    pub fn line(&self) -> String {
        let text = self.to_string();
        let text = text.split("\n  guest:").next().unwrap_or_default().split("\n  remedy:").next().unwrap_or_default();
        text.replace("\n  at:", ";").replace('\n', " ")
    }

    /// Where it happened, by name.
    pub fn coordinates(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.at.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The guest's stack or message.
    #[must_use]
    pub fn said(&self) -> Option<&str> {
        self.guest.as_deref()
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The sentence without coordinates.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.kind.code(), self.what)?;
        if let Some(cause) = &self.cause {
            // Chains often repeat their head; say each sentence once.
            let mut last = String::new();
            for part in cause.chain().map(ToString::to_string) {
                if !last.contains(&part) {
                    write!(f, ": {part}")?;
                }
                last = part;
            }
        }
        if !self.at.is_empty() {
            f.write_str("\n  at:")?;
            for (name, value) in &self.at {
                write!(f, " {name}={value}")?;
            }
        }
        if let Some(guest) = &self.guest {
            f.write_str("\n  guest:")?;
            for line in guest.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  remedy: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Adds kind and sentence to a foreign error.
pub trait Context<T> {
    /// Wraps the error as `kind`, saying `what` was being done.
    fn or_kind(self, kind: Kind, what: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Context<T> for std::result::Result<T, E> {
    fn or_kind(self, kind: Kind, what: impl Into<String>) -> Result<T> {
        self.map_err(|cause| Error::new(kind, what).cause(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: HashSet<_> = Kind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn the_first_coordinate_and_the_first_remedy_win() {
        let text = Error::new(Kind::Trap, "boom")
            .at("transform", "inner")
            .at("transform", "outer")
            .remedy("fix it")
            .remedy("never shown")
            .to_string();
        assert_eq!(text, "[trap] boom\n  at: transform=inner\n  remedy: fix it");
    }
}
