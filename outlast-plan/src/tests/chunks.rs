//! What is supposed of chunks is what the engine cuts.

use std::collections::HashSet;

use outlast_format::chunker::{DEFAULT, Gear, Selector};
use outlast_format::crypto::Key;
use outlast_testing::{Sequence, pseudo_random};

use super::*;
use crate::churn::{CHUNK, changed};

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

/// The part of so many bytes that is in new chunks after `change` of them was changed in runs of `edit` bytes.
fn spoiled(key: u8, bytes: usize, edit: usize, change: f64) -> f64 {
    let gear = Gear::derive(&Key::from_bytes(&std::array::from_fn(|_| key)), DEFAULT);
    let before = pseudo_random(u64::from(key), bytes);
    let known: Vec<&[u8]> = chunks(&gear, &before);
    let mean = bytes as f64 / known.len() as f64;
    assert!((mean / CHUNK - 1.0).abs() < 0.1, "chunks have {mean} bytes on average");
    let known: HashSet<&[u8]> = known.into_iter().collect();
    let mut after = before.clone();
    let (mut done, mut places) = (0, Sequence::new(u64::from(key) + 100));
    while (done as f64) < bytes as f64 * change {
        let at = usize::try_from(places.below((bytes - edit) as u64)).unwrap();
        after[at..at + edit].iter_mut().for_each(|byte| *byte ^= 0x5a);
        done += edit;
    }
    let new = chunks(&gear, &after).into_iter().filter(|it| !known.contains(it));
    new.map(<[u8]>::len).sum::<usize>() as f64 / bytes as f64
}

#[test]
fn changed_runs_spoil_as_many_chunks_as_is_supposed() {
    const KEYS: u8 = 6;
    for (edit, change) in [(4u32 << 10, 0.01), (8 << 10, 0.02), (16 << 10, 0.05), (64 << 10, 0.2)] {
        let length = usize::try_from(edit).unwrap();
        let parts: Vec<f64> =
            (1..=KEYS).map(|key| spoiled(key, 32 << 20, length, change)).collect();
        let mean = parts.iter().sum::<f64>() / f64::from(KEYS);
        let supposed = changed(change, Some(f64::from(edit)), (32 << 20) as f64);
        let off = mean / supposed - 1.0;
        println!("runs of {edit}: {parts:.4?}, mean {mean:.4}, supposed {supposed:.4}");
        assert!(off.abs() < 0.05, "runs of {edit}: {parts:?} and not {supposed}");
    }
}

#[test]
fn the_same_changes_spoil_more_of_an_input_that_is_cut_into_longer_chunks() {
    let of = |gib: f64| changed(0.001, Some(8192.0), gib * GIB);
    // 0.001 / 8 KiB of (82,000 + 69,500 × 0.1939 + 8,192) bytes.
    near(of(200.0), 1.0 - (-0.001f64 / 8192.0 * (95_477.813 + 8192.0)).exp());
    assert!(of(201.0) > 3.0 * of(200.0) && of(801.0) > 2.0 * of(800.0));
    assert_eq!(changed(0.001, None, 900.0 * GIB), 0.001, "whole chunks are what they are");
}
