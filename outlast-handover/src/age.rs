//! Files that only the holder of a key can read, in the format of `age`, version 1
//! (<https://age-encryption.org/v1>): a hand-over lies on the media of others for years, and whoever gets it
//! back should need one small program that is everywhere, and nothing of ours.
//!
//! A file key is made for each file and wrapped for each recipient by X25519 (`header`); the content follows
//! in chunks of 64 KiB, each with a proof, so that a file that was cut or changed is noticed (`stream`). Of the
//! format's ways to wrap a key, this knows keys alone: no passphrases, no plug-ins.

mod header;
mod key;
mod stream;

pub use key::{AgeKeyError, Identities, Recipient};
pub use stream::{Decryptor, Encryptor};

/// What a manifest says of files that are encrypted in this way.
pub const ENCRYPTION: &str = "age";

/// What is added to the name of a file that is encrypted.
pub const SUFFIX: &str = ".age";

/// The size of a file with so many bytes of content, for so many recipients.
pub fn size(content: u64, recipients: usize) -> u64 {
    header::size(recipients).saturating_add(stream::size(content))
}

#[cfg(test)]
mod tests;
