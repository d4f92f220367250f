//! Content sanity: whether a drop's content is a whole backup, as far as its own bytes tell.
//!
//! A hash proves that the content is what was sealed. It says nothing of a dump that was cut off before
//! it was sealed: `pg_dump | gzip > file` of a server that went away is a valid file. So whoever reads a
//! drop looks at the content on its way through: its kind is told by its first bytes, and its end by
//! what that kind ends with. Nothing of it is believed from names or claims.
//!
//! | kind | whole if |
//! |---|---|
//! | `pg_dump`, `pg_dumpall`, `mysqldump`, `mariadb-dump` | its last comment says so |
//! | `pg_dump` custom format | each block that its table of contents names is there |
//! | `pg_dump` directory format (in a tree) | each file that its table of contents names is there and whole |
//! | SQLite | it has as many pages as its header says |
//! | Redis RDB | it ends in its end mark and the checksum of all before |
//! | tar | it ends in its two zero blocks |
//! | gzip, zstd | unpacked, it ends with its last member or frame, and what is in it is whole |
//! | xz | it ends in its footer; what is in it is not looked at |
//!
//! **Memory** is bounded whatever the content: some hundred KiB for a stream, and the window of a zstd
//! frame (at most 128 MiB); in a tree, 16 bytes for each file of a `pg_dump` directory. **Time**: what is plain is looked at
//! at its ends, or in steps; what is gzip or zstd is unpacked, since there is no other way to see a dump
//! in it that was cut off.

mod archive;
mod ending;
mod examiner;
mod found;
mod pack;
mod page;
mod plain;
mod postgres;
mod script;
mod tree;

pub use examiner::{Examined, Examiner, SanityWatch};
pub use tree::ExaminedTree;

#[cfg(test)]
mod tests;
