//! Configuration files, with each key overridable from the environment.
//!
//! `OUTLAST_<SECTION>_<KEY>` stands for `key` in `[section]`, in capitals: `OUTLAST_AGENT_POLL=5s`
//! is `poll = "5s"` in `[agent]`. A mistake is told where the user made it: by the line of the file,
//! or by the variable's name.

mod edit;
mod links;

use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use outlast_agent::AgentConfig;
use outlast_fs::durable;
use outlast_vault::VaultConfig;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// A configuration that is longer is a mistake.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Variables of ours that are no keys of a section, each with what may follow it.
const OTHERS: [&str; 6] = [
    "OUTLAST_SHARE",
    "OUTLAST_PASSWORD",
    "OUTLAST_REPOSITORY",
    "OUTLAST_CACHE_DIR",
    "OUTLAST_LOG_FORMAT",
    "OUTLAST_IDENTITY",
];

/// All sections whose keys variables can set.
const SECTIONS: [&str; 3] = ["agent", "promise", "vault"];

/// The configuration of a role.
pub(crate) trait Configured: Sized {
    /// The sections whose keys variables set.
    const SECTIONS: &'static [&'static str];

    fn read(document: Deserializer<'_>) -> Result<Self, Flaw>;
}

/// What is wrong with a configuration, and where if that is known.
pub(crate) struct Flaw {
    span: Option<Range<usize>>,
    key: Option<String>,
    reason: String,
}

impl Configured for AgentConfig {
    const SECTIONS: &'static [&'static str] = &["agent"];

    fn read(document: Deserializer<'_>) -> Result<Self, Flaw> {
        use outlast_agent::ConfigError;
        Self::from_toml(document).map_err(|error| match error {
            ConfigError::Syntax(error) => Flaw::of(&error),
            ConfigError::Value { key, reason } => {
                Flaw { span: None, key: Some(format!("agent.{key}")), reason }
            }
            error => Flaw { span: None, key: None, reason: error.to_string() },
        })
    }
}

impl Configured for VaultConfig {
    const SECTIONS: &'static [&'static str] = &["vault", "promise"];

    fn read(document: Deserializer<'_>) -> Result<Self, Flaw> {
        use outlast_vault::ConfigError;
        Self::from_toml(document).map_err(|error| match error {
            ConfigError::Syntax(error) => Flaw::of(&error),
            ConfigError::Value { key, reason } => Flaw { span: None, key: Some(key), reason },
            error => Flaw { span: None, key: None, reason: error.to_string() },
        })
    }
}

impl Flaw {
    fn of(error: &toml::de::Error) -> Self {
        // The library's own words quote lines, of a text that need not be the user's.
        let reason = error.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
        Self { span: error.span(), key: None, reason }
    }
}

/// A configuration file as the user wrote it.
pub(crate) struct Document {
    path: PathBuf,
    text: String,
}

