//! `[handover.confirm]`: how a product is asked for what it has.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use outlast_agent::Confirming;

use super::super::flaw::Flaw;
use super::super::values::{Item, Settings};

/// The ways to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(crate) enum With {
    /// The programs of NetBackup's client on this host
    #[value(name = "netbackup")]
    NetBackup,
    /// The API of NetBackup's primary server
    #[value(name = "netbackup-api")]
    NetBackupApi,
    /// Bacula's director, by bconsole
    Bacula,
    /// A command of yours, which ends with 0 if a job ended well
    Command,
}

impl FromStr for With {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as clap::ValueEnum>::from_str(text, false)
    }
}

/// One way to ask, with what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Confirmer {
    NetBackup { programs: PathBuf, client: Option<String> },
    NetBackupApi { address: String, key: PathBuf, ca: Option<PathBuf>, client: Option<String> },
    Bacula { bconsole: PathBuf, config: PathBuf },
    Command { words: Vec<String> },
}

/// What is said of asking a product, for each of the ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirmers {
    pub(crate) with: Option<With>,
    pub(crate) deadline: Duration,
    programs: PathBuf,
    client: Option<String>,
    address: Option<String>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    bconsole: PathBuf,
    bconsole_config: PathBuf,
    command: Vec<String>,
}

impl Confirmers {
    /// What is usual, where no configuration says anything.
    pub(crate) fn usual() -> Self {
        Self {
            with: None,
            deadline: Duration::from_secs(600),
            programs: PathBuf::from("/usr/openv/netbackup/bin"),
            client: None,
            address: None,
            key: None,
            ca: None,
            bconsole: PathBuf::from("/usr/sbin/bconsole"),
            bconsole_config: PathBuf::from("/etc/bacula/bconsole.conf"),
            command: Vec::new(),
        }
    }

    /// One of the ways, if what it needs is said.
    pub(crate) fn of(&self, with: With) -> Result<Confirmer> {
        let missing =
            |key: &str| anyhow!("confirm.{key} is not set in this hand-over of the agent.toml");
        Ok(match with {
            With::NetBackup => Confirmer::NetBackup {
                programs: self.programs.clone(),
                client: self.client.clone(),
            },
            With::NetBackupApi => Confirmer::NetBackupApi {
                address: self.address.clone().ok_or_else(|| missing("address"))?,
                key: self.key.clone().ok_or_else(|| missing("key"))?,
                ca: self.ca.clone(),
                client: self.client.clone(),
            },
            With::Bacula => Confirmer::Bacula {
                bconsole: self.bconsole.clone(),
                config: self.bconsole_config.clone(),
            },
            With::Command if self.command.is_empty() => return Err(missing("command")),
            With::Command => Confirmer::Command { words: self.command.clone() },
        })
    }
}

/// What is wrong with it.
pub(super) fn judge(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let key = |name: &str| item.key(&format!("confirm.{name}"));
    let mut flaws = Vec::new();
    let with = settings.text_if_set(&key("with"));
    let wanted: &[&str] = match with {
        Some("netbackup-api") => &["address", "key"],
        Some("command") => &["command"],
        _ => &[],
    };
    for name in wanted.iter().filter(|name| !settings.is_set(&key(name))) {
        let words = format!("it also needs confirm.{name}");
        flaws.push(settings.flaw(&key("with"), &words));
    }
    let address = settings.text_if_set(&key("address"));
    if address.is_some_and(|address| !address.starts_with("https://")) {
        let words = "a key goes there: it must begin with https://";
        flaws.push(settings.flaw(&key("address"), words));
    }
    let command = settings.words(&key("command"));
    if settings.is_set(&key("command")) && !command.first().is_some_and(|it| it.starts_with('/')) {
        let words = "give the program's whole path, from / on, and then its arguments";
        flaws.push(settings.flaw(&key("command"), words));
    }
    for name in ["programs", "bconsole", "bconsole_config", "key", "ca"] {
        if settings.path_if_set(&key(name)).is_some_and(|path| path.is_relative()) {
            flaws.push(settings.flaw(&key(name), "give the whole path, from / on"));
        }
    }
    flaws
}

