//! What is too long and was there before the rule: listed in `xtask/tidy.toml`, and only to shrink.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// How far an entry may lie above the truth before it has to be lowered.
const SLACK_LINES: usize = 10;

/// Lengths that are known to be over the limit, by file (`path`) or function (`path::name`).
pub(super) struct Ratchet {
    listed: BTreeMap<String, usize>,
    seen: BTreeMap<String, usize>,
}

impl Ratchet {
    /// Reads the list.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = text.parse()?;
        let mut listed = BTreeMap::new();
        for (name, value) in table {
            let lines = value.as_integer().and_then(|lines| usize::try_from(lines).ok());
            let lines = lines.with_context(|| format!("{name} needs a number of lines"))?;
            listed.insert(name, lines);
        }
        Ok(Self { listed, seen: BTreeMap::new() })
    }

    /// Whether something over the limit may stay; remembers that it was met.
    pub(super) fn allows(&mut self, name: &str, lines: usize) -> bool {
        let allowed = self.listed.get(name).is_some_and(|&listed| lines <= listed);
        self.seen.insert(name.to_owned(), lines);
        allowed
    }

    /// The entries that are no longer needed, or higher than they need to be.
    pub(super) fn stale(&self) -> Vec<String> {
        let judge = |(name, &listed): (&String, &usize)| match self.seen.get(name) {
            None => Some(format!("xtask/tidy.toml: {name} is short enough now: remove its entry")),
            Some(&lines) if listed > lines + SLACK_LINES => {
                Some(format!("xtask/tidy.toml: {name} shrank: lower its entry to {lines}"))
            }
            Some(_) => None,
        };
        self.listed.iter().filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_may_stay_but_not_grow() {
        let mut ratchet = Ratchet::parse("\"a.rs\" = 520").unwrap();
        assert!(ratchet.allows("a.rs", 515));
        assert!(!ratchet.allows("a.rs", 521));
        assert!(!ratchet.allows("b.rs", 501));
    }

    #[test]
    fn an_entry_goes_down_with_what_it_lists() {
        let mut ratchet = Ratchet::parse("\"a.rs\" = 520\n\"b.rs\" = 600").unwrap();
        assert!(ratchet.allows("a.rs", 520));
        assert_eq!(ratchet.stale().len(), 1, "b.rs was not met");
        assert!(ratchet.allows("b.rs", 550));
        assert!(ratchet.stale()[0].contains("lower its entry to 550"));
    }
}
