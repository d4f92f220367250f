//! The other side of the road: clients of a vault, which block.

mod address;
mod calls;
mod connector;
pub mod enroll;
mod error;
mod fetching;
mod forward;
mod http;
mod keeping;
mod opened;
mod orders;
mod probe;
mod shipments;
mod store;
mod survey;
mod trouble;
mod way;

pub use address::{AddressError, check_address};
pub use calls::{ApiClient, Speaker};
pub use error::CallError;
pub(crate) use http::Http;

pub use fetching::FetchCallError;
pub use forward::{Pace, Part, Sent};
pub use opened::{Answered, Errand, OpenError, OpenedWorkload};
pub use shipments::Relayed;
pub use store::RestStore;
pub use survey::{Server, Survey, survey};
pub use trouble::{About, CertificateTrouble};
pub use way::Credentials;
