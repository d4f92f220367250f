//! Tables of records on disk, sorted, immutable, and checked page by page.
//!
//! The index of a large repository and the memory of what content was seen do not fit on the heap.
//! They are kept here as *runs*: files of records of one fixed size, sorted as byte strings, which
//! are never changed. A record begins with 32 bytes that are a hash and by which it is looked up.
//!
//! ```text
//!  run  = page* fences meta trailer
//!  page = checksum (24) count (4) zero (4) record*        4096 bytes
//!  fences: the first 8 bytes of each page's first record
//! ```
//!
//! Only the fences are on the heap: 8 bytes for 84 records of 48 bytes. One lookup reads one page by
//! its position, checks it, and searches inside; touched pages are the kernel's, not the process's.
//! Every checksum is a BLAKE3 under a key that is derived from the repository's, and covers where
//! the page belongs: a run of another repository, of another place in the order of runs, or of
//! somebody without the key is as good as none.
//!
//! A [`RunSet`] is a directory of runs. New runs are added, and several are merged into one, with
//! memory that depends on how many they are and not on their sizes. Nothing in such a set is a truth of
//! its own: whatever is in doubt is removed and made anew from where it came.

mod merge;
mod page;
mod run;
mod run_set;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use merge::Merge;
pub(crate) use run::Run;
pub(crate) use run_set::{LOCK, Place, RunSet, Trust, merge_from, take_lock};
