//! Which hand-over is meant.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outlast_agent::AgentConfig;
use outlast_handover::{Place, status};

use crate::exit::Usage;
use crate::settings::{AgentSettings, Confirmers, Document};

/// Where an agent's configuration lies that nobody names.
const CONFIG: &str = "/etc/outlast/agent.toml";

/// The hand-over that a command is about.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The hand-over, as agent.toml names it; may be left out where there is only one
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The agent's configuration, in which it stands [default: /etc/outlast/agent.toml]
    #[arg(long, value_name = "FILE", conflicts_with = "directory")]
    config: Option<PathBuf>,
    /// The directory that the product reads, in place of a configuration
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// A hand-over that was found.
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Which {
    /// The one that is meant.
    pub(super) fn one(&self) -> Result<Chosen> {
        let mut all = self.all()?;
        match (all.len(), all.pop()) {
            (1, Some(chosen)) => Ok(chosen),
            (_, last) => {
                let names = all.iter().chain(&last).map(|it| it.name.as_str());
                let names: Vec<&str> = names.collect();
                let words = format!("say which hand-over is meant: {}", names.join(", "));
                Err(Usage(words).into())
            }
        }
    }

    /// All that may be meant; one at least.
    pub(super) fn all(&self) -> Result<Vec<Chosen>> {
        if let Some(directory) = &self.directory {
            let place = Place::of(&whole(directory)?);
            let name = status::rules(&place)?.name;
            if let Some(asked) = self.name.as_ref().filter(|asked| **asked != name) {
                let shown = directory.display();
                return Err(
                    Usage(format!("the hand-over in {shown} is {name}, not {asked}")).into()
                );
            }
            return Ok(vec![Chosen { name, place }]);
        }
        let config = self.configuration()?;
        let all = config.handover.iter().map(|it| &it.rules);
        let chosen = all.filter(|rules| self.name.as_ref().is_none_or(|name| *name == rules.name));
        let chosen: Vec<Chosen> = chosen
            .map(|rules| Chosen { name: rules.name.clone(), place: Place::of(&rules.directory) })
            .collect();
        if !chosen.is_empty() {
            return Ok(chosen);
        }
        let file = self.file().display();
        let names: Vec<&str> = config.handover.iter().map(|it| it.rules.name.as_str()).collect();
        let words = match &self.name {
            _ if names.is_empty() => format!("{file} has no [[handover]]"),
            Some(name) => {
                format!("{file} has no [[handover]] {name:?}; it has {}", names.join(", "))
            }
            None => format!("{file} has no [[handover]]"),
        };
        Err(Usage(words).into())
    }

    /// The same for a command line that others run: words of a shell, each quoted. Where nothing is said and there is no
    /// configuration yet, none: the one of every agent is looked for then.
    pub(super) fn words(&self, quoted: impl Fn(&str) -> String) -> Result<String> {
        let absolute = |path: &Path| whole(path).map(|path| quoted(&path.to_string_lossy()));
        if let Some(directory) = &self.directory {
            return Ok(format!("--directory {}", absolute(directory)?));
        }
        if self.name.is_none() && self.config.is_none() && !self.file().exists() {
            return Ok(String::new());
        }
        // It needs no configuration that can be read, which somebody may be changing.
        let chosen = self.one()?;
        Ok(format!("--directory {}", absolute(chosen.place.directory())?))
    }

    /// The agent's configuration, unless only a directory is named.
    pub(super) fn configured(&self) -> Result<Option<AgentConfig>> {
        if self.directory.is_some() { Ok(None) } else { self.configuration().map(Some) }
    }

    /// The agent's configuration.
    fn configuration(&self) -> Result<AgentConfig> {
        if self.config.is_none() && !self.file().exists() {
            let words = format!(
                "there is no {CONFIG}: name the agent's configuration with --config (of an `outlast up`, DIR/agent.toml), or with \
                 --directory what the product reads"
            );
            return Err(Usage(words).into());
        }
        Document::read(self.file())?.with_environment()
    }

    /// How the product of a hand-over is asked; where only a directory is named, by `--with` and what is usual.
    pub(super) fn confirmers(&self, name: &str) -> Result<Confirmers> {
        if self.directory.is_some() {
            return Ok(Confirmers::usual());
        }
        let mut settings: AgentSettings = Document::read(self.file())?.with_environment()?;
        settings.confirmers.remove(name).with_context(|| format!("there is no hand-over {name}"))
    }

    fn file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(CONFIG))
    }
}

fn whole(directory: &Path) -> Result<PathBuf> {
    std::path::absolute(directory)
        .with_context(|| format!("cannot find out where {} is", directory.display()))
}
