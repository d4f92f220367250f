//! Who made it: the checksums, signed by a key that the publisher has, with what every host with OpenSSH has.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use outlast_fs::durable;

/// What is signed is of this kind, so that a signature of something else is none of a release. docs/install.md has
/// it, too.
const NAMESPACE: &str = "outlast-release";
const SIGNATURE: &str = "SHA256SUMS.sig";

/// Signs the checksums in `directory`, if there is a key. A signature of other checksums goes in any case.
pub(super) fn sums(directory: &Path, key: Option<&Path>) -> Result<()> {
    let signature = directory.join(SIGNATURE);
    match fs::remove_file(&signature) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", signature.display()));
        }
        _ => {}
    }
    let Some(key) = key else { return Ok(()) };
    let sums = directory.join("SHA256SUMS");
    let sums = File::open(&sums).with_context(|| format!("cannot read {}", sums.display()))?;
    // A passphrase is asked for at the terminal.
    let output = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(key)
        .stdin(sums)
        .stderr(Stdio::inherit())
        .output()
        .context("start ssh-keygen, which signs: it comes with OpenSSH 8.2 and newer")?;
    ensure!(output.status.success(), "ssh-keygen did not sign with {}", key.display());
    durable::replace(&signature, &output.stdout, 0o644)
        .with_context(|| format!("cannot write {}", signature.display()))
}
