//! Keys that wait for their certificate, in the directory of the identity that they will be.
//!
//! They are on disk before anything is asked for them: an answer that was lost, or came to a process
//! that was killed, is asked for again with the same keys.

use std::io;
use std::path::Path;

use outlast_fs::durable;
use outlast_types::Random;
use zeroize::Zeroizing;

use crate::identity::Identity;
use crate::request::{PendingError, PendingIdentity};

/// The file of the keys, mode 0600.
pub const WAITING_FILE: &str = "waiting.key";
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The keys that wait in `directory`, or new ones that wait there from now on. Those of `current`, which
/// have their certificate, do not wait.
pub fn take_up(
    directory: &Path,
    current: Option<&Identity>,
    random: &dyn Random,
) -> Result<PendingIdentity, PendingError> {
    let path = directory.join(WAITING_FILE);
    let failed = |source: io::Error| PendingError::File { path: path.clone(), source };
    match durable::read_bounded(&path, FILE_BYTES_MAX).map(Zeroizing::new) {
        Ok(content) => {
            // What a crash of the machine left half-written is of no use to anybody.
            let text = std::str::from_utf8(&content).unwrap_or_default();
            if let Ok(pending) = PendingIdentity::from_text(text)
                && current.is_none_or(|it| it.box_key().public() != pending.box_public_key())
            {
                return Ok(pending);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let pending = PendingIdentity::generate(random)?;
    durable::create_directories(directory, 0o700).map_err(failed)?;
    durable::replace(&path, pending.to_text().as_bytes(), 0o600).map_err(failed)?;
    Ok(pending)
}

/// The keys have their certificate. A file that cannot be removed is told apart by that.
pub fn forget(directory: &Path) {
    match durable::remove_file(&directory.join(WAITING_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot remove the file of keys that waited for a certificate");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    #[test]
    fn keys_wait_until_they_are_forgotten_and_a_torn_file_holds_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("identity");
        let keys = || take_up(&path, None, &SystemRandom).unwrap().box_public_key();
        let first = keys();
        assert_eq!(keys(), first);
        let file = path.join(WAITING_FILE);
        let whole = std::fs::read(&file).unwrap();
        durable::replace(&file, &whole[..whole.len() / 2], 0o600).unwrap();
        let second = keys();
        assert_ne!(second, first);
        forget(&path);
        assert!(!file.exists());
        assert_ne!(keys(), second);
    }
}
