//! How a drop's life on the share ends: released, refused or abandoned.
//!
//! Each of these begins with a receipt and may be broken off and done again. What has come of it is
//! for the caller to remember.

use outlast_drop::{
    DropAddress, ReceiptState, Rejection, ReleaseError, Share, abandon, quarantine, release,
};

use outlast_types::ContentHash;
use outlast_wire::receipts::Authority;

use crate::problem::{Met, Problem};
use crate::receipts::Reader;
use crate::secured::Secured;
use crate::statement::{Scribe, Statement};

/// The outcome of an end.
#[derive(Debug)]
pub(crate) enum End {
    /// The drop is done with.
    Done,
    /// Somebody still holds a file of it open: the next pass goes on where this one ends.
    Begun,
    /// It is not what it was thought to be, and is to be looked at again.
    Mistaken(Option<Problem>),
    /// Nothing, or not all.
    Failed(Problem),
}

/// Ends drops on one share.
pub(crate) struct Lifecycle<'a> {
    pub(crate) share: &'a Share,
    pub(crate) scribe: &'a Scribe,
    pub(crate) authority: &'a Authority,
}

impl Lifecycle<'_> {
    /// Frees the data of a drop whose holder has just said that it holds it, or goes on with a
    /// release after the drop's seal has gone.
    pub(crate) fn release(&self, address: &DropAddress, secured: &Secured) -> End {
        // A later reader of the share must find the proof, and not only the holder's word to
        // us (I1).
        self.remove(address, secured.seal(), self.reader().check(address, secured))
    }

    /// The same of a drop that a backup product has, of which the vault has just said that it heard so.
    pub(crate) fn free(&self, address: &DropAddress, seal: ContentHash) -> End {
        self.remove(address, seal, self.reader().confirmed(address, seal).map(drop))
    }

    /// Removes a drop with this seal from the share, if the proof that it may go lies there.
    fn remove(&self, address: &DropAddress, seal: ContentHash, proof: Result<(), String>) -> End {
        let met = |reason: String| Met::NotReleased(address.clone()).because(reason);
        let statement = Statement { seal: Some(seal), ..ReceiptState::Released.into() };
        let signed = proof.and_then(|()| {
            let standing = self.reader().standing(address, ReceiptState::Released);
            let standing = standing.filter(|it| it.receipt().seal == Some(seal));
            standing.map_or_else(|| self.scribe.sign(self.share, address, statement), Ok)
        });
        let signed = match signed {
            Ok(signed) => signed,
            Err(reason) => return End::Failed(met(reason)),
        };
        match release(self.share, address, &signed) {
            Ok(freed) if freed.is_gone => {
                tracing::info!(drop = %address, bytes = freed.bytes, "released");
                End::Done
            }
            Ok(freed) => {
                tracing::debug!(drop = %address, bytes = freed.bytes, "released but for open files");
                End::Begun
            }
            // It is not what was vaulted, and is judged anew.
            Err(error @ ReleaseError::AnotherSeal { .. }) => {
                End::Mistaken(Some(met(error.to_string())))
            }
            Err(error) => End::Failed(met(error.to_string())),
        }
    }

    /// Whether a drop that lacks segments was given up by an agent, which has removed them: its writer
    /// woke up too late and sealed nothing.
    pub(crate) fn is_given_up(&self, address: &DropAddress, rejection: &Rejection) -> bool {
        let lacks =
            matches!(rejection, Rejection::MissingSegment { .. } | Rejection::NotAPlainFile { .. });
        lacks && self.is_abandoned(address)
    }

    /// Whether a drop was given up in an earlier pass.
    pub(crate) fn is_abandoned(&self, address: &DropAddress) -> bool {
        self.reader().standing(address, ReceiptState::Abandoned).is_some()
    }

    fn reader(&self) -> Reader<'_> {
        Reader { share: self.share, authority: self.authority }
    }

    /// Puts a drop into quarantine.
    pub(crate) fn refuse(&self, address: &DropAddress, rejection: &Rejection) -> End {
        let reason = rejection.to_string();
        let statement = Statement {
            reason: Some(reason.clone()),
            code: Some(rejection.code()),
            seal: rejection.seal(),
            ..ReceiptState::Rejected.into()
        };
        let refused = self.scribe.sign(self.share, address, statement).and_then(|signed| {
            quarantine(self.share, address, &signed).map_err(|error| error.to_string())
        });
        match refused {
            Ok(()) => {
                tracing::warn!(drop = %address, reason, "rejected");
                End::Done
            }
            Err(error) => {
                let met = Met::NotQuarantined(address.clone());
                End::Failed(met.because(format!("{error} ({reason})")))
            }
        }
    }

    /// Removes what a dead writer left.
    pub(crate) fn abandon(&self, address: &DropAddress, reason: &str) -> End {
        let met = |reason: String| Met::NotAbandoned(address.clone()).because(reason);
        let reason = reason.to_owned();
        let statement =
            Statement { reason: Some(reason.clone()), ..ReceiptState::Abandoned.into() };
        let standing = self.reader().standing(address, ReceiptState::Abandoned);
        let signed = standing.map_or_else(|| self.scribe.sign(self.share, address, statement), Ok);
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => return End::Failed(met(error)),
        };
        match abandon(self.share, address, &signed) {
            Ok(freed) if freed.is_gone => {
                tracing::info!(drop = %address, reason, bytes = freed.bytes, "abandoned");
                End::Done
            }
            Ok(_) => End::Begun,
            // Sealed at the last moment: the next pass ships it.
            Err(ReleaseError::Sealed { .. }) => End::Mistaken(None),
            Err(error) => End::Failed(met(error.to_string())),
        }
    }
}
