//! Content-defined chunking in two phases, so that one file can be cut by many threads.
//!
//! **Scan** ([`Gear::scan`]): a rolling hash runs over the content; a position where it is small
//! enough is a [`Candidate`]. The hash at a position depends on the [`WINDOW`] bytes before it and
//! on nothing else, so blocks can be scanned in any order by any thread, given the bytes before
//! them. **Select** ([`Selector`]): candidates in order become cuts that obey the [`Params`]. This
//! looks at candidates only, about one in 16 KiB, and costs nothing.
//!
//! The hash is a gear hash: `h = 2h + table[byte]` (mod 2^64), which forgets a byte after 64 more.
//! A candidate is a position with `h < 2^64 / distance`: the upper bits, which depend on the whole
//! window. Chunking is normalized (as in FastCDC): before the average length a cut needs the rarer
//! *strict* candidates, after it a *loose* one will do, which draws lengths to the average.
//!
//! The table is derived from the repository key, so that lengths of chunks do not tell an
//! onlooker which well-known content a repository holds, and different repositories cut
//! differently. How content is cut is a matter of the writer alone; any restic reads it.

mod params;
mod scan;
mod select;

pub use params::{DEFAULT, Params};
pub use scan::{Candidate, Gear, WINDOW};
pub use select::{Cut, Selector};

#[cfg(test)]
mod tests;
