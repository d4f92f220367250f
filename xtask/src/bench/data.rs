//! What is backed up: a dump and that of the next day, a tree, and noise. It is made from a seed,
//! the same on every machine, and kept for the next run.

mod random;
mod sql;
mod tree;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::random::Random;
use super::measure::mib;
use super::options::Options;
use super::scratch;

/// Counts up whenever other bytes are made, so that nobody measures what an older checkout left.
const GENERATION: u32 = 2;
/// Files of the tree for each MiB of the dump.
const FILES_PER_MIB: u64 = 40;
/// The noise is a quarter of the dump.
const NOISE_PART: u64 = 4;

/// The paths of all input, and what a reader should know of it.
pub(super) struct Input {
    pub(super) dump: PathBuf,
    pub(super) next: PathBuf,
    pub(super) tree: PathBuf,
    pub(super) noise: PathBuf,
    pub(super) description: String,
}

impl Input {
    /// Only the first dump, if it is missing below `home`.
    pub(super) fn dump(home: &Path, size_mib: u64) -> Result<PathBuf> {
        let directory = home.join(format!("data-{GENERATION}-{size_mib}"));
        std::fs::create_dir_all(&directory).context("cannot make the directory for data")?;
        made(&directory.join("dump.sql"), |file| sql::dump(file, size_mib << 20, sql::Day::First))
    }

    /// Makes what is missing below `home`.
    pub(super) fn prepare(home: &Path, options: &Options) -> Result<Self> {
        let directory = home.join(format!("data-{GENERATION}-{}", options.size_mib));
        std::fs::create_dir_all(&directory).context("cannot make the directory for data")?;
        let bytes = options.size_mib << 20;
        let absolute = |path: &PathBuf| std::path::absolute(path);
        let (dump, next) = match (&options.dump, &options.next) {
            (Some(dump), Some(next)) => (absolute(dump)?, absolute(next)?),
            _ => (
                Self::dump(home, options.size_mib)?,
                made(&directory.join("next.sql"), |file| sql::dump(file, bytes, sql::Day::Next))?,
            ),
        };
        let tree = match &options.tree {
            Some(tree) => absolute(tree)?,
            None => tree::made(&directory.join("tree"), options.size_mib * FILES_PER_MIB)?,
        };
        let noise = made(&directory.join("noise"), |file| noise(file, bytes / NOISE_PART))?;
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let own = |given: bool| if given { "given" } else { "made" };
        let description = format!(
            "dump of {:.0} MiB ({}), next day's of {:.0} MiB, tree {} ({}), noise of {:.0} MiB",
            mib(size(&dump)),
            own(options.dump.is_some()),
            mib(size(&next)),
            tree::describe(&tree)?,
            own(options.tree.is_some()),
            mib(size(&noise)),
        );
        Ok(Self { dump, next, tree, noise, description })
    }
}

/// A file that `write` fills, unless it is there already; whole or not at all.
fn made(path: &Path, write: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> Result<PathBuf> {
    if !path.exists() {
        println!("making {}", path.display());
        let partial = path.with_extension("partial");
        let file = File::create(&partial).context("cannot make a file of data")?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        write(&mut file).and_then(|()| file.flush()).context("cannot write data")?;
        scratch::rename(&partial, path)?;
    }
    Ok(path.to_owned())
}

fn noise(out: &mut dyn Write, bytes: u64) -> std::io::Result<()> {
    let mut random = Random::new(3);
    let mut block = vec![0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        random.fill(&mut block);
        let count = left.min(block.len() as u64);
        out.write_all(&block[..usize::try_from(count).unwrap_or(0)])?;
        left -= count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        let of = |day| {
            let mut dump = Vec::new();
            sql::dump(&mut dump, 1 << 20, day).unwrap();
            dump
        };
        assert!(of(sql::Day::First) == of(sql::Day::First));
        let (first, next) = (of(sql::Day::First), of(sql::Day::Next));
        assert!((1 << 20..(1 << 20) + 2000).contains(&first.len()), "{}", first.len());
        assert!(next.len() > first.len());
        // Most rows are there in both, and some only in one of them.
        let lines = |dump: &[u8]| dump.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let (first, next): (std::collections::BTreeSet<_>, std::collections::BTreeSet<_>) =
            (lines(&first), lines(&next));
        let gone = first.difference(&next).count();
        assert!(gone > 0 && gone * 20 < first.len(), "{gone} of {}", first.len());
        let new = next.difference(&first).count() - gone;
        assert!((first.len() / 60..first.len() / 40).contains(&new), "{new} of {}", first.len());
    }

    #[test]
    fn noise_has_the_length_that_was_asked_for() {
        let mut out = Vec::new();
        noise(&mut out, 100_001).unwrap();
        assert_eq!(out.len(), 100_001);
    }
}
