//! Secrets of routes, in files that nobody else may read.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outlast_fs::durable;
use zeroize::Zeroizing;

const SECRET_BYTES_MAX: u64 = 16 << 10;

/// Why a secret is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "{path} can be read by others than its owner (mode {mode:03o}), so what is in it is no secret: \
         replace the secret, and then chmod 600 {path}"
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{path} is empty, or no text of one line")]
    NoText { path: PathBuf },
}

/// Whether a secret can be used.
pub fn check_secret(path: &Path) -> Result<(), SecretError> {
    secret(path).map(drop)
}

/// The secret in a file.
pub(super) fn secret(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    // A group may be the one under which the vault runs: that it may read, and nothing else.
    if mode & 0o037 != 0 {
        return Err(SecretError::Open { path: path.to_owned(), mode });
    }
    let content = Zeroizing::new(durable::read_bounded(path, SECRET_BYTES_MAX).map_err(failed)?);
    let no_text = || SecretError::NoText { path: path.to_owned() };
    let text = std::str::from_utf8(&content).map_err(|_| no_text())?.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(no_text());
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        durable::replace(&path, b"s3cret\n", 0o600).unwrap();
        for (mode, is_used) in
            [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(secret(&path).is_ok(), is_used, "{mode:o}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(&**secret(&path).unwrap(), "s3cret");
        durable::replace(&path, b" \n", 0o600).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(secret(&path).unwrap_err().to_string().contains("empty"));
        assert!(check_secret(&dir.path().join("none")).is_err());
    }
}
