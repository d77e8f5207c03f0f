//! The null transform: what the boundary alone costs.

use crate::error::{Error, Kind, Result};
use crate::transform::Unused;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Its code, and the contract that makes a component of it.
const CODE: &str = include_str!("null.wat");
const CONTRACT: &str = include_str!("../../../wit/transform.wit");

/// Settings with which it has these inputs left out: the flags as one digit.
pub(super) fn settings(unused: Unused) -> String {
    let Unused { payload, before, headers } = unused;
    (u8::from(payload) | u8::from(before) << 1 | u8::from(headers) << 2).to_string()
}

/// The component's bytes.
///
/// # Errors
/// `Internal`; both texts are ours.
pub(super) fn component() -> Result<Vec<u8>> {
    build().map_err(|cause| Error::new(Kind::Internal, "the null transform cannot be built").cause(cause))
}

fn build() -> anyhow::Result<Vec<u8>> {
    let mut core = wat::parse_str(CODE)?;
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", CONTRACT)?;
    let world = resolve.select_world(&[package], Some("transform"))?;
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&core)?.validate(true).encode()
}
