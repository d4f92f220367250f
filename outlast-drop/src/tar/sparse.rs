//! Sparse files: where their data lies, in the four forms that GNU tar has had.

use super::number::parse_field;
use super::pax::Records;
use super::{BLOCK, TarError};

/// Pieces of data as (offset, length), in order and without overlaps.
pub(super) type Map = Vec<(u64, u64)>;

/// Pieces cut to a file of `size` bytes, in order, without empty ones.
pub(super) fn fit(extents: Vec<(u64, u64)>, size: u64) -> Map {
    let mut end = 0;
    let mut map = Map::new();
    for (offset, length) in extents {
        let start = offset.max(end).min(size);
        end = offset.saturating_add(length).min(size).max(start);
        if start < end {
            map.push((start, end - start));
        }
    }
    map
}

/// The form 1.0: the map in decimal lines before the data, filled up to whole blocks.
///
/// A hole at the end is told by an empty piece behind it: GNU tar gives the file its length from
/// the last piece, and not from the real size in the extended header.
pub(super) fn describe(map: &Map, size: u64) -> Vec<u8> {
    let end = map.last().map_or(0, |(offset, length)| offset + length);
    let last = (end < size).then_some((size, 0));
    let mut text = format!("{}\n", map.len() + usize::from(last.is_some()));
    for (offset, length) in map.iter().chain(&last) {
        text.push_str(&format!("{offset}\n{length}\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// The name under which programs that do not know the form 1.0 extract the pieces.
pub(super) fn plain_name(name: &[u8]) -> Vec<u8> {
    let at = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    [&name[..at], b"GNUSparseFile.0/", &name[at..]].concat()
}

/// How a map is given in an extended header.
pub(super) enum Form {
    /// Not at all: the file is not sparse.
    None,
    /// In the header itself (forms 0.0 and 0.1), with the real size.
    Map(Map, u64),
    /// Before the data (form 1.0), with the real size.
    BeforeData(u64),
}

/// Finds out the form from the records of an extended header.
pub(super) fn form(records: &Records, pieces_max: usize) -> Result<Form, TarError> {
    let bad = |reason| TarError::ExtendedHeader { reason };
    let number = |key| match records.number(key) {
        Some(None) => Err(bad("a size of a sparse file is not a number")),
        Some(number) => Ok(number),
        None => Ok(None),
    };
    let size = number("GNU.sparse.realsize")?.or(number("GNU.sparse.size")?);
    let version = (number("GNU.sparse.major")?, number("GNU.sparse.minor")?);
    if let (Some(1), Some(0)) = version {
        return Ok(Form::BeforeData(size.ok_or(bad("a sparse file has no size"))?));
    }
    if let (Some(1..), _) = version {
        return Err(bad("a sparse file has a form that is not known"));
    }
    let Some(size) = size else { return Ok(Form::None) };
    let numbers: Option<Vec<u64>> = match records.value("GNU.sparse.map") {
        Some(map) => std::str::from_utf8(map).ok().and_then(|map| {
            map.split(',').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
        }),
        // The form 0.0 repeats two keys for every piece.
        None => records
            .iter()
            .filter(|(key, _)| matches!(*key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes"))
            .map(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
            .collect(),
    };
    let numbers =
        numbers.ok_or(bad("the map of a sparse file has something that is not a number"))?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > pieces_max {
        return Err(bad("the map of a sparse file has an odd length, or is too long"));
    }
    Ok(Form::Map(pairs.iter().map(|&[offset, length]| (offset, length)).collect(), size))
}

/// Pieces in an old GNU header or a continuation of one: pairs of number fields of 12 bytes.
pub(super) fn old_pieces(fields: &[u8], map: &mut Map) -> Result<(), TarError> {
    let (pairs, _) = fields.as_chunks::<24>();
    for pair in pairs {
        if pair[0] == 0 {
            break;
        }
        let number = |field| {
            parse_field(field).and_then(|number| u64::try_from(number).ok()).ok_or(
                TarError::ExtendedHeader {
                    reason: "a sparse map has a field that is not a number",
                },
            )
        };
        map.push((number(&pair[..12])?, number(&pair[12..])?));
    }
    Ok(())
}

/// Checks that a map is in order, inside the file, and accounts for all `stored` bytes.
pub(super) fn check(map: &Map, size: u64, stored: u64) -> Result<(), TarError> {
    let bad = |reason| Err(TarError::ExtendedHeader { reason });
    let (mut end, mut data) = (0_u64, 0_u64);
    for &(offset, length) in map {
        if offset < end {
            return bad("the pieces of a sparse file overlap or are out of order");
        }
        end = match offset.checked_add(length) {
            Some(end) if end <= size => end,
            _ => return bad("a piece of a sparse file lies beyond its end"),
        };
        data += length;
    }
    if data == stored { Ok(()) } else { bad("the pieces of a sparse file are not what is stored") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_always_fit_into_their_file(
            extents in prop::collection::vec((0_u64..5000, 0_u64..3000), 0..20),
            size in 0_u64..6000,
        ) {
            let map = fit(extents, size);
            let data = map.iter().map(|(_, length)| length).sum();
            prop_assert!(check(&map, size, data).is_ok());
            prop_assert!(map.iter().all(|(_, length)| *length > 0));
        }
    }

    #[test]
    fn maps_that_lie_are_refused() {
        assert!(check(&vec![(0, 10), (5, 10)], 100, 20).is_err());
        assert!(check(&vec![(95, 10)], 100, 10).is_err());
        assert!(check(&vec![(u64::MAX, 10)], u64::MAX, 10).is_err());
        assert!(check(&vec![(0, 10)], 100, 11).is_err());
    }

    #[test]
    fn the_plain_name_stays_in_its_directory() {
        assert_eq!(plain_name(b"a/b/c"), b"a/b/GNUSparseFile.0/c");
        assert_eq!(plain_name(b"c"), b"GNUSparseFile.0/c");
    }
}
