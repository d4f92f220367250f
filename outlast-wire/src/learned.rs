//! What a holder of an identity has learnt of revocations, in a file beside it, so that a start forgets
//! nothing of it.

use std::io;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use serde::{Deserialize, Serialize};

use crate::revocation::{Revocation, Revocations};

/// The file. Without it, nothing was learnt yet.
pub const LEARNED_FILE: &str = "revoked.json";

/// The version of the file.
const VERSION: u32 = 1;
/// Far more than what concerns one holder.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LearnedError {
    #[error("cannot read what was learnt of revocations, {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write what was learnt of revocations, {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{} has version {version}, which is newer than this program", path.display())]
    Newer { path: PathBuf, version: u32 },
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    number: u64,
    revocations: Vec<Revocation>,
}

/// Reads what was learnt by the identity in `directory`.
pub(crate) fn load(directory: &Path) -> Result<Revocations, LearnedError> {
    let path = directory.join(LEARNED_FILE);
    let failed = |source| LearnedError::Read { path: path.clone(), source };
    let content = match durable::read_bounded(&path, FILE_BYTES_MAX) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Revocations::default()),
        Err(error) => return Err(failed(error)),
    };
    let read: Document = serde_json::from_slice(&content).map_err(|error| failed(error.into()))?;
    if read.version > VERSION {
        return Err(LearnedError::Newer { path, version: read.version });
    }
    Ok(Revocations::new(read.number, read.revocations))
}

/// Writes it.
pub(crate) fn save(directory: &Path, list: &Revocations) -> Result<(), LearnedError> {
    let path = directory.join(LEARNED_FILE);
    let failed = |source| LearnedError::Write { path: path.clone(), source };
    let (number, revocations) = (list.number(), list.entries().to_vec());
    let document = Document { version: VERSION, number, revocations };
    let content = serde_json::to_vec(&document).map_err(|error| failed(error.into()))?;
    durable::replace(&path, &content, 0o644).map_err(failed)
}

#[cfg(test)]
mod tests {
    use outlast_types::Timestamp;

    use super::*;
    use crate::peer::{Peer, Role};
    use crate::revocation::Revoked;

    #[test]
    fn what_was_learnt_is_read_back_and_what_cannot_be_read_is_no_newness() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()).unwrap().number(), 0);
        let peer = Peer::new(Role::Vault, "hq").unwrap();
        let revoked = Revoked::Holder { peer, begun_by: Timestamp::EPOCH };
        let entry = Revocation { revoked, at: Timestamp::EPOCH, reason: Some("lost".to_owned()) };
        let list = Revocations::new(7, vec![entry]);
        save(directory.path(), &list).unwrap();
        let again = load(directory.path()).unwrap();
        assert_eq!((again.number(), again.entries()), (7, list.entries()));
        let path = directory.path().join(LEARNED_FILE);
        let newer = br#"{"version":2,"number":7,"revocations":[]}"#;
        durable::replace(&path, newer, 0o644).unwrap();
        assert!(matches!(load(directory.path()), Err(LearnedError::Newer { version: 2, .. })));
        durable::replace(&path, b"{\"version\":1,", 0o644).unwrap();
        assert!(matches!(load(directory.path()), Err(LearnedError::Read { .. })));
    }
}
