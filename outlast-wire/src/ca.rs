//! The certificate authority of an installation: a root that says who may issue, and an issuer, which
//! says who is who.
//!
//! The root's key is needed when an issuer is made, and may lie in a safe at any other time. The vault
//! has the issuer only. An authority of earlier releases is one certificate that does both; it is
//! opened, and never made.

mod error;
mod issuer;
mod making;
mod root;

use std::path::Path;

use outlast_types::{Clock, Random};

pub use self::error::CaError;
pub use self::issuer::{CertificateAuthority, ISSUER_DIRECTORY, ISSUER_FILE, Issued, Request};
pub use self::root::{RootAuthority, Voucher};

/// Where an authority's directory has its root.
pub const ROOT_DIRECTORY: &str = "root";

impl CertificateAuthority {
    /// Makes a root and an issuer in `directory`, which is made if it is missing.
    pub fn create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        if Self::exists(directory) {
            return Err(CaError::AlreadyExists { directory: directory.to_owned() });
        }
        // One without an issuer is what a crash left behind.
        let root = RootAuthority::open_or_create(&directory.join(ROOT_DIRECTORY), clock, random)?;
        root.make_issuer(&directory.join(ISSUER_DIRECTORY), None, None, clock, random)
    }

    /// Whether there is an authority in `directory`.
    pub fn exists(directory: &Path) -> bool {
        directory.join(ISSUER_DIRECTORY).join(ISSUER_FILE).exists() || Self::is_of_before(directory)
    }

    /// Opens the authority in `directory`, or makes it if there is none.
    pub fn open_or_create(
        directory: &Path,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, CaError> {
        if Self::exists(directory) {
            Self::open(directory)
        } else {
            Self::create(directory, clock, random)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
