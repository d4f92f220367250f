//! The contract of [`Store`] as a suite that every implementation runs.

use std::sync::Barrier;

use bytes::Bytes;

use crate::{Kind, Object, Store, StoreError};

/// A promise of the contract that a store did not keep.
#[derive(Debug, thiserror::Error)]
#[error("the store breaks its contract: {promise}; it gave {got}")]
pub struct Violation {
    promise: &'static str,
    got: String,
}

/// What the suite must know of the store before it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// An empty store; the suite leaves objects in it.
    pub store: &'a dyn Store,
    /// Names content. Stores that verify names need the real SHA-256.
    pub name_of: &'a dyn Fn(&[u8]) -> [u8; 32],
    /// The kinds that this store, for this identity, lets be removed.
    pub removable: &'a [Kind],
}

/// How many creators race for one object.
const CREATORS: usize = 8;

/// Runs the whole suite.
pub fn check(subject: Subject<'_>) -> Result<(), Violation> {
    emptiness(subject)?;
    content(subject)?;
    ranges(subject)?;
    exclusion(subject)?;
    race_for_config(subject.store)?;
    race_for_data(subject)?;
    removal(subject)
}

fn emptiness(Subject { store, .. }: Subject<'_>) -> Result<(), Violation> {
    for kind in Kind::LISTED {
        let listed = store.list(kind);
        let empty = matches!(&listed, Ok(objects) if objects.is_empty());
        ensure(empty, "an empty store lists nothing", &listed)?;
        let object = Object::new(kind, [0xab; 32]);
        let read = store.read(&object);
        ensure(is_not_found(&read), "reading what is not there says NotFound", &read)?;
        let read = store.read_range(&object, 0, 1);
        ensure(is_not_found(&read), "reading a range of what is not there says NotFound", &read)?;
        let size = store.size(&object);
        ensure(is_not_found(&size), "the size of what is not there says NotFound", &size)?;
    }
    let config = store.read(&Object::Config);
    ensure(is_not_found(&config), "a new store has no config", &config)
}

fn content(subject: Subject<'_>) -> Result<(), Violation> {
    let Subject { store, name_of, .. } = subject;
    for (kind, tag) in Kind::LISTED.into_iter().zip(1u8..) {
        let mut expected = Vec::new();
        // One byte, many, and enough to cross every buffer on the way.
        for size in [1, 4096, (1 << 20) + usize::from(tag)] {
            let content = sample(tag, size);
            let object = Object::new(kind, name_of(&content));
            done(store.create(&object, content.clone()), "a new object is taken")?;
            let read = store.read(&object);
            ensure(is(&read, &content), "an object reads back as written", &read.map(|b| b.len()))?;
            let found = store.size(&object);
            ensure(matches!(found, Ok(n) if n == size as u64), "size tells the size", &found)?;
            expected.push((object, size as u64));
        }
        let mut listed = done(store.list(kind), "a listing succeeds")?;
        listed.sort_unstable();
        expected.sort_unstable();
        ensure(listed == expected, "a listing has every object of the kind and its size", &listed)?;
    }
    Ok(())
}

fn ranges(subject: Subject<'_>) -> Result<(), Violation> {
    let Subject { store, name_of, .. } = subject;
    let content = sample(100, 10_000);
    let object = Object::new(Kind::Data, name_of(&content));
    done(store.create(&object, content.clone()), "a new object is taken")?;
    for (offset, length) in [(0, 1), (0, 10_000), (9_999, 1), (5, 0), (1234, 5678)] {
        let read = store.read_range(&object, offset as u64, length);
        let expected = content.slice(offset..offset + length);
        ensure(is(&read, &expected), "a range reads exactly the bytes asked for", &read)?;
        let mut buffer = vec![0; length];
        let read = store.read_range_into(&object, offset as u64, &mut buffer);
        let same = read.is_ok() && buffer == expected;
        ensure(same, "a range fills a buffer with exactly the bytes asked for", &read)?;
    }
    for (offset, length) in [(9_999, 2), (10_000, 1), (1 << 40, 10), (u64::MAX, 2)] {
        let read = store.read_range(&object, offset, length);
        ensure(read.is_err(), "a range beyond the end is an error, never fewer bytes", &read)?;
        let read = store.read_range_into(&object, offset, &mut vec![0; length]);
        ensure(read.is_err(), "a buffer is filled or the range is an error", &read)?;
    }
    Ok(())
}

