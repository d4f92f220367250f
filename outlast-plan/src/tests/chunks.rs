//! What is supposed of chunks is what the engine cuts.

use std::collections::HashSet;

use outlast_format::chunker::{DEFAULT, Gear, Selector};
use outlast_format::crypto::Key;
use outlast_testing::{Sequence, pseudo_random};

use super::*;
use crate::churn::CHUNK;

fn chunks<'a>(gear: &Gear, content: &'a [u8]) -> Vec<&'a [u8]> {
    let (mut candidates, mut cuts) = (Vec::new(), Vec::new());
    gear.scan(&[], content, 0, &mut candidates);
    let mut selector = Selector::new(DEFAULT);
    selector.feed(&candidates, content.len() as u64, &mut cuts);
    selector.finish(&mut cuts);
    let mut from = 0;
    cuts.into_iter()
        .map(|cut| {
            let end = usize::try_from(cut.end).unwrap();
            let chunk = &content[from..end];
            from = end;
            chunk
        })
        .collect()
}

#[test]
fn changed_runs_spoil_as_many_chunks_as_is_supposed() {
    let gear = Gear::derive(&Key::from_bytes(&std::array::from_fn(|_| 7)), DEFAULT);
    let before = pseudo_random(5, 64 << 20);
    let known: Vec<&[u8]> = chunks(&gear, &before);
    let mean = before.len() as f64 / known.len() as f64;
    assert!((mean / CHUNK - 1.0).abs() < 0.1, "chunks have {mean} bytes on average");
    let known: HashSet<&[u8]> = known.into_iter().collect();
    let mut off = Vec::new();
    for (edit, change) in [(4u32 << 10, 0.02), (8 << 10, 0.03), (16 << 10, 0.08), (64 << 10, 0.25)]
    {
        let mut after = before.clone();
        let length = usize::try_from(edit).unwrap();
        let mut done = 0.0;
        let mut places = Sequence::new(edit.into());
        while done < after.len() as f64 * change {
            let at = usize::try_from(places.below((after.len() - length) as u64)).unwrap();
            after[at..at + length].iter_mut().for_each(|byte| *byte ^= 0x5a);
            done += f64::from(edit);
        }
        let new: usize =
            chunks(&gear, &after).iter().filter(|it| !known.contains(*it)).map(|it| it.len()).sum();
        let part = new as f64 / after.len() as f64;
        let mut given = workload("db", "a");
        (given.change, given.edit) = (change, Some(f64::from(edit)));
        let supposed = changed(&given);
        off.push((edit, part, supposed));
    }
    let is_off = |(_, part, supposed): &(u32, f64, f64)| (part / supposed - 1.0).abs() > 0.1;
    assert!(!off.iter().any(is_off), "{off:?}");
}
