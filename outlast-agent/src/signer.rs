//! The agent's signature under its receipts.

use std::io;

use outlast_drop::Signer;
use outlast_wire::Identity;

/// Signs receipts with an identity.
pub(crate) struct IdentitySigner<'a>(pub(crate) &'a Identity);

impl Signer for IdentitySigner<'_> {
    fn name(&self) -> String {
        self.0.peer().name().to_owned()
    }

    fn role(&self) -> String {
        self.0.peer().role().to_string()
    }

    fn certificate_pem(&self) -> String {
        self.0.certificate_pem().to_owned()
    }

    fn sign(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        Ok(self.0.sign(message))
    }
}
