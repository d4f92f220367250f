//! `cargo xtask lab`: real NFS and SMB servers with real clients, to try things by hand. The same lab
//! is what tests use (`outlast_testing::lab`).

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outlast_testing::lab::{Lab, Mount, Server, obstacle};

pub(crate) const USAGE: &str = "  cargo xtask lab up                start NFS-Ganesha (4.1) and Samba (3.1.1) in a network of their own
  cargo xtask lab run [OPTIONS] SCRIPT…
                                  boot one host for each SCRIPT, all at once; each mounts the
                                  servers with its kernel's own clients and runs it with bash
      --nfs OPTIONS                 more mount options, such as acregmax=60,acdirmax=60
      --squashed                    mount the export that squashes root
      --smb OPTIONS                 more mount options, such as seal,actimeo=30
      --patience SECONDS            how long a script may take [default: 600]
  cargo xtask lab kill nfs|smb      kill -9
  cargo xtask lab start nfs|smb     start it again
  cargo xtask lab down              end all of it";

const HELP: &str = "
A host is a user-mode Linux with 512 MB, whose root is this machine's: target/debug/outlast runs in it
unchanged. It has /mnt/nfs, /mnt/smb, and /mnt/disk, an ext4 of its own that outlives it (files of
this machine are no place for what must be durable there). The servers' sides of the mounts are
target/lab/nfs, target/lab/squashed and target/lab/smb.

Examples:
  cargo build && cargo xtask lab up
  echo \"$PWD/target/debug/outlast share init /mnt/nfs\" > init.sh
  echo \"$PWD/target/debug/outlast drop --share /mnt/nfs --workload etc /etc/ssl\" > drop.sh
  cargo xtask lab run init.sh
  cargo xtask lab run --nfs acregmax=60,acdirmax=60 drop.sh drop.sh    two hosts at once
  cargo xtask lab down

Tests make labs of their own: cargo xtask test lab::";

/// What `run` was asked for.
struct Run {
    mounts: Vec<Mount>,
    patience: Duration,
    scripts: Vec<String>,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if matches!(words[..], [] | ["--help" | "-h"]) {
        println!("Usage:\n{USAGE}\n{HELP}");
        return Ok(());
    }
    if let Some(obstacle) = obstacle() {
        bail!("there can be no lab here: {obstacle}");
    }
    let directory = root.join("target/lab");
    let lab = || {
        anyhow::ensure!(directory.exists(), "there is no lab: cargo xtask lab up");
        Ok(Lab::attach(&directory))
    };
    match words[..] {
        ["up"] => {
            if directory.exists() {
                bail!("there is one in {} already: cargo xtask lab down", directory.display());
            }
            std::fs::create_dir_all(&directory)?;
            let made = Lab::up_to_stay(&directory);
            let lab = made.inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
            println!("NFS exports {}", lab.nfs_side().display());
            println!("  and, with root squashed, {}", lab.squashed_side().display());
            println!("SMB shares {}", lab.smb_side().display());
        }
        ["run", ref rest @ ..] => hosts(&lab()?, parse(rest)?)?,
        ["kill", name] => lab()?.kill(server(name)?)?,
        ["start", name] => lab()?.start(server(name)?)?,
        ["down"] => {
            lab()?.down();
            std::fs::remove_dir_all(&directory)?;
        }
        _ => bail!("Usage:\n{USAGE}"),
    }
    Ok(())
}

fn server(name: &str) -> Result<Server> {
    match name {
        "nfs" => Ok(Server::Nfs),
        "smb" => Ok(Server::Smb),
        _ => bail!("the servers are nfs and smb"),
    }
}

fn parse(words: &[&str]) -> Result<Run> {
    let (mut nfs, mut smb, mut squashed) = (String::new(), String::new(), false);
    let mut patience = 600;
    let mut scripts = Vec::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word {
            "--nfs" => nfs = (*value()?).to_owned(),
            "--smb" => smb = (*value()?).to_owned(),
            "--patience" => patience = value()?.parse().context("--patience takes seconds")?,
            "--squashed" => squashed = true,
            _ if word.starts_with("--") => bail!("{word}?\nUsage:\n{USAGE}"),
            script => scripts.push(script.to_owned()),
        }
    }
    if scripts.is_empty() {
        bail!("run which script?\nUsage:\n{USAGE}");
    }
    let nfs = if squashed { Mount::squashed(&nfs) } else { Mount::nfs(&nfs) };
    let patience = Duration::from_secs(patience);
    Ok(Run { mounts: vec![nfs, Mount::smb(&smb)], patience, scripts })
}

fn hosts(lab: &Lab, run: Run) -> Result<()> {
    let mut hosts = Vec::new();
    for (number, script) in (1..=200).zip(&run.scripts) {
        let text = std::fs::read_to_string(script).with_context(|| format!("read {script}"))?;
        let mut host = lab.boot(number, &run.mounts)?;
        let job = host.start(&text)?;
        hosts.push((script, host, job));
    }
    let mut failed = 0;
    for (script, mut host, job) in hosts {
        let outcome = host.wait(&job, run.patience)?;
        println!("{script}: exit code {}\n{}", outcome.code, outcome.words);
        failed += u32::from(outcome.code != 0);
        host.halt(Duration::from_secs(60))?;
    }
    anyhow::ensure!(failed == 0, "{failed} scripts failed");
    Ok(())
}