/// A key that is set by a variable.
struct Override {
    variable: String,
    section: &'static str,
    key: String,
    text: String,
    /// The value as a TOML line, if it looks like something else than text.
    typed: Option<String>,
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
        let document = Self { path: path.to_owned(), text };
        match DeTable::parse(&document.text) {
            Ok(_) => Ok(document),
            Err(error) => Err(document.told(&Flaw::of(&error), &[])),
        }
    }

    /// The role's configuration, with the keys that this process's environment sets.
    pub(crate) fn with_environment<C: Configured>(&self) -> Result<C> {
        self.with_variables(std::env::vars_os())
    }

    fn with_variables<C: Configured>(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<C> {
        let mut overrides = overrides(C::SECTIONS, variables)?;
        loop {
            let Flaw { span, key, reason } = match C::read(self.merged(&overrides)?) {
                Ok(config) => return Ok(config),
                Err(flaw) => flaw,
            };
            // What looked like a number or a truth value may be meant as text.
            let guilty = span.as_ref().and_then(|span| self.override_at(span.start));
            let guilty = guilty.and_then(|index| overrides.get_mut(index));
            if guilty.is_some_and(|guilty| guilty.typed.take().is_some()) {
                continue;
            }
            return Err(self.told(&Flaw { span, key, reason }, &overrides));
        }
    }

    /// The document with overrides in it. Their places lie beyond its end, one for each.
    fn merged<'a>(&'a self, overrides: &'a [Override]) -> Result<Deserializer<'a>> {
        let mut root = DeTable::parse(&self.text)?;
        for (index, wanted) in overrides.iter().enumerate() {
            let place = self.text.len() + 1 + index;
            let place = place..place + 1;
            let table = root.get_mut();
            let section = wanted.section;
            if !table.contains_key(section) {
                let empty = DeValue::Table(DeTable::new());
                let name = Spanned::new(place.clone(), Cow::Borrowed(section));
                table.insert(name, Spanned::new(place.clone(), empty));
            }
            let value = match &wanted.typed {
                Some(line) => {
                    DeTable::parse(line)?.into_inner().remove("v").map(Spanned::into_inner)
                }
                None => None,
            };
            let value = value.unwrap_or(DeValue::String(Cow::Borrowed(&wanted.text)));
            let keys = table.get_mut(section).map(Spanned::get_mut);
            let Some(DeValue::Table(keys)) = keys else {
                bail!("cannot understand {}: [{section}] is no section", self.path.display());
            };
            // Without the old one, whose place is in the file.
            keys.remove(wanted.key.as_str());
            let key = Spanned::new(place.clone(), Cow::Borrowed(wanted.key.as_str()));
            keys.insert(key, Spanned::new(place, value));
        }
        Ok(root.into())
    }

    fn override_at(&self, place: usize) -> Option<usize> {
        place.checked_sub(self.text.len() + 1)
    }

    /// A flaw in words, with the place where the user can mend it.
    fn told(&self, flaw: &Flaw, overrides: &[Override]) -> anyhow::Error {
        let by_key = |key: &String| {
            let dotted = |o: &Override| format!("{}.{}", o.section, o.key);
            overrides.iter().position(|o| dotted(o) == *key)
        };
        let by_place = flaw.span.as_ref().and_then(|span| self.override_at(span.start));
        let variable = by_place.or_else(|| flaw.key.as_ref().and_then(by_key));
        let key = flaw.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
        let reason = &flaw.reason;
        if let Some(wanted) = variable.and_then(|index| overrides.get(index)) {
            return anyhow!("cannot use the variable {}: {key}{reason}", wanted.variable);
        }
        let shown = self.path.display();
        let start = flaw.span.as_ref().map(|span| span.start);
        match start.or_else(|| self.place_of(flaw.key.as_deref()?)) {
            Some(start) => {
                let before = &self.text[..self.text.floor_char_boundary(start)];
                let line = 1 + before.matches('\n').count();
                let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
                anyhow!("cannot understand {shown}, line {line}, column {column}: {key}{reason}")
            }
            None => anyhow!("cannot understand {shown}: {key}{reason}"),
        }
    }

    /// Where the file has the value of a dotted key, or the nearest section above it.
    fn place_of(&self, dotted: &str) -> Option<usize> {
        let root = DeTable::parse(&self.text).ok()?;
        let mut table = root.get_ref();
        let mut rest = dotted;
        let mut place = None;
        loop {
            // A name may have dots itself.
            let follows = |name: &str| -> Option<&str> {
                let tail = rest.strip_prefix(name)?;
                if tail.is_empty() { Some(tail) } else { tail.strip_prefix('.') }
            };
            let found = table.iter().find_map(|(name, value)| {
                Some((follows(name.get_ref())?, name.span().start, value.get_ref()))
            });
            let Some((tail, start, value)) = found else { return place };
            place = Some(start);
            match value {
                DeValue::Table(inner) if !tail.is_empty() => (table, rest) = (inner, tail),
                _ => return place,
            }
        }
    }
}

/// What the variables set in `sections`. Those of service links are none of ours, although they are
/// called like ours.
fn overrides(
    sections: &[&'static str],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>> {
    let mut overrides = Vec::new();
    let mut links = Vec::new();
    for (name, text) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("OUTLAST_")) else {
            continue;
        };
        let keyed = |section: &&str| {
            let prefix = format!("OUTLAST_{}_", section.to_uppercase());
            name.strip_prefix(&prefix).map(str::to_lowercase)
        };
        let found = sections.iter().find_map(|section| Some((*section, keyed(section)?)));
        if links::is_service_link(name, &text) {
            // Who reads the other sections says the rest.
            links.extend(found.map(|_| name.to_owned()));
            continue;
        }
        let Some((section, key)) = found else {
            if !is_known(name) {
                tracing::warn!("{name} is no setting of this program: is it a typing error?");
            }
            continue;
        };
        let Some(text) = text.to_str() else {
            bail!("cannot use the variable {name}: its value is not text (UTF-8)");
        };
        let is_typed = text.parse::<i64>().is_ok() || matches!(text, "true" | "false");
        overrides.push(Override {
            variable: name.to_owned(),
            section,
            key,
            text: text.to_owned(),
            typed: is_typed.then(|| format!("v = {text}")),
        });
    }
    if !links.is_empty() {
        links.sort();
        tracing::info!(
            "ignored, as the platform set them for a service of that name: {}",
            links.join(", ")
        );
    }
    Ok(overrides)
}

