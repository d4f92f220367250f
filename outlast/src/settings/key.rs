//! What a key of a configuration is, and what it takes. Those that there are stand in one table
//! ([`table`](super::table)), from which reading, help, and what `outlast config show` prints are made.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use outlast_promise::{Declaration, Promise};
use outlast_types::{ContentKind, WorkloadName, human};
use outlast_vault::listen_address;
use outlast_wire::Grants;
use outlast_wire::client::check_address;
use outlast_wire::grants::{InvalidGrants, WorkloadPattern};

pub(crate) use super::near::nearest;

/// The keys of a long-running role.
#[derive(Debug)]
pub(crate) struct RoleKeys {
    pub(crate) name: &'static str,
    pub(crate) sections: &'static [Section],
}

/// A section of a file, or several of one name.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) keys: &'static [Key],
}

/// How often there may be sections of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Once: `[name]`. The environment sets its keys, too.
    Once,
    /// Once for each workload or agent that is named: `[name.<workload>]`.
    Named,
    /// As often as it is written, in that order: `[[name]]`, an array of tables.
    Listed,
}

impl Section {
    /// What there is one of them for, each: a workload or an agent.
    pub(crate) fn each(&self) -> &'static str {
        match self.name {
            AGENTS => "agent",
            HANDOVER => "hand-over",
            CLASSES => "class",
            _ => "workload",
        }
    }

    /// How it is written; where it is named, for whom `name` stands.
    pub(crate) fn title(&self, name: &str) -> String {
        match self.form {
            Form::Once => format!("[{}]", self.name),
            Form::Named => format!("[{}.{name}]", self.name),
            Form::Listed => format!("[[{}]]", self.name),
        }
    }
}

/// The role that has sections named by certificates.
pub(crate) const VAULT_ROLE: &str = "vault";

/// The sections of classes.
pub(crate) const CLASSES: &str = "classes";

/// The section that each hand-over may have, at the vault.
pub(crate) const HANDOVER: &str = "handover";

/// The section that each agent may have.
pub(crate) const AGENTS: &str = "agents";

#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    pub(crate) help: &'static str,
}

/// What holds if a key is not set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// It must be set.
    None,
    /// It must be set, but where there is a section of this name.
    Unless(&'static str),
    Value(&'static str),
    /// Nothing: then what the key is for is not done.
    Nothing,
    /// What another key says.
    SameAs(&'static str),
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Path,
    /// The address of a vault.
    Url,
    /// The same, or several of them.
    Urls,
    /// Where to listen.
    Listen,
    /// The same, on this host only.
    ListenHere,
    Duration {
        min: Duration,
        max: Duration,
    },
    Count,
    /// Bytes.
    Size,
    /// Who is asked about a workload.
    Owner,
    /// Which workloads are meant.
    Patterns,
    /// A part of a hundred.
    Percent,
    /// What the content of a drop can be.
    Contents,
    /// Any text, such as a time of day.
    Text {
        example: &'static str,
    },
    /// Any number of texts, each of which is one word.
    Words {
        example: &'static str,
    },
    /// The same; one alone may stand without brackets.
    OneOrMore {
        example: &'static str,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Yes or no.
    Flag,
    /// A user or group of this host, by name or number.
    Account,
    /// The name of a workload.
    Workload,
    /// A text that something else understands.
    Ruled {
        example: &'static str,
        check: fn(&str) -> Result<(), String>,
    },
}

/// A value that was found right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Listen(String, SocketAddr),
    Duration(Duration),
    Count(usize),
    Size(u64),
    Patterns(Grants),
    Contents(Vec<ContentKind>),
    Words(Vec<String>),
    Flag(bool),
}

/// As TOML writes it.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Text(text) | Self::Listen(text, _) => text.clone(),
            // What is read again gives the same.
            Self::Duration(duration) => human::duration(*duration).replace(' ', ""),
            Self::Count(count) => return write!(f, "{count}"),
            Self::Contents(kinds) => {
                let texts: Vec<String> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
                return write!(f, "[{}]", texts.join(", "));
            }
            Self::Size(bytes) => exact_size(*bytes),
            Self::Words(words) => {
                let texts: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                return write!(f, "[{}]", texts.join(", "));
            }
            Self::Flag(flag) => return write!(f, "{flag}"),
            Self::Patterns(grants) => {
                let patterns = grants.patterns().unwrap_or_default().iter();
                let texts: Vec<String> = patterns.map(|it| format!("\"{it}\"")).collect();
                return write!(f, "[{}]", texts.join(", "));
            }
        };
        f.write_str(&quoted(&text))
    }
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The size that is no limit.
const UNLIMITED: &str = "unlimited";

