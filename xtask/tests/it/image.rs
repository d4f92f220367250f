//! The image for containers, unpacked by umoci and run by runc.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{has, made, pack, run, succeed};

/// An image that was unpacked.
struct Bundle {
    directory: PathBuf,
    /// Without the right to make containers as runc does, the same directory is run by bubblewrap.
    has_runc: bool,
}

impl Bundle {
    fn unpack(layout: &Path, directory: PathBuf) -> Self {
        let image = format!("{}:{}", layout.display(), version());
        let mut umoci = Command::new("umoci");
        umoci.args(["unpack", "--image", &image]);
        if !is_root() {
            umoci.arg("--rootless");
        }
        succeed(umoci.arg(&directory));
        let mut bundle = Self { directory, has_runc: true };
        let probe = bundle.run(&["--version"]);
        if !probe.status.success() {
            let said = String::from_utf8_lossy(&probe.stderr).into_owned();
            println!("SKIPPED, THE IMAGE IS NOT RUN BY RUNC: {}", said.trim());
            bundle.has_runc = false;
        }
        bundle
    }

    fn root(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Runs the image's program with these words.
    fn run(&self, words: &[&str]) -> Output {
        self.run_program(&[&["/usr/bin/outlast"], words].concat())
    }

    /// Runs something else in its place. Nothing can be written but the share.
    fn run_program(&self, words: &[&str]) -> Output {
        let share = self.directory.with_file_name("share");
        if !self.has_runc {
            let mut bwrap = Command::new("bwrap");
            bwrap.args([
                "--unshare-all",
                "--clearenv",
                "--setenv",
                "PATH",
                "/usr/bin",
                "--ro-bind",
            ]);
            bwrap.arg(self.root()).args(["/", "--bind"]).arg(share).args(["/tmp", "--"]);
            return run(bwrap.args(words));
        }
        let path = self.directory.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(words);
        config["root"]["readonly"] = json!(true);
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/tmp");
        mounts.push(json!({
            "destination": "/tmp", "type": "bind", "source": share, "options": ["bind", "rw"]
        }));
        let text = serde_json::to_vec(&config).unwrap();
        outlast_fs::durable::replace(&path, &text, 0o644).unwrap();
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.directory.with_file_name("runc")).arg("run");
        runc.args(["--bundle".as_ref(), self.directory.as_os_str()]);
        let name = format!("outlast-test-{}", std::process::id());
        run(runc.arg(name))
    }

    #[track_caller]
    fn succeed(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn is_root() -> bool {
    succeed(Command::new("id").arg("-u")).trim() == "0"
}

fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[test]
fn the_image_is_whole_runs_and_holds_nothing_that_could_be_misused() {
    let directory = tempfile::tempdir().unwrap();
    if !has("umoci", "umoci") || !has("runc", "runc") || pack(directory.path(), &[]).is_none() {
        return;
    }
    let layout = directory.path().join("layout");
    fs::create_dir(&layout).unwrap();
    let archive = made(directory.path(), "-oci.tar");
    succeed(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&layout));
    let config = every_blob_is_what_its_name_says(&layout);
    assert_eq!(config.pointer("/config/User").unwrap(), "10000:10000");
    // As the chart asks for it.
    let values = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/outlast/values.yaml"),
    );
    assert!(values.unwrap().contains("\n  user: 10000\n"));

    let share = directory.path().join("share");
    fs::create_dir(&share).unwrap();
    fs::set_permissions(&share, fs::Permissions::from_mode(0o1777)).unwrap();
    let bundle = Bundle::unpack(&layout, directory.path().join("bundle"));
    nothing_in_it_could_be_misused(&bundle.root());
    assert_eq!(bundle.succeed(&["--version"]), format!("outlast {}\n", version()));
    // Any program but the one is missing.
    for program in ["/bin/sh", "/bin/bash", "/bin/busybox", "/usr/bin/env"] {
        assert!(!bundle.run_program(&[program]).status.success(), "{program}");
    }
    bundle.succeed(&["share", "init", "/tmp/share"]);
    let drop = bundle.succeed(&["drop", "--share", "/tmp/share", "--workload", "w", "/etc/passwd"]);
    let sealed = share.join("share/w/w/drops");
    let found = succeed(Command::new("find").arg(sealed).args(["-name", "sealed.json"]));
    assert!(found.contains(drop.trim()), "{found}");
    zones_are_known(&bundle, &share);
}

fn zones_are_known(bundle: &Bundle, share: &Path) {
    let ask = |zone: &str| {
        let text =
            format!("[media]\ndir = \"/tmp/m\"\n[line]\nrate = \"1Mbit/s\"\nzone = \"{zone}\"\n");
        outlast_fs::durable::replace(&share.join("media.toml"), text.as_bytes(), 0o644).unwrap();
        let output = bundle.run(&["media", "--config", "/tmp/media.toml"]);
        String::from_utf8(output.stderr).unwrap()
    };
    let said = ask("Europe/Nowhere");
    assert!(said.contains("zone"), "{said}");
    let said = ask("Europe/Berlin");
    assert!(said.contains("listen is missing") && !said.contains("zone"), "{said}");
}

/// Looks at hashes and sizes, and returns the configuration.
fn every_blob_is_what_its_name_says(layout: &Path) -> Value {
    let read = |path: PathBuf| -> Value {
        serde_json::from_slice(&fs::read(layout.join(path)).unwrap()).unwrap()
    };
    let blob = |described: &Value| -> PathBuf {
        let digest = described["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = layout.join("blobs/sha256").join(digest);
        let hash = succeed(Command::new("sha256sum").arg(&path));
        assert!(hash.starts_with(digest), "{hash}");
        assert_eq!(described["size"].as_u64().unwrap(), fs::metadata(&path).unwrap().len());
        path
    };
    let index = read("index.json".into());
    let manifest = read(blob(&index["manifests"][0]));
    let config = read(blob(&manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap();
    let ids = config.pointer("/rootfs/diff_ids").unwrap().as_array().unwrap();
    assert_eq!(layers.len(), ids.len());
    for (layer, id) in layers.iter().zip(ids) {
        let unpacked = format!("gzip -dc {} | sha256sum", blob(layer).display());
        let hash = succeed(Command::new("sh").args(["-c", &unpacked]));
        assert_eq!(format!("sha256:{}", &hash[..64]), id.as_str().unwrap());
    }
    config
}

fn nothing_in_it_could_be_misused(root: &Path) {
    let mut programs = BTreeSet::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let known = fs::symlink_metadata(&path).unwrap();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        let mode = known.permissions().mode();
        if known.is_dir() {
            assert!(mode & 0o002 == 0 || name == "/tmp", "{name} can be written by others");
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if known.is_file() {
            assert_eq!(mode & 0o7022, 0, "{name}");
            if mode & 0o111 != 0 {
                programs.insert(name);
            }
        } else {
            assert!(path.exists(), "{name} leads nowhere");
        }
    }
    programs.retain(|name| !name.contains(".so."));
    assert_eq!(programs, BTreeSet::from(["/usr/bin/outlast".to_owned()]));
    let authorities = fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(authorities.matches("BEGIN CERTIFICATE").count() > 50);
    let users = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(users.lines().all(|line| line.ends_with("/nologin")), "{users}");
}