/// Whether a variable is one of this program's, of whatever command.
fn is_known(name: &str) -> bool {
    OTHERS.iter().any(|other| name.starts_with(other))
        || SECTIONS
            .iter()
            .any(|section| name.starts_with(&format!("OUTLAST_{}_", section.to_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "# ours\n[agent]\nshare = \"/s\"\nstate = \"/a\"\n# a pause\n\
                         upstream = \"https://v/\"\nidentity = \"/i\"\n";

    fn read<C: Configured>(text: &str, variables: &[(&str, &str)]) -> Result<C, String> {
        let variables = variables.iter().map(|(name, text)| (name.into(), text.into()));
        let document = Document::new(Path::new("/etc/x.toml"), text.to_owned());
        let read = document.and_then(|document| document.with_variables(variables));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_variable_overrides_the_key_of_its_section_only() {
        let variables = [
            ("OUTLAST_AGENT_POLL", "5s"),
            ("OUTLAST_AGENT_KEEP", "3"),
            ("OUTLAST_AGENT_STATE", "2026"),
            ("OUTLAST_VAULT_LISTEN", "nonsense"),
            ("OUTLAST_PASSWORD", "secret"),
            ("HOME", "/root"),
        ];
        let config: AgentConfig = read(AGENT, &variables).unwrap();
        assert_eq!((config.poll.as_secs(), config.keep), (5, 3));
        assert_eq!(config.state, Path::new("2026"), "a number may be a name");
        let alone = [
            ("OUTLAST_VAULT_DIR", "/v"),
            ("OUTLAST_VAULT_LISTEN", "127.0.0.1:0"),
            ("OUTLAST_VAULT_IDENTITY", "/i"),
            ("OUTLAST_PROMISE_OWNER", "ops"),
        ];
        let config: VaultConfig = read("", &alone).unwrap();
        assert_eq!((config.dir.as_path(), config.promise.owner()), (Path::new("/v"), "ops"));
    }

    #[test]
    fn a_mistake_is_told_where_the_user_made_it() {
        let line = |line: &str| format!("{AGENT}{line}\n");
        for (text, variables, wanted) in [
            (
                line("graze = \"1h\""),
                &[][..],
                "/etc/x.toml, line 8, column 1: unknown field `graze`",
            ),
            (line("graze = 1"), &[("OUTLAST_AGENT_POLL", "5s")], "x.toml, line 8, column 1: "),
            (line("poll = 5"), &[], "x.toml, line 8, column 8: invalid type"),
            (line("poll = \"soon\""), &[], "x.toml, line 8, column 1: agent.poll: \"soon\" is not"),
            (line("poll = \"5s"), &[], "x.toml, line 8, column "),
            (
                line(""),
                &[("OUTLAST_AGENT_POLL", "soon")],
                "variable OUTLAST_AGENT_POLL: agent.poll: ",
            ),
            (
                line(""),
                &[("OUTLAST_AGENT_KEEP", "few")],
                "variable OUTLAST_AGENT_KEEP: invalid type",
            ),
            (
                line(""),
                &[("OUTLAST_AGENT_PUDDING", "1")],
                "OUTLAST_AGENT_PUDDING: unknown field `pudd",
            ),
        ] {
            let error = read::<AgentConfig>(&text, variables).unwrap_err();
            assert!(error.contains(wanted) && !error.contains('\n'), "{error}");
        }
        let vault = "[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n";
        for (tail, wanted) in [
            ("[workloads.Shop-DB]\nrpo = \"1h\"\n", "line 5"),
            ("\n[workloads.\"a.b\"]\nrpo = \"1h\"\n[workloads.a]\nrpo = \"ever\"\n", "line 9"),
        ] {
            let error = read::<VaultConfig>(&format!("{vault}{tail}"), &[]).err().unwrap();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_the_platform_says_of_a_service_called_like_a_role_is_no_setting() {
        let links = [
            ("OUTLAST_AGENT_SERVICE_HOST", "10.0.0.7"),
            ("OUTLAST_AGENT_SERVICE_PORT", "8443"),
            ("OUTLAST_AGENT_SERVICE_PORT_HTTPS", "8443"),
            ("OUTLAST_AGENT_PORT", "tcp://10.0.0.7:8443"),
            ("OUTLAST_AGENT_PORT_8443_TCP", "tcp://10.0.0.7:8443"),
            ("OUTLAST_AGENT_PORT_8443_TCP_PROTO", "tcp"),
            ("OUTLAST_AGENT_PORT_8443_TCP_PORT", "8443"),
            ("OUTLAST_AGENT_PORT_8443_TCP_ADDR", "10.0.0.7"),
            ("OUTLAST_AGENT_EU_PORT", "udp://10.0.0.7:53"),
        ];
        read::<AgentConfig>(AGENT, &links).unwrap();
        let error = read::<AgentConfig>(AGENT, &[("OUTLAST_AGENT_PORT", "8443")]).unwrap_err();
        assert!(error.contains("OUTLAST_AGENT_PORT: unknown field"), "{error}");
    }
}
