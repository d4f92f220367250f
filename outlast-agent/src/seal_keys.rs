//! The keys with which the agent opens what writers have encrypted for it.

use std::io;
use std::path::{Path, PathBuf};

use outlast_drop::sealing::{ContentKey, Opener, SealedTo};
use outlast_fs::durable;
use outlast_wire::sealed_key::BoxKey;

/// A file of keys is small; more is not read.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why the keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SealKeysError {
    #[error("cannot read the keys in {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("line {line} of {path} is no key", path = path.display())]
    Invalid { path: PathBuf, line: usize },
    #[error("{path} holds no key", path = path.display())]
    Empty { path: PathBuf },
}

/// Secret keys; none opens nothing.
#[derive(Debug, Default)]
pub struct SealKeys(Vec<BoxKey>);

impl SealKeys {
    /// The keys in a file, one on each line: a new one, and those that drops may still be sealed to.
    pub fn read(path: &Path) -> Result<Self, SealKeysError> {
        let text = durable::read_bounded(path, FILE_BYTES_MAX);
        let text = text.map_err(|source| SealKeysError::Read { path: path.to_owned(), source })?;
        let text = zeroize::Zeroizing::new(text);
        let mut keys = Vec::new();
        for (line, words) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let words = words.trim_ascii();
            if words.is_empty() || words.starts_with(b"#") {
                continue;
            }
            let key = BoxKey::from_text(words);
            let path = || path.to_owned();
            keys.push(key.map_err(|_| SealKeysError::Invalid { path: path(), line })?);
        }
        if keys.is_empty() {
            return Err(SealKeysError::Empty { path: path.to_owned() });
        }
        Ok(Self(keys))
    }
}

impl Opener for SealKeys {
    fn open(&self, sealed: &SealedTo, purpose: &str) -> Result<ContentKey, String> {
        let Some(key) = self.0.iter().find(|key| key.public().to_string() == sealed.key) else {
            return Err(format!(
                "its content is encrypted for the holder of the key {}, which is not among the agent's ({})",
                sealed.key,
                match self.0.len() {
                    0 => "no seal_key is configured".to_owned(),
                    _ => self
                        .0
                        .iter()
                        .map(|key| key.public().to_string())
                        .collect::<Vec<_>>()
                        .join(", "),
                }
            ));
        };
        key.open_text(purpose.as_bytes(), &sealed.wrapped)
            .ok()
            .and_then(|bytes| ContentKey::from_bytes(&bytes))
            .ok_or_else(|| "the key of its content is damaged, or that of another drop".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use outlast_types::SystemRandom;
    use outlast_wire::sealed_key;

    use super::*;

    #[test]
    fn a_key_opens_what_was_sealed_to_it_for_that_purpose_and_nothing_else() {
        let (old, new) = (BoxKey::generate(&SystemRandom), BoxKey::generate(&SystemRandom));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        let text = format!("# new\n{}\n{}", *new.to_text(), *old.to_text());
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let keys = SealKeys::read(&path).unwrap();
        let content = ContentKey::generate(&SystemRandom);
        for key in [&old, &new] {
            let public = key.public();
            let wrapped = sealed_key::seal_text(&public, b"this", content.bytes(), &SystemRandom);
            let sealed = SealedTo { key: public.to_string(), wrapped: wrapped.unwrap() };
            assert_eq!(keys.open(&sealed, "this").unwrap().bytes(), content.bytes());
            assert!(keys.open(&sealed, "that").unwrap_err().contains("damaged"));
            let none = SealKeys::default().open(&sealed, "this").unwrap_err();
            assert!(none.contains("seal_key") && none.contains(&public.to_string()), "{none}");
        }
        std::fs::File::create(&path).unwrap().write_all(b"AAAA\n").unwrap();
        assert!(matches!(SealKeys::read(&path), Err(SealKeysError::Invalid { line: 1, .. })));
        std::fs::File::create(&path).unwrap();
        assert!(matches!(SealKeys::read(&path), Err(SealKeysError::Empty { .. })));
    }
}
