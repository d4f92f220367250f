//! A tree of many files, most of them small: text, something like code, and some that do not
//! compress.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::measure::mib;
use super::super::scratch;
use super::random::Random;

const FILES_PER_DIRECTORY: u64 = 25;

const WORDS: [&str; 32] = [
    "fn", "let", "return", "match", "self", "value", "index", "result", "error", "buffer",
    "length", "offset", "state", "=", "(", ")", "{", "}", ";", "->", "&", "if", "else", "for",
    "while", "None", "Some", "Ok", "Err", "usize", "String", "//",
];

/// A tree of `files` files at `path`, unless it is there already.
pub(super) fn made(path: &Path, files: u64) -> Result<PathBuf> {
    if !path.exists() {
        println!("making {}", path.display());
        let partial = path.with_extension("partial");
        scratch::remove(&partial)?;
        let mut content = Vec::new();
        for number in 0..files {
            let group = number / FILES_PER_DIRECTORY;
            let directory = partial.join(format!("d{:02}/module_{group}", group % 40));
            if number % FILES_PER_DIRECTORY == 0 {
                std::fs::create_dir_all(&directory).context("cannot make a directory of data")?;
            }
            file(&mut content, number);
            File::create(directory.join(format!("file_{number}.rs")))
                .and_then(|mut file| file.write_all(&content))
                .context("cannot write data")?;
        }
        scratch::rename(&partial, path)?;
    }
    Ok(path.to_owned())
}

/// Half of the files have less than 4 KiB, one in a hundred up to 1 MiB, and one in twelve is noise.
fn file(content: &mut Vec<u8>, number: u64) {
    let mut random = Random::new(number << 20 | 5);
    let length = match random.below(100) {
        0 => random.below(1 << 20),
        1..10 => random.below(128 << 10),
        10..50 => random.below(24 << 10),
        _ => random.below(4 << 10),
    };
    let length = usize::try_from(length).unwrap_or(0);
    content.clear();
    if random.below(12) == 0 {
        content.resize(length, 0);
        random.fill(content);
        return;
    }
    while content.len() < length {
        for _ in 0..=random.skewed(9) {
            content.extend_from_slice(random.pick(&WORDS).as_bytes());
            content.push(b' ');
        }
        let name = random.skewed(5000);
        content.extend_from_slice(format!("name_{name}({});\n    ", random.skewed(200)).as_bytes());
    }
    content.truncate(length);
}

/// How many files and bytes a tree has.
pub(super) fn describe(tree: &Path) -> Result<String> {
    let (mut files, mut bytes) = (0_u64, 0);
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = std::fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let metadata = entry?;
            let (path, metadata) = (metadata.path(), metadata.metadata()?);
            if metadata.is_dir() {
                directories.push(path);
            } else if metadata.is_file() {
                files += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok(format!("of {files} files and {:.0} MiB", mib(bytes)))
}
