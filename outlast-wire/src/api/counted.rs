//! Bills that count packs in place of naming them.

use super::{BILL_VERSION_COUNTED, BilledName, BilledPacks, Shipment};

impl Shipment {
    /// The same as a bill of version [`BILL_VERSION_COUNTED`]: it names indexes, and counts packs.
    pub fn counted(&self) -> Self {
        let mut packs = BilledPacks::default();
        let mut indexes = Vec::new();
        for object in &self.objects {
            match object.name {
                BilledName::Index(_) => indexes.push(*object),
                BilledName::Data(_) => {
                    packs.objects += 1;
                    packs.bytes = packs.bytes.saturating_add(object.size);
                }
            }
        }
        let packs = Some(self.packs.unwrap_or(packs));
        Self { version: BILL_VERSION_COUNTED, objects: indexes, packs, ..self.clone() }
    }
}
