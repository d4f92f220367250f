//! Certificates, as operators see and revoke them.

use outlast_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificate::Certified;
use crate::peer::Role;

/// A certificate that the vault knows: it issued it, or met it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateView {
    /// `good`, `ended` or `revoked`.
    pub state: String,
    #[serde(flatten)]
    pub certified: Certified,
    /// When it was issued or met, by the vault's clock.
    pub at: Timestamp,
    /// By whose order it was issued; absent if others issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// On what grounds: `token 7`, `renewal`; `authority`, if whoever has the issuer made it, as with
    /// `outlast ca init`; absent if others issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounds: Option<String>,
    /// Since when it is revoked, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The holder of certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub role: Role,
    pub name: String,
}

/// `POST /api/v1/certificates/revoke`: all certificates that a holder has now, or one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RevokeOrder {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Its serial number, or fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
