//! From a file and variables to the settings in force, each with where it comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;

use outlast_promise::ClassName;
use outlast_types::{WorkloadName, WorkloadPattern};
use outlast_wire::names::Names;
use outlast_wire::{Peer, Role};
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::flaw::{Flaw, Source};
use super::identities;
use super::key::{
    AGENTS, CLASSES, Default, Form, HANDOVER, Key, Kind, RoleKeys, Section, VAULT_ROLE, Value,
    nearest,
};
use super::links;
use super::table::ROLES;
use super::values::{Item, Setting, Settings, value_of, variable};

/// Variables of ours that are no keys of a section, and what each is.
pub(super) const OTHERS: [(&str, &str); 8] = [
    ("OUTLAST_SHARE", "where the share is mounted, for `outlast drop`, `fetch` and `share`"),
    ("OUTLAST_CA", "the certificate of the authority whose receipts `outlast share` believes"),
    ("OUTLAST_REPOSITORY", "the repository of `outlast repo`, as `-r` names it"),
    ("OUTLAST_PASSWORD", "its password; better from a file"),
    ("OUTLAST_PASSWORD_FILE", "a file with its password"),
    ("OUTLAST_PASSWORD_COMMAND", "a command that prints its password"),
    ("OUTLAST_CACHE_DIR", "where commands keep their cache"),
    ("OUTLAST_LOG_FORMAT", "`text` or `json`: how a role writes its log"),
];

/// More sections of one name are a mistake.
const LISTED_MAX: usize = 1000;

/// What is set in one section, by key.
type Found = BTreeMap<&'static str, Setting>;

/// What is set, and what is wrong with it.
#[derive(Debug, Default)]
struct Reading {
    sections: BTreeMap<&'static str, Found>,
    /// Those of single workloads and agents, by section and name.
    single: BTreeMap<&'static str, BTreeMap<String, Found>>,
    /// Those that are listed.
    listed: BTreeMap<&'static str, Vec<(Item, Found)>>,
    identities: Names,
    flaws: Vec<Flaw>,
}

/// The settings of `role` by `text`, which is TOML, and `variables` over it.
pub(super) fn resolve(
    role: &RoleKeys,
    text: &str,
    root: &DeTable<'_>,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> (Settings, Vec<Flaw>) {
    let mut reading = Reading::default();
    reading.file(role, text, root);
    reading.variables(role, variables);
    let (mut all, mut listed) = (Vec::new(), BTreeMap::new());
    for section in role.sections {
        match section.form {
            Form::Once => {
                let found = reading.sections.remove(section.name).unwrap_or_default();
                push_all(&mut all, section, section.name, found);
            }
            Form::Named => {
                for (name, found) in reading.single.get(section.name).into_iter().flatten() {
                    let name = format!("{}.{name}", section.name);
                    push_all(&mut all, section, &name, found.clone());
                }
            }
            Form::Listed => {
                let mut items = Vec::new();
                for (item, found) in reading.listed.remove(section.name).unwrap_or_default() {
                    push_all(&mut all, section, &item.title, found);
                    items.push(item);
                }
                listed.insert(section.name, items);
            }
        }
    }
    let agents = reading.single.remove(AGENTS).unwrap_or_default().into_keys().collect();
    let classes = reading.single.remove(CLASSES).unwrap_or_default().into_keys().collect();
    let handovers = reading.single.remove(HANDOVER).unwrap_or_default().into_keys().collect();
    let names: Vec<String> = reading.single.into_values().flat_map(BTreeMap::into_keys).collect();
    let workloads = names.iter().filter_map(|name| WorkloadName::new(name).ok()).collect();
    let patterns = names.iter().filter(|name| name.contains('*'));
    let patterns = patterns.filter_map(|name| WorkloadPattern::new(name).ok()).collect();
    let identities = reading.identities;
    let places = all.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
    let settings = Settings {
        all,
        places,
        workloads,
        patterns,
        classes,
        agents,
        handovers,
        listed,
        identities,
    };
    (settings, reading.flaws)
}

