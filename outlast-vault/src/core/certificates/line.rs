//! What a line of the record says.

use outlast_types::Timestamp;
use outlast_wire::revocation::Revoked;
use outlast_wire::{Certified, Ended, Fingerprint};
use serde::{Deserialize, Serialize};

use crate::core::audit::{AuditAction, Event};

const VERSION: u32 = 1;

/// Something that happened to certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    /// This vault issued one.
    Issued {
        certified: Certified,
        /// On what grounds: `token 7`, `renewal`.
        grounds: String,
    },
    Revoked {
        revoked: Revoked,
        reason: Option<String>,
    },
    /// An authority is believed for connections no more, and its signatures stay checkable.
    AuthorityEnded {
        fingerprint: Fingerprint,
        ended: Ended,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    version: u32,
    /// Counts up from 1.
    pub(super) number: u64,
    /// By the vault's clock.
    pub(super) at: Timestamp,
    /// By whose order: `operator up`, `vault`.
    pub(super) by: String,
    #[serde(flatten)]
    pub(super) what: What,
}

/// A certificate of others that was met.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Met {
    version: u32,
    pub(super) at: Timestamp,
    pub(super) certified: Certified,
}

impl Met {
    pub(super) fn new(at: Timestamp, certified: Certified) -> Self {
        Self { version: VERSION, at, certified }
    }
}

impl Line {
    pub(super) fn new(number: u64, at: Timestamp, by: &str, what: What) -> Self {
        Self { version: VERSION, number, at, by: by.to_owned(), what }
    }

    /// Why this program cannot understand it, if it cannot.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.version {
            VERSION => Ok(()),
            version => Err(format!("line {} has version {version}", self.number)),
        }
    }

    /// As the audit log tells it: the whole line, so that the record can be filled from the log.
    pub(super) fn entry(&self) -> Event {
        let event = |action| Event::by_name(self.by.clone(), action);
        let event = match &self.what {
            What::Issued { certified, grounds } => event(AuditAction::CertificateIssued)
                .object(&certified.serial)
                .detail("holder", &certified.peer)
                .detail("grants", &certified.grants)
                .detail("until", certified.validity.until)
                .detail("grounds", grounds),
            What::Revoked { revoked, reason } => {
                let event = event(AuditAction::CertificateRevoked);
                let event = match revoked {
                    Revoked::Certificate { serial, peer, .. } => {
                        event.object(serial).detail("holder", peer)
                    }
                    Revoked::Holder { peer, begun_by } => {
                        event.detail("holder", peer).detail("begun_by", begun_by)
                    }
                };
                match reason {
                    Some(reason) => event.detail("reason", reason),
                    None => event,
                }
            }
            What::AuthorityEnded { fingerprint, ended } => event(AuditAction::AuthorityEnded)
                .object(fingerprint)
                .detail("after_entry", ended.entry),
        };
        event.content(serde_json::to_value(self).unwrap_or_default())
    }
}
