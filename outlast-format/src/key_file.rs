//! Key files: the repository key, sealed under a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use outlast_types::{Random, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::FormatError;
use crate::crypto::Key;

const OBJECT: &str = "key file";
const SALT_LENGTH: usize = 64;
/// The most memory that a key file may make us spend, in bytes: scrypt takes 128·N·r. Stock restic
/// calibrates itself to at most 60 MiB.
const MEMORY_MAX: u64 = 1 << 30;
/// The most work: N·r·p. The default costs 2^18 of it; this bound is about 1 minute.
const WORK_MAX: u64 = 1 << 28;

/// The cost of deriving a key from a password (scrypt, RFC 7914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    /// log2 of N, the cost in CPU and memory.
    pub log_n: u8,
    /// The block size.
    pub r: u32,
    /// The parallelization.
    pub p: u32,
}

impl KdfParams {
    /// The least that scrypt knows. It guards nothing, which is right where there is nothing to
    /// guard: a password of 256 random bits is not found by guessing, however fast guessing is.
    pub const NONE: Self = Self { log_n: 1, r: 1, p: 1 };

    /// The work, in steps of scrypt's inner function.
    fn work(self) -> u64 {
        (1_u64 << self.log_n) * u64::from(self.r) * u64::from(self.p)
    }
}

impl Default for KdfParams {
    /// N = 32768, r = 8, p = 1 (32 MiB and about 0.1 s), as stock restic takes unless it calibrates
    /// itself to the host.
    fn default() -> Self {
        Self { log_n: 15, r: 8, p: 1 }
    }
}

/// The maker of a key file; shown by `restic key list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    pub hostname: String,
    pub username: String,
    pub created: Timestamp,
}

/// A key file as it lies in the repository, its key still sealed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFile {
    pub created: Timestamp,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// The repository key as JSON, before it is sealed with the password's key.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MacJson {
    k: String,
    r: String,
}

impl KeyFile {
    /// The bytes of a new key file that gives `key` to whoever knows `password`. Its id is the
    /// [`KeyId`](crate::KeyId) of those bytes.
    pub fn create(
        password: impl AsRef<[u8]>,
        key: &Key,
        maker: &Maker,
        params: KdfParams,
        random: &dyn Random,
    ) -> Result<Vec<u8>, FormatError> {
        let mut salt = [0; SALT_LENGTH];
        random.fill(&mut salt);
        let user_key = derive(password.as_ref(), &salt, 1 << params.log_n, params.r, params.p)?;
        let bytes = Zeroizing::new(key.to_bytes());
        let text = |range: std::ops::Range<usize>| BASE64.encode(&bytes[range]);
        let master =
            MasterJson { mac: MacJson { k: text(32..48), r: text(48..64) }, encrypt: text(0..32) };
        let json = |e| FormatError::json(OBJECT, &e);
        let master = Zeroizing::new(serde_json::to_vec(&master).map_err(json)?);
        serde_json::to_vec(&Self {
            created: maker.created,
            username: maker.username.clone(),
            hostname: maker.hostname.clone(),
            kdf: "scrypt".into(),
            n: 1 << params.log_n,
            r: params.r,
            p: params.p,
            salt: BASE64.encode(salt),
            data: BASE64.encode(user_key.seal(&master, random)),
        })
        .map_err(json)
    }

    /// Reads a key file without opening it.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(bytes).map_err(|e| FormatError::json(OBJECT, &e))
    }

    /// The work that trying a password takes, to compare key files by. What a hostile file asks for
    /// is as much as a number can say.
    pub fn work(&self) -> u64 {
        self.n.saturating_mul(self.r.into()).saturating_mul(self.p.into())
    }

    /// Whether trying a password takes more work than with `params`.
    pub fn is_dearer_than(&self, params: KdfParams) -> bool {
        self.work() > params.work()
    }

    /// The repository key in the key file `bytes`; [`FormatError::WrongPassword`] if the password
    /// is not this file's.
    pub fn open(bytes: &[u8], password: impl AsRef<[u8]>) -> Result<Key, FormatError> {
        let file = Self::parse(bytes)?;
        if file.kdf != "scrypt" {
            return Err(FormatError::KeyDerivation { reason: "it is not scrypt" });
        }
        let user_key = derive(password.as_ref(), &base64(&file.salt)?, file.n, file.r, file.p)?;
        let master = match user_key.open(&base64(&file.data)?) {
            Err(FormatError::Unauthentic) => return Err(FormatError::WrongPassword),
            result => Zeroizing::new(result?),
        };
        let master: MasterJson =
            serde_json::from_slice(&master).map_err(|e| FormatError::json(OBJECT, &e))?;
        let key =
            Key::from_parts(part(&master.encrypt)?, part(&master.mac.k)?, part(&master.mac.r)?);
        if key.is_valid() {
            Ok(key)
        } else {
            Err(FormatError::Invalid { object: OBJECT, reason: "its key is all zeros" })
        }
    }
}

