//! Building: the directory of a drop as it will appear, made of its staged copy, which is proved once more on the way.

mod packed;
mod parts;
mod tree;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use outlast_drop::sanity::{Examined, ExaminedTree};
use outlast_drop::sealing::Opener;
use outlast_drop::tar::{TarLimits, TarSource};
use outlast_drop::{Content, ContentReader, DropReadError, ReadOptions, Rejection, SealedDrop};
use outlast_fs::{EntrySource, durable, fault};
use outlast_types::{Random, Sanity, ShareId, Verdict};

use crate::age::{self, Encryptor};
use crate::error::HandoverError;
use crate::manifest::{FileEntry, MANIFEST_FILE, Manifest, is_portable};
use crate::offer::Sight;
use crate::rules::{Layout, Rules};
use crate::stage::{DIRECTORY_MODE, create};
use packed::Copied;
use parts::Parts;
pub(crate) use tree::give;

const BUFFER_BYTES: usize = 1 << 20;
/// The longest name of a file anywhere.
const NAME_BYTES_MAX: usize = 255;
/// Files that are made durable one by one.
const ONE_BY_ONE_MAX: usize = 256;

/// A drop that is ready to appear.
#[derive(Debug)]
pub struct Built {
    /// Its directory, beside the one in which it will be.
    pub path: PathBuf,
    pub manifest: Manifest,
    /// Bytes of its files.
    pub bytes: u64,
    /// What its content looks like.
    pub sanity: Sanity,
    /// What whoever brings it knows of it.
    pub sight: Sight,
    /// All that is in it, the directory itself last.
    pub(crate) entries: Vec<PathBuf>,
}

/// Who asks for it.
pub struct Wanted<'a> {
    pub rules: &'a Rules,
    pub share: ShareId,
    /// Opens what is encrypted for this agent.
    pub opener: &'a dyn Opener,
    /// For the keys of files that are encrypted.
    pub random: &'a dyn Random,
    /// Whether an operator accepted content that is no whole backup.
    pub is_cleared: bool,
    /// Whether the end was asked for.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// Builds the directory of a drop whose copy lies in `raw`, whose files are `staged`.
///
/// In the layout `drop`, the copy itself is what will appear; in others it stays, for who reads it besides.
pub fn build(
    raw: &Path,
    staged: Vec<FileEntry>,
    sealed: &mut SealedDrop,
    into: &Path,
    wanted: &Wanted<'_>,
) -> Result<Built, HandoverError> {
    let (rules, seal) = (wanted.rules, sealed.seal().clone());
    let is_encrypted = seal.sealed_to.is_some();
    if is_encrypted && rules.layout == Layout::Drop {
        let reason = "it is encrypted for this agent, and in the layout \"drop\" nobody else could ever read it: \
                      use \"plain\"";
        return Err(HandoverError::NotOffered { reason: reason.to_owned() });
    }
    if !rules.encrypt_to.is_empty() && rules.layout != Layout::Plain {
        let reason =
            format!("encrypt_to is for the layout \"plain\", and this is \"{}\"", rules.layout);
        return Err(HandoverError::NotOffered { reason });
    }
    sealed.unlock(wanted.opener)?;
    let address = sealed.address().clone();
    let mut manifest = Manifest::of(
        &rules.name,
        wanted.share,
        &address,
        &seal,
        sealed.seal_digest(),
        rules.layout,
    );
    let copy = &Copied { raw, files: &staged };
    let path = match rules.layout {
        Layout::Drop => raw.to_owned(),
        Layout::Plain | Layout::Unpacked => into.to_owned(),
    };
    let sanity = match (rules.layout, &seal.content) {
        (Layout::Drop, _) => {
            check_sizes(&staged, rules)?;
            manifest.files = staged;
            proved(sealed, &mut io::sink(), wanted)?
        }
        (Layout::Unpacked, Content::Tree) => {
            let sanity = proved(sealed, &mut io::sink(), wanted)?;
            if !tree::unpack(sealed, &path, &mut manifest, rules)? {
                // What cannot lie there as files is offered as one.
                crate::stage::remove_all(&path)?;
                manifest.layout = Layout::Plain;
                plain(sealed, &path, &mut manifest, (wanted, copy))?;
            }
            sanity
        }
        (Layout::Plain | Layout::Unpacked, _) => {
            manifest.layout = Layout::Plain;
            plain(sealed, &path, &mut manifest, (wanted, copy))?
        }
    };
    finish(path, manifest, sanity, rules)
}

