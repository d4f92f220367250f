//! The gate: whether drops have come as far as somebody waits for before an instance ends.
//!
//! What lies in a drop's directory is its writer's own word. That anybody else has it, only a receipt
//! says, and one counts if it is signed, by the right role, under an authority that was known before the
//! share was looked at, and names this share, workload, day, id and seal. Nothing on the share says whom
//! to believe.
//!
//! Network file systems show new names late, and names that are gone. So what was seen once stays known,
//! and every look adds to it.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use outlast_types::{ContentHash, DropId, ShareId, WorkloadName};

use crate::layout::DropAddress;
use crate::open::{Claims, OpenRecord};
use crate::proven::{PolicyWord, Verifier};
use crate::receipt::{self, Receipt, ReceiptError, ReceiptState};
use crate::scan::{DropState, Sighting, scan_one};
use crate::share::{Share, ShareError};

pub use verdict::{GatedDrop, Standing, UnknownUntil, Until, Verdict};

/// For which drops of a workload a gate waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// The newest by its id.
    Newest,
    /// This one.
    Drop(DropId),
    /// Those of an instance.
    Instance(String),
    /// Those of all instances of a release.
    Release(String),
}

/// Waits for drops of one workload. It looks when it is told to.
pub struct Gate {
    workload: WorkloadName,
    selection: Selection,
    until: Until,
    /// The share that was looked at first.
    share: Option<ShareId>,
    known: BTreeMap<DropAddress, Known>,
    /// Why receipts do not count, of the newest look.
    ignored: BTreeSet<String>,
}

struct Known {
    drop: GatedDrop,
    /// The digest of its seal, once that was seen.
    seal: Option<ContentHash>,
}

impl Gate {
    pub fn new(workload: WorkloadName, selection: Selection, until: Until) -> Self {
        let (share, known, ignored) = (None, BTreeMap::new(), BTreeSet::new());
        Self { workload, selection, until, share, known, ignored }
    }

    /// Looks at the share, and judges by all that is known since. Without a verifier, no receipt counts.
    pub fn look(
        &mut self,
        share: &Share,
        verifier: Option<&dyn Verifier>,
    ) -> Result<Verdict, ShareError> {
        if let Some(expected) = self.share
            && expected != share.id()
        {
            let (path, found) = (share.path().to_owned(), share.id());
            return Err(ShareError::Replaced { path, expected, found });
        }
        self.share = Some(share.id());
        self.ignored.clear();
        let sightings = scan_one(share, &self.workload)?.map(|seen| seen.sightings);
        let lying: BTreeSet<DropAddress> =
            sightings.iter().flatten().map(|seen| seen.address.clone()).collect();
        for sighting in sightings.into_iter().flatten() {
            self.see(share, sighting);
        }
        for (address, known) in &mut self.known {
            let is_unsealed = matches!(known.drop.standing, Standing::Open | Standing::Doubtful(_));
            if is_unsealed && !lying.contains(address) {
                // A listing may be late; a drop that was sealed stays one until a receipt says more.
                known.drop.standing = Standing::Gone;
            }
        }
        if let Some(verifier) = verifier {
            self.read_receipts(share, verifier);
        }
        Ok(self.verdict())
    }

    /// The drops for which it waits, as far as they are known.
    pub fn drops(&self) -> Vec<&GatedDrop> {
        let all = self.known.values().map(|known| &known.drop);
        match &self.selection {
            Selection::Newest => {
                all.max_by_key(|drop| (drop.address.drop, drop.address.day)).into_iter().collect()
            }
            Selection::Drop(id) => all.filter(|drop| drop.address.drop == *id).collect(),
            Selection::Instance(instance) => {
                all.filter(|drop| drop.instance.as_ref() == Some(instance)).collect()
            }
            Selection::Release(release) => {
                all.filter(|drop| drop.release.as_ref() == Some(release)).collect()
            }
        }
    }

