//! What a certificate lets its holder touch: patterns of workloads' names.

use std::fmt;
use std::str::FromStr;

use outlast_types::WorkloadName;
use serde::{Deserialize, Serialize};

/// The longest pattern: a whole name with a star on each side.
const PATTERN_BYTES_MAX: usize = 66;
/// The most stars in one pattern.
const STARS_MAX: usize = 8;
/// The most patterns in one certificate, which travels with each connection and receipt.
pub const PATTERNS_MAX: usize = 64;

/// A workload's name in which each `*` stands for any characters, also for none: `shop-*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkloadPattern(String);

/// A text that is no pattern, or patterns that are too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrants {
    #[error(
        "{text:?} is no pattern of workloads: use the characters of their names (a-z, 0-9, '.', \
         '_', '-') and '*' for any of them, such as shop-*"
    )]
    Pattern { text: String },
    #[error("a certificate carries at most {PATTERNS_MAX} patterns, and these are {count}")]
    TooMany { count: usize },
}

impl WorkloadPattern {
    pub fn new(text: &str) -> Result<Self, InvalidGrants> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-*".contains(&c);
        let stars = text.bytes().filter(|c| *c == b'*').count();
        if text.is_empty()
            || text.len() > PATTERN_BYTES_MAX
            || stars > STARS_MAX
            || !text.bytes().all(allowed)
        {
            let text = text.chars().take(PATTERN_BYTES_MAX).collect();
            return Err(InvalidGrants::Pattern { text });
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `workload` is one of those that are meant.
    pub fn matches(&self, workload: &WorkloadName) -> bool {
        let name = workload.as_str();
        let Some((first, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(mut name) = name.strip_prefix(first) else { return false };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let last = pieces.pop().unwrap_or("");
        for piece in pieces {
            // The earliest place leaves the most for those that follow.
            let Some(at) = name.find(piece) else { return false };
            name = &name[at + piece.len()..];
        }
        name.ends_with(last)
    }
}

impl fmt::Display for WorkloadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkloadPattern {
    type Err = InvalidGrants;

    fn from_str(text: &str) -> Result<Self, InvalidGrants> {
        Self::new(text)
    }
}

impl TryFrom<String> for WorkloadPattern {
    type Error = InvalidGrants;

    fn try_from(text: String) -> Result<Self, InvalidGrants> {
        Self::new(&text)
    }
}

impl From<WorkloadPattern> for String {
    fn from(pattern: WorkloadPattern) -> Self {
        pattern.0
    }
}

/// The workloads that the holder of a certificate may touch: all, or those of a list, which may be
/// empty. As data, all is `null`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Option<Vec<WorkloadPattern>>", into = "Option<Vec<WorkloadPattern>>")]
pub struct Grants(Option<Vec<WorkloadPattern>>);

impl Grants {
    /// Every workload: what a certificate says that says nothing of workloads.
    pub fn all() -> Self {
        Self(None)
    }

    /// The workloads that one of the patterns means.
    pub fn of(patterns: impl IntoIterator<Item = WorkloadPattern>) -> Result<Self, InvalidGrants> {
        // What comes from elsewhere may be endless.
        let mut patterns: Vec<_> = patterns.into_iter().take(PATTERNS_MAX + 1).collect();
        if patterns.len() > PATTERNS_MAX {
            return Err(InvalidGrants::TooMany { count: patterns.len() });
        }
        patterns.sort();
        patterns.dedup();
        Ok(Self(Some(patterns)))
    }

    /// The patterns, unless all workloads are granted.
    pub fn patterns(&self) -> Option<&[WorkloadPattern]> {
        self.0.as_deref()
    }

    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether `workload` is granted.
    pub fn allows(&self, workload: &WorkloadName) -> bool {
        match &self.0 {
            None => true,
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(workload)),
        }
    }
}

impl TryFrom<Option<Vec<WorkloadPattern>>> for Grants {
    type Error = InvalidGrants;

    fn try_from(patterns: Option<Vec<WorkloadPattern>>) -> Result<Self, InvalidGrants> {
        patterns.map_or(Ok(Self::all()), Self::of)
    }
}

impl From<Grants> for Option<Vec<WorkloadPattern>> {
    fn from(grants: Grants) -> Self {
        grants.0
    }
}

/// As sentences say it: "all workloads", "shop-*, crm-db", "no workload".
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            None => f.write_str("all workloads"),
            Some([]) => f.write_str("no workload"),
            Some(patterns) => {
                let texts: Vec<&str> = patterns.iter().map(WorkloadPattern::as_str).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        WorkloadPattern::new(pattern).unwrap().matches(&WorkloadName::new(name).unwrap())
    }

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, name) in [
            ("*", "shop-db"),
            ("shop-db", "shop-db"),
            ("shop-*", "shop-db"),
            ("shop-*", "shop-"),
            ("*-db", "shop-db"),
            ("s*-*b", "shop-db"),
            ("*a*a", "aba"),
            ("**", "a"),
            ("a*b*c", "abbc"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("shop-*", "shop"),
            ("shop-*", "myshop-db"),
            ("*-db", "shop-db2"),
            ("shop", "shop-db"),
            ("a*a", "a"),
            ("a.b", "axb"),
            ("*a*a", "ab"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for bad in ["", "Shop-*", "shop/*", "shop ?", "é*", "*********", &long] {
            assert!(WorkloadPattern::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn grants_are_all_or_a_list_and_survive_as_data() {
        let shop = WorkloadName::new("shop-db").unwrap();
        let grants = |texts: &[&str]| {
            Grants::of(texts.iter().map(|text| WorkloadPattern::new(text).unwrap())).unwrap()
        };
        for (grants, text, allowed) in [
            (Grants::all(), "null", true),
            (grants(&[]), "[]", false),
            (grants(&["crm-*", "shop-*", "crm-*"]), "[\"crm-*\",\"shop-*\"]", true),
        ] {
            assert_eq!(grants.allows(&shop), allowed, "{grants}");
            assert_eq!(serde_json::to_string(&grants).unwrap(), text);
            assert_eq!(serde_json::from_str::<Grants>(text).unwrap(), grants);
        }
        let many = (0..=PATTERNS_MAX).map(|n| WorkloadPattern::new(&format!("w{n}")).unwrap());
        assert!(matches!(Grants::of(many), Err(InvalidGrants::TooMany { .. })));
        assert!(serde_json::from_str::<Grants>("[\"A\"]").is_err());
    }
}