/// The content as one file, or in parts where it is larger than a file may be.
fn plain(
    sealed: &SealedDrop,
    path: &Path,
    manifest: &mut Manifest,
    (wanted, copy): (&Wanted<'_>, &Copied<'_>),
) -> Result<Sanity, HandoverError> {
    durable::create_directories(path, DIRECTORY_MODE).map_err(HandoverError::io("create", path))?;
    let mut name = match &sealed.seal().content {
        Content::Stream { name } if is_portable(name) && name != MANIFEST_FILE => name.clone(),
        Content::Stream { .. } => "content".to_owned(),
        Content::Tree => format!("{}.tar", manifest.workload),
    };
    let (max, recipients) = (wanted.rules.file_max, &*wanted.rules.encrypt_to);
    // What is compressed behind an encryption for this agent is opened first, and written as it is.
    let seal = sealed.seal();
    let is_packed = wanted.rules.packed && seal.compression.is_some() && seal.sealed_to.is_none();
    let suffix = if is_packed { packed::SUFFIX } else { "" };
    let is_long = name.len() + suffix.len() + age::SUFFIX.len() > NAME_BYTES_MAX;
    if is_long && (is_packed || !recipients.is_empty()) {
        name = "content".to_owned();
    }
    name.push_str(suffix);
    let size = if is_packed { copy.size() } else { manifest.size };
    let write = |sink: &mut (dyn Write + Send)| match is_packed {
        true => {
            let sanity = proved(sealed, &mut io::sink(), wanted)?;
            copy.write(sink, wanted.is_stopped).map(|()| sanity)
        }
        false => proved(sealed, sink, wanted),
    };
    if is_packed {
        manifest.packed();
    }
    let failed = || HandoverError::io("write", path);
    if recipients.is_empty() {
        let mut parts = Parts::new(path, &name, size, max);
        let sanity = write(&mut parts)?;
        manifest.files = parts.finish().map_err(failed())?;
        return Ok(sanity);
    }
    let size = age::size(size, recipients.len());
    let parts = Parts::new(path, &(name + age::SUFFIX), size, max);
    let mut encryptor = Encryptor::new(parts, recipients, wanted.random).map_err(failed())?;
    let sanity = write(&mut encryptor)?;
    let parts = encryptor.finish().map_err(failed())?;
    manifest.files = parts.finish().map_err(failed())?;
    manifest.encryption = Some(age::ENCRYPTION.to_owned());
    Ok(sanity)
}

/// Writes the manifest, and makes all durable and as the rules want it.
fn finish(
    path: PathBuf,
    manifest: Manifest,
    sanity: Sanity,
    rules: &Rules,
) -> Result<Built, HandoverError> {
    let at = path.join(MANIFEST_FILE);
    let bytes =
        manifest.to_bytes().map_err(|error| HandoverError::io("write", &at)(error.into()))?;
    fault::point(|| at.clone());
    create(&at)?.write_all(&bytes).map_err(HandoverError::io("write", &at))?;
    let entries = tree::entries(&path)?;
    give(&entries, rules)?;
    make_durable(&path, &entries)?;
    let files: u64 = manifest.files.iter().map(|file| file.size).sum();
    let (bytes, sight) = (files + bytes.len() as u64, Sight::default());
    Ok(Built { path, manifest, bytes, sanity, sight, entries })
}

/// Makes all of it durable, at once: nothing appears before. A few are asked for one by one, since all that others write
/// to the same disk would be waited for.
fn make_durable(path: &Path, entries: &[PathBuf]) -> Result<(), HandoverError> {
    if entries.len() > ONE_BY_ONE_MAX {
        return durable::sync_file_system(path).map_err(HandoverError::io("make durable", path));
    }
    for entry in entries.iter().filter(|entry| !entry.is_symlink()) {
        fault::point(|| entry.clone());
        let synced = File::open(entry).and_then(|file| file.sync_all());
        synced.map_err(HandoverError::io("make durable", entry))?;
    }
    Ok(())
}

