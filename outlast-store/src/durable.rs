//! Durable writes, until `outlast_fs::durable` has them.
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use outlast_types::{Random, SystemRandom};

pub(crate) fn publish_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut salt = [0; 8];
    SystemRandom.fill(&mut salt);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("-tmp-{}", u64::from_le_bytes(salt)));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    let result = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    result?;
    sync_directory(path.parent().unwrap_or(Path::new("/")))
}

pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(crate) fn create_directories(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}

pub(crate) fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(max).read_to_end(&mut content)?;
    Ok(content)
}

pub(crate) fn is_temporary(_name: &OsStr) -> bool {
    false
}
