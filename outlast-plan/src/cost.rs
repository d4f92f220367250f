//! What a month costs, part by part.

use crate::flaw::Flaw;
use crate::prices::Here;
use crate::share::GIB;

/// Hours of the month that a machine's price is for.
pub(crate) const PRICED_HOURS: f64 = 730.0;
/// Bytes that cross the line for one that is meant: TCP, IP, TLS and HTTP.
pub(crate) const WIRE: f64 = 1.03;

/// A part of what a month costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    ShareStorage,
    ShareThroughput,
    Agent,
    AgentDisk,
    Media,
    MediaDisk,
    LineBytes,
    Line,
    Vault,
}

impl Part {
    pub const ALL: [Self; 9] = [
        Self::ShareStorage,
        Self::ShareThroughput,
        Self::Agent,
        Self::AgentDisk,
        Self::Media,
        Self::MediaDisk,
        Self::LineBytes,
        Self::Line,
        Self::Vault,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ShareStorage => "share_storage",
            Self::ShareThroughput => "share_throughput",
            Self::Agent => "agent",
            Self::AgentDisk => "agent_disk",
            Self::Media => "media",
            Self::MediaDisk => "media_disk",
            Self::LineBytes => "line_bytes",
            Self::Line => "line",
            Self::Vault => "vault",
        }
    }

    /// For people.
    pub fn says(self) -> &'static str {
        match self {
            Self::ShareStorage => "share: what lies there",
            Self::ShareThroughput => "share: throughput and calls",
            Self::Agent => "agent: its host",
            Self::AgentDisk => "agent: its disk",
            Self::Media => "media servers",
            Self::MediaDisk => "media servers: spool",
            Self::LineBytes => "line: bytes",
            Self::Line => "line: by the month",
            Self::Vault => "vault: its disks",
        }
    }

    pub fn formula(self) -> &'static str {
        match self {
            Self::ShareStorage => "average GiB on the share (or GiB provisioned) × price",
            Self::ShareThroughput => {
                "EFS Elastic: GiB written × price + (GiB read + calls × 4 KiB) × price; Provisioned: MiB/s × price; Azure standard: transactions × price"
            }
            Self::Agent => "price of the machine × hours of the month ÷ 730",
            Self::AgentDisk => "GiB of disk × price",
            Self::Media => "media servers × price of the machine × hours of the month ÷ 730",
            Self::MediaDisk => "media servers × GiB of spool × price",
            Self::LineBytes => "GiB on the line × 1.03 (TCP, IP, TLS, HTTP) × price",
            Self::Line => "what the line costs in a month",
            Self::Vault => "GiB in the vault at the end of the month × places that hold it × price",
        }
    }
}

/// What parts cost in one month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Costs([f64; 9]);

impl Costs {
    pub fn of(&self, part: Part) -> f64 {
        self.0[part as usize]
    }

    pub fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, part: Part, cost: f64) {
        self.0[part as usize] += cost;
    }
}

/// What a disk of so many bytes costs in a month.
pub(crate) fn disk(bytes: f64, prices: Here<'_>) -> Result<f64, Flaw> {
    Ok(bytes / GIB * prices.price("disk_gib_month")?)
}
