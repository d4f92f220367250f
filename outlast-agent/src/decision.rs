//! The next need of a drop: a pure function of where it is and for how long it has been still.

use std::time::Duration;

use outlast_drop::DropAddress;
use outlast_types::human;

use crate::action::{Action, Hop, Parcel};
use crate::custody::CustodyState;

/// The thing to do with a drop, if there is one. `still` is how long nothing in it has changed, by our own
/// clock; a writer counts as dead when that is `grace`.
pub(crate) fn decide(
    address: &DropAddress,
    custody: CustodyState,
    still: Duration,
    grace: Duration,
) -> Option<Action> {
    let address = address.clone();
    let is_over = still >= grace;
    let ship = |seal, hop, holder| {
        let address = address.clone();
        Some(Action::Ship(Parcel {
            address,
            seal,
            hop,
            holder,
            is_loaded: false,
            first_seen: None,
            copy: None,
        }))
    };
    match custody {
        CustodyState::Sealed(seal) => ship(seal, Hop::Sealed, None),
        CustodyState::Accepted(seal) => ship(seal, Hop::Accepted, None),
        CustodyState::Shipped { seal, holder } => ship(seal, Hop::Shipped, holder),
        CustodyState::Vaulted(secured) => Some(Action::Hold { address, secured }),
        CustodyState::Released(secured) => Some(Action::Release { address, secured }),
        CustodyState::Freed { seal } => Some(Action::Free { address, seal }),
        CustodyState::Rejected { untold } => Some(Action::Settle { address, untold }),
        CustodyState::Unwelcome { untold } => Some(Action::Reconsider { address, untold }),
        CustodyState::Healed => Some(Action::TakeBack(address)),
        CustodyState::Bad(rejection) => Some(Action::Refuse { address, rejection }),
        // The writer died while sealing, and that is never an incident (I2).
        CustodyState::Torn(rejection) => is_over.then_some(Action::Refuse { address, rejection }),
        CustodyState::TornAndRejected => {
            (still >= grace * 2).then_some(Action::Settle { address, untold: None })
        }
        CustodyState::Abandoned => {
            Some(Action::Abandon { address, reason: "its writer died".to_owned() })
        }
        CustodyState::Open => is_over.then(|| {
            let reason = format!("no sign of life for {}", human::duration(grace));
            Action::Abandon { address, reason }
        }),
        CustodyState::Failed { exit_status } => is_over.then(|| {
            let reason = match exit_status {
                Some(status) => format!("its writer gave up: the command ended with {status}"),
                None => "its writer gave up".to_owned(),
            };
            Action::Abandon { address, reason }
        }),
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
