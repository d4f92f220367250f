//! The instance kit on a machine that boots and shuts down: systemd, the kernel's NFS and SMB, and the real binary.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use outlast_testing::lab::{Lab, SMB_PASSWORD, obstacle};
use serde_json::Value;

use crate::deploy::{of, reads_yaml, yaml};
use crate::harness::{outlast, scratch, succeed};

/// Kernels boot on a busy machine, and systemd with them.
const PATIENCE: Duration = Duration::from_secs(240);

/// User data, with what of it is another place in the lab.
struct Kit {
    user_data: &'static str,
    places: &'static [(&'static str, &'static str)],
    /// What `findmnt` says of the share: its kind, and options.
    mounted: &'static [&'static str],
}

const NFS: Kit = Kit {
    user_data: "nfs.yaml",
    places: &[(
        "What=fs-0123456789abcdef0.efs.eu-central-1.amazonaws.com:/",
        "What=10.77.0.1:/backups",
    )],
    mounted: &["nfs4", "hard"],
};

/// Samba in the place of Azure Files, asked for an encrypted session as the kit does.
const SMB: Kit = Kit {
    user_data: "azure-smb.yaml",
    places: &[
        ("What=//shopbackup.file.core.windows.net/share", "What=//10.77.0.1/backups"),
        ("SMB_ACCOUNT=shopbackup", "SMB_ACCOUNT=root"),
    ],
    mounted: &["cifs", "seal", "vers=3.1.1", "gid=10001", "file_mode=0660"],
};

/// Lays out the files of user data below a directory, with the places of the lab, and returns what user data runs.
fn lay_out(kit: &Kit, below: &Path) -> String {
    let user_data = yaml(&of(&format!("instance/cloud-init/{}", kit.user_data))).remove(0);
    let mut replaced = 0;
    for file in user_data["write_files"].as_array().unwrap() {
        let path = below.join(file["path"].as_str().unwrap().trim_start_matches('/'));
        let mut content = file["content"].as_str().unwrap().to_owned();
        for (from, to) in kit.places {
            replaced += usize::from(content.contains(from));
            content = content.replace(from, to);
        }
        let mode = file["permissions"].as_str().unwrap_or("0644");
        put(&path, &content, u32::from_str_radix(mode, 8).unwrap());
    }
    assert_eq!(replaced, kit.places.len(), "each place is named once");
    let commands = user_data["runcmd"].as_array().unwrap().iter().map(|words| {
        let words = words.as_array().unwrap().iter().map(|word| word.as_str().unwrap());
        // It boots with what is enabled.
        words.filter(|word| *word != "--now").collect::<Vec<_>>().join(" ")
    });
    commands.filter(|line| !line.ends_with("daemon-reload")).collect::<Vec<_>>().join("\n")
}

fn put(path: &Path, content: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    outlast_fs::durable::replace(path, content.as_bytes(), mode).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The identity of the machine and the vault of keys, which there are in Azure alone.
fn answer_for_azure(files: &Path) {
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*169.254.169.254*) echo '{{\"access_token\":\"a-token\"}}' ;;\n\
         *shop-secrets.vault.azure.net/secrets/shopbackup-key*) echo '{{\"value\":\"{SMB_PASSWORD}\"}}' ;;\n\
         *) exit 22 ;;\nesac\n"
    );
    put(&files.join("usr/local/bin/curl"), &script, 0o755);
}

/// The seals on the share, as its server has them.
fn seals(share: &Path) -> Vec<PathBuf> {
    let days = fs::read_dir(share.join("w/shop-files/drops")).into_iter().flatten().flatten();
    let drops = days.flat_map(|day| fs::read_dir(day.path()).unwrap().flatten());
    drops.map(|drop| drop.path().join("sealed.json")).filter(|path| path.exists()).collect()
}

#[test]
fn an_instance_of_the_kit_boots_mounts_drops_and_drops_once_more_before_it_halts() {
    live_and_die(&NFS, Lab::nfs_side);
}

#[test]
fn an_instance_on_smb_brings_its_key_mounts_encrypted_drops_and_drops_once_more() {
    live_and_die(&SMB, Lab::smb_side);
}

fn live_and_die(kit: &Kit, side: fn(&Lab) -> PathBuf) {
    if let Some(obstacle) = obstacle() {
        println!("SKIPPED, THE KIT IS BOOTED NOWHERE: {obstacle}");
        return;
    }
    if !reads_yaml() {
        return;
    }
    let directory = scratch();
    let files = directory.path().join("files");
    let prepare = lay_out(kit, &files);
    answer_for_azure(&files);
    fs::create_dir_all(files.join("usr/bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_outlast"), files.join("usr/bin/outlast")).unwrap();
    put(&files.join("srv/shop/orders"), "first", 0o644);
    let place = directory.path().join("lab");
    fs::create_dir(&place).unwrap();
    let lab = Lab::up(&place).unwrap();
    let share = side(&lab);
    succeed(outlast().args(["share", "init"]).arg(&share));

    let mut host = lab.boot_system(2, &files, &prepare).unwrap();
    let mut run = |script: &str| {
        let outcome = host.run(script, PATIENCE).unwrap();
        assert_eq!(outcome.code, 0, "{script}: {}", outcome.words);
        outcome.words
    };
    let units = "mnt-share.mount outlast-instance.service outlast-drop.timer";
    // Asked for several, systemctl is content with one.
    let said = run(&format!(
        "are_active() {{ for unit in {units}; do systemctl -q is-active $unit || return 1; done; }}
         for n in $(seq 600); do are_active && exit 0; sleep 0.1; done
         systemctl --no-pager status {units}; journalctl --no-pager -b -n 60; exit 1"
    ));
    assert_eq!(said, "");
    let mounted = run("findmnt --noheadings --output FSTYPE,OPTIONS /mnt/share");
    assert!(kit.mounted.iter().all(|word| mounted.contains(word)), "{mounted}");
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