/// The key that a password makes.
fn derive(password: &[u8], salt: &[u8], n: u64, r: u32, p: u32) -> Result<Key, FormatError> {
    let refuse = |reason| FormatError::KeyDerivation { reason };
    if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 {
        return Err(refuse("its costs are not scrypt's (N a power of two, r and p positive)"));
    }
    let memory = n.saturating_mul(u64::from(r)).saturating_mul(128);
    if memory > MEMORY_MAX {
        return Err(refuse("it would take more than 1 GiB of memory"));
    }
    if n.saturating_mul(u64::from(r)).saturating_mul(u64::from(p)) > WORK_MAX {
        return Err(refuse("it would take more than about a minute"));
    }
    let log_n = u8::try_from(n.ilog2()).map_err(|_| refuse("N is too large"))?;
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| refuse("its costs are invalid"))?;
    let mut bytes = Zeroizing::new([0; 64]);
    scrypt::scrypt(password, salt, &params, &mut *bytes)
        .map_err(|_| refuse("its costs are invalid"))?;
    Ok(Key::from_bytes(&bytes))
}

fn base64(text: &str) -> Result<Vec<u8>, FormatError> {
    BASE64
        .decode(text)
        .map_err(|_| FormatError::Invalid { object: OBJECT, reason: "a field is not base64" })
}

fn part<const N: usize>(text: &str) -> Result<[u8; N], FormatError> {
    let bytes = Zeroizing::new(base64(text)?);
    bytes.as_slice().try_into().map_err(|_| FormatError::Invalid {
        object: OBJECT,
        reason: "a part of its key has the wrong length",
    })
}

#[cfg(test)]
mod tests {
    use outlast_types::SystemRandom;

    use super::*;

    const QUICK: KdfParams = KdfParams { log_n: 4, r: 1, p: 1 };

    fn file(key: &Key) -> Vec<u8> {
        let maker = Maker {
            hostname: "vault".into(),
            username: "outlast".into(),
            created: Timestamp::EPOCH,
        };
        KeyFile::create("correct horse", key, &maker, QUICK, &SystemRandom).unwrap()
    }

    #[test]
    fn a_key_comes_back_with_its_password_only() {
        let key = Key::generate(&SystemRandom);
        let file = file(&key);
        assert_eq!(KeyFile::open(&file, "correct horse").unwrap().to_bytes(), key.to_bytes());
        for wrong in ["", "correct", "Correct horse", "correct horse "] {
            assert_eq!(KeyFile::open(&file, wrong).unwrap_err(), FormatError::WrongPassword);
        }
        let parsed = KeyFile::parse(&file).unwrap();
        assert_eq!((parsed.hostname.as_str(), parsed.username.as_str()), ("vault", "outlast"));
    }

    #[test]
    fn costs_that_would_stop_the_host_are_refused() {
        let text = String::from_utf8(file(&Key::generate(&SystemRandom))).unwrap();
        let with = |n: &str, r: &str, p: &str| {
            let text = text
                .replace("\"N\":16", &format!("\"N\":{n}"))
                .replace("\"r\":1,", &format!("\"r\":{r},"))
                .replace("\"p\":1,", &format!("\"p\":{p},"));
            KeyFile::open(text.as_bytes(), "correct horse")
        };
        assert!(with("16", "1", "1").is_ok());
        for (n, r, p) in [
            ("0", "1", "1"),
            ("1", "1", "1"),
            ("17", "1", "1"),
            ("16", "0", "1"),
            ("16", "1", "0"),
            ("1073741824", "8", "1"),
            ("9223372036854775808", "4294967295", "4294967295"),
            ("32768", "8", "4294967295"),
        ] {
            let error = with(n, r, p).unwrap_err();
            assert!(matches!(error, FormatError::KeyDerivation { .. }), "{n} {r} {p}: {error}");
        }
        let other = text.replace("scrypt", "argon2");
        assert!(matches!(
            KeyFile::open(other.as_bytes(), "correct horse"),
            Err(FormatError::KeyDerivation { .. })
        ));
    }

    #[test]
    fn a_key_of_zeros_is_refused() {
        let zero = Key::from_bytes(&[0; 64]);
        assert!(KeyFile::open(&file(&zero), "correct horse").is_err());
    }
}