/// A size that is read again as the same number of bytes.
fn exact_size(bytes: u64) -> String {
    if bytes == u64::MAX {
        return UNLIMITED.to_owned();
    }
    let units = ["TiB", "GiB", "MiB", "KiB"];
    let shift = |unit: usize| 40 - 10 * unit;
    let fits = |unit: &usize| bytes > 0 && bytes.is_multiple_of(1 << shift(*unit));
    match (0..units.len()).find(fits) {
        Some(unit) => format!("{}{}", bytes >> shift(unit), units[unit]),
        None => format!("{bytes}B"),
    }
}

/// Where no duration is too long.
pub(crate) const ANY: Duration = Duration::MAX;

impl Kind {
    /// How old a recovery point may be.
    pub(crate) const RPO: Self = Self::Duration { min: Promise::RPO_MIN, max: Promise::RPO_MAX };

    /// What is expected, with an example, as it follows "wants".
    pub(crate) fn expected(self) -> Cow<'static, str> {
        let expected = match self {
            Self::Path => "a path in quotes, such as \"/var/lib/outlast\"",
            Self::Url => "an address in quotes, such as \"https://vault.example:8443/\"",
            Self::Urls => {
                "an address in quotes, such as \"https://vault.example:8443/\", or a list of them"
            }
            Self::Listen => "an address in quotes, such as \"localhost:8443\" or \":8443\"",
            Self::ListenHere => "an address of this host in quotes, such as \"localhost:9644\"",
            Self::Duration { .. } => "a duration in quotes, such as \"30s\", \"5m\" or \"26h\"",
            Self::Count => "a whole number without quotes, such as 2",
            Self::Size => "a size in quotes, such as \"500GiB\" or \"unlimited\"",
            Self::Owner => "a name in quotes, such as \"team-shop\"",
            Self::Patterns => "a list of patterns, such as [\"shop-*\", \"crm-db\"]",
            Self::Percent => "a number of percent from 1 to 100 without quotes, such as 50",
            Self::Contents => "a list of kinds, such as [\"pg_dump\", \"pg_dump-custom\"]",
            Self::Text { example } | Self::Ruled { example, .. } => {
                return Cow::Owned(format!("a text in quotes, such as {}", quoted(example)));
            }
            Self::Words { example } => {
                return Cow::Owned(format!("a list of texts, such as {example}"));
            }
            Self::OneOrMore { example } => {
                return Cow::Owned(format!(
                    "a text in quotes, such as {}, or a list",
                    quoted(example)
                ));
            }
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                return Cow::Owned(format!("one of {}", words.join(", ")));
            }
            Self::Flag => "true or false without quotes",
            Self::Account => "a name in quotes or a number, such as \"backup\" or 1001",
            Self::Workload => "the name of a workload in quotes, such as \"shop-db\"",
        };
        Cow::Borrowed(expected)
    }

    /// A value of it, as a text.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Path => "/var/lib/outlast",
            Self::Url | Self::Urls => "https://vault.example:8443/",
            Self::Listen => ":8443",
            Self::ListenHere => "localhost:9644",
            Self::Duration { .. } => "26h",
            Self::Count => "2",
            Self::Size => "500GiB",
            Self::Owner => "team-shop",
            Self::Patterns => "shop-*",
            Self::Percent => "50",
            Self::Contents => "pg_dump",
            Self::Text { example }
            | Self::Words { example }
            | Self::OneOrMore { example }
            | Self::Ruled { example, .. } => example,
            Self::OneOf(words) => words.first().copied().unwrap_or_default(),
            Self::Flag => "true",
            Self::Account => "backup",
            Self::Workload => "shop-db",
        }
    }

    /// One word for help.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Path => "PATH",
            Self::Url => "URL",
            Self::Urls => "URL|[URL, ...]",
            Self::Listen | Self::ListenHere => "ADDRESS",
            Self::Duration { .. } => "DURATION",
            Self::Count => "NUMBER",
            Self::Size => "SIZE",
            Self::Owner => "NAME",
            Self::Account => "NAME|NUMBER",
            Self::Patterns => "PATTERNS",
            Self::Percent => "PERCENT",
            Self::Contents => "KINDS",
            Self::Text { .. } | Self::Ruled { .. } => "TEXT",
            Self::Words { .. } => "[TEXT, ...]",
            Self::OneOrMore { .. } => "TEXT|[TEXT, ...]",
            Self::OneOf(_) => "WORD",
            Self::Flag => "true|false",
            Self::Workload => "NAME",
        }
    }

    /// Reads what a text says, in a variable or between quotes; why it cannot be, if so.
    pub(crate) fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Path | Self::Url | Self::Urls | Self::Text { .. } if text.is_empty() => {
                Err(format!("it is empty, and wants {}", self.expected()))
            }
            Self::Path | Self::Text { .. } => Ok(Value::Text(text.to_owned())),
            Self::Ruled { check, .. } => check(text).map(|()| Value::Text(text.to_owned())),
            Self::Words { .. } | Self::OneOrMore { .. } => words(text)
                .map(Value::Words)
                .ok_or_else(|| format!("{text:?} is not {}", self.expected())),
            Self::OneOf(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::OneOf(words) => Err(match nearest(text, words.iter().copied()) {
                Some(near) => format!("there is no {text:?}; did you mean {near:?}?"),
                None => format!("there is no {text:?}; use {}", self.expected()),
            }),
            Self::Flag => match text {
                "true" => Ok(Value::Flag(true)),
                "false" => Ok(Value::Flag(false)),
                _ => Err(format!("{text:?} is not {}", self.expected())),
            },
            Self::Workload => WorkloadName::new(text)
                .map(|_| Value::Text(text.to_owned()))
                .map_err(|error| error.to_string()),
            Self::Url => check_address(text)
                .map(|()| Value::Text(text.to_owned()))
                .map_err(|error| format!("{error}; it wants {}", self.expected())),
            Self::Urls => urls(text).map(Value::Text),
            Self::Listen => Ok(Value::Listen(text.to_owned(), listen_address(text)?)),
            Self::ListenHere => match listen_address(text)? {
                at if at.ip().is_loopback() => Ok(Value::Listen(text.to_owned(), at)),
                _ => Err(format!(
                    "{text:?} can be reached from other hosts, and nobody is asked who they are there; use \
                     {}",
                    self.expected()
                )),
            },
            Self::Duration { min, max } => duration_within(text, min, max),
            Self::Count => text
                .parse()
                .map(Value::Count)
                .map_err(|_| format!("{text:?} is not {}", self.expected())),
            Self::Account => {
                account(text).ok_or_else(|| format!("{text:?} is not {}", self.expected()))
            }
            Self::Size if text == UNLIMITED => Ok(Value::Size(u64::MAX)),
            Self::Size => match human::parse_bytes(text) {
                Ok(0) => Err(format!("{text:?} is not possible: use 1 or more")),
                Ok(bytes) => Ok(Value::Size(bytes)),
                Err(error) => Err(error.to_string()),
            },
            Self::Owner => Declaration::new(None, Some(text))
                .map(|_| Value::Text(text.to_owned()))
                .map_err(|error| error.to_string()),
            Self::Percent => match text.parse() {
                Ok(percent @ 1..=100) => Ok(Value::Count(percent)),
                _ => Err(format!("{text:?} is not {}", self.expected())),
            },
            Self::Contents => contents(text).map(Value::Contents),
            Self::Patterns => {
                patterns(text).map(Value::Patterns).map_err(|error| error.to_string())
            }
        }
    }
}