    /// Why receipts that lie there for these drops do not count.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    fn verdict(&self) -> Verdict {
        let drops = self.drops();
        if drops.is_empty() {
            let workload = &self.workload;
            let none = "and one that was released long ago is found by its id only";
            return Verdict::Waiting(match &self.selection {
                Selection::Newest => format!("there is no drop of {workload} on the share yet"),
                Selection::Drop(id) => format!("there is no drop {id} of {workload} on the share"),
                Selection::Instance(instance) => {
                    format!("there is no drop of {workload} by instance {instance:?} yet, {none}")
                }
                Selection::Release(release) => {
                    format!("there is no drop of {workload} by release {release:?} yet, {none}")
                }
            });
        }
        let each_instance = matches!(self.selection, Selection::Release(_));
        verdict::judge(self.until, each_instance, &drops)
    }

    fn see(&mut self, share: &Share, sighting: Sighting) {
        let Sighting { address, state, .. } = sighting;
        let (standing, claims, seal) = match state {
            DropState::Sealed(seal) => {
                let claims = (seal.instance, seal.release);
                (Standing::Sealed, Some(claims), Some(seal.digest))
            }
            DropState::Open(record) => {
                (Standing::Open, record.map(|record| said(record.claims)), None)
            }
            DropState::Failed { exit_status } => {
                (Standing::Failed { exit_status }, claims_of(share, &address), None)
            }
            DropState::Refused(rejection) => {
                (Standing::Doubtful(rejection.to_string()), claims_of(share, &address), None)
            }
        };
        let known = self.known.entry(address.clone()).or_insert_with(|| Known {
            drop: GatedDrop {
                address,
                instance: None,
                release: None,
                standing: Standing::Open,
                proved: BTreeSet::new(),
                policy: None,
            },
            seal: None,
        });
        if let Some((instance, release)) = claims {
            (known.drop.instance, known.drop.release) = (instance, release);
        }
        // What looks unsealed after it was sealed is on its way to release, or seen late.
        if seal.is_some() || known.seal.is_none() {
            known.drop.standing = standing;
        }
        // Another seal is another content: nothing is proved of that.
        if seal.is_some() && known.seal != seal {
            known.drop.proved.clear();
            known.drop.policy = None;
            known.seal = seal;
        }
    }

    fn read_receipts(&mut self, share: &Share, verifier: &dyn Verifier) {
        let (until, id, drops) = (self.until, share.id(), self.drops());
        if let (Selection::Drop(drop), true) = (&self.selection, drops.is_empty()) {
            return self.read_alone(share, *drop, verifier);
        }
        let waited = drops.into_iter().filter(|drop| !drop.has_reached(until));
        let waited: Vec<DropAddress> = waited.map(|drop| drop.address.clone()).collect();
        for address in waited {
            for state in ENDS.iter().chain(until.proofs()) {
                let Some((receipt, policy)) =
                    self.word(share, &address.workload, address.drop, *state, verifier)
                else {
                    continue;
                };
                let Some(known) = self.known.get_mut(&address) else { continue };
                // Of another share, day, id or seal, it is about another drop.
                let is_of_seal = receipt.seal.is_none() || receipt.seal == known.seal;
                if !receipt.is_about(id, &address) || !is_of_seal {
                    self.ignored.insert(format!(
                        "the {state} receipt of drop {} is about another drop",
                        address.drop
                    ));
                    continue;
                }
                take(known, *state, receipt, policy);
            }
        }
    }

    /// What receipts say of a drop of which nothing lies there any more: the day is theirs to say.
    fn read_alone(&mut self, share: &Share, drop: DropId, verifier: &dyn Verifier) {
        let workload = self.workload.clone();
        for state in ENDS.iter().chain(self.until.proofs()) {
            let Some((receipt, policy)) = self.word(share, &workload, drop, *state, verifier)
            else {
                continue;
            };
            let Some(day) = receipt.day else { continue };
            let address = DropAddress { workload: workload.clone(), day, drop };
            if !receipt.is_about(share.id(), &address) {
                continue;
            }
            let known = self.known.entry(address.clone()).or_insert_with(|| Known {
                drop: GatedDrop {
                    address,
                    instance: None,
                    release: None,
                    standing: Standing::Gone,
                    proved: BTreeSet::new(),
                    policy: None,
                },
                seal: receipt.seal,
            });
            take(known, *state, receipt, policy);
        }
    }

    /// A receipt that is whole, of this state, and signed by who may say so. What cannot be read now is
    /// not there yet.
    fn word(
        &mut self,
        share: &Share,
        workload: &WorkloadName,
        drop: DropId,
        state: ReceiptState,
        verifier: &dyn Verifier,
    ) -> Option<(Receipt, Option<PolicyWord>)> {
        let mut ignore = |reason: &str| {
            self.ignored.insert(format!("the {state} receipt of drop {drop} is ignored: {reason}"));
        };
        let signed = match receipt::read(share, workload, drop, state) {
            Ok(signed) => signed?,
            Err(ReceiptError::Torn | ReceiptError::Io { .. }) => return None,
            Err(error) => {
                ignore(&error.to_string());
                return None;
            }
        };
        let receipt = signed.receipt();
        let is_named =
            receipt.state == state && receipt.drop == drop && receipt.workload == *workload;
        let verdict = match is_named {
            true => verifier.check(&signed),
            false => {
                Err(format!("it says {} of {}/{}", receipt.state, receipt.workload, receipt.drop))
            }
        };
        match verdict {
            Ok(()) => Some((receipt.clone(), verifier.policy(&signed))),
            Err(reason) => {
                ignore(&reason);
                None
            }
        }
    }
}

/// States in which a drop goes no further.
const ENDS: [ReceiptState; 2] = [ReceiptState::Rejected, ReceiptState::Abandoned];

/// Takes over what a receipt says of this very drop.
fn take(known: &mut Known, state: ReceiptState, receipt: Receipt, policy: Option<PolicyWord>) {
    let reason = receipt.reason.unwrap_or_default();
    match state {
        ReceiptState::Rejected => known.drop.standing = Standing::Rejected { reason },
        // Sealed at the last moment, it is a good drop.
        ReceiptState::Abandoned if known.seal.is_none() => {
            known.drop.standing = Standing::Abandoned { reason };
        }
        ReceiptState::Abandoned => {}
        // What it holds, it says by the seal.
        _ if receipt.seal.is_none() => {}
        state => {
            known.drop.proved.insert(state);
            // The newest counts, in whatever order they are read.
            let newest = known.drop.policy.into_iter().chain(policy).max_by_key(|word| word.at);
            known.drop.policy = newest;
        }
    }
}

type Said = (Option<String>, Option<String>);

fn said(claims: Claims) -> Said {
    (claims.instance, claims.release)
}

/// What a writer said of itself when it began. What cannot be read now may be at the next look.
fn claims_of(share: &Share, address: &DropAddress) -> Option<Said> {
    let names = address.components();
    let read = || -> io::Result<Option<OpenRecord>> {
        OpenRecord::read(&share.directory()?.descend(&names)?)
    };
    read().ok().flatten().map(|record| said(record.claims))
}
