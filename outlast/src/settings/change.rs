//! What is different between the settings in force and those that a file says now.

use std::collections::BTreeMap;
use std::fmt;

use super::key::{Kind, RoleKeys, Value};
use super::values::{Setting, Settings};

/// What stands for a value that may hold a secret.
const MASK: &str = "***";

/// A key whose setting is another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// As `[section] key` is called in one word: `agent.poll`.
    pub(crate) key: String,
    old: Option<String>,
    new: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} -> {}", self.key, shown(&self.old), shown(&self.new))
    }
}

impl Settings {
    /// The keys whose values are others in `new`, with secrets masked.
    pub(crate) fn changes(&self, new: &Self, role: &RoleKeys) -> Vec<Change> {
        let of = |settings: &Self| -> BTreeMap<String, Option<Value>> {
            // What a section that is named leaves out is no word of it.
            let is_said =
                |key: &str, setting: &Setting| setting.is_set() || key.matches('.').count() == 1;
            let all = settings.all.iter().filter(|(key, setting)| is_said(key, setting));
            all.map(|(key, setting)| (key.clone(), setting.value.clone())).collect()
        };
        let (old, new) = (of(self), of(new));
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let value =
            |of: &BTreeMap<String, Option<Value>>, key: &str| of.get(key).cloned().flatten();
        let changed = keys.into_iter().filter(|key| value(&old, key) != value(&new, key));
        let shown = |key: &str, value: Option<Value>| value.map(|value| shown(role, key, &value));
        changed
            .map(|key| Change {
                old: shown(key, value(&old, key)),
                new: shown(key, value(&new, key)),
                key: key.clone(),
            })
            .collect()
    }
}

/// A value as a log may show it.
fn shown(role: &RoleKeys, key: &str, value: &Value) -> String {
    // What is listed has keys that may be of a table in it: `handover[1].confirm.with`.
    let listed = key.split_once("].").map(|(_, name)| name);
    let (section, name) = (key.split(['.', '[']).next(), listed.or(key.rsplit('.').next()));
    let section = role.sections.iter().find(|it| Some(it.name) == section);
    let kind = section.and_then(|it| it.keys.iter().find(|key| Some(key.name) == name));
    let is_of = |of: &str| section.is_some_and(|section| section.name == of);
    let may_be_secret =
        is_of("source") || is_of("route") && matches!(name, Some("url" | "command"));
    let text = value.to_string();
    match kind.map(|key| key.kind) {
        // Commands may hold passwords, and so may addresses.
        Some(Kind::Words { .. } | Kind::Text { .. }) if may_be_secret => MASK.to_owned(),
        None => MASK.to_owned(),
        Some(Kind::Url | Kind::Urls) if text.contains('@') => MASK.to_owned(),
        Some(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::super::table::AGENT;
    use super::*;

    fn settings(text: &str) -> Settings {
        let base = "[agent]\nshare = \"/s\"\nstate = \"/a\"\nidentity = \"/i\"\n";
        let document = Document::new("/x".as_ref(), format!("{base}{text}")).unwrap();
        document.with_no_variables(&AGENT)
    }

    #[test]
    fn each_changed_key_is_told_with_both_values_and_no_secret() {
        let old = settings("upstream = \"https://me:secret@v/\"\npoll = \"5s\"\n");
        let new = settings(
            "upstream = \"https://v/\"\npoll = \"9s\"\n[workloads.shop]\nbudget = \"1GiB\"\n",
        );
        let told: Vec<String> = old.changes(&new, &AGENT).iter().map(ToString::to_string).collect();
        assert!(told.contains(&"agent.poll: \"5s\" -> \"9s\"".to_owned()), "{told:?}");
        assert!(told.iter().any(|it| it.starts_with("workloads.shop.budget: nothing -> ")));
        assert!(told.iter().any(|it| it.starts_with("agent.upstream: *** -> ")), "{told:?}");
        assert!(!told.concat().contains("secret"));
        assert_eq!(
            old.changes(&settings("upstream = \"https://me:secret@v/\"\npoll = \"5s\"\n"), &AGENT),
            []
        );
    }
}
