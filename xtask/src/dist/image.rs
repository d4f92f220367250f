//! The image for containers, written without a daemon: the program, what it needs, and nothing that could be
//! misused. No shell, no root, no package manager.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::archive::{Compressor, sha256};
use super::contents::{Contents, date};
use super::elf::Needs;
use super::options::Options;
use super::tree::Tree;

/// Whom it runs as, and what the chart says.
const USER: u32 = 10_000;
/// Where libraries are, on Debian and elsewhere. The loader looks there, too.
const PLACES: [&str; 4] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"];
const AUTHORITIES: &str = "/usr/share/ca-certificates/mozilla";
const ZONES: &str = "/usr/share/zoneinfo";

/// The image, and what it has from the system on which it was made.
pub(super) struct Image {
    pub(super) archive: Vec<u8>,
    pub(super) libraries: Vec<Library>,
}

/// A package of the system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Library {
    pub(super) package: String,
    pub(super) version: String,
}

impl Library {
    pub(super) fn purl(&self) -> String {
        let version = self.version.replace('+', "%2B").replace(':', "%3A");
        format!("pkg:deb/debian/{}@{version}?arch=amd64", self.package)
    }
}

pub(super) fn make(
    contents: &Contents,
    needs: &Needs,
    options: &Options,
    compressor: Compressor,
) -> Result<Image> {
    let mut below = Tree::default();
    let mut files = libraries(needs, &mut below)?;
    files.push(authorities(&mut below)?);
    zones(&mut below)?;
    files.push(PathBuf::from(ZONES).join("UTC"));
    people(&mut below);
    let libraries = owners(&files, &mut below);
    let mut above = Tree::default();
    above.file("usr/bin/outlast", 0o755, contents.program.clone());
    above.file("usr/share/doc/outlast/third-party.txt", 0o644, contents.notices.clone());
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        above.add(&contents.pages.only(licence), "usr/share/doc/outlast");
    }
    // What changes seldom lies below: it is stored and fetched once for many releases.
    let layers = [below.tar("", options.moment)?, above.tar("", options.moment)?];
    let archive = layout(contents, options, &layers, compressor)?;
    Ok(Image { archive, libraries })
}

/// The loader and the libraries, wherever this system has them.
fn libraries(needs: &Needs, tree: &mut Tree) -> Result<Vec<PathBuf>> {
    let loader = needs.interpreter.clone().context("the program names no loader")?;
    let mut waiting = VecDeque::from([PathBuf::from(loader)]);
    let find = |name: &String| -> Result<PathBuf> {
        let mut places = PLACES.iter().map(|place| Path::new(place).join(name));
        places
            .find(|path| path.exists())
            .with_context(|| format!("there is no {name} on this host"))
    };
    // The loader first, since programs call it by its whole path.
    for name in &needs.libraries {
        waiting.push_back(find(name)?);
    }
    let (mut found, mut names) = (Vec::new(), BTreeSet::new());
    while let Some(path) = waiting.pop_front() {
        if !names.insert(path.file_name().map(ToOwned::to_owned)) {
            continue;
        }
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let needs = Needs::of(&bytes).with_context(|| format!("look at {}", path.display()))?;
        for name in &needs.libraries {
            waiting.push_back(find(name)?);
        }
        tree.file(inside(&path)?, 0o755, bytes);
        found.push(path);
    }
    Ok(found)
}

/// A path of this system, as it is called in an image.
fn inside(path: &Path) -> Result<&str> {
    path.to_str().and_then(|path| path.strip_prefix('/')).context("a path is not UTF-8")
}

/// Those of the package, in its order. What this host believes besides is its own affair.
fn authorities(tree: &mut Tree) -> Result<PathBuf> {
    let entries = std::fs::read_dir(AUTHORITIES)
        .with_context(|| format!("{AUTHORITIES} is not here: apt-get install ca-certificates"))?;
    let mut files = entries.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in &files {
        all.extend(std::fs::read(file)?);
    }
    tree.file("etc/ssl/certs/ca-certificates.crt", 0o644, all);
    files.pop().with_context(|| format!("{AUTHORITIES} is empty"))
}

/// For schedules and calendars.
fn zones(tree: &mut Tree) -> Result<()> {
    let known = Path::new(ZONES).join("UTC").exists();
    ensure!(known, "{ZONES} is not here: apt-get install tzdata");
    let mut waiting = vec![PathBuf::from(ZONES)];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                // The same again, with and without leap seconds.
                if !path.ends_with("posix") && !path.ends_with("right") {
                    waiting.push(path);
                }
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path)?;
                // What this host has chosen for itself leads out.
                if !target.is_absolute() {
                    let target = target.to_str().context("a link is not UTF-8")?;
                    tree.link(inside(&path)?, target);
                }
            } else {
                tree.file(inside(&path)?, 0o644, std::fs::read(&path)?);
            }
        }
    }
    Ok(())
}

