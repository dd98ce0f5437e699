//! `storegate operator …`.

use std::path::Path;

use serde_json::json;

use super::change::{finish, writer};
use super::failure::Failure;
use super::list::Listing;
use super::output::{Output, table};
use crate::model::Permission;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add an operator; the token for the admin API is shown once
    Add {
        /// Who it is
        name: String,
        /// What they may do, such as apps__manage_apps; may be repeated. A wrong one lists them all
        #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = permission)]
        permissions: Vec<Permission>,
    },
    /// Remove an operator; the token is refused from the moment the command returns
    Remove {
        /// Who it is
        name: String,
    },
    /// Set what an operator may do, in place of what it was
    SetPermissions {
        /// Who it is
        name: String,
        /// What they may do; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = permission)]
        permissions: Vec<Permission>,
    },
    /// Show operators, by number
    List(Listing),
}

fn permission(text: &str) -> Result<Permission, String> {
    Permission::parse(text).map_err(|why| why.to_string())
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Add { name, permissions } => {
                let committed = writer.add_operator(&name, &permissions).map_err(Failure::write)?;
                finish(
                    output,
                    committed,
                    |made| json!({"operator_id": made.operator_id, "name": name, "token": made.token.expose()}),
                    |made| format!("token: {}\nKeep it safe: it is not shown again.", made.token.expose()),
                )
            }
            Self::Remove { name } => {
                let committed = writer.remove_operator(&name).map_err(Failure::failed)?;
                let json = |(): &()| json!({"name": name, "removed": true});
                finish(output, committed, json, |()| format!("{name} is removed"))
            }
            Self::SetPermissions { name, permissions } => {
                let committed = writer.set_permissions(&name, &permissions).map_err(Failure::write)?;
                let mut names: Vec<&str> = permissions.iter().map(|permission| permission.name()).collect();
                names.sort_unstable();
                names.dedup();
                let names = names.join(" ");
                let json = |(): &()| json!({"name": name, "permissions": names});
                finish(output, committed, json, |()| format!("{name} has the permissions: {names}"))
            }
            Self::List(listing) => {
                let operators =
                    listing.fetch(|page| writer.operators(page), |operator| operator.operator_id)?;
                output.result(&operators, |operators| {
                    let cells: Vec<_> = operators
                        .iter()
                        .map(|operator| {
                            let number = operator.operator_id.to_string();
                            vec![number, operator.name.clone(), operator.permissions.clone()]
                        })
                        .collect();
                    table(&["OPERATOR", "NAME", "PERMISSIONS"], &cells)
                });
                Ok(())
            }
        }
    }
}