fn exclusion(subject: Subject<'_>) -> Result<(), Violation> {
    let Subject { store, name_of, .. } = subject;
    let content = sample(101, 5000);
    let object = Object::new(Kind::Index, name_of(&content));
    done(store.create(&object, content.clone()), "a new object is taken")?;
    let again = store.create(&object, content.clone());
    ensure(is_taken(&again), "a second create says AlreadyExists", &again)?;
    let other = store.create(&object, sample(102, 10));
    ensure(other.is_err(), "a create never replaces an object", &other)?;
    let read = store.read(&object);
    ensure(is(&read, &content), "the first content stays", &read.map(|b| b.len()))
}

fn race_for_config(store: &dyn Store) -> Result<(), Violation> {
    let contents: Vec<Bytes> = (0u8..).take(CREATORS).map(|tag| sample(tag, 155)).collect();
    let results = race(store, &contents, Object::Config);
    let winners: Vec<usize> = (0..CREATORS).filter(|&i| results[i].is_ok()).collect();
    let one = winners.len() == 1 && results.iter().all(|result| result.is_ok() || is_taken(result));
    ensure(one, "of many creators of one object exactly one succeeds", &results)?;
    let read = store.read(&Object::Config);
    let whole = winners.first().is_some_and(|&winner| is(&read, &contents[winner]));
    ensure(whole, "the content is the winner's", &read)
}

fn race_for_data(subject: Subject<'_>) -> Result<(), Violation> {
    let Subject { store, name_of, .. } = subject;
    let content = sample(103, 1 << 20);
    let object = Object::new(Kind::Data, name_of(&content));
    let results = race(store, &vec![content.clone(); CREATORS], object);
    let winners = results.iter().filter(|result| result.is_ok()).count();
    let one = winners == 1 && results.iter().all(|result| result.is_ok() || is_taken(result));
    ensure(one, "of many creators of one object exactly one succeeds", &results)?;
    let read = store.read(&object);
    ensure(is(&read, &content), "the content is whole after a race", &read.map(|b| b.len()))
}

fn race(store: &dyn Store, contents: &[Bytes], object: Object) -> Vec<Result<(), StoreError>> {
    let start = Barrier::new(contents.len());
    std::thread::scope(|scope| {
        let creators: Vec<_> = contents
            .iter()
            .map(|content| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    store.create(&object, content.clone())
                })
            })
            .collect();
        // A creator that panicked has no result, which the count of winners and losers shows.
        creators.into_iter().filter_map(|creator| creator.join().ok()).collect()
    })
}

fn removal(subject: Subject<'_>) -> Result<(), Violation> {
    let Subject { store, name_of, removable } = subject;
    for (&kind, tag) in removable.iter().zip(110u8..) {
        let content = sample(tag, 300);
        let object = Object::new(kind, name_of(&content));
        done(store.create(&object, content.clone()), "a new object is taken")?;
        done(store.remove(&object), "an object can be removed")?;
        let read = store.read(&object);
        ensure(is_not_found(&read), "a removed object is gone", &read)?;
        let listed = done(store.list(kind), "a listing succeeds")?;
        let gone = listed.iter().all(|(listed, _)| *listed != object);
        ensure(gone, "a removed object is not listed", &listed)?;
        let again = store.remove(&object);
        ensure(is_not_found(&again), "removing what is not there says NotFound", &again)?;
        done(store.create(&object, content), "a removed object can be created again")?;
    }
    Ok(())
}

/// `size` bytes that differ with `tag` and do not repeat in short periods.
fn sample(tag: u8, size: usize) -> Bytes {
    let mut state = u32::from(tag) + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn is(read: &Result<Bytes, StoreError>, expected: &Bytes) -> bool {
    matches!(read, Ok(content) if content == expected)
}

fn is_not_found<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotFound { .. }))
}

fn is_taken<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::AlreadyExists { .. }))
}

fn done<T>(result: Result<T, StoreError>, promise: &'static str) -> Result<T, Violation> {
    result.map_err(|error| Violation { promise, got: error.to_string() })
}

fn ensure(kept: bool, promise: &'static str, got: &impl std::fmt::Debug) -> Result<(), Violation> {
    if kept {
        return Ok(());
    }
    // A whole pack in a message helps nobody.
    let got = format!("{got:?}").chars().take(1000).collect();
    Err(Violation { promise, got })
}
