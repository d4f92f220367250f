//! `cargo xtask bench`: Outlast and its peers on the same data, in the same run.
//!
//! Every case is run by all programs, one after the other, in an order that turns with each round,
//! so that a machine which is busy for a while slows all of them. What is compared is the time that
//! processors spent (user and system, of the process and its children), because it depends least on
//! what else runs; wall time, memory and bytes are told, too. What is restored or printed is compared
//! with what was backed up, and what Outlast wrote is checked by restic. How to read the results:
//! docs/benchmarks.md.

mod case;
mod commands;
mod data;
mod drop;
mod goals;
mod machine;
mod measure;
mod options;
mod plot;
mod report;
mod results;
mod run;
mod scratch;
mod tools;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::case::Case;
use self::options::Options;
use self::results::Results;
use self::tools::Tool;
use crate::cargo::cargo;

pub(crate) use self::drop::USAGE as DROP_USAGE;
pub(crate) use self::options::USAGE;

/// Runs the benchmark in the checkout `root`.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    // Of a drop, only what is its own is understood.
    let of_drop = arguments.split_first().filter(|(first, _)| *first == "drop");
    let options = if of_drop.is_some() { Options::read(&[])? } else { Options::read(arguments)? };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    // Programs run in other directories.
    let target = std::path::absolute(target).context("find the target directory")?;
    let built = cargo()
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
    if let Some((_, arguments)) = of_drop {
        return drop::run(&target.join("release/outlast"), &home, arguments);
    }
    let input = data::Input::prepare(&home, &options)?;
    let patch = if options.wants(Case::NextDay) { goals::patch_bytes(&input)? } else { None };
    let tools: Vec<Tool> =
        Tool::installed(&target.join("release/outlast"), options.before.as_deref())?;
    println!("{}", tools.iter().map(Tool::version).collect::<Vec<_>>().join(", "));
    let work = home.join("work");
    let mut results = Results::new(patch);
    for round in 0..options.rounds {
        scratch::remove(&work)?;
        for (at, case) in Case::ALL.into_iter().filter(|case| options.wants(*case)).enumerate() {
            for turn in 0..tools.len() {
                // Whoever begins is another one each time.
                let tool = &tools[(turn + at + round as usize) % tools.len()];
                let figures = run::run(case, tool, &input, &work.join(tool.name()))?;
                println!("round {}: {}", round + 1, figures.line(case, tool));
                results.add(case, tool, figures);
            }
        }
        for tool in &tools {
            run::judge(tool, &work.join(tool.name()))?;
        }
    }
    scratch::remove(&work)?;
    let out = options.out.unwrap_or_else(|| home.join("results"));
    report::write(&results, &out, &tools, &input)?;
    println!("\n{}", report::markdown(&results, &tools, &input));
    println!("written to {}", out.display());
    Ok(())
}
