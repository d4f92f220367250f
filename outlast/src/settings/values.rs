//! The settings in force, and what is asked of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use outlast_types::{ContentKind, WorkloadName, WorkloadPattern};
use outlast_wire::Grants;
use outlast_wire::names::Names;

use super::flaw::{Flaw, Source};
use super::key::Value;

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// `None` if it must be set and is not.
    pub(crate) value: Option<Value>,
    pub(crate) source: Source,
}

impl Setting {
    /// Whether somebody set it.
    pub(super) fn is_set(&self) -> bool {
        !matches!(self.source, Source::Default | Source::LeftOut)
    }
}

/// The settings of a role, by their dotted keys in the order of the table.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) all: Vec<(String, Setting)>,
    /// Where each of them is: a policy may name ten thousand workloads.
    pub(super) places: BTreeMap<String, usize>,
    /// The workloads that have a section of their own.
    pub(crate) workloads: Vec<WorkloadName>,
    /// The patterns over workloads that have one.
    pub(crate) patterns: Vec<WorkloadPattern>,
    /// The classes.
    pub(crate) classes: Vec<String>,
    /// The agents that have one.
    pub(crate) agents: Vec<String>,
    /// The hand-overs of agents that have one, at a vault.
    pub(crate) handovers: Vec<String>,
    /// Those of which there may be any number, by the name of their sections.
    pub(super) listed: BTreeMap<&'static str, Vec<Item>>,
    /// Whom certificates of others mean.
    pub(super) identities: Names,
}

/// One section of those of which there may be any number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// As its keys begin: `source[2]`.
    pub(super) title: String,
    /// Where it begins.
    pub(super) place: Source,
}

impl Item {
    /// The whole name of a key in it, as [`Settings`] know it.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.title)
    }

    /// What is wrong with it as a whole.
    pub(super) fn flaw(&self, text: &str) -> Flaw {
        Flaw { source: self.place.clone(), text: format!("{}: {text}", self.title) }
    }
}

/// What holds of a key among the settings of a role.
pub(super) fn value_of<'a>(all: &'a [(String, Setting)], key: &str) -> Option<&'a Value> {
    all.iter().find(|(name, _)| name == key)?.1.value.as_ref()
}

/// The variable that sets a key.
pub(super) fn variable(section: &str, key: &str) -> String {
    format!("OUTLAST_{}_{}", section.to_uppercase(), key.to_uppercase())
}

/// A key that must be set and is not. It was told before a configuration is built from settings.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not set")]
pub(crate) struct Unset(String);

impl Settings {
    fn setting(&self, key: &str) -> Option<&Setting> {
        self.places.get(key).and_then(|place| self.all.get(*place)).map(|(_, setting)| setting)
    }

    fn value(&self, key: &str) -> Result<&Value, Unset> {
        let value = self.setting(key).and_then(|setting| setting.value.as_ref());
        value.ok_or_else(|| Unset(key.to_owned()))
    }

    /// Whether somebody set it.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.setting(key).is_some_and(Setting::is_set)
    }

    /// What somebody set it to.
    pub(super) fn set(&self, key: &str) -> Option<&Value> {
        self.setting(key).filter(|setting| setting.is_set())?.value.as_ref()
    }

    /// The sections `[[section]]`, in their order.
    pub(super) fn listed(&self, section: &str) -> &[Item] {
        self.listed.get(section).map_or(&[], Vec::as_slice)
    }

    /// What is wrong with what a key says, though it looks right by itself.
    pub(super) fn flaw(&self, key: &str, text: &str) -> Flaw {
        let source = self.setting(key).map_or(Source::Default, |setting| setting.source.clone());
        Flaw { source, text: format!("{key}: {text}") }
    }

    /// What holds of a key by other settings, if nobody set it.
    pub(super) fn settle(&mut self, key: &str, value: Value) {
        if self.is_set(key) {
            return;
        }
        if let Some((_, setting)) = self.all.iter_mut().find(|(name, _)| name == key) {
            *setting = Setting { value: Some(value), source: Source::Default };
        }
    }

    /// The texts of a key; none if it is not set.
    pub(super) fn words(&self, key: &str) -> &[String] {
        match self.value(key) {
            Ok(Value::Words(words)) => words,
            _ => &[],
        }
    }

    /// Whether a key says yes.
    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.value(key), Ok(Value::Flag(true)))
    }

    /// The text of a key that may be left out.
    pub(super) fn text_if_set(&self, key: &str) -> Option<&str> {
        self.text(key).ok()
    }

    /// The duration of a key that may be left out.
    pub(super) fn duration_if_set(&self, key: &str) -> Option<Duration> {
        self.duration(key).ok()
    }

    pub(super) fn text(&self, key: &str) -> Result<&str, Unset> {
        match self.value(key)? {
            Value::Text(text) | Value::Listen(text, _) => Ok(text),
            _ => Err(Unset(key.to_owned())),
        }
    }

    pub(super) fn path(&self, key: &str) -> Result<PathBuf, Unset> {
        self.text(key).map(PathBuf::from)
    }

    /// The path of a key that may be left out.
    pub(crate) fn path_if_set(&self, key: &str) -> Option<PathBuf> {
        self.path(key).ok()
    }

    pub(super) fn size(&self, key: &str) -> Result<u64, Unset> {
        match self.value(key)? {
            Value::Size(bytes) => Ok(*bytes),
            _ => Err(Unset(key.to_owned())),
        }
    }

    pub(super) fn contents(&self, key: &str) -> Result<Vec<ContentKind>, Unset> {
        match self.value(key)? {
            Value::Contents(kinds) => Ok(kinds.clone()),
            _ => Err(Unset(key.to_owned())),
        }
    }

    pub(super) fn grants(&self, key: &str) -> Result<Grants, Unset> {
        match self.value(key)? {
            Value::Patterns(grants) => Ok(grants.clone()),
            _ => Err(Unset(key.to_owned())),
        }
    }

    pub(super) fn listen(&self, key: &str) -> Result<SocketAddr, Unset> {
        match self.value(key)? {
            Value::Listen(_, address) => Ok(*address),
            _ => Err(Unset(key.to_owned())),
        }
    }

    /// The address of a key that may be left out.
    pub(super) fn listen_if_set(&self, key: &str) -> Option<SocketAddr> {
        self.listen(key).ok()
    }

    pub(super) fn duration(&self, key: &str) -> Result<Duration, Unset> {
        match self.value(key)? {
            Value::Duration(duration) => Ok(*duration),
            _ => Err(Unset(key.to_owned())),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<usize, Unset> {
        match self.value(key)? {
            Value::Count(count) => Ok(*count),
            _ => Err(Unset(key.to_owned())),
        }
    }

    /// Keys that must be set and are not, each with the variable that would set it.
    pub(super) fn missing(&self) -> Vec<Flaw> {
        let missing = self
            .all
            .iter()
            .filter(|(_, setting)| setting.value.is_none() && setting.source != Source::LeftOut);
        let flaw = |(key, _): &(String, Setting)| {
            let (section, name) = key.split_once('.').unwrap_or((key, ""));
            let text = format!(
                "{name} is missing in [{section}]; write it there, or set {}",
                variable(section, name)
            );
            Flaw { source: Source::Default, text }
        };
        missing.map(flaw).collect()
    }
}
