//! `cargo xtask bench drop`: what a drop costs beside a plain file.
//!
//! In each round everybody does the same: a command's output gets onto one file system, durably.
//! What counts is the ratio to `CMD > file` and `fsync` *of the same round*, since the machine and its
//! disk are never twice the same.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::data;
use super::measure::{self, Cost, mib};
use super::scratch;

pub(crate) const USAGE: &str = "\
  cargo xtask bench drop [OPTIONS]  compare `outlast drop --exec` with CMD > file and fsync
      --size MIB        size of the dump that CMD prints (1024)
      --rounds N        how often everything is done (5)
      --on DIR          where the share and the file lie (target/bench)
      --before PROGRAM  an older `outlast`, compared with this one in the same run";

/// What is asked for.
struct Options {
    size_mib: u64,
    rounds: u32,
    on: Option<PathBuf>,
    before: Option<PathBuf>,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self> {
        let mut options = Self { size_mib: 1024, rounds: 5, on: None, before: None };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--size" => options.size_mib = value()?.parse().context("--size is in MiB")?,
                "--rounds" => options.rounds = value()?.parse().context("--rounds is a number")?,
                "--on" => options.on = Some(value()?.into()),
                "--before" => options.before = Some(value()?.into()),
                _ => bail!("{name} is not known\n{USAGE}"),
            }
        }
        if options.rounds == 0 || options.size_mib == 0 {
            bail!("--rounds and --size begin at 1");
        }
        Ok(options)
    }
}

/// One way to get the output of a command onto the file system.
struct Way {
    name: String,
    /// The program and its options; without one, the shell's own redirection.
    program: Option<(PathBuf, &'static [&'static str])>,
    costs: Vec<Cost>,
}

/// Measures with the program at `outlast`; data and results are below `home`.
pub(super) fn run(outlast: &Path, home: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::read(arguments)?;
    let dump = data::Input::dump(home, options.size_mib)?;
    let packed = dump.with_extension("zst");
    if !packed.exists() {
        call(Command::new("zstd").args(["-q", "-3", "-o"]).arg(&packed).arg(&dump))?;
    }
    let on = options.on.clone().unwrap_or_else(|| home.to_owned()).join("drop");
    let sources = [
        ("cat", format!("cat {}", quoted(&dump))),
        ("zstd -dc", format!("zstd -dcq {}", quoted(&packed))),
    ];
    println!("{}", super::machine::describe());
    for (source, command) in sources {
        let mut ways = ways(outlast, options.before.as_deref());
        for round in 0..options.rounds as usize {
            for turn in 0..ways.len() {
                let count = ways.len();
                let way = &mut ways[(turn + round) % count];
                scratch::remove(&on)?;
                std::fs::create_dir_all(&on).context("cannot make a place to measure in")?;
                let cost = measured(way, &command, outlast, &on)?;
                way.costs.push(cost);
            }
        }
        scratch::remove(&on)?;
        tell(source, &ways, options.size_mib);
    }
    Ok(())
}

fn ways(outlast: &Path, before: Option<&Path>) -> Vec<Way> {
    let programs = [("outlast", Some(outlast)), ("before", before)];
    let mut ways = vec![Way { name: "CMD > file; fsync".into(), program: None, costs: vec![] }];
    for (name, program) in programs.into_iter().filter_map(|(name, it)| Some((name, it?))) {
        for options in [&["--compress", "off"][..], &[]] {
            let shown = [&[name, "drop"][..], options].concat().join(" ");
            let program = Some((program.to_owned(), options));
            ways.push(Way { name: shown, program, costs: Vec::new() });
        }
    }
    ways
}

fn measured(way: &Way, command: &str, outlast: &Path, on: &Path) -> Result<Cost> {
    let Some((program, options)) = &way.program else {
        let file = quoted(&on.join("file"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} > {file} && sync {file}")]);
        return measure::run(&shell, on);
    };
    let share = on.join("share");
    call(Command::new(outlast).args(["share", "init"]).arg(&share))?;
    let mut drop = Command::new(program);
    drop.args(["drop", "--workload", "bench", "--share"]).arg(&share).args(*options);
    drop.args(["--exec", "dump.sql", "--", "sh", "-c", command]);
    measure::run(&drop, on)
}

fn call(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.display());
    }
    Ok(())
}

/// A path as a word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn tell(source: &str, ways: &[Way], size_mib: u64) {
    println!("\n| {source}, {size_mib} MiB | wall, s | ratio | CPU, s | peak RSS, MiB |");
    println!("|---|---:|---:|---:|---:|");
    let plain = ways.first().map_or(&[][..], |way| way.costs.as_slice());
    for way in ways {
        let wall = median(way.costs.iter().map(|cost| cost.wall_seconds));
        let cpu = median(way.costs.iter().map(|cost| cost.cpu_seconds));
        let each = way.costs.iter().zip(plain);
        let ratio = median(each.map(|(cost, plain)| cost.wall_seconds / plain.wall_seconds));
        let rss = way.costs.iter().map(|cost| cost.peak_rss_bytes).max().unwrap_or(0);
        println!("| {} | {wall:.2} | {ratio:.2} | {cpu:.2} | {:.0} |", way.name, mib(rss));
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_refused_and_the_middle_is_the_middle() {
        let read = |words: &str| {
            Options::read(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        };
        let options = read("--size 64 --rounds 3 --on /mnt").unwrap();
        assert_eq!((options.size_mib, options.rounds, options.on), (64, 3, Some("/mnt".into())));
        for wrong in ["--size", "--rounds 0", "fast"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(quoted(Path::new("a'b")), "'a'\\''b'");
    }
}
