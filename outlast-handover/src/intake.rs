//! Intake: the way of one drop from the share into the directory. What takes long is done without the desk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_drop::sealing::Opener;
use outlast_drop::{DropAddress, SealedDrop, Share};

use crate::build::{self, Built, Wanted};
use crate::desk::Desk;
use crate::error::HandoverError;
use crate::manifest::FileEntry;
use crate::offer::{DropKey, Offer, Sight};
use crate::rules::Layout;
use crate::stage;

/// A staged copy.
#[derive(Debug)]
pub struct Copied {
    pub key: DropKey,
    address: DropAddress,
    /// The directory of its segments and seal.
    pub raw: PathBuf,
    files: Vec<FileEntry>,
    /// What whoever copies it knows of it.
    pub sight: Sight,
}

/// The desk, for a moment.
pub fn at(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies a drop from the share, as far as there is room.
///
/// # Errors
/// After any, nothing of it is staged.
pub fn copy(
    desk: &Mutex<Desk>,
    sealed: &SealedDrop,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Copied, HandoverError> {
    let address = sealed.address();
    let key = DropKey { workload: address.workload.clone(), drop: address.drop };
    let raw = {
        let mut desk = at(desk);
        let seal = sealed.seal();
        let again = match desk.rules().layout {
            Layout::Drop => 0,
            Layout::Plain | Layout::Unpacked => seal.raw_bytes(),
        };
        desk.reserve(&key, seal.stored_bytes().saturating_add(again))?;
        desk.staging_of(&key).join("raw")
    };
    let staged = stage::remove_all(&raw).and_then(|()| stage::stage(sealed, &raw, is_stopped));
    match staged {
        Ok(files) => {
            Ok(Copied { key, address: address.clone(), raw, files, sight: Sight::default() })
        }
        Err(error) => {
            at(desk).unstage(&key)?;
            Err(error)
        }
    }
}

/// Lets a staged drop appear. In other layouts than `drop`, its copy stays until it is
/// [unstaged](Desk::unstage).
pub fn offer(
    desk: &Mutex<Desk>,
    share: &Share,
    copied: Copied,
    opener: &dyn Opener,
    is_cleared: bool,
) -> Result<Offer, HandoverError> {
    offer_until(desk, share, copied, opener, is_cleared, &|| false)
}

/// The same, until the end is asked for: reading a large drop once more takes long.
pub fn offer_until(
    desk: &Mutex<Desk>,
    share: &Share,
    copied: Copied,
    opener: &dyn Opener,
    is_cleared: bool,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Offer, HandoverError> {
    let Copied { key, address, raw, files, sight } = copied;
    let (rules, into, random) = {
        let desk = at(desk);
        let random = Arc::clone(&desk.environment.random);
        (desk.rules().clone(), desk.staging_of(&key).join("shown"), random)
    };
    let (share, random) = (share.id(), &*random);
    let wanted = Wanted { rules: &rules, share, opener, random, is_cleared, is_stopped };
    let built = stage::remove_all(&into).and_then(|()| {
        let mut sealed = SealedDrop::open_copy(&raw, share, &address)?;
        build::build(&raw, files, &mut sealed, &into, &wanted)
    });
    let mut desk = at(desk);
    let offered = built.and_then(|built| desk.appear(Built { sight, ..built }));
    match offered {
        Ok(offer) if rules.layout == Layout::Drop => {
            desk.unstage(&key)?;
            Ok(offer)
        }
        Ok(offer) => {
            desk.keeps_copy(&key, &raw);
            Ok(offer)
        }
        Err(error) => {
            desk.unstage(&key)?;
            Err(error)
        }
    }
}