/// Adds the settings of one section, with defaults for what is not set.
fn push_all(all: &mut Vec<(String, Setting)>, section: &Section, name: &str, mut found: Found) {
    for key in section.keys {
        let setting = found.remove(key.name).unwrap_or_else(|| {
            let value = match key.default {
                Default::None | Default::Unless(_) | Default::Nothing => None,
                Default::Value(text) => key.kind.read(text).ok(),
                Default::SameAs(other) => value_of(all, other).cloned(),
            };
            let source = match key.default {
                Default::Nothing => Source::LeftOut,
                _ => Source::Default,
            };
            Setting { value, source }
        });
        all.push((format!("{name}.{}", key.name), setting));
    }
}

impl Reading {
    fn flaw(&mut self, source: Source, text: String) {
        self.flaws.push(Flaw { source, text });
    }

    fn file(&mut self, role: &RoleKeys, text: &str, root: &DeTable<'_>) {
        let at = |place: usize| Source::in_text(text, place);
        for (name, content) in root {
            let known = || role.sections.iter().map(|section| section.name);
            if *name.get_ref() == identities::SECTION {
                self.identities = identities::read(text, content, &mut self.flaws);
                continue;
            }
            let Some(section) = role.section(name.get_ref()) else {
                let shown = |name: &str| match role.section(name) {
                    Some(section) if section.form == Form::Listed => section.title(""),
                    _ => format!("[{name}]"),
                };
                let words = unknown(&format!("[{}]", name.get_ref()), "section", known(), shown);
                self.flaw(at(name.span().start), words);
                continue;
            };
            if section.form == Form::Listed {
                self.list(section, text, (name, content));
                continue;
            }
            let DeValue::Table(table) = content.get_ref() else {
                let words =
                    format!("{} is a section: write [{0}] on a line of its own", section.name);
                self.flaw(at(name.span().start), words);
                continue;
            };
            if section.form == Form::Once {
                let found = self.keys(section, text, table, section.name);
                self.sections.insert(section.name, found);
                continue;
            }
            for (name, content) in table {
                if let Err(reason) = judge_name(role, section, name.get_ref()) {
                    self.flaw(at(name.span().start), reason);
                    continue;
                }
                let title = format!("{}.{}", section.name, name.get_ref());
                match content.get_ref() {
                    DeValue::Table(table) => {
                        let found = self.keys(section, text, table, &title);
                        let single = self.single.entry(section.name).or_default();
                        single.insert(name.get_ref().to_string(), found);
                    }
                    _ => {
                        let words = format!("{title} is a section: write [{title}]");
                        self.flaw(at(name.span().start), words);
                    }
                }
            }
        }
    }

