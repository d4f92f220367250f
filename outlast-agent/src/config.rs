//! How an agent is configured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_fs::durable;
use outlast_types::human;
use serde::Deserialize;

/// A configuration that is longer is a mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// More often would only load the file server.
const POLL_MIN: Duration = Duration::from_millis(10);

/// An agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Where the share is mounted.
    pub share: PathBuf,
    /// The agent's own directory: a lock, journals of unfinished uploads, the share's id. May be
    /// lost at any time.
    pub state: PathBuf,
    /// The vault's address, such as `https://vault:8443/`.
    pub upstream: String,
    /// The directory of the agent's identity.
    pub identity: PathBuf,
    /// The pause between two passes.
    pub poll: Duration,
    /// How long a drop must have been still before its writer counts as dead.
    pub grace: Duration,
    /// How many vaulted drops of each workload stay on the share.
    pub keep: usize,
    /// How often the vault hears of the agent when there is nothing new.
    pub report: Duration,
    /// How long a problem of the share must last before the vault hears of it: network file
    /// systems hiccup, and nobody must be woken for that.
    pub patience: Duration,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration of the agent is not right: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    #[error("the configuration of the agent is not right: agent.{key}: {reason}")]
    Value { key: &'static str, reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    agent: Section,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    share: PathBuf,
    state: PathBuf,
    upstream: String,
    identity: PathBuf,
    poll: Option<String>,
    grace: Option<String>,
    keep: Option<usize>,
    report: Option<String>,
    patience: Option<String>,
}

impl AgentConfig {
    /// A configuration with defaults for all but the places.
    pub fn new(share: &Path, state: &Path, upstream: &str, identity: &Path) -> Self {
        Self {
            share: share.to_owned(),
            state: state.to_owned(),
            upstream: upstream.to_owned(),
            identity: identity.to_owned(),
            poll: Duration::from_secs(30),
            grace: Duration::from_secs(3600),
            keep: 2,
            report: Duration::from_secs(30),
            patience: Duration::from_secs(15),
        }
    }

    /// Reads the TOML file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let read = |source| ConfigError::Read { path: path.to_owned(), source };
        let content = durable::read_bounded(path, CONFIG_BYTES_MAX).map_err(read)?;
        let invalid = |error| read(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
        Self::parse(&String::from_utf8(content).map_err(invalid)?)
    }

    /// Reads a TOML text:
    ///
    /// ```toml
    /// [agent]
    /// share = "/mnt/share"
    /// state = "/var/lib/outlast/agent"
    /// upstream = "https://vault:8443/"
    /// identity = "/etc/outlast/identity"
    /// poll = "30s"
    /// grace = "1h"
    /// keep = 2
    /// report = "30s"
    /// patience = "15s"
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::from_toml(toml::Deserializer::parse(text).map_err(Box::new)?)
    }

    /// Reads a TOML document, wherever its parts are from.
    pub fn from_toml(document: toml::Deserializer<'_>) -> Result<Self, ConfigError> {
        let Document { agent: section } = Document::deserialize(document).map_err(Box::new)?;
        let mut config =
            Self::new(&section.share, &section.state, &section.upstream, &section.identity);
        set(&mut config.poll, "poll", section.poll)?;
        set(&mut config.grace, "grace", section.grace)?;
        set(&mut config.report, "report", section.report)?;
        set(&mut config.patience, "patience", section.patience)?;
        if config.poll < POLL_MIN {
            return Err(ConfigError::Value { key: "poll", reason: "use 10ms or more".to_owned() });
        }
        config.keep = section.keep.unwrap_or(config.keep);
        Ok(config)
    }
}

fn set(place: &mut Duration, key: &'static str, text: Option<String>) -> Result<(), ConfigError> {
    if let Some(text) = text {
        *place = human::parse_duration(&text)
            .map_err(|error| ConfigError::Value { key, reason: error.to_string() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: &str = "[agent]\nshare = \"/s\"\nstate = \"/a\"\nupstream = \"https://v/\"\n\
                          identity = \"/i\"\n";

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_said_counts() {
        let config = AgentConfig::parse(PLACES).unwrap();
        let places = (Path::new("/s"), Path::new("/a"), Path::new("/i"));
        assert_eq!(config, AgentConfig::new(places.0, places.1, "https://v/", places.2));
        let config = AgentConfig::parse(&format!("{PLACES}poll = \"500ms\"\nkeep = 0\n")).unwrap();
        assert_eq!((config.poll, config.keep), (Duration::from_millis(500), 0));
    }

    #[test]
    fn a_mistake_is_named_with_its_key() {
        for (line, wanted) in [
            ("pol = \"1s\"", "pol"),
            ("poll = \"soon\"", "agent.poll"),
            ("poll = \"0s\"", "agent.poll: use 10ms"),
            ("keep = -1", "keep"),
        ] {
            let error = AgentConfig::parse(&format!("{PLACES}{line}\n")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(AgentConfig::parse("[agent]\n").unwrap_err().to_string().contains("share"));
    }
}
