//! Verifies receipts by the certificate authority in a file.

use std::path::Path;

use anyhow::{Context, Result};
use outlast_drop::{SignedReceipt, Verifier};
use outlast_fs::durable;
use outlast_wire::signature;

/// A longer file is no certificate.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The authority whose receipts count.
pub(crate) struct Authority {
    ca_pem: String,
}

impl Authority {
    /// Reads the authority's certificate, in PEM.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let content = durable::read_bounded(path, CA_BYTES_MAX).with_context(|| {
            format!("cannot read the authority's certificate {}", path.display())
        })?;
        let ca_pem = String::from_utf8(content)
            .with_context(|| format!("{} is not a certificate in PEM", path.display()))?;
        Ok(Self { ca_pem })
    }
}

impl Verifier for Authority {
    fn role_of_signer(&self, signed: &SignedReceipt) -> Result<String, String> {
        signed
            .verify(|certificate, message, proof| {
                signature::verify(certificate, &self.ca_pem, message, proof)
            })
            .map(|signer| signer.role().to_string())
            .map_err(|error| error.to_string())
    }
}