/// A user or group by number or name.
fn account(text: &str) -> Option<Value> {
    let is_name = !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_control());
    let number = text.parse().ok().map(Value::Count);
    number.or_else(|| is_name.then(|| Value::Text(text.to_owned())))
}

/// A duration within bounds.
fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Value, String> {
    let duration = human::parse_duration(text).map_err(|error| error.to_string())?;
    if (min..=max).contains(&duration) {
        return Ok(Value::Duration(duration));
    }
    let bounds = match max {
        Duration::MAX => format!("use {} or more", human::duration(min)),
        max => format!("use {} to {}", human::duration(min), human::duration(max)),
    };
    Err(format!("{text:?} is not possible: {bounds}"))
}

/// A list of texts as TOML has it; a text without brackets is the only one.
fn words(text: &str) -> Option<Vec<String>> {
    if !text.trim_start().starts_with('[') {
        return Some(vec![text.to_owned()]);
    }
    let table: toml::Table = format!("words = {text}").parse().ok()?;
    let words = table.get("words")?.as_array()?.iter();
    words.map(|word| word.as_str().map(str::to_owned)).collect()
}

/// Addresses of vaults, with commas between them, of a list or a text.
fn urls(text: &str) -> Result<String, String> {
    let all = words(text).ok_or_else(|| format!("{text:?} is not {}", Kind::Urls.expected()))?;
    let each: Vec<&str> = all.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    for address in &each {
        check_address(address)
            .map_err(|error| format!("{error}; it wants {}", Kind::Urls.expected()))?;
    }
    match each.is_empty() {
        true => Err(format!("it is empty, and wants {}", Kind::Urls.expected())),
        false => Ok(each.join(",")),
    }
}

