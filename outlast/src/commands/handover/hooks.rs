//! `outlast handover hooks`: the scripts that a product runs before and after a job, with its own names, arguments, exit
//! codes and time limits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use outlast_fs::durable;
use serde_json::json;

use super::which::Which;
use crate::exit::{Code, Usage};
use crate::output::Output;

/// Products refuse what not everybody may run.
const SCRIPT_MODE: u32 = 0o755;
const TEXT_MODE: u32 = 0o644;
/// Far less than any product waits (NetBackup 300 s, Veeam 10 min), far more than it takes.
const SECONDS: u32 = 60;
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

const COMMON: &str = include_str!("hooks/common.sh");
const COMMVAULT_ARGUMENTS: &str = include_str!("hooks/commvault-arguments.sh");

/// Write the scripts that a backup product runs before and after its jobs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The scripts are short: read them. They take a lease when a job begins, and say how its client ended; they copy
and free nothing. With --strict, a job that cannot be noted or would read nothing does not begin (where the product
lets a script decide that); without, it reads all the same, since the directory is right at every instant.

Exit codes: 0 done; 1 it could not be written, or something else lies there; 2 the command line is wrong.

Examples:
  outlast handover hooks netbackup --policy apps --into /usr/openv/netbackup/bin
  outlast handover hooks netbackup nbu --config /etc/outlast/agent.toml --policy apps --schedule daily --strict --into .
  outlast handover hooks bacula --directory /srv/handover --into /etc/outlast/hooks"
)]
pub(crate) struct HooksArgs {
    /// Whose scripts
    product: Product,
    #[command(flatten)]
    which: Which,
    /// Where to; made if missing
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// NetBackup: scripts for this policy alone; may be said again
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// NetBackup: scripts for this schedule of the policy alone; may be said again
    #[arg(long, value_name = "NAME", requires = "policy")]
    schedule: Vec<String>,
    /// Let a job fail that cannot be noted, or would read nothing
    #[arg(long)]
    strict: bool,
    /// The program that the scripts run [default: this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Replace scripts of these names that are other ones
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Product {
    Netbackup,
    Bacula,
    Veeam,
    Commvault,
    Generic,
}

/// A script to be written.
struct Script {
    name: String,
    text: &'static str,
    mode: u32,
}

pub(super) fn run(arguments: &HooksArgs, output: &Output) -> Result<Code> {
    let HooksArgs { into, policy, schedule, .. } = arguments;
    if arguments.product != Product::Netbackup && !policy.is_empty() {
        return Err(Usage("--policy and --schedule are for NetBackup".to_owned()).into());
    }
    for name in policy.iter().chain(schedule) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_plain) {
            return Err(Usage(format!("{name:?} cannot be a part of a script's name")).into());
        }
    }
    let program = match &arguments.program {
        Some(program) => std::path::absolute(program).context("cannot find out where it is")?,
        None => std::env::current_exe().context("cannot find out where this program is")?,
    };
    let which = arguments.which.words(quoted)?;
    durable::create_directories(into, SCRIPT_MODE)
        .with_context(|| format!("cannot create {}", into.display()))?;
    let into = std::path::absolute(into).context("cannot find out where it is")?;
    let filled = |text: &str| {
        let fail = if arguments.strict { "Yes" } else { "No" };
        text.replace("@COMMON@", COMMON.trim_end())
            .replace("@ARGUMENTS@", COMMVAULT_ARGUMENTS.trim_end())
            .replace("@OUTLAST@", &quoted(&program.to_string_lossy()))
            .replace("@WHICH@", &which)
            .replace("@SECONDS@", &SECONDS.to_string())
            .replace("@STRICT@", if arguments.strict { "yes" } else { "no" })
            .replace("@POLICIES@", &quoted(&policy.join(" ")))
            .replace("@FAIL@", fail)
            .replace("@DIR@", &into.to_string_lossy())
    };
    let mut written = Vec::new();
    for script in scripts(arguments) {
        let (path, text) = (into.join(&script.name), filled(script.text));
        check(&path, &text, arguments.overwrite)?;
        durable::replace(&path, text.as_bytes(), script.mode)
            .with_context(|| format!("cannot write {}", path.display()))?;
        written.push(path);
    }
    if output.is_json() {
        output.json(&json!({ "files": written, "strict": arguments.strict }))?;
        return Ok(Code::Done);
    }
    written.iter().try_for_each(|path| output.line(path.display()))?;
    output.remark(next(arguments.product));
    Ok(Code::Done)
}

