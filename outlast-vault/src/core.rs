//! The vault's core: publish, adopt, record. It has no front door, and sees no path: what it keeps
//! lies in a `storage` that is handed in. The doors (`crate::doors`) call it, and translate what it
//! answers. In this order, each module knows those above it in the list only.

pub(crate) mod counters;
pub(crate) mod presence;
pub(crate) mod refusal;
pub(crate) mod retention;
pub(crate) mod sights;
pub(crate) mod storage;

pub(crate) mod error;
pub(crate) mod figures;
pub(crate) mod former;
pub(crate) mod occupied;
pub(crate) mod tenures;

pub(crate) mod audit;
pub(crate) mod kit;

pub(crate) mod certificates;
pub(crate) mod drills;
pub(crate) mod incidents;
pub(crate) mod jobs;
pub(crate) mod limits;
pub(crate) mod looks;
pub(crate) mod month;

pub(crate) mod arrivals;
pub(crate) mod challenges;
pub(crate) mod deliveries;
mod ended;
pub(crate) mod keepings;
pub(crate) mod orders;
pub(crate) mod policy;
pub(crate) mod repositories;
pub(crate) mod restorable;
pub(crate) mod saves;
pub(crate) mod scrubs;
pub(crate) mod sequence;
pub(crate) mod shipments;
pub(crate) mod slow_time;
pub(crate) mod spools;
pub(crate) mod terms;
pub(crate) mod tokens;
pub(crate) mod withheld;

pub(crate) mod admission;
pub(crate) mod agreements;
pub(crate) mod alerts;
pub(crate) mod outbox;
pub(crate) mod promise_monitor;
pub(crate) mod published;

pub(crate) mod vault;

pub(crate) mod rights;
pub(crate) mod words;

pub(crate) mod authority;
pub(crate) mod backups;
pub(crate) mod custody;
pub(crate) mod doubt;
pub(crate) mod drill;
pub(crate) mod enrollment;
pub(crate) mod handed_now;
pub(crate) mod handing;
pub(crate) mod holding;
pub(crate) mod kept;
pub(crate) mod keys;
pub(crate) mod kit_keys;
mod lacking;
pub(crate) mod metrics;
pub(crate) mod months;
pub(crate) mod own_state;
pub(crate) mod publish;
mod reading;
pub(crate) mod receive;
pub(crate) mod recovery;
mod remaining;
pub(crate) mod remembered;
pub(crate) mod renaming;
pub(crate) mod scrub;
mod shipping;
mod whole;

mod destroying;
pub(crate) mod forgetting;

pub(crate) mod care;
pub(crate) mod opening;
pub(crate) mod upkeep;

#[cfg(test)]
pub(crate) mod testing;
