//! Secrets from standard input, where neither a process list nor a shell's history shows them.

use std::io::Read;

use zeroize::Zeroizing;

use super::failure::Failure;
use crate::model::Secret;

/// The most that is read: every secret is far shorter.
const MAX_BYTES: u64 = 8 * 1024;

/// The first line of standard input. `what` names it in errors.
pub(super) fn secret_line(what: &str) -> Result<Secret, Failure> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(MAX_BYTES).read_to_string(&mut text).map_err(|error| {
        Failure::Failed(format!("the {what} cannot be read from standard input: {error}"))
    })?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => Ok(Secret::new(line.to_owned())),
        None => Err(Failure::Usage(format!("standard input is empty; the {what} was expected there"))),
    }
}
