//! Configuration files, with each key overridable from the environment.
//!
//! `OUTLAST_<SECTION>_<KEY>` stands for `key` in `[section]`, in capitals: `OUTLAST_AGENT_POLL=5s`
//! is `poll = "5s"` in `[agent]`. Mistakes are told where the user made them, all at once: by line
//! and column of the file, or by the variable's name. The keys are one table ([`table`]).

mod adopted;
mod change;
mod drills;
mod edit;
mod flaw;
mod handed;
mod identities;
pub(crate) mod key;
mod links;
mod media;
mod near;
mod policy;
pub(crate) mod reference;
mod resolve;
mod role;
mod routes;
mod services;
mod sources;
pub(crate) mod table;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use outlast_fs::durable;
use outlast_promise::{Keep, Policy};
pub(crate) use policy::LongWindows;
use toml::de::DeTable;

use flaw::Flaw;
use key::RoleKeys;

pub(crate) use flaw::{Flaws, Source};
pub(crate) use handed::{Confirmer, Confirmers, With};
pub(crate) use media::MediaSettings;
pub(crate) use role::{AgentSettings, Configured};
pub(crate) use sources::SourceSetting;
pub(crate) use values::{Setting, Settings};

/// A configuration that is longer is a mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// A policy that is right in itself.
pub(crate) struct Checked {
    pub(crate) policy: Policy,
    /// The rules of retention for all.
    pub(crate) keep: Option<Keep>,
    pub(crate) immutable_for: Option<Duration>,
}

/// A configuration file as the user wrote it.
pub(crate) struct Document {
    /// `None` if there is no file.
    path: Option<PathBuf>,
    text: String,
}

impl Document {
    /// Reads a file, which must be TOML.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let content = durable::read_bounded(path, CONFIG_BYTES_MAX)
            .with_context(|| format!("cannot read the configuration {shown}"))?;
        let text = String::from_utf8(content).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            anyhow!("cannot understand {shown}, line {line}: it is not text (UTF-8)")
        })?;
        Self::new(path, text)
    }

    /// The document `text`, which is, or shall be, the file at `path`.
    pub(crate) fn new(path: &Path, text: String) -> Result<Self> {
        let document = Self { path: Some(path.to_owned()), text };
        document.root()?;
        Ok(document)
    }

    /// Whether it says anything of a section.
    pub(crate) fn has_section(&self, name: &str) -> bool {
        self.root().is_ok_and(|root| root.contains_key(name))
    }

    /// No file: what variables and defaults say.
    pub(crate) fn none() -> Self {
        Self { path: None, text: String::new() }
    }

    /// The role's configuration, with the keys that this process's environment sets.
    pub(crate) fn with_environment<C: Configured>(&self) -> Result<C> {
        self.with_variables(std::env::vars_os())
    }

    fn with_variables<C: Configured>(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<C> {
        let (settings, mut flaws) = self.resolve(C::ROLE, variables)?;
        // What was written with a mistake is not missing.
        if flaws.is_empty() {
            flaws = settings.missing();
            flaws.extend(C::judge(&settings));
        }
        self.judge(flaws)?;
        C::build(&settings)
    }

    /// What a vault's file promises, whatever else it says or leaves out.
    pub(crate) fn policy(&self) -> Result<Checked> {
        let (settings, mut flaws) = self.resolve(&table::VAULT, std::env::vars_os())?;
        if flaws.is_empty() {
            flaws = services::judge(&settings);
            flaws.extend(policy::judge(&settings, &table::VAULT));
            // A policy alone does not say by which routes its vault tells.
            if self.is_whole() {
                flaws.extend(routes::judge(&settings));
            }
        }
        self.judge(flaws)?;
        let immutable_for = settings.duration_if_set("retention.immutable_for");
        let keep = settings.text_if_set("retention.keep").and_then(|text| text.parse().ok());
        Ok(Checked { policy: policy::build(&settings), keep, immutable_for })
    }

    /// Whether it is all of a vault's file, and no policy by itself.
    pub(crate) fn is_whole(&self) -> bool {
        ["vault", "route"].into_iter().any(|section| self.has_section(section))
    }

    /// Refuses a policy that names routes which the vault that shall go by it does not have.
    pub(crate) fn check_routes(&self, running: &Settings) -> Result<()> {
        self.judge(routes::judge_policy(&self.settings(&table::VAULT)?, running))
    }

    /// What in it takes two operators.
    pub(crate) fn long_windows(&self) -> Result<Vec<LongWindows>> {
        Ok(policy::long_windows(&self.settings(&table::VAULT)?))
    }

    /// Refuses a policy that says what takes two operators, if those of the vault in a directory did not agree.
    pub(crate) fn check_agreed(&self, vault: &Path) -> Result<()> {
        self.judge(policy::judge_long_windows(&self.settings(&table::VAULT)?, vault))
    }

    /// The settings of a role in force, with the keys that this process's environment sets; some
    /// that must be set may not be.
    pub(crate) fn settings(&self, role: &RoleKeys) -> Result<Settings> {
        let (settings, flaws) = self.resolve(role, std::env::vars_os())?;
        self.judge(flaws)?;
        Ok(settings)
    }

    /// Refuses the file for what somebody else found wrong with its sources.
    pub(crate) fn refuse(&self, found: Vec<(&SourceSetting, String)>) -> Result<()> {
        let flaw = |(source, words): (&SourceSetting, String)| Flaw {
            source: source.place.clone(),
            text: format!("{}: {words}", source.title),
        };
        self.judge(found.into_iter().map(flaw).collect())
    }

    fn resolve(
        &self,
        role: &RoleKeys,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(Settings, Vec<Flaw>)> {
        let root = self.root()?;
        let (mut settings, flaws) = resolve::resolve(role, &self.text, &root, variables);
        sources::settle(&mut settings);
        Ok((settings, flaws))
    }

    fn root(&self) -> Result<DeTable<'_>> {
        let root = DeTable::parse(&self.text).map_err(|error| {
            // The library's own words quote lines.
            let text = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
            let start = error.span().map_or(0, |span| span.start);
            let source = Source::in_text(&self.text, start);
            Flaws::new(self.path.as_deref(), vec![Flaw { source, text }])
        })?;
        Ok(root.into_inner())
    }

    /// The settings of a role, whatever this process's environment sets.
    #[cfg(test)]
    fn with_no_variables(&self, role: &RoleKeys) -> Settings {
        self.resolve(role, std::iter::empty()).unwrap().0
    }

    fn judge(&self, flaws: Vec<Flaw>) -> Result<()> {
        if flaws.is_empty() {
            return Ok(());
        }
        Err(Flaws::new(self.path.as_deref(), flaws).into())
    }
}

#[cfg(test)]
mod tests;
