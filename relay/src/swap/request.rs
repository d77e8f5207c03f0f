//! What may be asked for, and what is answered.

use super::history::{Finding, Outcome};
use crate::error::Error;
use bytes::Bytes;
use serde::Serialize;

/// A component for one stage.
pub struct Request {
    /// The stage's name.
    pub transform: String,
    /// The component.
    pub module: Module,
    /// What its digest must be.
    pub digest: Option<String>,
    /// What else was said.
    pub choices: Choices,
}

/// Where a new component is.
pub enum Module {
    /// Here.
    Bytes(Bytes),
    /// In the library, by its digest.
    Kept(String),
    /// At a registry, `oci://…@sha256:…`.
    Remote(String),
}

/// What one may choose for one swap.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Stop before the switch.
    pub dry_run: bool,
    /// The shadow may find other topics, keys and numbers of messages.
    pub accept_changes: bool,
    /// The shadow may find nothing that differs.
    pub expect_same: bool,
    /// Steps of the canary in the place of the configured ones.
    pub canary: Option<Vec<f64>>,
}

/// What came of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In a word.
    pub outcome: Outcome,
    /// The new generation's number, if there is one.
    pub generation: Option<u64>,
    /// `name@digest` of its stages.
    pub stages: Vec<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What the guest said; in this answer only, for it may quote settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// What each gate said.
    pub gates: Vec<Finding>,
}

/// Why a request was not looked at.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Another change is under way.
    #[error("{0}")]
    Busy(&'static str),
    /// There is no such transform.
    #[error("there is no transform `{0}`")]
    Unknown(String),
    /// Something else.
    #[error("{}", .0.line())]
    Failed(#[from] Error),
}
