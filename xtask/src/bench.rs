//! `cargo xtask bench`: Outlast and its peers on the same data, in the same run.
//!
//! Every case is run by all programs, one after the other, in an order that turns with each round,
//! so that a machine which is busy for a while slows all of them. What is compared is the time that
//! processors spent (user and system, of the process and its children), because it depends least on
//! what else runs; wall time, memory and bytes are told, too. What is restored or printed is compared
//! with what was backed up, and what Outlast wrote is checked by restic. How to read the results:
//! docs/benchmarks.md.

mod cases;
mod commands;
mod data;
mod goals;
mod machine;
mod measure;
mod plot;
mod report;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use self::cases::Case;
use self::tools::Tool;

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
struct Options {
    size_mib: u64,
    rounds: u32,
    only: Vec<String>,
    dump: Option<PathBuf>,
    next: Option<PathBuf>,
    tree: Option<PathBuf>,
    before: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
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

    fn wants(&self, case: Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == case.name())
    }
}

/// Runs the benchmark in the checkout `root`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    // Programs run in other directories.
    let target = std::path::absolute(target).context("find the target directory")?;
    let built = Command::new("cargo")
        .args(["build", "--release", "-p", "outlast"])
        .current_dir(root)
        .status()
        .context("start cargo")?;
    if !built.success() {
        bail!("outlast could not be built");
    }
    if !Path::new(measure::TIME).exists() {
        bail!("{} is missing; apt-get install time", measure::TIME);
    }
    let home = target.join("bench");
    let input = data::Input::prepare(&home, &options)?;
    let patch = if options.wants(Case::NextDay) { goals::patch_bytes(&input)? } else { None };
    let tools: Vec<Tool> =
        Tool::installed(&target.join("release/outlast"), options.before.as_deref())?;
    println!("{}", tools.iter().map(Tool::version).collect::<Vec<_>>().join(", "));
    let work = home.join("work");
    let mut results = report::Results::new(patch);
    for round in 0..options.rounds {
        remove(&work)?;
        for (at, case) in Case::ALL.into_iter().filter(|case| options.wants(*case)).enumerate() {
            for turn in 0..tools.len() {
                // Whoever begins is another one each time.
                let tool = &tools[(turn + at + round as usize) % tools.len()];
                let figures = cases::run(case, tool, &input, &work.join(tool.name()))?;
                println!("round {}: {}", round + 1, figures.line(case, tool));
                results.add(case, tool, figures);
            }
        }
        for tool in &tools {
            cases::judge(tool, &work.join(tool.name()))?;
        }
    }
    remove(&work)?;
    let out = options.out.unwrap_or_else(|| home.join("results"));
    results.write(&out, &tools, &input)?;
    println!("\n{}", results.markdown(&tools, &input));
    println!("written to {}", out.display());
    Ok(())
}

fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
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
