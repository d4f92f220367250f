//! What a certificate lets its holder touch: patterns of workloads' names.

use std::fmt;

pub use outlast_types::WorkloadPattern;
use outlast_types::{InvalidPattern, WorkloadName};
use serde::{Deserialize, Serialize};

/// The most patterns in one certificate, which travels with each connection and receipt.
pub const PATTERNS_MAX: usize = 64;

/// A text that is no pattern, or patterns that are too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGrants {
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    #[error("a certificate carries at most {PATTERNS_MAX} patterns, and these are {count}")]
    TooMany { count: usize },
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
        let long = "a".repeat(67);
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
