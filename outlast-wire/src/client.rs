//! The other side of the road: clients of a vault, which block.

mod calls;
mod http;
mod probe;
mod store;
mod trouble;

pub use calls::{ApiClient, CallError, OpenError, OpenedWorkload};
pub use http::{AddressError, Credentials};
pub use store::RestStore;
pub use trouble::CertificateTrouble;
