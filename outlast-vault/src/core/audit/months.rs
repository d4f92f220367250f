//! The months of the log: each begins a segment, with an entry that says so.

use super::entry::{AuditAction, EntryJson};
use super::{SEGMENT_BYTES_MAX, key_of, lines_of, read_segment, segments};
use crate::core::storage::{Records, StorageError};

/// The months of which the log tells each by itself, in order, with the segments of each.
pub(crate) fn all(records: &dyn Records) -> Result<Vec<(String, Vec<u64>)>, StorageError> {
    let mut months: Vec<(String, Vec<u64>)> = Vec::new();
    for first in segments(records)? {
        if let Some(month) = month_begun(&first_line(records, first)?)
            && months.last().is_none_or(|(known, _)| *known != month)
        {
            months.push((month, Vec::new()));
        }
        // What was there before any month began is of none.
        if let Some((_, segments)) = months.last_mut() {
            segments.push(first);
        }
    }
    Ok(months)
}

/// Shows the lines of these segments, without their ends.
pub(crate) fn lines(
    records: &dyn Records,
    segments: &[u64],
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), StorageError> {
    for first in segments {
        let content = read_segment(records, *first)?;
        lines_of(&content).for_each(|(_, line)| take(line));
    }
    Ok(())
}

/// The month that begins with a line, if one does.
fn month_begun(line: &[u8]) -> Option<String> {
    let entry: EntryJson = serde_json::from_slice(line).ok()?;
    let month = entry.content.filter(|_| entry.action == AuditAction::MonthBegun)?;
    Some(month.get("month")?.as_str()?.to_owned())
}

fn first_line(records: &dyn Records, first: u64) -> Result<Vec<u8>, StorageError> {
    let key = key_of(first);
    let mut line = Vec::new();
    let mut take = |piece: &[u8]| {
        let end = piece.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        end.is_none() && (line.len() as u64) < SEGMENT_BYTES_MAX
    };
    let read = records.read_through(&key, &mut take);
    read.map_err(StorageError::of(records, "read", &key))?;
    Ok(line)
}
