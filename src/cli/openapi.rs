//! `storegate openapi`: the description of the admin API.

use super::failure::Failure;
use super::output;

/// Prints the OpenAPI document.
pub(super) fn run() -> Result<(), Failure> {
    let document = serde_json::to_string_pretty(&crate::admin::document()).map_err(Failure::failed)?;
    output::line(&document);
    Ok(())
}
