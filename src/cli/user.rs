//! `storegate user …`.

use std::path::Path;

use serde_json::json;

use super::change::{finish, store_id, subject, writer};
use super::failure::Failure;
use super::output::{Output, table};
use crate::hasher::hash_password;
use crate::model::{Email, PasswordHash, Profile, Secret, StoreId, Subject, UserStatus};
use crate::replica::{NewUser, UserSummary, Writer};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a customer or a merchant who may sign in
    Add(Add),
    /// Make a merchant belong to a further store, or change what they are there
    Join {
        /// The merchant, such as merchant:7
        #[arg(value_parser = subject)]
        subject: Subject,
        /// The store's number
        #[arg(long, value_name = "STORE_ID", value_parser = store_id)]
        store: StoreId,
        /// What they are there, such as owner or staff
        #[arg(long)]
        role: String,
    },
    /// End a merchant's belonging to a store
    Leave {
        /// The merchant, such as merchant:7
        #[arg(value_parser = subject)]
        subject: Subject,
        /// The store's number
        #[arg(long, value_name = "STORE_ID", value_parser = store_id)]
        store: StoreId,
    },
    /// Set a user's password
    SetPassword {
        /// The user, such as customer:42
        #[arg(value_parser = subject)]
        subject: Subject,
        /// The password, or - to read it from standard input, where no process list shows it
        #[arg(long)]
        password: String,
    },
    /// Refuse a user's sign-in and tokens, until the user is enabled
    Disable {
        /// The user, such as customer:42
        #[arg(value_parser = subject)]
        subject: Subject,
    },
    /// Let a user sign in again
    Enable {
        /// The user, such as customer:42
        #[arg(value_parser = subject)]
        subject: Subject,
    },
    /// Show all users
    List,
}

/// Add a customer or a merchant who may sign in
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// Who it is on the platform: customer:42 or merchant:7
    #[arg(value_parser = subject)]
    subject: Subject,
    /// The store of a customer, or the first one of a merchant; see `storegate user join`
    #[arg(long, value_name = "STORE_ID", value_parser = store_id)]
    store: StoreId,
    /// What a merchant is there, such as owner or staff; not for customers
    #[arg(long)]
    role: Option<String>,
    /// By which they sign in; unique among merchants, and among the customers of a store
    #[arg(long, value_parser = email)]
    email: Email,
    /// The full name
    #[arg(long)]
    name: String,
    /// The password (8 to 72 bytes), or - to read it from standard input, where no process list shows it
    #[arg(long)]
    password: String,
    /// The platform has seen that mail arrives
    #[arg(long)]
    email_verified: bool,
    /// A picture's URL
    #[arg(long, value_name = "URL")]
    picture: Option<String>,
    /// The phone number, as in +8801712345678
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// The platform has seen that calls arrive
    #[arg(long, requires = "phone")]
    phone_verified: bool,
    /// The language, such as en or bn-BD
    #[arg(long, value_name = "TAG")]
    locale: Option<String>,
}

fn email(text: &str) -> Result<Email, String> {
    Email::parse(text).map_err(|why| why.to_string())
}

impl Command {
    pub(super) fn run(self, config: &Path, output: &Output) -> Result<(), Failure> {
        let mut writer = writer(config)?;
        match self {
            Self::Add(add) => add.run(&mut writer, output),
            Self::Join { subject, store, role } => {
                let committed = writer.join_store(subject, store, &role).map_err(Failure::write)?;
                let json =
                    |(): &()| json!({"subject": subject.to_string(), "store_id": store.get(), "role": role});
                finish(output, committed, json, |()| format!("{subject} is {role} in store {store}"))
            }
            Self::Leave { subject, store } => {
                let committed = writer.leave_store(subject, store).map_err(Failure::write)?;
                let json =
                    |(): &()| json!({"subject": subject.to_string(), "store_id": store.get(), "left": true});
                finish(output, committed, json, |()| format!("{subject} does not belong to store {store}"))
            }
            Self::SetPassword { subject, password } => {
                let hash = hashed(password)?;
                let committed = writer.set_password(subject, &hash).map_err(Failure::write)?;
                let json = |(): &()| json!({"subject": subject.to_string(), "password": "set"});
                finish(output, committed, json, |()| format!("the password of {subject} is set"))
            }
            Self::Disable { subject } => {
                set_status(&mut writer, output, subject, UserStatus::Disabled, "disabled")
            }
            Self::Enable { subject } => {
                set_status(&mut writer, output, subject, UserStatus::Active, "active")
            }
            Self::List => {
                let users = writer.users().map_err(Failure::failed)?;
                output.result(&users, |users| list(users));
                Ok(())
            }
        }
    }
}

impl Add {
    fn run(self, writer: &mut Writer, output: &Output) -> Result<(), Failure> {
        let new = NewUser {
            subject: self.subject,
            store_id: self.store,
            role: self.role,
            profile: Profile {
                name: self.name,
                email: self.email,
                email_verified: self.email_verified,
                picture: self.picture,
                phone: self.phone,
                phone_verified: self.phone_verified,
                locale: self.locale,
            },
            password: hashed(self.password)?,
        };
        let committed = writer.add_user(&new).map_err(Failure::write)?;
        let json = |(): &()| {
            json!({
                "subject": new.subject.to_string(), "store_id": new.store_id.get(), "role": new.role,
                "email": new.profile.email.as_str(), "name": new.profile.name, "status": "active",
            })
        };
        finish(output, committed, json, |()| format!("{} is added", new.subject))
    }
}

fn hashed(password: String) -> Result<PasswordHash, Failure> {
    let password = match &*password {
        "-" => super::input::secret_line("password")?,
        _ => Secret::new(password),
    };
    hash_password(&password).map_err(|why| Failure::Usage(why.to_string()))
}

fn set_status(
    writer: &mut Writer,
    output: &Output,
    subject: Subject,
    status: UserStatus,
    word: &str,
) -> Result<(), Failure> {
    let committed = writer.set_user_status(subject, status).map_err(Failure::write)?;
    let json = |(): &()| json!({"subject": subject.to_string(), "status": word});
    finish(output, committed, json, |()| format!("{subject} is {word}"))
}

fn list(users: &[UserSummary]) -> String {
    let cells: Vec<_> = users
        .iter()
        .map(|user| {
            let stores: Vec<_> =
                user.stores.iter().map(|store| format!("{}:{}", store.store_id, store.role)).collect();
            let (subject, status) = (user.subject.clone(), user.status.clone());
            vec![subject, status, user.name.clone(), user.email.clone(), stores.join(" ")]
        })
        .collect();
    table(&["USER", "STATUS", "NAME", "EMAIL", "STORES"], &cells)
}
