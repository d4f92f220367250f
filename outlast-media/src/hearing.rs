//! Words that are signed, as they pass: who said them, and about what.

use outlast_types::WorkloadName;
use outlast_wire::signature::SignerRefused;
use outlast_wire::statement::{Statement, StatementError, Subject};
use outlast_wire::{Certified, Peer, Role, Trust};
use serde::de::DeserializeOwned;

/// Why words are not taken for what they look like.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unheard {
    #[error("{0}")]
    Statement(#[from] StatementError),
    #[error("{0}")]
    Signer(#[from] SignerRefused),
    #[error("{signer} signed it, and {carrier} brings it")]
    Carrier { signer: Peer, carrier: Peer },
    #[error("workload {workload} is not granted to {signer}")]
    NotGranted { signer: Peer, workload: WorkloadName },
}

/// What an agent signed about `subject`, that it brings itself.
pub(crate) fn hear<T: DeserializeOwned>(
    trust: &Trust,
    carrier: &Certified,
    subject: Subject,
    words: &Statement,
) -> Result<(Certified, T), Unheard> {
    let (signer, content) = read(trust, subject, words)?;
    if signer.peer != carrier.peer || signer.peer.role() != Role::Agent {
        return Err(Unheard::Carrier { signer: signer.peer, carrier: carrier.peer.clone() });
    }
    Ok((signer, content))
}

/// Whether whoever signed may speak of a workload.
pub(crate) fn speaks_of(signer: &Certified, workload: &WorkloadName) -> Result<(), Unheard> {
    match signer.grants.allows(workload) {
        true => Ok(()),
        false => {
            let (signer, workload) = (signer.peer.clone(), workload.clone());
            Err(Unheard::NotGranted { signer, workload })
        }
    }
}

/// What somebody whom we believe signed about `subject`.
pub(crate) fn read<T: DeserializeOwned>(
    trust: &Trust,
    subject: Subject,
    words: &Statement,
) -> Result<(Certified, T), Unheard> {
    words.read_by(subject, |chain, message, proof| {
        trust.judge_signer(chain, message, proof).map_err(Unheard::from)
    })
}
