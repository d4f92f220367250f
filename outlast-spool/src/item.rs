//! What lies in a spool, and the name of its file, which tells all of it.

use std::fmt;
use std::time::Duration;

use outlast_types::{DropId, IndexId, PackId, Timestamp, WorkloadName, hex};

/// What an item is, by the SHA-256 of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    Pack(PackId),
    Index(IndexId),
}

impl What {
    /// The SHA-256 of the content.
    pub fn hash(&self) -> [u8; 32] {
        match *self {
            Self::Pack(id) => id.0,
            Self::Index(id) => id.0,
        }
    }

    /// Whether it is small and others wait for it: it may use the room that is kept back.
    pub fn is_word(&self) -> bool {
        !matches!(self, Self::Pack(_))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Pack(_) => "pack",
            Self::Index(_) => "index",
        }
    }

    fn parse(kind: &str, hash: &str) -> Option<Self> {
        let hash = hex::decode_32(hash)?;
        match kind {
            "pack" => Some(Self::Pack(PackId(hash))),
            "index" => Some(Self::Index(IndexId(hash))),
            _ => None,
        }
    }
}

/// As messages name it: `pack 4f0b…`.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), hex::encode_32(&self.hash()))
    }
}

/// What is unique in a spool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub workload: WorkloadName,
    pub what: What,
}

/// When an item came, by the spool's own clock, in nanoseconds since 1970; no two have the same, and
/// what came later has more, also where the clock was set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrival(pub(crate) u64);

impl Arrival {
    pub fn at(self) -> Timestamp {
        Timestamp::EPOCH.saturating_add(Duration::from_nanos(self.0))
    }
}

/// Something that is here, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub key: Key,
    pub arrival: Arrival,
    /// In bytes.
    pub size: u64,
    /// The drop for which it came, if that was said.
    pub shipment: Option<DropId>,
}

/// No name of a workload has it.
const BETWEEN: char = '~';

impl Item {
    /// The name of its file. A start lists names, and looks at no file.
    pub(crate) fn file_name(&self) -> String {
        let Key { workload, what } = &self.key;
        let (arrival, kind, size) = (self.arrival.0, what.kind(), self.size);
        let shipment = self.shipment.map_or(String::new(), |drop| format!("~{drop}"));
        let hash = hex::encode_32(&what.hash());
        format!("{arrival:016x}~{workload}~{kind}~{hash}~{size:x}{shipment}")
    }

    /// What has this name; none if it was not put there by a spool.
    pub(crate) fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.split(BETWEEN);
        let mut next = || parts.next();
        let arrival = Arrival(u64::from_str_radix(next()?, 16).ok()?);
        let workload = next()?.parse().ok()?;
        let what = What::parse(next()?, next()?)?;
        let size = u64::from_str_radix(next()?, 16).ok()?;
        let shipment = next().map(str::parse).transpose().ok()?;
        let item = Self { key: Key { workload, what }, arrival, size, shipment };
        // One way to write it, and nothing behind it.
        (item.file_name() == file_name).then_some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The id of a drop with these bits, as far as its form lets them be any.
    fn drop_of(bits: u128) -> DropId {
        let digits = format!("{bits:032x}");
        let (time, a, b) = (&digits[..12], &digits[13..16], &digits[17..]);
        let text = format!("{}-{}-7{a}-8{}-{}", &time[..8], &time[8..], &b[..3], &b[3..]);
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_files_name_tells_all_of_an_item(
            workload in "[a-z][a-z0-9-]{0,20}", is_pack: bool, hash: [u8; 32], arrival: u64, size: u64,
            shipment: Option<u128>,
        ) {
            let what = if is_pack { What::Pack(PackId(hash)) } else { What::Index(IndexId(hash)) };
            let key = Key { workload: workload.parse().unwrap(), what };
            let shipment = shipment.map(drop_of);
            let item = Item { key, arrival: Arrival(arrival), size, shipment };
            prop_assert_eq!(Item::parse(&item.file_name()), Some(item));
        }

        #[test]
        fn any_other_name_is_none_of_ours(name in "[0-9a-z~ .-]{0,120}") {
            if let Some(item) = Item::parse(&name) {
                prop_assert_eq!(item.file_name(), name);
            }
        }
    }
}
