//! The vault's core: publish, adopt, record. It has no front door; the doors (`crate::doors`) call
//! it, and translate what it answers.

pub(crate) mod admission;
pub(crate) mod arrivals;
pub(crate) mod care;
pub(crate) mod custody;
pub(crate) mod orders;
pub(crate) mod presence;
pub(crate) mod promise_monitor;
pub(crate) mod publish;
pub(crate) mod repositories;
pub(crate) mod vault;
