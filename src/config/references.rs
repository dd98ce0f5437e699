//! Values that stand elsewhere: `${NAME}` in a string is the environment variable, `$${` is a plain
//! `${`, and `file:PATH` as the whole of a value that may hold a secret is what that file holds. They
//! are put in before anything is judged. What they brought is never repeated in a message: it may be
//! a secret that was put in the wrong place.

use std::borrow::Cow;
use std::env::{self, VarError};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::MAX_BYTES;
use super::diagnostic::quoted;
use super::keys::is_secret;
use super::report::{Finding, Report};
use crate::model::Secret;

/// The longest secret in a file, in bytes.
const MOST_IN_FILE: u64 = 64 * 1024;
/// What a value begins with that stands in a file.
const FILE: &str = "file:";

/// What a reference brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Brought {
    /// Where the reference stands.
    pub(super) span: Range<usize>,
    /// The environment variables that it names, and what each holds.
    pub(super) variables: Vec<(String, Secret)>,
    /// The file that it names.
    pub(super) file: Option<PathBuf>,
    /// The value as it is in force.
    pub(super) value: Secret,
}

/// Asks for an environment variable.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Result<String, VarError>;

/// The environment of this process.
pub(super) fn of_process(name: &str) -> Result<String, VarError> {
    env::var(name)
}

/// Puts what strings refer to in their place. `folder` is where relative paths start.
pub(super) fn resolve(table: &mut DeTable<'_>, environment: Environment<'_>, folder: &Path, report: &Report) {
    let mut resolver = Resolver { environment, folder, report, room: MAX_BYTES };
    resolver.table(table, &mut Vec::new());
}

struct Resolver<'r> {
    environment: Environment<'r>,
    folder: &'r Path,
    report: &'r Report,
    /// How many bytes may still be brought in.
    room: usize,
}

/// Why a reference brings nothing.
struct Refused {
    message: String,
    help: String,
}

impl Resolver<'_> {
    /// `path` is that of the table; the parser bounds its length.
    fn table<'t>(&mut self, table: &'t mut DeTable<'_>, path: &mut Vec<&'t str>) {
        for (name, value) in table {
            path.push(name.get_ref());
            self.value(value, path);
            path.pop();
        }
    }

    fn value<'t>(&mut self, value: &'t mut Spanned<DeValue<'_>>, path: &mut Vec<&'t str>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(text) => self.text(text, span, is_secret(path)),
            DeValue::Array(list) => list.iter_mut().for_each(|element| self.value(element, path)),
            DeValue::Table(table) => self.table(table, path),
            _ => {}
        }
    }

    fn text(&mut self, text: &mut Cow<'_, str>, span: Range<usize>, is_secret: bool) {
        let in_file = is_secret && text.starts_with(FILE);
        if !in_file && !text.contains("${") {
            return;
        }
        let mut variables = Vec::new();
        let brought = self.variables(text, &mut variables).and_then(|value| {
            let path = value.strip_prefix(FILE).filter(|_| in_file).map(|path| self.folder.join(path));
            let value = match &path {
                Some(path) => secret(path).map_err(|why| Refused {
                    message: format!("the file {} {why}", quoted(&text[FILE.len()..])),
                    help: "after `file:` stands the path of a file that holds the value and nothing else"
                        .into(),
                })?,
                None => value,
            };
            self.room = self.room.checked_sub(value.len()).ok_or_else(|| {
                let help = "a configuration holds at most 1 MiB, references included";
                Refused { message: "this brings in too much".into(), help: help.into() }
            })?;
            Ok((value, path))
        });
        match brought {
            Ok((value, file)) => {
                *text = Cow::Owned(value.clone());
                if file.is_some() || !variables.is_empty() {
                    let value = Secret::new(value);
                    self.report.brought(Brought { span, variables, file, value });
                }
            }
            Err(Refused { message, help }) => {
                self.report.unresolved(Finding::error(span, message).help(help));
            }
        }
    }

    /// The text with its variables replaced.
    fn variables(&self, text: &str, named: &mut Vec<(String, Secret)>) -> Result<String, Refused> {
        let mut value = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(plain) = rest[..at].strip_suffix('$') {
                value.push_str(plain);
                value.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            value.push_str(&rest[..at]);
            let (name, after) = rest[at + 2..].split_once('}').unwrap_or((&rest[at + 2..], ""));
            if rest[at..].len() == name.len() + 2 || !is_name(name) {
                return Err(Refused {
                    message: "this is no reference to an environment variable".into(),
                    help: "write ${NAME}; a plain `${` is written `$${`".into(),
                });
            }
            let held = self.variable(name)?;
            value.push_str(&held);
            named.push((name.to_owned(), Secret::new(held)));
            rest = after;
            if value.len() > MAX_BYTES {
                break; // refused by its length
            }
        }
        value.push_str(rest);
        Ok(value)
    }

    fn variable(&self, name: &str) -> Result<String, Refused> {
        let (what, help) = match (self.environment)(name) {
            Ok(value) => return Ok(value),
            Err(VarError::NotPresent) => ("is not set", "set it, or write the value here"),
            Err(VarError::NotUnicode(_)) => ("is not UTF-8", "set it to a text"),
        };
        let message = format!("the environment variable {} {what}", quoted(name));
        Err(Refused { message, help: format!("{help}; a plain `${{` is written `$${{`") })
    }
}

/// A name of the portable set (POSIX.1-2017, Base Definitions, section 8.1).
fn is_name(name: &str) -> bool {
    const LONGEST: usize = 128;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// What a file holds, without the line end that editors leave; or why it holds nothing.
fn secret(path: &Path) -> Result<String, String> {
    let text = read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MOST_IN_FILE {
        return Err("is longer than 64 KiB".into());
    }
    let text = String::from_utf8(text).map_err(|_| "is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() { Err("is empty".into()) } else { Ok(line.to_owned()) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no regular file")); // reading a FIFO would wait for ever
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_IN_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