/// How often the agent asks, if it does.
pub(super) fn pace(settings: &Settings, item: &Item) -> Result<Option<Confirming>> {
    let key = |name: &str| item.key(&format!("confirm.{name}"));
    if !settings.is_set(&key("with")) {
        return Ok(None);
    }
    let every = settings.duration(&key("every"))?;
    Ok(Some(Confirming { every, deadline: settings.duration(&key("deadline"))? }))
}

pub(super) fn build(settings: &Settings, item: &Item) -> Result<Confirmers> {
    let key = |name: &str| item.key(&format!("confirm.{name}"));
    let with = settings.text_if_set(&key("with")).map(str::parse).transpose();
    Ok(Confirmers {
        with: with.map_err(|error| anyhow!("{error}"))?,
        deadline: settings.duration(&key("deadline"))?,
        programs: settings.path(&key("programs"))?,
        client: settings.text_if_set(&key("client")).map(str::to_owned),
        address: settings.text_if_set(&key("address")).map(str::to_owned),
        key: settings.path_if_set(&key("key")),
        ca: settings.path_if_set(&key("ca")),
        bconsole: settings.path(&key("bconsole"))?,
        bconsole_config: settings.path(&key("bconsole_config"))?,
        command: settings.words(&key("command")).to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{AgentSettings, Document};

    fn read(lines: &str) -> Result<AgentSettings, String> {
        let text = format!(
            "[agent]\nshare = \"/s\"\nstate = \"/a\"\nupstream = \"https://v/\"\nidentity = \"/i\"\n[[handover]]\n\
             name = \"nbu\"\ndirectory = \"/srv/nbu\"\n[handover.confirm]\n{lines}"
        );
        let document = Document::new(Path::new("/etc/agent.toml"), text);
        let read = document.and_then(|document| document.with_variables(std::iter::empty()));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_product_is_asked_by_the_agent_only_if_it_is_said_how() {
        let silent = read("").unwrap();
        assert_eq!(silent.config.handover[0].confirm, None);
        assert_eq!(silent.confirmers["nbu"].with, None);
        let settings = read("with = \"bacula\"\nevery = \"1h\"\n").unwrap();
        let every = Duration::from_secs(3600);
        let deadline = Duration::from_secs(600);
        assert_eq!(settings.config.handover[0].confirm, Some(Confirming { every, deadline }));
        let confirmers = &settings.confirmers["nbu"];
        assert_eq!(confirmers.with, Some(With::Bacula));
        let Confirmer::Bacula { config, .. } = confirmers.of(With::Bacula).unwrap() else {
            panic!()
        };
        assert_eq!(config, Path::new("/etc/bacula/bconsole.conf"));
        // By a word on the command line, another way is taken, if what it needs is there.
        assert!(confirmers.of(With::NetBackup).is_ok());
        let said = confirmers.of(With::NetBackupApi).unwrap_err().to_string();
        assert!(said.contains("confirm.address"), "{said}");
    }

    #[test]
    fn what_is_wrong_in_how_a_product_is_asked_is_told_at_its_line_and_key() {
        // They begin at line 10.
        let golden: [(&str, &[&str]); 8] = [
            ("with = \"veeam\"\n", &["line 10", "handover[1].confirm.with"]),
            ("with = \"netbackup-api\"\n", &["line 10", "confirm.address", "confirm.key"]),
            ("with = \"command\"\n", &["line 10", "it also needs confirm.command"]),
            ("address = \"http://p/\"\n", &["line 10", "confirm.address", "https://"]),
            ("command = [\"judge\"]\n", &["line 10", "confirm.command", "whole path"]),
            ("command = []\n", &["line 10", "confirm.command"]),
            ("every = \"1s\"\n", &["line 10", "confirm.every", "5 s to 24 h"]),
            ("password = \"x\"\n", &["line 10", "has no key \"confirm.password\""]),
        ];
        for (line, wanted) in golden {
            let said = read(line).unwrap_err();
            for words in wanted {
                assert!(said.contains(words), "{line}: {words} is not in:\n{said}");
            }
        }
    }
}
