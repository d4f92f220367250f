//! What is asked for on the command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::case::Case;

pub(crate) const USAGE: &str = "\
  cargo xtask bench [OPTIONS]     compare with restic, rustic and borg, where they are installed
      --size MIB        size of the dump that is made (1024); the tree has 40 files for each MiB
      --rounds N        how often everything is done (3)
      --quick           as --size 64 --rounds 1, to see that everything works; so little data costs
                        hardly more than opening a repository, which hides most of the difference
      --only CASE,…     some cases only; each needs those before it on the same data
      --dump FILE --next FILE --tree DIR
                        your own input: a dump, the next day's dump of the same database, a tree
      --before PROGRAM  an older `outlast`, compared with this one in the same run
      --out DIR         where bench.md, bench.json and bench.svg go (target/bench/results)";

/// What to do.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) size_mib: u64,
    pub(super) rounds: u32,
    pub(super) only: Vec<String>,
    pub(super) dump: Option<PathBuf>,
    pub(super) next: Option<PathBuf>,
    pub(super) tree: Option<PathBuf>,
    pub(super) before: Option<PathBuf>,
    pub(super) out: Option<PathBuf>,
}

impl Options {
    pub(super) fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            size_mib: 1024,
            rounds: 3,
            only: Vec::new(),
            dump: None,
            next: None,
            tree: None,
            before: None,
            out: None,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--quick" => (options.size_mib, options.rounds) = (64, 1),
                "--size" => options.size_mib = value()?.parse().context("--size is in MiB")?,
                "--rounds" => options.rounds = value()?.parse().context("--rounds is a number")?,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--dump" => options.dump = Some(value()?.into()),
                "--next" => options.next = Some(value()?.into()),
                "--tree" => options.tree = Some(value()?.into()),
                "--before" => options.before = Some(value()?.into()),
                "--out" => options.out = Some(value()?.into()),
                _ => bail!("{name} is not known\n{USAGE}"),
            }
        }
        if options.dump.is_some() != options.next.is_some() {
            bail!("--dump and --next belong together");
        }
        if options.rounds == 0 || options.size_mib == 0 {
            bail!("--rounds and --size begin at 1");
        }
        let known = |name: &&String| Case::ALL.iter().all(|case| case.name() != name.as_str());
        if let Some(unknown) = options.only.iter().find(known) {
            let names: Vec<_> = Case::ALL.iter().map(|case| case.name()).collect();
            bail!("there is no case {unknown}; there are {}", names.join(", "));
        }
        Ok(options)
    }

    pub(super) fn wants(&self, case: Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Options> {
        Options::read(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_are_read_or_refused() {
        let options = read("--size 64 --rounds 1 --only first,restore").unwrap();
        assert_eq!((options.size_mib, options.rounds), (64, 1));
        assert!(options.wants(Case::First) && !options.wants(Case::Check));
        let quick = read("--quick").unwrap();
        assert_eq!((quick.size_mib, quick.rounds), (64, 1));
        for wrong in ["--size", "--size x", "--rounds 0", "--only none", "--dump a", "fast"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
