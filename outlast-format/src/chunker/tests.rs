//! The promises of the chunker, against a slow reference that follows the text of the rules.

use proptest::prelude::*;

use super::*;
use crate::crypto::Key;

const SMALL: Params = Params { min: 64, average: 256, max: 1024 };

fn gear() -> Gear {
    Gear::derive(&Key::from_bytes(&std::array::from_fn(|i| u8::try_from(i).unwrap())), SMALL)
}

/// Cuts of content scanned in blocks of these lengths (the rest in one).
fn cuts(gear: &Gear, params: Params, content: &[u8], blocks: &[usize]) -> Vec<u64> {
    let mut selector = Selector::new(params);
    let mut cuts = Vec::new();
    let mut at = 0;
    for length in blocks.iter().copied().chain([content.len()]) {
        let end = content.len().min(at + length);
        let mut candidates = Vec::new();
        gear.scan(&content[..at], &content[at..end], at as u64, &mut candidates);
        selector.feed(&candidates, end as u64, &mut cuts);
        at = end;
    }
    selector.finish(&mut cuts);
    cuts.into_iter().map(|cut| cut.end).collect()
}

/// The same, but what equals a chunk in `known` is not scanned.
fn cuts_by_known(gear: &Gear, params: Params, content: &[u8], known: &[&[u8]]) -> Vec<u64> {
    let mut selector = Selector::new(params);
    let mut cuts = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let chunk = known.iter().find(|chunk| content[at..].starts_with(chunk));
        let end = chunk.map_or(content.len().min(at + 100), |chunk| at + chunk.len());
        if chunk.is_none() || !selector.feed_known(end as u64, 7, &mut cuts) {
            let mut candidates = Vec::new();
            gear.scan(&content[..at], &content[at..end], at as u64, &mut candidates);
            selector.feed(&candidates, end as u64, &mut cuts);
        }
        at = end;
    }
    selector.finish(&mut cuts);
    cuts.into_iter().map(|cut| cut.end).collect()
}

/// The rules word by word: no rolling, no phases.
fn reference(gear: &Gear, params: Params, content: &[u8]) -> Vec<u64> {
    let hash = |end: usize| {
        let window = content[..end].iter().rev().take(WINDOW).enumerate();
        window.fold(0u64, |sum, (age, byte)| {
            sum.wrapping_add(
                gear.table[usize::from(*byte)].wrapping_shl(u32::try_from(age).unwrap()),
            )
        })
    };
    let mut cuts = Vec::new();
    let mut start = 0;
    while start < content.len() {
        let end = (start + params.min as usize..start + params.max as usize)
            .take_while(|end| *end <= content.len())
            .find(|&end| {
                let early = end - start < params.average as usize;
                hash(end) < if early { gear.strict } else { gear.loose }
            })
            .unwrap_or(content.len().min(start + params.max as usize));
        cuts.push(end as u64);
        start = end;
    }
    cuts
}

fn noise(length: usize, seed: &str) -> Vec<u8> {
    let mut content = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut content);
    content
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    // Runs of equal bytes and repeated passages are where a rolling hash would go wrong.
    let run = (any::<u8>(), 1..2000usize).prop_map(|(byte, length)| vec![byte; length]);
    let passage = ("[ab]{1,4}", 1..1500usize).prop_map(|(seed, length)| noise(length, &seed));
    prop::collection::vec(prop_oneof![run, passage], 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(outlast_testing::cases(96))]

    #[test]
    fn cuts_are_those_of_the_serial_reference_whatever_the_blocks(
        content in content(),
        blocks in prop::collection::vec(prop_oneof![0..70usize, 100..5000usize], 0..20),
    ) {
        let gear = gear();
        let expected = reference(&gear, SMALL, &content);
        prop_assert_eq!(&cuts(&gear, SMALL, &content, &blocks), &expected);
        prop_assert_eq!(&cuts(&gear, SMALL, &content, &[]), &expected);
    }

    #[test]
    fn chunks_that_are_known_are_cut_alike_without_a_scan(
        before in content(),
        (at, removed) in (any::<prop::sample::Index>(), 0..3000usize),
        inserted in content(),
    ) {
        let gear = gear();
        let mut start = 0;
        let mut known = Vec::new();
        let natural = cuts(&gear, SMALL, &before, &[]);
        for cut in &natural[..natural.len().saturating_sub(1)] {
            let end = usize::try_from(*cut).unwrap();
            known.push(&before[start..end]);
            start = end;
        }
        let at = at.index(before.len() + 1);
        let rest = &before[before.len().min(at + removed)..];
        let after = [&before[..at], &inserted, rest].concat();
        prop_assert_eq!(
            cuts_by_known(&gear, SMALL, &after, &known),
            cuts(&gear, SMALL, &after, &[])
        );
    }

    #[test]
    fn chunks_partition_the_content_and_keep_their_bounds(content in content()) {
        let cuts = cuts(&gear(), SMALL, &content, &[]);
        prop_assert_eq!(cuts.last().copied().unwrap_or(0), content.len() as u64);
        let mut start = 0;
        for (i, cut) in cuts.iter().enumerate() {
            let length = cut - start;
            prop_assert!(length > 0 && length <= u64::from(SMALL.max));
            prop_assert!(length >= u64::from(SMALL.min) || i + 1 == cuts.len());
            start = *cut;
        }
    }
}

#[test]
fn every_key_cuts_in_its_own_places() {
    let content = noise(1 << 20, "content");
    let of = |key: u8| {
        let gear = Gear::derive(&Key::from_bytes(&[key; 64]), DEFAULT);
        cuts(&gear, DEFAULT, &content, &[])
    };
    assert_eq!(of(1), of(1));
    let common = of(1).iter().filter(|cut| of(2).contains(cut)).count();
    assert_eq!(common, 1, "only the end of the content is shared");
}

#[test]
fn an_insertion_changes_chunks_around_it_only() {
    let gear = Gear::derive(&Key::from_bytes(&[3; 64]), DEFAULT);
    let before = noise(8 << 20, "content");
    let at = 3 << 20;
    let after = [&before[..at], b"a few bytes more", &before[at..]].concat();
    let chunks = |content: &[u8]| {
        let mut start = 0;
        let cuts = cuts(&gear, DEFAULT, content, &[]);
        cuts.into_iter()
            .map(|cut| {
                let range = start..usize::try_from(cut).unwrap();
                start = range.end;
                crate::sha256(&content[range])
            })
            .collect::<Vec<_>>()
    };
    let (old, new) = (chunks(&before), chunks(&after));
    let fresh = new.iter().filter(|chunk| !old.contains(chunk)).count();
    assert!(fresh <= 8, "{fresh} of {} chunks are new", new.len());
}

#[test]
fn lengths_gather_around_the_average() {
    let gear = Gear::derive(&Key::from_bytes(&[4; 64]), DEFAULT);
    let content = noise(32 << 20, "content");
    let count = cuts(&gear, DEFAULT, &content, &[]).len();
    let mean = content.len() / count;
    assert!((48 << 10..96 << 10).contains(&mean), "{mean}");
}

/// Where content is cut decides what is stored again: a change here makes every repository store
/// everything once more.
#[test]
fn cuts_do_not_change_between_releases() {
    let gear = Gear::derive(&Key::from_bytes(&[5; 64]), DEFAULT);
    let cuts = cuts(&gear, DEFAULT, &noise(512 << 10, "content"), &[]);
    assert_eq!(cuts, [67151, 134480, 170284, 244161, 311049, 377010, 451096, 485458, 524288]);
}
