//! Why bytes are not what they should be.

/// Why an object of a repository cannot be read or made.
///
/// Messages name the kind of object; the caller knows its id or path and adds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Fewer bytes than any such object has.
    #[error("{object} is cut off: it has {length} bytes and needs at least {minimum}")]
    TooShort { object: &'static str, length: usize, minimum: usize },
    /// More than the limit that this implementation accepts or the format can express.
    #[error("{object} is larger than the limit of {limit} bytes")]
    TooLarge { object: &'static str, limit: u64 },
    /// The authentication code does not fit: changed bytes, or another repository's key.
    #[error("the authentication code is wrong: the bytes were damaged or belong to another key")]
    Unauthentic,
    /// The authentication code of a key file does not fit the password.
    #[error("wrong password for this key file")]
    WrongPassword,
    /// The content cannot be decompressed to the length it should have.
    #[error("{object} cannot be decompressed: {reason}")]
    Compression { object: &'static str, reason: String },
    /// The JSON document is not one, or not of the expected shape.
    #[error("{object} is not valid JSON for its kind: {reason}")]
    Json { object: &'static str, reason: String },
    /// Well-formed, but against a rule of the format.
    #[error("{object} is not valid: {reason}")]
    Invalid { object: &'static str, reason: &'static str },
    /// A version of the repository format that this implementation does not know.
    #[error("repository format version {version} is not supported (versions 1 and 2 are)")]
    UnsupportedVersion { version: u64 },
    /// The first byte of an unpacked object is no known encoding.
    #[error("encoding {encoding:#04x} of an unpacked object is not known; use a newer program")]
    UnsupportedEncoding { encoding: u8 },
    /// A key file asks for another key derivation than scrypt with sane costs.
    #[error("the key derivation of this key file is not acceptable: {reason}")]
    KeyDerivation { reason: &'static str },
}

impl FormatError {
    /// Wraps a serde error of `object`.
    pub(crate) fn json(object: &'static str, error: &serde_json::Error) -> Self {
        Self::Json { object, reason: error.to_string() }
    }
}