    /// The sections of one name of which there may be any number. What must be set in them can be
    /// set nowhere else, so it is missed here.
    fn list(
        &mut self,
        section: &'static Section,
        text: &str,
        (name, content): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>),
    ) {
        let at = |place: std::ops::Range<usize>| Source::in_text(text, place.start);
        let words = format!("write {} on a line of its own, for each one", section.title(""));
        let DeValue::Array(list) = content.get_ref() else {
            return self.flaw(
                at(name.span()),
                format!("there may be several of {}: {words}", section.name),
            );
        };
        if list.len() > LISTED_MAX {
            let words = format!("there are more than {LISTED_MAX} of {}", section.title(""));
            return self.flaw(at(name.span()), words);
        }
        for (number, content) in (1..).zip(list.iter()) {
            let title = format!("{}[{number}]", section.name);
            let item = Item { title, place: at(content.span()) };
            let DeValue::Table(table) = content.get_ref() else {
                self.flaw(item.place, format!("{} is a section: {words}", section.name));
                continue;
            };
            let found = self.keys(section, text, table, &item.title);
            for key in section.keys.iter().filter(|key| matches!(key.default, Default::None)) {
                if !table.keys().any(|name| *name.get_ref() == key.name) {
                    let words = format!("{} is missing in this {}", key.name, section.title(""));
                    self.flaw(item.place.clone(), words);
                }
            }
            self.listed.entry(section.name).or_default().push((item, found));
        }
    }

    /// The keys of one section of the file.
    fn keys(
        &mut self,
        section: &'static Section,
        text: &str,
        table: &DeTable<'_>,
        title: &str,
    ) -> Found {
        let mut found = Found::new();
        self.keys_below(section, text, table, (title, ""), &mut found);
        found
    }

    /// The keys of a section, or of a table in it, in which they begin with `above`: `confirm.` of
    /// `[handover.confirm]`.
    fn keys_below(
        &mut self,
        section: &'static Section,
        text: &str,
        table: &DeTable<'_>,
        (title, above): (&str, &str),
        found: &mut Found,
    ) {
        for (name, value) in table {
            let place = |spanned: std::ops::Range<usize>| Source::in_text(text, spanned.start);
            let whole = format!("{above}{}", name.get_ref());
            let below = format!("{whole}.");
            if let DeValue::Table(table) = value.get_ref()
                && section.keys.iter().any(|key| key.name.starts_with(&below))
            {
                self.keys_below(section, text, table, (title, &below), found);
                continue;
            }
            let Some(key) = key_of(section, &whole) else {
                let words = unknown_key(title, section, &whole, str::to_owned);
                self.flaw(place(name.span()), words);
                continue;
            };
            let source = place(value.span());
            match read(key, value) {
                Ok(value) => {
                    found.insert(key.name, Setting { value: Some(value), source });
                }
                Err(reason) => self.flaw(source, format!("{title}.{}: {reason}", key.name)),
            }
        }
    }

    /// What variables set. Those of service links are none of ours, although they are called like
    /// ours.
    fn variables(
        &mut self,
        role: &RoleKeys,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) {
        let mut links = Vec::new();
        for (name, text) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with("OUTLAST_")) else {
                continue;
            };
            let section = section_of(role, name);
            if links::is_service_link(name, &text) {
                // Who reads the other sections says the rest.
                links.extend(section.map(|_| name.to_owned()));
                continue;
            }
            let Some((section, key_name)) = section else {
                if !is_known(name) {
                    tracing::warn!(
                        "{name} is not a setting of this program; is it a typing error?"
                    );
                }
                continue;
            };
            let source = Source::Variable(name.to_owned());
            let Some(key) = key_of(section, &key_name) else {
                let shown = |key: &str| variable(section.name, key);
                self.flaw(source, unknown_key(section.name, section, &key_name, shown));
                continue;
            };
            let Some(text) = text.to_str() else {
                self.flaw(source, "its value is not text (UTF-8)".to_owned());
                continue;
            };
            match key.kind.read(text) {
                Ok(value) => {
                    let found = self.sections.entry(section.name).or_default();
                    found.insert(key.name, Setting { value: Some(value), source });
                }
                Err(reason) => {
                    self.flaw(source, format!("{}.{}: {reason}", section.name, key.name))
                }
            }
        }
        if !links.is_empty() {
            links.sort();
            tracing::info!(
                "ignored, as the platform set them for a service of that name: {}",
                links.join(", ")
            );
        }
    }
}

