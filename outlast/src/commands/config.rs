//! `outlast config show`: the configuration in force, and where each value comes from.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use crate::exit::Code;
use crate::output::{Output, table};
use crate::settings::key::{RoleKeys, Value};
use crate::settings::reference::reference;
use crate::settings::table::{AGENT, MEDIA, VAULT};
use crate::settings::{Document, Setting, Source};

/// See how a role is configured
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  outlast config show agent --config /etc/outlast/agent.toml
  outlast config reference")]
pub(crate) enum Command {
    Show(ShowArgs),
    /// Print all keys and variables, what they take and what holds without them, as Markdown
    #[command(after_help = "Example:
  outlast config reference | less")]
    Reference,
}

/// Print the configuration in force, and where each value comes from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outlast config show agent --config /etc/outlast/agent.toml
  outlast config show vault --config ./outlast-data/vault.toml --json")]
pub(crate) struct ShowArgs {
    /// Whose configuration
    role: RoleName,
    /// The role's file; without it, what the environment and the defaults say
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum RoleName {
    Agent,
    Media,
    Vault,
}

impl RoleName {
    fn keys(self) -> &'static RoleKeys {
        match self {
            Self::Agent => &AGENT,
            Self::Media => &MEDIA,
            Self::Vault => &VAULT,
        }
    }
}

pub(crate) fn run(command: &Command, output: &Output) -> Result<Code> {
    match command {
        Command::Show(arguments) => show(arguments, output),
        Command::Reference => {
            let page = reference();
            page.lines().try_for_each(|line| output.line(line))?;
            Ok(Code::Done)
        }
    }
}

fn show(arguments: &ShowArgs, output: &Output) -> Result<Code> {
    let role = arguments.role.keys();
    let document = match &arguments.config {
        Some(path) => Document::read(path)?,
        None => Document::none(),
    };
    let settings = document.settings(role)?;
    if output.is_json() {
        let settings: Vec<_> =
            settings.all.iter().map(|(key, setting)| as_json(key, setting)).collect();
        output.json(&json!({
            "role": role.name,
            "config": arguments.config,
            "settings": settings,
        }))?;
        return Ok(Code::Done);
    }
    let row = |(key, Setting { value, source }): &(String, Setting)| {
        let source = match (value, source) {
            (_, Source::LeftOut) => "may be left out".to_owned(),
            (None, _) => "must be set".to_owned(),
            (_, Source::Default) => "default".to_owned(),
            (_, Source::File { line, .. }) => format!("line {line} of the file"),
            (_, Source::Variable(name)) => format!("the variable {name}"),
        };
        let value = value.as_ref().map_or("not set".to_owned(), |value| shown(value).to_string());
        vec![key.clone(), value, source]
    };
    let rows: Vec<Vec<String>> = settings.all.iter().map(row).collect();
    table(output, &["KEY", "VALUE", "FROM"], &rows)?;
    Ok(Code::Done)
}

fn as_json(key: &str, Setting { value, source }: &Setting) -> serde_json::Value {
    let value = value.as_ref().map(|value| match shown(value) {
        Value::Count(count) => json!(count),
        Value::Words(words) => json!(words),
        Value::Flag(flag) => json!(flag),
        Value::Text(text) | Value::Listen(text, _) => json!(text),
        duration => json!(duration.to_string().trim_matches('"')),
    });
    match source {
        Source::Default | Source::LeftOut => {
            json!({ "key": key, "value": value, "source": "default" })
        }
        Source::File { line, column } => json!({
            "key": key, "value": value, "source": "file", "line": line, "column": column,
        }),
        Source::Variable(name) => json!({
            "key": key, "value": value, "source": "environment", "variable": name,
        }),
    }
}

/// The value without the password that an address may carry.
fn shown(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(masked(text)),
        Value::Words(words) => Value::Words(words.iter().map(|word| masked(word)).collect()),
        other => other.clone(),
    }
}

fn masked(text: &str) -> String {
    let masked = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (secret, host) = rest[..end].rsplit_once('@')?;
        let user = secret.split(':').next().unwrap_or_default();
        Some(format!("{scheme}://{user}:***@{host}{}", &rest[end..]))
    });
    masked.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (text, wanted) in [
            ("https://me:se@cret@host:1/a@b", "https://me:***@host:1/a@b"),
            ("https://host:1/a@b", "https://host:1/a@b"),
            ("/srv/a@b", "/srv/a@b"),
        ] {
            assert_eq!(shown(&Value::Text(text.to_owned())), Value::Text(wanted.to_owned()));
        }
    }
}
