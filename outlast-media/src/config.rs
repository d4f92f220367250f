//! How a media server is configured. Who starts it reads that from wherever it stands.

use std::net::SocketAddr;
use std::path::PathBuf;

use outlast_civil::{Calendar, Rate};
use outlast_spool::Room;
use outlast_wire::Proxies;
use outlast_wire::names::Names;

/// A media server's configuration.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Where the spool and all that belongs to it are kept.
    pub dir: PathBuf,
    /// Where the media server listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Where metrics are shown without TLS, if anywhere: an address of this host.
    pub metrics_listen: Option<SocketAddr>,
    /// The directory of the media server's own identity.
    pub identity: PathBuf,
    /// Whom certificates mean that others issued and that name no identity of ours.
    pub names: Names,
    /// The vault's address.
    pub upstream: String,
    /// The way there, if it leads through proxies.
    pub proxies: Proxies,
    /// Objects that are on the line at one time.
    pub streams: usize,
    /// What may change while it is at work.
    pub limits: MediaLimits,
}

/// What may change while a media server is at work.
#[derive(Debug, Clone)]
pub struct MediaLimits {
    /// How much may wait in the spool.
    pub room: Room,
    /// How many bytes of indexes are kept to be read again.
    pub cache: u64,
    /// How fast the line may be used when.
    pub calendar: Calendar,
    /// How fast backups may be brought back.
    pub restores: Rate,
}
