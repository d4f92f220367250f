//! A look at one workload: what lies there, what its team declares, and what receipts prove of drops that were not
//! known yet. It reads the share and changes nothing, so many can be under way at once.

use std::collections::{BTreeSet, HashSet};

use outlast_drop::files::NAMES_MAX;
use outlast_drop::layout::RECEIPTS;
use outlast_drop::scan::Visit;
use outlast_drop::{Share, Sighting, WorkloadMemory, WorkloadScan, receipt};
use outlast_types::WorkloadName;
use outlast_wire::api::Declared;
use outlast_wire::receipts::Authority;

use crate::declaration::{self, DeclarationError};
use crate::problem::{Met, Problem};
use crate::receipts::Reader;
use crate::workload::{DeclarationStamp, Learned, Place, place};

/// Which of its looks reads what is declared, whatever the file's time says.
const READ_ANYHOW: u32 = 16;

/// A workload to be looked at.
pub(crate) struct Look {
    pub(crate) share: Share,
    pub(crate) visit: Visit,
    pub(crate) workload: WorkloadName,
    pub(crate) memory: WorkloadMemory,
    /// Drops of which it is known what receipts prove.
    pub(crate) known: HashSet<Place>,
    /// The declaration that was read last, if that went well.
    pub(crate) declaration: Option<DeclarationStamp>,
    /// How often it was looked at.
    pub(crate) looks: u32,
}

/// What came of a look.
pub(crate) struct Looked {
    pub(crate) workload: WorkloadName,
    pub(crate) memory: WorkloadMemory,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    /// It was put off: the pass has looked at as much as one may.
    PutOff,
    /// It is a file, and no workload.
    Foreign,
    Seen(Box<Seen>),
}

/// What was seen of a workload.
pub(crate) struct Seen {
    pub(crate) scan: WorkloadScan,
    /// What is declared, if that was read.
    pub(crate) declared: Option<Result<Option<Declared>, DeclarationError>>,
    pub(crate) learned: Learned,
    pub(crate) problems: Vec<Problem>,
}

impl Look {
    /// Looks.
    pub(crate) fn take(self, authority: &Authority) -> Looked {
        let Self { share, visit, workload, mut memory, known, declaration, looks } = self;
        if visit.is_over() {
            return Looked { workload, memory, outcome: Outcome::PutOff };
        }
        let Some(scan) = visit.look(&workload, &mut memory) else {
            return Looked { workload, memory, outcome: Outcome::Foreign };
        };
        let is_read = declaration == Some(scan.declaration) && looks % READ_ANYHOW != 0;
        let declared = match scan.declaration {
            None => Some(Ok(None)),
            Some(_) if is_read => None,
            Some(_) => Some(declaration::read(&share, &workload)),
        };
        let mut problems = Vec::new();
        let learned = learn(&share, authority, &scan, &known, &mut problems);
        let seen = Box::new(Seen { scan, declared, learned, problems });
        Looked { workload, memory, outcome: Outcome::Seen(seen) }
    }
}

/// Reads what receipts prove of drops that were not known yet.
fn learn(
    share: &Share,
    authority: &Authority,
    scan: &WorkloadScan,
    known: &HashSet<Place>,
    problems: &mut Vec<Problem>,
) -> Learned {
    let workload = &scan.workload;
    let mut learned = Learned::default();
    let is_new = |it: &&Sighting| !known.contains(&place(&it.address));
    let fresh: Vec<_> = scan.sightings.iter().filter(is_new).collect();
    if fresh.is_empty() {
        return learned;
    }
    let wanted = fresh.iter().map(|sighting| sighting.address.drop).collect();
    let receipts = match receipt::find(share, workload, &wanted, NAMES_MAX) {
        Ok(receipts) => receipts,
        Err(error) => {
            let path = share.workload_directory(workload);
            problems.push(Met::Unreadable(path).because(error.to_string()));
            learned.is_unreadable = true;
            return learned;
        }
    };
    if !receipts.is_whole {
        let path = share.workload_directory(workload).join(RECEIPTS);
        let reason = format!("more than {NAMES_MAX} names lie among its receipts");
        problems.push(Met::TooManyNames(workload.clone(), path).because(reason));
    }
    learned.newest_vaulted = receipts.newest_vaulted;
    let reader = Reader { share, authority };
    for Sighting { address, .. } in fresh {
        let none = BTreeSet::new();
        let states = receipts.states.get(&address.drop).unwrap_or(&none);
        match reader.prove(address, states, problems) {
            Ok(proven) => learned.proven.push((place(address), proven)),
            Err(error) => {
                let met = Met::ReceiptUnreadable(address.clone());
                problems.push(met.because(error.to_string()));
            }
        }
    }
    learned
}
