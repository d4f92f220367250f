//! Drift: whether a drop is so much smaller than those before it that it may be no backup.
//!
//! Compared is with the middle one of the recent drops that counted, so that neither one odd drop nor
//! a row of bad ones moves the measure: what is in doubt is no part of it. A difference below an
//! absolute floor is none, whatever part of the whole it is: small backups are noisy.

use outlast_types::{ContentKind, Doubt, DoubtCode, SanityRule, human};

/// Fewer entries less are no drift.
const ENTRIES_FLOOR: u64 = 20;

/// How much there is in a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    pub bytes: u64,
    /// Entries of an archive or a table of contents, if it is one.
    pub entries: Option<u64>,
}

/// What speaks against a drop of `kind`, packed or not in `packed`, by `rule`, after the drops `past`
/// that counted.
pub fn doubts(
    rule: &SanityRule,
    now: Measure,
    (kind, packed): (&ContentKind, &ContentKind),
    past: &[Measure],
) -> Vec<Doubt> {
    let SanityRule { min_size, shrink_max, floor, kinds } = rule;
    let mut doubts = Vec::new();
    let min = min_size.unwrap_or(SanityRule::MIN_SIZE);
    if now.bytes < min {
        let text = match now.bytes {
            0 => "it is empty".to_owned(),
            bytes => format!("it has {bytes} bytes, and {min} are the fewest that are expected"),
        };
        doubts.push(Doubt::new(DoubtCode::TooSmall, text));
    }
    if !kinds.is_empty() && !kinds.contains(kind) && !kinds.contains(packed) {
        let expected: Vec<&str> = kinds.iter().map(ContentKind::as_str).collect();
        let expected = expected.join(" or ");
        let text = match (kind.is_none(), packed.is_none()) {
            (false, _) => format!("it is {kind}, and {expected} is expected"),
            (true, false) => format!("it is packed in {packed}, and {expected} is expected"),
            (true, true) => format!("what it is cannot be told, and {expected} is expected"),
        };
        doubts.push(Doubt::new(DoubtCode::UnexpectedKind, text));
    }
    let percent = shrink_max.unwrap_or(SanityRule::SHRINK_MAX).min(100);
    let usual = middle(past.iter().map(|measure| measure.bytes));
    if let Some(usual) = usual.filter(|usual| {
        let lost = usual.saturating_sub(now.bytes);
        lost >= floor.unwrap_or(SanityRule::FLOOR) && is_beyond(lost, *usual, percent)
    }) {
        let text = format!(
            "it has {}, and those before it had {}: more than {percent}% less",
            human::bytes(now.bytes),
            human::bytes(usual)
        );
        doubts.push(Doubt::new(DoubtCode::Shrunk, text));
    }
    let usual = middle(past.iter().filter_map(|measure| measure.entries));
    if let (Some(usual), Some(entries)) = (usual, now.entries) {
        let lost = usual.saturating_sub(entries);
        if lost >= ENTRIES_FLOOR && is_beyond(lost, usual, percent) {
            let text = format!(
                "it has {entries} entries, and those before it had {usual}: more than {percent}% less"
            );
            doubts.push(Doubt::new(DoubtCode::FewerEntries, text));
        }
    }
    doubts
}

/// Whether `lost` is more than so many percent of `usual`.
fn is_beyond(lost: u64, usual: u64, percent: u8) -> bool {
    u128::from(lost) * 100 > u128::from(usual) * u128::from(percent)
}

/// The one in the middle; of two, the greater.
fn middle(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: (&ContentKind, &ContentKind) = (&ContentKind::PgDump, &ContentKind::Gzip);

    fn bytes(bytes: u64) -> Measure {
        Measure { bytes, entries: None }
    }

    fn codes(rule: &SanityRule, now: Measure, past: &[Measure]) -> Vec<DoubtCode> {
        doubts(rule, now, NONE, past).into_iter().map(|doubt| doubt.code).collect()
    }

    #[test]
    fn a_drop_is_in_doubt_if_it_is_much_smaller_than_usual_and_not_by_a_trifle() {
        let rule = SanityRule::default();
        let past = [bytes(100 << 20), bytes(102 << 20), bytes(2 << 20)];
        assert_eq!(codes(&rule, bytes(49 << 20), &past), [DoubtCode::Shrunk]);
        assert_eq!(codes(&rule, bytes(50 << 20), &past), []);
        assert_eq!(codes(&rule, bytes(49 << 20), &[]), [], "nothing is known yet");
        // Of a small one, half is nothing.
        assert_eq!(codes(&rule, bytes(1), &[bytes(1 << 20)]), []);
        assert_eq!(codes(&rule, bytes(0), &[bytes(1)]), [DoubtCode::TooSmall]);
        let strict = SanityRule { floor: Some(1), min_size: Some(10), ..rule };
        assert_eq!(
            codes(&strict, bytes(9), &[bytes(20)]),
            [DoubtCode::TooSmall, DoubtCode::Shrunk]
        );
    }

    #[test]
    fn fewer_entries_and_other_kinds_are_doubted() {
        let measure = |entries| Measure { bytes: 1 << 20, entries: Some(entries) };
        let rule = SanityRule::default();
        assert_eq!(codes(&rule, measure(10), &[measure(100)]), [DoubtCode::FewerEntries]);
        assert_eq!(codes(&rule, measure(10), &[measure(29)]), [], "the floor");
        assert_eq!(codes(&rule, bytes(1 << 20), &[measure(100)]), [], "not counted");
        let kinds = |kinds: &[ContentKind]| SanityRule { kinds: kinds.to_vec(), ..rule.clone() };
        for expected in [ContentKind::PgDump, ContentKind::Gzip] {
            assert_eq!(codes(&kinds(&[expected]), bytes(9), &[]), []);
        }
        let unexpected = kinds(&[ContentKind::Sqlite]);
        assert_eq!(codes(&unexpected, bytes(9), &[]), [DoubtCode::UnexpectedKind]);
    }

    proptest! {
        /// However a row of drops shrinks, the first that is in doubt leaves the measure where it was,
        /// and so all that are smaller are in doubt, too.
        #[test]
        fn a_row_of_bad_drops_moves_no_measure(
            good in (4_u64 << 20)..(1 << 40), bad in prop::collection::vec(0_u64..100, 1..30),
        ) {
            let rule = SanityRule::default();
            let mut past = vec![bytes(good); 3];
            for percent in bad {
                let now = bytes(good / 100 * percent.min(48));
                let found = doubts(&rule, now, NONE, &past);
                if found.is_empty() {
                    past.push(now);
                }
                prop_assert!(!found.is_empty(), "{now:?}");
            }
        }

        #[test]
        fn tighter_rules_doubt_all_that_looser_ones_do(
            now in 0_u64..(1 << 30), usual in 0_u64..(1 << 30), shrink in 0_u8..=100, floor in any::<u64>(),
            min in 0_u64..(1 << 30),
        ) {
            let policy = SanityRule {
                min_size: Some(min), shrink_max: Some(shrink), floor: Some(floor), kinds: vec![],
            };
            let declared = SanityRule {
                min_size: Some(min / 2), shrink_max: Some(shrink.saturating_add(9)),
                floor: Some(floor.saturating_add(9)), kinds: vec![],
            };
            let judged = |rule: &SanityRule| codes(rule, bytes(now), &[bytes(usual)]);
            // A declaration that wants to loosen changes nothing.
            prop_assert_eq!(judged(&policy), judged(&policy.tightened(&declared)));
        }
    }
}
