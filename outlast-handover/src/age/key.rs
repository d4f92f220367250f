//! Recipients, who may read, and identities, with which they do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use outlast_fs::durable;
use serde::{Deserialize, Serialize};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";
/// Key files are a few lines.
const KEY_FILE_BYTES_MAX: u64 = 64 << 10;
const IDENTITIES_MAX: usize = 64;

/// A public key, for which files are encrypted: `age1…`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient(pub(super) [u8; 32]);

/// Secret keys, of a file as `age-keygen` writes it.
pub struct Identities(pub(super) Vec<StaticSecret>);

/// What is no key.
#[derive(Debug, thiserror::Error)]
pub enum AgeKeyError {
    #[error(
        "it is a secret key, which must be known to who reads only: its public key begins with age1"
    )]
    Secret,
    #[error(
        "it is no public key of age: that is age1 and 58 letters and digits more, as age-keygen prints it"
    )]
    NoRecipient,
    #[error("line {line} of {} is no key of age (AGE-SECRET-KEY-1…)", path.display())]
    NoIdentity { path: PathBuf, line: usize },
    #[error("there is no key in {}", path.display())]
    Empty { path: PathBuf },
    #[error("cannot read the key file {}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
}

impl FromStr for Recipient {
    type Err = AgeKeyError;

    fn from_str(text: &str) -> Result<Self, AgeKeyError> {
        if text.to_ascii_lowercase().starts_with(IDENTITY) {
            return Err(AgeKeyError::Secret);
        }
        let key = parse(text, RECIPIENT).ok_or(AgeKeyError::NoRecipient)?;
        let recipient = Self(*key);
        // Of some points all multiples are known: what is wrapped for them is wrapped for everybody.
        let probe = StaticSecret::from([1; 32]);
        let is_safe = probe.diffie_hellman(&PublicKey::from(recipient.0)).was_contributory();
        is_safe.then_some(recipient).ok_or(AgeKeyError::NoRecipient)
    }
}

impl TryFrom<String> for Recipient {
    type Error = AgeKeyError;

    fn try_from(text: String) -> Result<Self, AgeKeyError> {
        text.parse()
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hrp = Hrp::parse(RECIPIENT).map_err(|_| fmt::Error)?;
        bech32::encode_lower_to_fmt::<Bech32, _>(f, hrp, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Identities {
    /// Reads a file of keys, one a line, with comments behind `#`.
    pub fn read(path: &Path) -> Result<Self, AgeKeyError> {
        let failed = |source| AgeKeyError::Read { path: path.to_owned(), source };
        let text = Zeroizing::new(durable::read_bounded(path, KEY_FILE_BYTES_MAX).map_err(failed)?);
        let mut keys = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let key = std::str::from_utf8(line).ok().and_then(|line| parse(line, IDENTITY));
            let Some(key) = key.filter(|_| keys.len() < IDENTITIES_MAX) else {
                return Err(AgeKeyError::NoIdentity { path: path.to_owned(), line: number + 1 });
            };
            keys.push(StaticSecret::from(*key));
        }
        if keys.is_empty() {
            return Err(AgeKeyError::Empty { path: path.to_owned() });
        }
        Ok(Self(keys))
    }
}

/// The 32 bytes of a key with this prefix.
fn parse(text: &str, prefix: &str) -> Option<Zeroizing<[u8; 32]>> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp().to_string().to_ascii_lowercase() != prefix {
        return None;
    }
    let mut key = Zeroizing::new([0; 32]);
    let mut bytes = checked.byte_iter();
    for byte in key.iter_mut() {
        *byte = bytes.next()?;
    }
    bytes.next().is_none().then_some(key)
}
