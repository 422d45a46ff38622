//! `openapi`: the specification.

use super::{Exit, output};
use crate::api;

/// Prints the document as it is served and committed.
pub fn execute() -> anyhow::Result<Exit> {
    output::write_out(api::text().as_bytes())?;
    Ok(Exit::Done)
}
