//! A part of the packs, so that the data of a large repository is read over many nights.

use std::str::FromStr;

use outlast_format::PackId;

/// The `part`-th of `parts` parts of all packs, as `2/7`. Which part a pack belongs to depends on
/// its id alone: after one run for every part, in whatever order, each pack that was there all the
/// time was read exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    part: u32,
    parts: u32,
}

/// Why a text names no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} does not name a part of the data; give n/m with n from 1 to m and m up to {}, such as 2/7 for \
     the second of seven parts",
    Subset::PARTS_MAX
)]
pub struct InvalidSubset {
    text: String,
}

impl Subset {
    /// The most parts.
    pub const PARTS_MAX: u32 = 65_536;

    /// The `part`-th, from 1, of so many parts; `None` if there is no such part.
    pub fn new(part: u32, parts: u32) -> Option<Self> {
        ((1..=parts).contains(&part) && parts <= Self::PARTS_MAX).then_some(Self { part, parts })
    }

    /// Whether a pack belongs to this part.
    pub fn contains(self, pack: PackId) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = pack.0;
        // An id is a hash: any bytes of it are spread evenly.
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        number % u64::from(self.parts) == u64::from(self.part - 1)
    }
}

impl FromStr for Subset {
    type Err = InvalidSubset;

    fn from_str(text: &str) -> Result<Self, InvalidSubset> {
        let number = |digits: &str| digits.parse::<u32>().ok();
        text.split_once('/')
            .and_then(|(part, parts)| Self::new(number(part)?, number(parts)?))
            .ok_or_else(|| InvalidSubset { text: text.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use outlast_format::Sha256Id;

    proptest! {
        #[test]
        fn every_pack_is_in_exactly_one_part(id in any::<[u8; 32]>(), parts in 1..100_u32) {
            let holders = (1..=parts)
                .filter(|part| format!("{part}/{parts}").parse::<Subset>().unwrap().contains(PackId(id)));
            prop_assert_eq!(holders.count(), 1);
        }
    }

    #[test]
    fn parts_are_about_equal() {
        let second: Subset = "2/7".parse().unwrap();
        let packs = (0..7000_u32).map(|n| PackId::of(&n.to_le_bytes()));
        let count = packs.filter(|pack| second.contains(*pack)).count();
        assert!((850..1150).contains(&count), "{count} of 7000");
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for bad in ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1/65537", "50%"] {
            assert!(bad.parse::<Subset>().is_err(), "{bad}");
        }
        for good in ["1/1", "3/3", "65536/65536"] {
            assert!(good.parse::<Subset>().is_ok(), "{good}");
        }
    }
}
