//! How certificates are made: life, serial, names.

use std::net::IpAddr;
use std::time::Duration;

use outlast_types::{Random, Timestamp};
use rcgen::{CertificateParams, SanType, SerialNumber};
use time::OffsetDateTime;

use super::error::CaError;
use crate::certificate::Validity;

/// Certificates are valid from a little before they are made, for hosts whose clock is late.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// From when until when a new certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life(Validity);

impl Life {
    /// From now on.
    pub(super) fn new(lifetime: Duration, now: Timestamp) -> Self {
        let (from, until) = (now.saturating_sub(BACKDATED), now.saturating_add(lifetime));
        Self(Validity { from, until })
    }

    /// The same, within the life of the issuer: what goes beyond it would be worth nothing there.
    pub(super) fn within(issuer: Validity, lifetime: Duration, now: Timestamp) -> Self {
        let Self(Validity { from, until }) = Self::new(lifetime, now);
        Self(Validity { from: from.max(issuer.from), until: until.min(issuer.until) })
    }
}

impl Life {
    /// The same, which begins no earlier.
    pub(super) fn not_before(self, begins: Option<Timestamp>) -> Self {
        let Self(Validity { from, until }) = self;
        Self(Validity { from: begins.map_or(from, |begins| from.max(begins)), until })
    }
}

pub(super) fn parameters(life: Life, random: &dyn Random) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = moment(life.0.from);
    params.not_after = moment(life.0.until);
    let mut serial = [0; 16];
    random.fill(&mut serial);
    // Positive and of one length, as RFC 5280 §4.1.2.2 wants it.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    params
}

fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.unix_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Two installations' authorities differ in name too, which makes mistakes readable.
pub(super) fn authority_name(kind: &str, random: &dyn Random) -> String {
    let mut tag = [0; 4];
    random.fill(&mut tag);
    format!("Outlast {kind} {:08x}", u32::from_be_bytes(tag))
}

pub(super) fn host_name(host: &str) -> Result<SanType, CaError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || CaError::Host { host: host.chars().take(80).collect() };
    rustls::pki_types::DnsName::try_from(host).map_err(|_| refused())?;
    Ok(SanType::DnsName(host.try_into().map_err(|_| refused())?))
}
