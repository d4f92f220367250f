//! Names that appear on the share and in addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a workload: the identity that outlives every server.
///
/// 1 to 64 bytes of `[a-z0-9._-]`, beginning with a letter or digit and not ending in `.`, and not
/// a name that Windows reserves, so that it is the same directory on NFS and on SMB.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkloadName(String);

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot be a workload name: {reason} \
     (use 1 to 64 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit)"
)]
pub struct InvalidName {
    name: String,
    reason: &'static str,
}

const LENGTH_MAX: usize = 64;

impl WorkloadName {
    /// Takes `name` if it obeys the rules above.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        match violation(name) {
            None => Ok(Self(name.to_owned())),
            Some(reason) => {
                // A hostile name is echoed in part only: messages go to logs and terminals.
                let name = name.chars().take(LENGTH_MAX + 1).collect();
                Err(InvalidName { name, reason })
            }
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn violation(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > LENGTH_MAX {
        return Some("it is too long");
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if !name.chars().all(allowed) {
        return Some("it has a character that is not allowed");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Some("it begins with a character that is not allowed there");
    }
    if name.ends_with('.') {
        return Some("it ends in a dot");
    }
    let stem = name.split('.').next().unwrap_or(name);
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    if ["con", "prn", "aux", "nul"].contains(&stem) || numbered("com") || numbered("lpt") {
        return Some("Windows reserves it");
    }
    None
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WorkloadName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        Self::new(name)
    }
}

impl TryFrom<String> for WorkloadName {
    type Error = InvalidName;

    fn try_from(name: String) -> Result<Self, InvalidName> {
        Self::new(&name)
    }
}

impl From<WorkloadName> for String {
    fn from(name: WorkloadName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_directory_on_nfs_and_on_smb() {
        for good in ["shop-db", "a", "0", "web.v2", "my_app", "console", "com", "com10"] {
            assert!(WorkloadName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", ".", "..", "-a", ".a", "a.", "A", "a/b", "a\\b", "a b", "é", "con", "nul.txt",
            "com1", "lpt9.x", "a\n", "a:b", &long,
        ] {
            assert!(WorkloadName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_says_what_to_do() {
        let message = WorkloadName::new("Shop DB").unwrap_err().to_string();
        assert_eq!(
            message,
            "\"Shop DB\" cannot be a workload name: it has a character that is not allowed \
             (use 1 to 64 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or \
             digit)"
        );
    }
}
