//! Locks: small JSON documents by which programs that work on one repository know of each other.
//!
//! A lock that is not exclusive says that its holder relies on what is there; an exclusive one, that
//! its holder removes things. Nothing enforces them: who wants one writes it, and then looks whether
//! there is another one that does not go with it. A holder that lives writes its lock anew every few
//! minutes, because a lock is believed for [`STALE_AFTER`] only.

use std::time::Duration;

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::FormatError;

/// How old a lock can be before its holder is taken for dead, as in stock restic.
pub const STALE_AFTER: Duration = Duration::from_secs(30 * 60);
/// How often a holder writes its lock anew, as in stock restic.
pub const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// When it was written, by its holder's clock.
    pub time: Timestamp,
    pub exclusive: bool,
    #[serde(flatten)]
    pub holder: Holder,
}

/// A process, as locks name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
}

impl Lock {
    /// Reads the JSON document of a lock.
    pub fn parse(document: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(document).map_err(|e| FormatError::json("lock", &e))
    }

    /// The JSON document, as stock restic writes it.
    pub fn serialize(&self) -> Result<Vec<u8>, FormatError> {
        serde_json::to_vec(self).map_err(|e| FormatError::json("lock", &e))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(uid: u32) -> Lock {
        Lock {
            time: "2026-11-23T11:42:55.729013992Z".parse().unwrap(),
            exclusive: true,
            holder: Holder {
                hostname: "vm".into(),
                username: "root".into(),
                pid: 28260,
                uid,
                gid: 0,
            },
        }
    }

    #[test]
    fn a_lock_is_written_as_restic_writes_it() {
        let text = concat!(
            r#"{"time":"2026-11-23T11:42:55.729013992Z","exclusive":true,"#,
            r#""hostname":"vm","username":"root","pid":28260,"uid":1000}"#
        );
        assert_eq!(lock(1000).serialize().unwrap(), text.as_bytes());
        for uid in [0, 1000] {
            assert_eq!(Lock::parse(&lock(uid).serialize().unwrap()), Ok(lock(uid)));
        }
        assert!(Lock::parse(br#"{"time":"2026-11-23T11:42:55Z"}"#).is_err(), "exclusive or not?");
    }
}
