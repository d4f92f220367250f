//! How much of a file lies in holes: asked of the file system, and never found out by reading.
//!
//! Allocated blocks alone are no evidence. Some FUSE file systems say 0 of every file, SMB servers
//! what they please, and one that stores a file elsewhere (deduplicated, tiered) says next to nothing.
//! So what counts is where `lseek` finds data: a file system that knows nothing of holes answers
//! that all is data. Only NFS before version 4.2 answers so without having asked its server, while
//! the blocks that it tells are the server's own; there they count.

use std::fs::File;

use rustix::fs::{NFS_SUPER_MAGIC, SeekFrom, fstatfs, seek};
use rustix::io::Errno;

/// Pieces of data that are counted one by one. A file with more is not counted further: all that
/// follows is taken for data.
const PIECES_MAX: usize = 10_000;

/// The bytes of a file of `size` that are no holes; `None` if nobody knows.
pub(super) fn bytes_held(file: &File, size: u64, allocated: u64) -> Option<u64> {
    match data_bytes(file, size) {
        Some(held) if held < size => Some(held),
        _ => is_on_nfs(file).then_some(allocated.min(size)),
    }
}

/// The bytes that `lseek` calls data; `None` if it cannot tell.
fn data_bytes(file: &File, size: u64) -> Option<u64> {
    let (mut at, mut held) = (0, 0);
    for _ in 0..PIECES_MAX {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole from here to the end.
            Err(Errno::NXIO) => return Some(held),
            Err(_) => return None,
        };
        let end = seek(file, SeekFrom::Hole(begin)).ok().filter(|end| *end > begin)?;
        held += end - begin;
        at = end;
        if at >= size {
            return Some(held);
        }
    }
    Some(held + (size - at))
}

fn is_on_nfs(file: &File) -> bool {
    fstatfs(file).is_ok_and(|of| of.f_type == NFS_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn holes_are_counted_and_a_file_that_is_all_data_is_nothing_to_talk_about() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        assert_eq!(bytes_held(&file, 100_000, 0), None, "whatever the blocks say");
        file.set_len(1 << 30).unwrap();
        file.seek(SeekFrom::Start(1 << 29)).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let held = bytes_held(&file, 1 << 30, 1 << 30).unwrap();
        assert!((200_000..2_000_000).contains(&held), "{held}");
        let hole = tempfile::tempfile().unwrap();
        hole.set_len(1 << 40).unwrap();
        assert_eq!(bytes_held(&hole, 1 << 40, 0), Some(0));
    }
}
