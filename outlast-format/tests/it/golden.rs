//! Repositories of stock restic that are checked in: they are read today as they were then.

use std::fs;
use std::path::{Path, PathBuf};

use outlast_format::crypto::Key;
use outlast_format::index::IndexFile;
use outlast_format::key_file::KeyFile;
use outlast_format::lock::Lock;
use outlast_format::pack::{self, BlobType};
use outlast_format::tree::Tree;
use outlast_format::{snapshot::Snapshot, unpacked};

use crate::repository::read_blob;
use crate::restic::PASSWORD;

/// Every file under `tests/golden`: one that is not listed is not tested.
const FILES: &[&str] = &[
    "README.md",
    "v1/config",
    "v1/config.plain",
    "v1/data/33/337dd27eb8dbfe6faeaf9ba46e95d66ca8cca67448f2e22f4d11b014cf7d01df",
    "v1/data/33/337dd27eb8dbfe6faeaf9ba46e95d66ca8cca67448f2e22f4d11b014cf7d01df.plain",
    "v1/data/d4/d4600651f94a8240a01c4dc7a950f8a4ec790eff3d4f360565731a475f64bd1b",
    "v1/data/d4/d4600651f94a8240a01c4dc7a950f8a4ec790eff3d4f360565731a475f64bd1b.plain",
    "v1/index/d18b41941408f0d8b2d3d99b33f081f539d9de766cd20344b7288afb669ea116",
    "v1/index/d18b41941408f0d8b2d3d99b33f081f539d9de766cd20344b7288afb669ea116.plain",
    "v1/keys/8755dbedcf65743cad277030e9cc07f1b4ef4648da1f4b03d026145eaf6f7c76",
    "v1/keys/8755dbedcf65743cad277030e9cc07f1b4ef4648da1f4b03d026145eaf6f7c76.plain",
    "v1/locks/473f4fd88d2ccff64974de84cf79010e5b889f114cc1e868a663908cbce7f296",
    "v1/locks/473f4fd88d2ccff64974de84cf79010e5b889f114cc1e868a663908cbce7f296.plain",
    "v1/snapshots/22b805d8ca383804bfbe0b119b0a187cb009f401bfc846f17c2b0712e20115e9",
    "v1/snapshots/22b805d8ca383804bfbe0b119b0a187cb009f401bfc846f17c2b0712e20115e9.plain",
    "v2/config",
    "v2/config.plain",
    "v2/data/63/63168af56f73e13cf39dd16c254e4e3ff75ebf1d193452205cde06ac60574ce2",
    "v2/data/63/63168af56f73e13cf39dd16c254e4e3ff75ebf1d193452205cde06ac60574ce2.plain",
    "v2/data/d1/d14b9c6314c4cb8bd75994c958beef87a4abea0a4684780fe0e9beefba91910f",
    "v2/data/d1/d14b9c6314c4cb8bd75994c958beef87a4abea0a4684780fe0e9beefba91910f.plain",
    "v2/index/5345b7cd7557eff7c6dc18a28a9b6427dce2fe00a354b62888bca5a52443870b",
    "v2/index/5345b7cd7557eff7c6dc18a28a9b6427dce2fe00a354b62888bca5a52443870b.plain",
    "v2/keys/eb0843bc6971c7ec7f15cd9522ce92d446534a841915f29399df68050e58d744",
    "v2/keys/eb0843bc6971c7ec7f15cd9522ce92d446534a841915f29399df68050e58d744.plain",
    "v2/locks/eed581422ed1e8726e727ff7dbf55c09dc1aeeae587017d6811e39663beae8f2",
    "v2/locks/eed581422ed1e8726e727ff7dbf55c09dc1aeeae587017d6811e39663beae8f2.plain",
    "v2/snapshots/d9f4aac4e243d18290cbe5b845da3b1af9182e8b7a04f67bf1fb49e78e3ecd80",
    "v2/snapshots/d9f4aac4e243d18290cbe5b845da3b1af9182e8b7a04f67bf1fb49e78e3ecd80.plain",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn found(directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found(&path, files);
        } else {
            files.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn every_golden_file_is_listed() {
    let mut files = Vec::new();
    found(&root(), &mut files);
    files.sort();
    assert_eq!(files, FILES);
}

#[test]
fn every_golden_object_holds_what_restic_says() {
    for version in ["v1", "v2"] {
        let key = file_of(version, "keys");
        let key = KeyFile::open(&fs::read(root().join(key)).unwrap(), PASSWORD).unwrap();
        let objects = FILES.iter().filter(|file| file.starts_with(version));
        for object in objects.filter(|file| !file.ends_with(".plain")) {
            let bytes = fs::read(root().join(object)).unwrap();
            let plain = fs::read(root().join(format!("{object}.plain"))).unwrap();
            match object.split('/').nth(1).unwrap() {
                "config" => assert_json(&key.open(&bytes).unwrap(), &plain),
                "keys" => assert_key(&key, &plain),
                "data" => assert_eq!(pack_content(&bytes, &key), plain),
                kind => assert_document(kind, &bytes, &key, &plain),
            }
        }
    }
}

fn file_of(version: &str, directory: &str) -> &'static str {
    let prefix = format!("{version}/{directory}/");
    FILES.iter().find(|file| file.starts_with(&prefix)).unwrap()
}

fn json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).unwrap()
}

fn assert_json(ours: &[u8], restics: &[u8]) {
    assert_eq!(json(ours), json(restics));
}

fn assert_key(key: &Key, plain: &[u8]) {
    use base64::Engine as _;
    let plain = json(plain);
    let part = |text: &serde_json::Value| {
        base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap()
    };
    let parts = [part(&plain["encrypt"]), part(&plain["mac"]["k"]), part(&plain["mac"]["r"])];
    assert_eq!(key.to_bytes().as_slice(), parts.concat());
}

fn assert_document(kind: &str, bytes: &[u8], key: &Key, plain: &[u8]) {
    let document = unpacked::decode(key.open(bytes).unwrap()).unwrap();
    assert_json(&document, plain);
    // Times are written in UTC, so the text differs and the meaning does not.
    match kind {
        "index" => {
            assert_eq!(IndexFile::parse(&document).unwrap().serialize().unwrap(), document);
        }
        "locks" => {
            let lock = Lock::parse(&document).unwrap();
            assert_eq!(Lock::parse(&lock.serialize().unwrap()), Ok(lock));
        }
        _ => {
            let snapshot = Snapshot::parse(&document).unwrap();
            assert_eq!(Snapshot::parse(&snapshot.serialize().unwrap()), Ok(snapshot));
        }
    }
}

/// The plaintexts of a pack's blobs, joined; trees are also written again.
fn pack_content(bytes: &[u8], key: &Key) -> Vec<u8> {
    let mut content = Vec::new();
    for entry in pack::read_header(bytes, key).unwrap() {
        let blob = read_blob(bytes, &entry, key).unwrap();
        if entry.kind == BlobType::Tree {
            assert_eq!(Tree::parse(&blob).unwrap().serialize(), blob);
        }
        content.extend_from_slice(&blob);
    }
    content
}