/// Refuses segments that are larger than a file may be: they are as their writer cut them.
fn check_sizes(files: &[FileEntry], rules: &Rules) -> Result<(), HandoverError> {
    let max = rules.file_max.unwrap_or(u64::MAX);
    let too_large = files.iter().find(|file| file.size > max);
    let count = files.len() as u64;
    let human = outlast_types::human::bytes;
    let reason = if let Some(file) = too_large {
        format!(
            "its segment {} has {}, and file_max is {}: use the layout \"plain\", which cuts anew",
            file.path,
            human(file.size),
            human(max)
        )
    } else if count > rules.files_max {
        format!(
            "it has {count} files, and files_max is {}: use the layout \"plain\"",
            rules.files_max
        )
    } else {
        return Ok(());
    };
    Err(HandoverError::NotOffered { reason })
}

/// Reads a drop from where it lies: what it looks like, or why nobody can take it.
pub fn judge(sealed: &mut SealedDrop, wanted: &Wanted<'_>) -> Result<Sanity, HandoverError> {
    sealed.unlock(wanted.opener)?;
    proved(sealed, &mut io::sink(), wanted)
}

/// Proves the content, and refuses what is no whole backup: a product would keep it for years as if it were.
fn proved(
    sealed: &SealedDrop,
    sink: &mut (dyn Write + Send),
    wanted: &Wanted<'_>,
) -> Result<Sanity, HandoverError> {
    let sanity = prove(sealed, sink, wanted)?;
    if sanity.verdict == Verdict::Broken && !wanted.is_cleared {
        let (seal, what) = (sealed.seal_digest(), sanity.to_string());
        return Err(DropReadError::Refused(Rejection::BrokenContent { seal, what }).into());
    }
    Ok(sanity)
}

/// Reads the content to its proven end, looks at it, and writes it to `sink`.
fn prove(
    sealed: &SealedDrop,
    sink: &mut (dyn Write + Send),
    wanted: &Wanted<'_>,
) -> Result<Sanity, HandoverError> {
    let reader = sealed.content(ReadOptions::SIDE_BY_SIDE);
    let watch = reader.watch();
    let trouble = Arc::new(Mutex::new(None));
    let is_stopped = wanted.is_stopped;
    let tee = Tee { inner: reader, sink, trouble: Arc::clone(&trouble), is_stopped };
    let read = match &sealed.seal().content {
        Content::Stream { .. } => {
            let mut examined = Examined::new(tee);
            let sanity = examined.watch();
            drain(|buffer| examined.read(buffer)).map(|()| sanity)
        }
        Content::Tree => {
            let mut source = ExaminedTree::new(TarSource::new(tee, TarLimits::default()));
            let sanity = source.watch();
            each_file(&mut source).map(|()| sanity)
        }
    };
    if is_stopped() {
        return Err(HandoverError::Stopped);
    }
    if let Some(error) = trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(HandoverError::io("write", Path::new("the staging directory"))(error));
    }
    if let Some(failure) = watch.failure() {
        return Err(failure.into());
    }
    match read {
        Ok(sanity) => Ok(sanity.verdict().unwrap_or_default()),
        Err(error) => match DropReadError::of(&error) {
            Some(failure) => Err(failure.clone().into()),
            None => {
                Err(HandoverError::NotOffered { reason: format!("it cannot be read: {error}") })
            }
        },
    }
}

fn each_file(source: &mut dyn EntrySource) -> io::Result<()> {
    while source.next_entry().map_err(io::Error::other)?.is_some() {
        drain(|buffer| source.read(buffer))?;
    }
    Ok(())
}

fn drain(mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A reader whose bytes are written, too.
struct Tee<'a> {
    inner: ContentReader,
    sink: &'a mut (dyn Write + Send),
    /// Why they could not be written.
    trouble: Arc<Mutex<Option<io::Error>>>,
    is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_stopped)() {
            return Err(io::Error::other("the reading is to stop"));
        }
        let length = self.inner.read(buffer)?;
        if let Err(error) = self.sink.write_all(&buffer[..length]) {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert(error);
            return Err(io::Error::other("the copy cannot be written"));
        }
        Ok(length)
    }
}