/// Whether something can be called so that has a section of its own; why not, if so.
fn judge_name(role: &RoleKeys, section: &Section, name: &str) -> Result<(), String> {
    if section.name == AGENTS {
        return Peer::new(Role::Agent, name).map(drop).map_err(|error| error.to_string());
    }
    if section.name == CLASSES {
        return name.parse::<ClassName>().map(drop).map_err(|error| error.to_string());
    }
    if section.name == HANDOVER {
        let is_name =
            (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        return is_name
            .then_some(())
            .ok_or_else(|| "a hand-over has a name of 1 to 64 characters".to_owned());
    }
    if role.name == VAULT_ROLE && name.contains('*') {
        return WorkloadPattern::new(name).map(drop).map_err(|error| error.to_string());
    }
    WorkloadName::new(name).map(drop).map_err(|error| error.to_string())
}

/// Reads a value of the file.
fn read(key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    match (value.get_ref(), key.kind) {
        (DeValue::Integer(number), Kind::Count | Kind::Account) => {
            let number = usize::from_str_radix(number.as_str(), number.radix());
            number.map(Value::Count).map_err(|_| format!("it wants {}", key.kind.expected()))
        }
        (DeValue::String(text), Kind::Count) => {
            Err(format!("{text:?} is text, and it wants {}", key.kind.expected()))
        }
        (DeValue::Boolean(flag), Kind::Flag) => Ok(Value::Flag(*flag)),
        (DeValue::String(text), Kind::Flag | Kind::Words { .. }) => {
            Err(format!("{text:?} is text, and it wants {}", key.kind.expected()))
        }
        // Brackets in it are a part of it.
        (DeValue::String(text), Kind::OneOrMore { .. }) => Ok(Value::Words(vec![text.to_string()])),
        (DeValue::String(text), kind) => kind.read(text),
        (DeValue::Array(list), kind @ (Kind::Words { .. } | Kind::OneOrMore { .. })) => {
            let wrong = || format!("it wants {}", kind.expected());
            texts(list).map(Value::Words).ok_or_else(wrong)
        }
        (DeValue::Array(list), kind @ (Kind::Patterns | Kind::Contents | Kind::Urls)) => {
            let wrong = || format!("it wants {}", kind.expected());
            kind.read(&texts(list).ok_or_else(wrong)?.join(","))
        }
        (other, kind) => {
            let article = if other.type_str().starts_with(['a', 'i']) { "an" } else { "a" };
            Err(format!("this is {article} {}, and it wants {}", other.type_str(), kind.expected()))
        }
    }
}

/// The texts of a list that has nothing else.
fn texts(list: &DeArray<'_>) -> Option<Vec<String>> {
    let text = |it: &Spanned<DeValue<'_>>| match it.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    list.iter().map(text).collect()
}

fn key_of(section: &'static Section, name: &str) -> Option<&'static Key> {
    section.keys.iter().find(|key| key.name == name)
}

/// The section of the role, and the key, that a variable is called after.
fn section_of(role: &RoleKeys, variable: &str) -> Option<(&'static Section, String)> {
    let mut once = role.sections.iter().filter(|section| section.form == Form::Once);
    once.find_map(|section| {
        let key = variable.strip_prefix(&self::variable(section.name, ""))?;
        Some((section, key.to_lowercase()))
    })
}

/// Whether a variable is one of this program's, of whatever command.
fn is_known(name: &str) -> bool {
    OTHERS.iter().any(|(other, _)| name.starts_with(other))
        || ROLES.iter().any(|role| section_of(role, name).is_some())
}

fn unknown_key(
    title: &str,
    section: &Section,
    name: &str,
    shown: impl Fn(&str) -> String,
) -> String {
    let keys = section.keys.iter().map(|key| key.name);
    let near = nearest(name, keys.clone());
    let name: String = name.chars().take(80).collect();
    let title = match section.form {
        Form::Listed => section.title(""),
        Form::Once | Form::Named => format!("[{title}]"),
    };
    match near {
        Some(near) => format!("{title} has no key {name:?}; did you mean {}?", shown(near)),
        None => {
            let keys: Vec<&str> = keys.collect();
            format!("{title} has no key {name:?}; it has {}", keys.join(", "))
        }
    }
}

fn unknown<'a>(
    name: &str,
    what: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    shown: impl Fn(&str) -> String,
) -> String {
    let bare = name.trim_matches(['[', ']']);
    let name: String = name.chars().take(80).collect();
    match nearest(bare, known.clone()) {
        Some(near) => format!("there is no {what} {name}; did you mean {}?", shown(near)),
        None => {
            let known: Vec<String> = known.map(shown).collect();
            format!("there is no {what} {name}; there is {}", known.join(", "))
        }
    }
}
