//! Patterns of workloads' names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::WorkloadName;

/// The longest pattern: a whole name with a star on each side.
const PATTERN_BYTES_MAX: usize = 66;
/// The most stars in one pattern.
const STARS_MAX: usize = 8;

/// A workload's name in which each `*` stands for any characters, also for none: `shop-*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkloadPattern(String);

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no pattern of workloads: use the characters of their names (a-z, 0-9, '.', '_', \
     '-') and '*' for any of them, such as shop-*"
)]
pub struct InvalidPattern {
    text: String,
}

impl WorkloadPattern {
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-*".contains(&c);
        let stars = text.bytes().filter(|c| *c == b'*').count();
        if text.is_empty()
            || text.len() > PATTERN_BYTES_MAX
            || stars > STARS_MAX
            || !text.bytes().all(allowed)
        {
            let text = text.chars().take(PATTERN_BYTES_MAX).collect();
            return Err(InvalidPattern { text });
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

    /// Whether some text is meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (own, others) = (self.0.as_bytes(), other.0.as_bytes());
        // What can be meant by the rest of ours and the rest of the other, the rests of `others` in a row.
        let mut rest: Vec<bool> = Vec::new();
        for i in (0..=own.len()).rev() {
            let mut row = vec![false; others.len() + 1];
            for j in (0..=others.len()).rev() {
                let (a, b) = (own.get(i), others.get(j));
                row[j] = match (a, b) {
                    (None, None) => true,
                    // A star is nothing, or takes what comes next in the other.
                    (Some(b'*'), _) if rest[j] => true,
                    (_, Some(b'*')) if row[j + 1] => true,
                    (Some(b'*'), Some(_)) => row[j + 1],
                    (Some(_), Some(b'*')) => rest[j],
                    (Some(a), Some(b)) => a == b && rest[j + 1],
                    (None, Some(_)) | (Some(_), None) => false,
                };
            }
            rest = row;
        }
        rest.first().copied().unwrap_or(false)
    }
}

impl fmt::Display for WorkloadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkloadPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        Self::new(text)
    }
}

impl TryFrom<String> for WorkloadPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        Self::new(&text)
    }
}

impl From<WorkloadPattern> for String {
    fn from(pattern: WorkloadPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> WorkloadPattern {
        WorkloadPattern::new(text).unwrap()
    }

    #[test]
    fn patterns_overlap_if_some_name_is_meant_by_both() {
        for (one, other, overlap) in [
            ("shop-*", "*-db", true),
            ("shop-*", "crm-*", false),
            ("*", "x", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*a", "b*", true),
            ("a*a", "a", false),
            ("shop-*-db", "shop-eu-*", true),
            ("shop", "shop*", true),
            ("shop", "shop", true),
            ("shop-db", "shop-d", false),
            ("**", "*", true),
        ] {
            let (one, other) = (pattern(one), pattern(other));
            assert_eq!(one.overlaps(&other), overlap, "{one} {other}");
            assert_eq!(other.overlaps(&one), overlap, "{other} {one}");
        }
    }

    #[test]
    fn a_pattern_without_stars_overlaps_with_what_matches_it() {
        for text in ["shop-db", "a", "a.b-c", "xx"] {
            let name = WorkloadName::new(text).unwrap();
            for of in ["*", "shop-*", "*-*", "a*", "*b*", "x*x", "x*x*x", "shop-db"] {
                assert_eq!(
                    pattern(of).overlaps(&pattern(text)),
                    pattern(of).matches(&name),
                    "{of}"
                );
            }
        }
    }
}
