//! Statements: what the agent says of a drop, under its own signature.

use std::sync::Arc;

use outlast_drop::{DropAddress, HandedOver, Receipt, ReceiptState, Share, SignedReceipt};
use outlast_types::{Clock, ContentHash, RejectionCode};
use outlast_wire::IdentityHandle;

/// The agent's word about a drop.
pub(crate) struct Statement {
    pub(crate) state: ReceiptState,
    /// The digest of its seal, if it has a good one.
    pub(crate) seal: Option<ContentHash>,
    /// Bytes of content.
    pub(crate) size: Option<u64>,
    pub(crate) reason: Option<String>,
    /// The reason for programs.
    pub(crate) code: Option<RejectionCode>,
    /// Which jobs of another backup product it is about.
    pub(crate) handover: Option<HandedOver>,
}

impl From<ReceiptState> for Statement {
    fn from(state: ReceiptState) -> Self {
        Self { state, seal: None, size: None, reason: None, code: None, handover: None }
    }
}

/// Signs statements.
pub(crate) struct Scribe {
    pub(crate) identity: IdentityHandle,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Scribe {
    /// The receipt in which the agent says `statement` of a drop, by its own clock.
    pub(crate) fn sign(
        &self,
        share: &Share,
        address: &DropAddress,
        statement: Statement,
    ) -> Result<SignedReceipt, String> {
        let Statement { state, seal, size, reason, code, handover } = statement;
        let about = Receipt::about(share.id(), address, state, self.clock.now());
        Receipt { seal, size, reason, code, handover, ..about }
            .sign(&*self.identity.get())
            .map_err(|error| format!("cannot sign the {state} receipt: {error}"))
    }
}
