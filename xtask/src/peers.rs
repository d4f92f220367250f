//! The real programs that tests run against, from Debian's packages.

mod wheels;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A file that proves that a package is there, and the package.
const PEERS: &[(&str, &str)] = &[
    ("/usr/bin/restic", "restic"),
    ("/usr/lib/postgresql", "postgresql"),
    ("/usr/bin/setfattr", "attr"),
    ("/usr/bin/setfacl", "acl"),
    ("/usr/sbin/xfs_io", "xfsprogs"),
    ("/usr/sbin/mkfs.ext4", "e2fsprogs"),
    ("/usr/bin/faketime", "faketime"),
    ("/usr/bin/systemd-analyze", "systemd"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/ip", "iproute2"),
    // Opens what a hand-over encrypts.
    ("/usr/bin/age", "age"),
    // Whose dumps are judged.
    ("/usr/sbin/mariadbd", "mariadb-server"),
    ("/usr/bin/redis-server", "redis-server"),
    ("/usr/bin/sqlite3", "sqlite3"),
    ("/usr/bin/zstd", "zstd"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/bin/redis-cli", "redis-tools"),
    // Drills load dumps in it, away from everything else.
    ("/usr/bin/bwrap", "bubblewrap"),
    ("/usr/bin/cloud-init", "cloud-init"),
    // Judges of what deploy/ is made of.
    ("/usr/bin/shellcheck", "shellcheck"),
    ("/usr/share/doc/python3-yaml", "python3-yaml"),
    // What takes an image apart, runs it, and says what it needs.
    ("/usr/bin/umoci", "umoci"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/share/ca-certificates", "ca-certificates"),
    ("/usr/share/zoneinfo/UTC", "tzdata"),
    ("/usr/bin/prometheus-alertmanager", "prometheus-alertmanager"),
    ("/usr/bin/prometheus", "prometheus"),
    ("/usr/bin/promtool", "prometheus"),
];

/// A real backup product, without which its tests are skipped.
const BACULA: [(&str, &str); 5] = [
    ("/usr/sbin/bacula-dir", "bacula-director"),
    ("/usr/share/bacula-director/make_sqlite3_tables", "bacula-director-sqlite3"),
    ("/usr/sbin/bacula-sd", "bacula-sd"),
    ("/usr/sbin/bacula-fd", "bacula-fd"),
    ("/usr/sbin/bconsole", "bacula-console"),
];

/// The same for the lab of real file servers and clients, without which its tests are skipped.
const LAB: [(&str, &str); 8] = [
    ("/usr/bin/linux.uml", "user-mode-linux"),
    ("/usr/sbin/modprobe", "kmod"),
    ("/usr/bin/ganesha.nfsd", "nfs-ganesha"),
    ("/usr/share/doc/nfs-ganesha-vfs", "nfs-ganesha-vfs"),
    ("/usr/sbin/smbd", "samba"),
    ("/usr/bin/smbclient", "smbclient"),
    ("/usr/sbin/mount.nfs", "nfs-common"),
    ("/usr/sbin/mount.cifs", "cifs-utils"),
];

/// Installs what is missing, as root or with a sudo that asks no password; says what to do where
/// that is not possible.
pub(crate) fn install_missing(root: &Path) -> Result<()> {
    install(PEERS)?;
    if let Err(error) = install(&LAB) {
        println!("TESTS WITH REAL NFS AND SMB ARE SKIPPED: {error:#}");
    }
    if let Err(error) = install(&BACULA) {
        println!("TESTS WITH A REAL BACULA ARE SKIPPED: {error:#}");
    }
    if let Err(error) = wheels::bring(root) {
        println!("TESTS OF THE CHART ARE SKIPPED: {error:#}");
    }
    if let Err(error) = wheels::bring_simulator(root) {
        println!("THE MODULES FOR AWS ARE APPLIED NOWHERE: {error:#}");
    }
    Ok(())
}

fn install(peers: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        peers.iter().filter(|(proof, _)| !Path::new(proof).exists()).map(|&(_, p)| p).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    println!("The tests need these Debian packages, which are missing: {list}");
    let by_hand = format!("install them by hand: apt-get install --no-install-recommends {list}");
    let Some(prefix) = privilege() else {
        bail!("installing packages needs root, and sudo wants a password; {by_hand}");
    };
    let apt = |arguments: &[&str]| -> Result<bool> {
        let mut words = prefix.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        words.extend(arguments);
        let status = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).status();
        Ok(status.context("start apt-get")?.success())
    };
    // A list that cannot be refreshed may still be good enough to install from.
    if !apt(&["update"])? {
        println!("apt-get update failed; going on with the list of packages that is there");
    }
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&missing);
    if !apt(&install)? {
        bail!("apt-get could not install {list}; {by_hand}");
    }
    Ok(())
}

/// What to put before a command that needs root; `None` if there is no way without a password.
fn privilege() -> Option<&'static [&'static str]> {
    let says = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()
    };
    let uid = says("id", &["-u"])?;
    if uid.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    says("sudo", &["-n", "true"])?.status.success().then_some(&["sudo", "-n"])
}
