//! Keys and passwords that open a repository.

use outlast_format::crypto::Key;
use outlast_format::key_file::KdfParams;

/// A key or a password that opens a repository.
#[derive(Debug)]
pub enum Credential<'a> {
    /// The password of any of its key files: bytes, which need not be text.
    Password(&'a [u8]),
    /// The repository key itself, as the vault hands it to an agent.
    Key(Key),
}

/// A password that a new key file shall open with: bytes, which need not be text.
#[derive(Clone, Copy)]
pub enum NewPassword<'a> {
    /// Somebody thought of it: guessing is made slow.
    Chosen(&'a [u8]),
    /// At least 256 bits of it are random. Nobody guesses it, so there is nothing to make slow, and
    /// opening the repository costs nothing.
    Random(&'a [u8]),
}

impl NewPassword<'_> {
    /// The cost of trying a password on a key file for it.
    pub fn cost(self) -> KdfParams {
        match self {
            Self::Chosen(_) => KdfParams::default(),
            Self::Random(_) => KdfParams::NONE,
        }
    }
}

impl<'a> From<&'a str> for NewPassword<'a> {
    fn from(password: &'a str) -> Self {
        Self::Chosen(password.as_bytes())
    }
}

impl<'a> From<&'a String> for NewPassword<'a> {
    fn from(password: &'a String) -> Self {
        Self::Chosen(password.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for NewPassword<'a> {
    fn from(password: &'a [u8]) -> Self {
        Self::Chosen(password)
    }
}
