//! The instance kit on a machine that boots and shuts down: systemd, the kernel's NFS, and the real binary.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_testing::lab::{Lab, obstacle};
use serde_json::Value;

use crate::deploy::{of, reads_yaml, yaml};
use crate::harness::{outlast, scratch, succeed};

/// Kernels boot on a busy machine, and systemd with them.
const PATIENCE: Duration = Duration::from_secs(240);

/// Lays out the files of user data below a directory, with the place of the lab's share, and returns what user data runs.
fn lay_out(below: &Path) -> String {
    let user_data = yaml(&of("instance/cloud-init/nfs.yaml")).remove(0);
    for file in user_data["write_files"].as_array().unwrap() {
        let path = below.join(file["path"].as_str().unwrap().trim_start_matches('/'));
        let content = file["content"].as_str().unwrap();
        let content = content.replace(
            "What=fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com:/",
            "What=10.77.0.1:/backups",
        );
        let mode = file["permissions"].as_str().unwrap_or("0644");
        let mode = u32::from_str_radix(mode, 8).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        outlast_fs::durable::replace(&path, content.as_bytes(), mode).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let commands = user_data["runcmd"].as_array().unwrap().iter().map(|words| {
        let words = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        // It boots with what is enabled.
        words.filter(|word| *word != "--now").collect::<Vec<_>>().join(" ")
    });
    commands.filter(|line| !line.ends_with("daemon-reload")).collect::<Vec<_>>().join("\n")
}

/// The seals on the share, as its server has them.
fn seals(share: &Path) -> Vec<PathBuf> {
    let days = fs::read_dir(share.join("w/shop-files/drops")).into_iter().flatten().flatten();
    let drops = days.flat_map(|day| fs::read_dir(day.path()).unwrap().flatten());
    drops.map(|drop| drop.path().join("sealed.json")).filter(|path| path.exists()).collect()
}

#[test]
fn an_instance_of_the_kit_boots_mounts_drops_and_drops_once_more_before_it_halts() {
    if let Some(obstacle) = obstacle() {
        println!("SKIPPED, THE KIT IS BOOTED NOWHERE: {obstacle}");
        return;
    }
    if !reads_yaml() {
        return;
    }
    let directory = scratch();
    let files = directory.path().join("files");
    let prepare = lay_out(&files);
    fs::create_dir_all(files.join("usr/bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_outlast"), files.join("usr/bin/outlast")).unwrap();
    fs::create_dir_all(files.join("srv/shop")).unwrap();
    outlast_fs::durable::replace(&files.join("srv/shop/orders"), b"first", 0o644).unwrap();
    let place = directory.path().join("lab");
    fs::create_dir(&place).unwrap();
    let lab = Lab::up(&place).unwrap();
    let share = lab.nfs_side();
    succeed(outlast().args(["share", "init"]).arg(&share));

    let mut host = lab.boot_system(2, &files, &prepare).unwrap();
    let mut run = |script: &str| {
        let outcome = host.run(script, PATIENCE).unwrap();
        assert_eq!(outcome.code, 0, "{script}: {}", outcome.words);
        outcome.words
    };
    let units = "mnt-share.mount outlast-instance.service outlast-drop.timer";
    let said = run(&format!(
        "for n in $(seq 600); do systemctl -q is-active {units} && exit 0; sleep 0.1; done
         systemctl --no-pager status {units}; exit 1"
    ));
    assert_eq!(said, "");
    let mounted = run("findmnt --noheadings --output FSTYPE,OPTIONS /mnt/share");
    assert!(mounted.contains("nfs4") && mounted.contains("hard"), "{mounted}");
    assert_eq!(seals(&share).len(), 0, "nothing ends yet");
    // What the timer begins.
    run(
        "systemctl start outlast-drop.service || { journalctl --no-pager -u outlast-drop; exit 1; }",
    );
    assert_eq!(seals(&share).len(), 1);
    run("echo last > /srv/shop/orders");

    // SIGTERM comes from systemd, which stops all in its order.
    host.halt(PATIENCE).unwrap();
    let seals = seals(&share);
    assert_eq!(seals.len(), 2, "the last state is on the share");
    let claims = |seal: &PathBuf| -> Value {
        serde_json::from_slice(&fs::read(seal.with_file_name("open.json")).unwrap()).unwrap()
    };
    let claims: Vec<Value> = seals.iter().map(|seal| claims(seal)["claims"].clone()).collect();
    assert!(claims.iter().all(|it| it["instance"] == "host2"), "{claims:?}");
    assert_eq!(claims.iter().filter(|it| it["final"] == true).count(), 1, "{claims:?}");
    // The pipeline's gate, and what a green instance gets.
    let share = share.to_str().unwrap();
    let words = ["--share", share, "--workload", "shop-files"];
    succeed(outlast().arg("gate").args(words).args(["--instance", "host2", "--until", "sealed"]));
    let into = directory.path().join("green");
    succeed(outlast().arg("fetch").args(words).arg("--into").arg(&into));
    let orders = fs::read_to_string(into.join("srv/shop/orders")).unwrap();
    assert_eq!(orders, "last\n");
}
