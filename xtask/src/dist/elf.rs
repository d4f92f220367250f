//! What a program needs of the system that runs it, read from the program itself.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

/// What may be needed: of these, every Linux with glibc has all.
const EVERYWHERE: [&str; 4] = ["ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6"];

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
const TAG_NEEDED: u64 = 1;
const TAG_STRINGS: u64 = 5;
const TAG_VERSIONS: u64 = 0x6fff_fffe;

/// What a program or a library asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// The program that loads it; libraries have none.
    pub(super) interpreter: Option<String>,
    pub(super) libraries: BTreeSet<String>,
    /// `GLIBC_2.34`, of whichever library.
    versions: BTreeSet<String>,
}

impl Needs {
    /// Reads it from a program for x86-64.
    pub(super) fn of(bytes: &[u8]) -> Result<Self> {
        ensure!(
            bytes.starts_with(b"\x7fELF\x02\x01") && Place(bytes, 18).u16()? == 62,
            "it is no program for x86-64"
        );
        Image { bytes, segments: segments(bytes)? }.needs()
    }

    /// An error if it asks for what is not everywhere.
    pub(super) fn check(&self) -> Result<()> {
        let more: Vec<&str> = self
            .libraries
            .iter()
            .map(String::as_str)
            .filter(|name| !EVERYWHERE.contains(name))
            .collect();
        if !more.is_empty() {
            bail!(
                "the program needs {}, which not every system has: something began to link it; find it with cargo tree",
                more.join(", ")
            );
        }
        Ok(())
    }

    /// The oldest glibc that will do.
    pub(super) fn glibc(&self) -> String {
        self.newest("GLIBC_")
    }

    /// The oldest libgcc that will do.
    pub(super) fn libgcc(&self) -> String {
        self.newest("GCC_")
    }

    fn newest(&self, prefix: &str) -> String {
        let numbers = self.versions.iter().filter_map(|version| {
            let parts = version.strip_prefix(prefix)?.split('.').map(str::parse::<u32>);
            parts.collect::<Result<Vec<_>, _>>().ok()
        });
        let newest = numbers.max().unwrap_or_else(|| vec![0]);
        newest.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }
}

/// A number of bytes at a place of a file.
struct Place<'a>(&'a [u8], usize);

impl Place<'_> {
    fn bytes<const N: usize>(&self) -> Result<[u8; N]> {
        let found = self.0.get(self.1..).and_then(|rest| rest.first_chunk());
        found.copied().context("it ends too early")
    }

    fn u16(&self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.bytes()?))
    }

    fn u32(&self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn index(&self) -> Result<usize> {
        usize::try_from(self.u64()?).context("it is too large")
    }
}

/// A part of a file, and where it is in memory when it runs.
struct Segment {
    kind: u32,
    offset: usize,
    address: usize,
    size: usize,
}

fn segments(bytes: &[u8]) -> Result<Vec<Segment>> {
    let (table, size, count) =
        (Place(bytes, 32).index()?, Place(bytes, 54).u16()?, Place(bytes, 56).u16()?);
    let segment = |number: u16| -> Result<Segment> {
        let at = table.saturating_add(usize::from(number) * usize::from(size));
        let field = |offset: usize| Place(bytes, at.saturating_add(offset));
        Ok(Segment {
            kind: field(0).u32()?,
            offset: field(8).index()?,
            address: field(16).index()?,
            size: field(32).index()?,
        })
    };
    (0..count).map(segment).collect()
}

struct Image<'a> {
    bytes: &'a [u8],
    segments: Vec<Segment>,
}

impl Image<'_> {
    fn needs(&self) -> Result<Needs> {
        let interpreter = self.segment(INTERPRETER).map(|it| self.text(it.offset)).transpose()?;
        let dynamic = self.segment(DYNAMIC).context("it is linked statically")?;
        let (mut names, mut strings, mut versions) = (Vec::new(), None, None);
        for at in (dynamic.offset..dynamic.offset.saturating_add(dynamic.size)).step_by(16) {
            let value = Place(self.bytes, at.saturating_add(8)).index()?;
            match Place(self.bytes, at).u64()? {
                TAG_NEEDED => names.push(value),
                TAG_STRINGS => strings = Some(self.offset(value)?),
                TAG_VERSIONS => versions = Some(self.offset(value)?),
                _ => {}
            }
        }
        let strings = strings.context("it has no names")?;
        let name = |at: usize| self.text(strings.saturating_add(at));
        let libraries = names.into_iter().map(name).collect::<Result<_>>()?;
        let versions = match versions {
            Some(at) => self.versions(at, strings)?,
            None => BTreeSet::new(),
        };
        Ok(Needs { interpreter, libraries, versions })
    }

    /// The names in the table of versions: for each library a list, and the distance to the next.
    fn versions(&self, table: usize, strings: usize) -> Result<BTreeSet<String>> {
        let field = |at: usize, offset: usize| Place(self.bytes, at.saturating_add(offset));
        let step =
            |at: usize, by: u32| at.saturating_add(usize::try_from(by).unwrap_or(usize::MAX));
        let (mut found, mut library) = (BTreeSet::new(), table);
        loop {
            let mut version = step(library, field(library, 8).u32()?);
            loop {
                found.insert(self.text(step(strings, field(version, 8).u32()?))?);
                match field(version, 12).u32()? {
                    0 => break,
                    distance => version = step(version, distance),
                }
            }
            match field(library, 12).u32()? {
                0 => return Ok(found),
                distance => library = step(library, distance),
            }
        }
    }

    fn segment(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    /// Where in the file an address is.
    fn offset(&self, address: usize) -> Result<usize> {
        let loaded = self.segments.iter().filter(|segment| segment.kind == LOAD);
        let mut found = loaded.filter_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|it| *it < segment.size)?;
            segment.offset.checked_add(within)
        });
        found.next().context("it names an address that is not in it")
    }

    fn text(&self, at: usize) -> Result<String> {
        let rest = self.bytes.get(at..).context("it ends too early")?;
        let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(name.to_vec()).context("a name is not text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_what_it_needs_and_one_that_is_cut_off_or_none_is_refused() {
        let program = std::fs::read("/bin/sh").unwrap();
        let needs = Needs::of(&program).unwrap();
        assert!(needs.libraries.contains("libc.so.6"), "{needs:?}");
        assert!(needs.interpreter.as_ref().is_some_and(|it| it.contains("ld-linux")), "{needs:?}");
        assert!(needs.glibc().starts_with("2."), "{needs:?}");
        needs.check().unwrap();
        assert!(Needs::of(b"#!/bin/sh\n").is_err());
        for length in [0, 10, 64, 200, 800] {
            assert!(Needs::of(&program[..length]).is_err(), "{length}");
        }
        let more = Needs { libraries: ["libssl.so.3".to_owned()].into(), ..needs };
        assert!(more.check().unwrap_err().to_string().contains("libssl.so.3"));
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let versions =
            ["GLIBC_2.9", "GLIBC_2.34", "GCC_3.0", "GCC_4.2.0"].map(str::to_owned).into();
        let needs = Needs { interpreter: None, libraries: BTreeSet::new(), versions };
        assert_eq!((needs.glibc(), needs.libgcc()), ("2.34".to_owned(), "4.2.0".to_owned()));
    }
}
