//! The vault's unit as it is packaged, on a machine that boots: whether drills load there what they bring back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use outlast_fs::durable;
use outlast_testing::lab::{Lab, obstacle};

use crate::harness::scratch;

/// Kernels boot on a busy machine, and systemd with them.
const PATIENCE: Duration = Duration::from_secs(240);

/// What all lines of a file of the checkout are.
fn of_checkout(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap()
}

/// The drop-in that docs/drills.md gives to copy.
fn drop_in() -> String {
    let page = of_checkout("docs/drills.md");
    let block = page.split("```ini\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn put(files: &Path, path: &str, content: &str) {
    let path = files.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    durable::replace(&path, content.as_bytes(), 0o644).unwrap();
}

#[test]
fn under_the_packaged_unit_the_vault_says_that_it_loads_nothing_and_loads_with_the_drop_in_of_the_docs()
 {
    if let Some(obstacle) = obstacle() {
        println!("SKIPPED, THE VAULT'S UNIT IS STARTED NOWHERE: {obstacle}");
        return;
    }
    if !Path::new("/usr/bin/bwrap").exists() {
        println!("SKIPPED, NO BUBBLEWRAP: drills under the vault's unit");
        return;
    }
    let directory = scratch();
    let files = directory.path().join("files");
    fs::create_dir_all(files.join("usr/bin")).unwrap();
    // The unit hides the directories in which it may have been built.
    fs::copy(env!("CARGO_BIN_EXE_outlast"), files.join("usr/bin/outlast")).unwrap();
    let unit = "etc/systemd/system/outlast-vault.service";
    put(&files, unit, &of_checkout("dist/systemd/outlast-vault.service"));
    // A vault with all that it needs, by the same unit.
    put(
        &files,
        &format!("{unit}.d/test.conf"),
        "[Service]\nType=simple\nWatchdogSec=0\nExecStart=\nExecStart=/usr/bin/outlast up --no-media \
         --listen 127.0.0.1:8443 --dir /var/lib/outlast-vault/up\n",
    );
    put(&files, "root/drills.conf", &drop_in());
    put(
        &files,
        "var/lib/outlast-vault/up/vault.toml",
        "[drills]\nevery = \"30d\"\n[workloads.shop]\ndrill_command = [\"/bin/grep\", \"-q\", \"secret\", \"x\"]\n",
    );
    let prepare =
        "groupadd -f -r outlast; id outlast || useradd -r -g outlast -d /nonexistent outlast
        chown -R outlast:outlast /var/lib/outlast-vault";
    let place = directory.path().join("lab");
    fs::create_dir(&place).unwrap();
    let lab = Lab::up(&place).unwrap();
    let mut host = lab.boot_system(2, &files, prepare).unwrap();
    let mut run = |script: &str| {
        let begin = "as() { setpriv --reuid outlast --regid outlast --clear-groups env HOME=/run outlast \"$@\"; }
            up=/var/lib/outlast-vault/up; journal() { journalctl --no-pager -o cat -u outlast-vault; }
            serves() { for n in $(seq 600); do curl -sk https://127.0.0.1:8443/ >/dev/null; [ $? != 7 ] && return
                sleep 0.1; done; journal; exit 1; }\n";
        let outcome = host.run(&format!("{begin}{script}"), PATIENCE).unwrap();
        assert_eq!(outcome.code, 0, "{script}: {}", outcome.words);
        outcome.words
    };
    let told = run(
        "systemctl start outlast-vault; serves
         as drop --share $up/share --workload shop --exec x -- echo secret || { journal; exit 1; }
         for n in $(seq 600); do ls $up/share/w/shop/receipts/*.vaulted.json >/dev/null 2>&1 && break; sleep 0.2; done
         as drill run shop --dir $up --json; journal | grep 'none can be here'",
    );
    assert!(told.contains("\"level\": \"stream\"") && told.contains("bwrap"), "{told}");
    let told = run("mkdir -p /etc/systemd/system/outlast-vault.service.d
         cp /root/drills.conf /etc/systemd/system/outlast-vault.service.d/
         systemctl daemon-reload; systemctl restart outlast-vault; serves
         as drill run shop --dir $up --json || { journal; exit 1; }");
    assert!(told.contains("\"level\": \"load\"") && told.contains("\"state\": \"good\""), "{told}");
    assert!(told.contains("namespaces without network"), "{told}");
}
