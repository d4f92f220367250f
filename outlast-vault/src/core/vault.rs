//! What all that the vault does works on. What it does is in the modules above this one, each with
//! its part of `impl Vault`.

use outlast_promise::Validity;
use outlast_types::Environment;
use outlast_wire::Identity;

use super::admission::Admission;
use super::arrivals::Arrivals;
use super::orders::Orders;
use super::promise_monitor::PromiseMonitor;
use super::repositories::Repositories;
use super::sequence::Sequence;

/// A vault that is open.
pub(crate) struct Vault {
    pub(crate) repositories: Repositories,
    pub(crate) admission: Admission,
    pub(crate) arrivals: Arrivals,
    pub(crate) orders: Orders,
    pub(crate) promises: PromiseMonitor,
    pub(crate) identity: Identity,
    pub(crate) environment: Environment,
    /// Numbers the receipts.
    pub(crate) sequence: Sequence,
    /// Names this run of the vault, so that agents notice that another one began.
    pub(crate) run: String,
}

/// How long a certificate is valid, in the words of promises.
pub(crate) fn validity(of: outlast_wire::Validity) -> Validity {
    Validity { from: of.from, until: of.until }
}
