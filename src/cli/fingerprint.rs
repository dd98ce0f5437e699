//! `storegate fingerprint`: how the access log names a credential.

use std::path::Path;

use serde_json::json;

use super::failure::{Failure, load};
use super::input::secret_line;
use super::output::Output;
use crate::replica::real_path;
use crate::telemetry::FingerprintKey;

/// Print the fingerprint of a token or client secret, by which the access log names it
///
/// It is read from standard input, where no process list shows it. Any will do, also one that is revoked or was never
/// good.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let config = load(config)?;
        let replica = real_path(&config.replica.path);
        let key = FingerprintKey::read(&replica).map_err(Failure::failed)?;
        let key = key.ok_or_else(|| {
            let path = replica.with_file_name("log.key");
            Failure::Failed(format!(
                "there is no {} yet: a gateway makes it at its first start",
                path.display()
            ))
        })?;
        let credential = secret_line("credential")?;
        let fingerprint = key.fingerprint(credential.expose().trim().as_bytes());
        output.result(&json!({ "fingerprint": fingerprint }), |_| fingerprint.clone());
        Ok(())
    }
}