/// A list of patterns, with or without its brackets and quotes.
fn patterns(text: &str) -> Result<Grants, InvalidGrants> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let patterns = inner.split(',').map(|pattern| pattern.trim().trim_matches('"'));
    let patterns = patterns.filter(|pattern| !pattern.is_empty()).map(WorkloadPattern::new);
    Grants::of(patterns.collect::<Result<Vec<_>, _>>()?)
}

/// A list of kinds of content, with or without its brackets and quotes.
fn contents(text: &str) -> Result<Vec<ContentKind>, String> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let names = inner.split(',').map(|name| name.trim().trim_matches('"'));
    let kind = |name: &str| match ContentKind::from(name.to_owned()) {
        kind if ContentKind::KNOWN.contains(&kind) => Ok(kind),
        _ => {
            let known: Vec<&str> = ContentKind::KNOWN.iter().map(ContentKind::as_str).collect();
            Err(format!("{name:?} is no kind that can be told; use {}", known.join(", ")))
        }
    };
    names.filter(|name| !name.is_empty()).map(kind).collect()
}

impl RoleKeys {
    pub(crate) fn section(&self, name: &str) -> Option<&'static Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// All keys in a few lines, for help.
    pub(crate) fn help(&self) -> String {
        let mut lines = String::from("Keys of the file:\n");
        for section in self.sections {
            let title = section.title(&format!("<{}>", section.each()));
            lines.push_str(&format!("  {title}\n"));
            for Key { name, kind, default, help } in section.keys {
                let default = match default {
                    Default::None => "; must be set".to_owned(),
                    Default::Unless(section) => format!("; must be set without a [[{section}]]"),
                    Default::Nothing => String::new(),
                    Default::Value(value) => format!(" [default: {value}]"),
                    Default::SameAs(key) => format!(" [default: as {key}]"),
                };
                let head = format!("{name} = {}", kind.word());
                lines.push_str(&format!("  {head:26}  {help}{default}\n"));
            }
        }
        lines.push_str(IDENTITIES_HELP);
        lines
    }
}

/// Sections that are named by certificates.
const IDENTITIES_HELP: &str = "  [identities.\"CN=backup-eu,O=Bank\"]  whom a certificate means that others \
     issued; or DNS:, URI:, email:\n  role, name, workloads = [PATTERN, ...]\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for (bytes, text) in [
            (1000, "1000B"),
            (3 << 30, "3GiB"),
            (8 << 40, "8TiB"),
            (1536 << 20, "1536MiB"),
            (u64::MAX, "unlimited"),
        ] {
            assert_eq!(Value::Size(bytes).to_string(), format!("\"{text}\""));
            assert_eq!(Kind::Size.read(text), Ok(Value::Size(bytes)));
        }
    }
}