/// What lies there and is no script of ours, or was changed since, is nobody's to replace unasked.
fn check(path: &Path, text: &str, may_replace: bool) -> Result<()> {
    let there = match durable::read_bounded(path, SCRIPT_BYTES_MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        there => there.with_context(|| format!("cannot read {}", path.display()))?,
    };
    if may_replace || there == text.as_bytes() {
        return Ok(());
    }
    let words = "another script lies there: call this one from it, or add --overwrite";
    anyhow::bail!("cannot write {}: {words}", path.display())
}

fn scripts(arguments: &HooksArgs) -> Vec<Script> {
    let script =
        |name: &str, text: &'static str| Script { name: name.to_owned(), text, mode: SCRIPT_MODE };
    match arguments.product {
        Product::Netbackup => {
            let pair = [
                ("bpstart_notify", include_str!("hooks/bpstart_notify.sh")),
                ("bpend_notify", include_str!("hooks/bpend_notify.sh")),
            ];
            let of_pair =
                |suffix: &String| pair.map(|(name, text)| script(&format!("{name}{suffix}"), text));
            suffixes(&arguments.policy, &arguments.schedule).iter().flat_map(of_pair).collect()
        }
        Product::Bacula => vec![
            script("outlast-bacula-before", include_str!("hooks/bacula-before.sh")),
            script("outlast-bacula-after", include_str!("hooks/bacula-after.sh")),
            Script {
                name: "outlast-bacula-job.conf".to_owned(),
                text: include_str!("hooks/bacula.conf"),
                mode: TEXT_MODE,
            },
        ],
        Product::Veeam => vec![
            script("outlast-veeam-prejob", include_str!("hooks/veeam-pre.sh")),
            script("outlast-veeam-postjob", include_str!("hooks/veeam-post.sh")),
        ],
        Product::Commvault => vec![
            script("outlast-commvault-prebackup", include_str!("hooks/commvault-pre.sh")),
            script("outlast-commvault-postbackup", include_str!("hooks/commvault-post.sh")),
        ],
        Product::Generic => vec![
            script("outlast-begin", include_str!("hooks/generic-begin.sh")),
            script("outlast-end", include_str!("hooks/generic-end.sh")),
        ],
    }
}

/// NetBackup looks for `NAME.POLICY.SCHEDULE`, then `NAME.POLICY`, then `NAME`.
fn suffixes(policies: &[String], schedules: &[String]) -> Vec<String> {
    if policies.is_empty() {
        return vec![String::new()];
    }
    let of_policy = |policy: &String| match schedules.is_empty() {
        true => vec![format!(".{policy}")],
        false => schedules.iter().map(|schedule| format!(".{policy}.{schedule}")).collect(),
    };
    policies.iter().flat_map(of_policy).collect()
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn next(product: Product) -> &'static str {
    match product {
        Product::Netbackup => {
            "put them into /usr/openv/netbackup/bin on the agent's host, which is the policy's only client"
        }
        Product::Bacula => "put what is in outlast-bacula-job.conf into the director's Job",
        Product::Veeam => {
            "name them as the job's pre-job and post-job script, and set read_window in agent.toml"
        }
        Product::Commvault => "name them as the subclient's PreBackup and PostBackup process",
        Product::Generic => "run them before and after each job, with its id",
    }
}
