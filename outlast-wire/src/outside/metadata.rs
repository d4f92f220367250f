//! The metadata service of a cloud, which tells a host that it is going to end.
//!
//! It is the one thing beside the share that an instance asks, on an address that leads to the machine below it
//! and nowhere else. A service that cannot be asked is an error, never the absence of a notice.

mod aws;
mod azure;
mod door;
mod notice;

use outlast_types::Interrupt;

use self::aws::Aws;
use self::azure::Azure;
use self::door::Door;
use crate::client::AddressError;

pub use door::MetadataError;
pub use notice::{Notice, Whereabouts};

/// Where both clouds have it.
pub const ADDRESS: &str = "http://169.254.169.254/";

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    Aws,
    Azure,
}

enum Dialect {
    Aws(Aws),
    Azure(Azure),
}

/// A metadata service.
pub struct Metadata {
    door: Door,
    dialect: Dialect,
}

impl Metadata {
    pub fn new(cloud: Cloud, address: &str) -> Result<Self, AddressError> {
        let dialect = match cloud {
            Cloud::Aws => Dialect::Aws(Aws::default()),
            Cloud::Azure => Dialect::Azure(Azure::default()),
        };
        Ok(Self { door: Door::new(address)?, dialect })
    }

    /// Lets `interrupt` break off questions.
    pub fn heed(&mut self, interrupt: &Interrupt) {
        self.door.heed(interrupt);
    }

    /// The notice that stands now; `None` if the service says that there is none.
    pub fn look(&mut self) -> Result<Option<Notice>, MetadataError> {
        match &mut self.dialect {
            Dialect::Aws(aws) => aws.look(&self.door),
            Dialect::Azure(azure) => azure.look(&self.door),
        }
    }

    /// Tells the cloud that it need not wait any longer, where that is told to this service; whether it is.
    pub fn answer(&mut self, notice: &Notice) -> Result<bool, MetadataError> {
        match &self.dialect {
            Dialect::Aws(_) => Ok(false),
            Dialect::Azure(_) => Azure::answer(&self.door, &notice.id).map(|()| true),
        }
    }

    /// Which host this is.
    pub fn whereabouts(&mut self) -> Result<Whereabouts, MetadataError> {
        match &mut self.dialect {
            Dialect::Aws(aws) => aws.whereabouts(&self.door),
            Dialect::Azure(azure) => azure.whereabouts(&self.door),
        }
    }
}
