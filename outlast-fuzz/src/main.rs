//! Runs fuzz targets for as long as wanted; see the library.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use outlast_fuzz::drive::{self, Failure, Until};
use outlast_fuzz::{TARGETS, Target, corpus, harvest, target};

/// Fuzz a parser of what comes from outside
#[derive(Debug, Parser)]
#[command(
    after_help = "What fails is kept in outlast-fuzz/corpus/TARGET/crashes, and the exit code is 1.

Examples:
  cargo run --release -p outlast-fuzz -- tree --seconds 60
  cargo run --release -p outlast-fuzz -- all --seconds 600 --seed 7
  cargo run -p outlast-fuzz -- tree --stdin < input         # one input, for drivers such as AFL
  OUTLAST_PASSWORD=… cargo run -p outlast-fuzz -- harvest --repository ./repo --prefix restic-"
)]
struct Args {
    /// A target, `all`, or `harvest` to take a corpus from a repository or share
    target: String,
    /// How long to run each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the sequence of inputs begins; the same seed makes the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the one input on standard input
    #[arg(long)]
    stdin: bool,
    /// The repository to take a corpus from
    #[arg(long)]
    repository: Option<PathBuf>,
    /// The share to take a corpus from
    #[arg(long)]
    share: Option<PathBuf>,
    /// How the names of what is taken begin
    #[arg(long, default_value = "")]
    prefix: String,
}

fn main() -> Result<ExitCode> {
    let arguments = Args::parse();
    if arguments.target == "harvest" {
        return take(&arguments);
    }
    let chosen: Vec<&Target> = match target(&arguments.target) {
        Some(target) => vec![target],
        None if arguments.target == "all" => TARGETS.iter().collect(),
        None => {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            bail!("{} is not a target; there are all, {}", arguments.target, names.join(", "));
        }
    };
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let result = if arguments.stdin { one(target)? } else { many(target, &arguments)? };
        if let Err(Failure { input, reason }) = result {
            let crashes = corpus::directory().join(target.name).join("crashes");
            let file = corpus::save(&crashes, "", &input).context("cannot keep the input")?;
            say(&format!("{}: {reason}\nkept in {}", target.name, file.display()))?;
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn one(target: &Target) -> Result<Result<(), Failure>> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input).context("cannot read standard input")?;
    Ok(drive::once(target, &input).map(drop))
}

fn many(target: &Target, arguments: &Args) -> Result<Result<(), Failure>> {
    let corpus = corpus::load(target).context("cannot read the corpus")?;
    let (from, until) = (corpus.len(), Until::Elapsed(Duration::from_secs(arguments.seconds)));
    // An input that ends the process at once, for example by exhausting the stack, is found here.
    let running = std::env::temp_dir().join(format!("outlast-fuzz-{}", target.name));
    let file = File::create(&running).with_context(|| format!("write {}", running.display()))?;
    let before = |input: &[u8]| {
        let written = file.write_all_at(input, 0).and_then(|()| file.set_len(input.len() as u64));
        // Without it only such an input is lost, and the seed finds it again.
        drop(written);
    };
    let result = drive::drive(target, corpus, arguments.seed, until, before);
    // Nobody reads it any more, whether it is there or not.
    drop(fs::remove_file(&running));
    Ok(match result {
        Err(failure) => Err(failure),
        Ok(stats) => {
            say(&format!(
                "{}: {} inputs from {from}, {} accepted, {} kinds of outcomes",
                target.name, stats.runs, stats.accepted, stats.outcomes
            ))?;
            Ok(())
        }
    })
}

fn take(arguments: &Args) -> Result<ExitCode> {
    let mut kept = 0;
    if let Some(path) = &arguments.repository {
        let password = std::env::var("OUTLAST_PASSWORD").context("set OUTLAST_PASSWORD")?;
        kept += harvest::repository(path, &password, &arguments.prefix)?;
    }
    if let Some(path) = &arguments.share {
        kept += harvest::share(path, &arguments.prefix)?;
    }
    say(&format!("kept {kept} inputs in {}", corpus::directory().display()))?;
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}