/// Users, names of hosts, and directories.
fn people(tree: &mut Tree) {
    let users = format!(
        "root:x:0:0:root:/:/usr/sbin/nologin\noutlast:x:{USER}:{USER}:Outlast:/:/usr/sbin/nologin\n"
    );
    tree.file("etc/passwd", 0o644, users);
    tree.file("etc/group", 0o644, format!("root:x:0:\noutlast:x:{USER}:\n"));
    tree.file("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n");
    tree.directory("tmp", 0o1777);
    for role in ["agent", "media", "vault"] {
        tree.directory_of(&format!("var/lib/outlast-{role}"), 0o700, USER);
    }
}

/// Which packages the files are of, with their licences, and in the form in which scanners look for them. Nothing
/// where there is no dpkg.
fn owners(files: &[PathBuf], tree: &mut Tree) -> Vec<Library> {
    let ask = |words: &[&str]| -> Option<String> {
        let output = Command::new("dpkg-query").args(words).env("LC_ALL", "C").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut found = BTreeSet::new();
    for file in files {
        let real = std::fs::canonicalize(file).unwrap_or_else(|_| file.clone());
        // The package may call it by either name, where /lib is a link to /usr/lib.
        let either = [
            file.as_path(),
            real.as_path(),
            Path::new("/").join(real.strip_prefix("/usr").unwrap_or(&real)).as_path(),
        ]
        .iter()
        .find_map(|path| ask(&["-S", path.to_str()?]));
        let Some(package) = either.as_deref().and_then(|it| it.split([':', ',']).next()) else {
            continue;
        };
        let Some(version) = ask(&["-W", "-f", "${Version}", package]) else { continue };
        found.insert(Library { package: package.to_owned(), version });
    }
    for library in &found {
        let name = &library.package;
        if let Some(status) = ask(&["-s", name]) {
            tree.file(&format!("var/lib/dpkg/status.d/{name}"), 0o644, status);
        }
        let licence = format!("usr/share/doc/{name}/copyright");
        if let Ok(text) = std::fs::read(Path::new("/").join(&licence)) {
            tree.file(&licence, 0o644, text);
        }
    }
    if let Ok(text) = std::fs::read("/etc/os-release") {
        tree.file("etc/os-release", 0o644, text);
    }
    found.into_iter().collect()
}

/// A file that is known by its content.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: sha256(&bytes), bytes }
    }

    fn of(value: &Value) -> Result<Self> {
        Ok(Self::new(serde_json::to_vec(value).context("write JSON")?))
    }

    fn described(&self, kind: &str) -> Value {
        let media = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media, "digest": format!("sha256:{}", self.digest), "size": self.bytes.len() })
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

/// A directory as the OCI's image specification says it, in an archive, with the list that `docker load` of before
/// it reads.
fn layout(
    contents: &Contents,
    options: &Options,
    layers: &[Vec<u8>],
    compressor: Compressor,
) -> Result<Vec<u8>> {
    let version = &contents.version;
    let created = date(options.moment)?;
    let ids: Vec<String> = layers.iter().map(|it| format!("sha256:{}", sha256(it))).collect();
    let layers = layers.iter().map(|it| compressor.gzip(it).map(Blob::new));
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let config = Blob::of(&json!({
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/outlast"],
            "Cmd": ["--help"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "outlast",
                "org.opencontainers.image.description": "Backups that outlast the servers that made them",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
                "org.opencontainers.image.created": created,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": ids },
    }))?;
    let described: Vec<Value> =
        layers.iter().map(|layer| layer.described("layer.v1.tar+gzip")).collect();
    let manifest = Blob::of(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.described("config.v1+json"),
        "layers": described,
    }))?;
    let mut entry = manifest.described("manifest.v1+json");
    entry["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": version });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let paths: Vec<String> = layers.iter().map(Blob::path).collect();
    let old = json!([{
        "Config": config.path(),
        "RepoTags": [format!("outlast:{version}")],
        "Layers": paths,
    }]);
    let mut tree = Tree::default();
    tree.file("oci-layout", 0o644, json!({ "imageLayoutVersion": "1.0.0" }).to_string());
    tree.file("index.json", 0o644, index.to_string());
    tree.file("manifest.json", 0o644, old.to_string());
    for blob in layers.into_iter().chain([config, manifest]) {
        tree.file(&blob.path(), 0o644, blob.bytes);
    }
    tree.tar("", options.moment)
}
