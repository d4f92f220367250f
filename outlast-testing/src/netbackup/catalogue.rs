//! The catalogue: images, what can be restored from them, and the programs that list them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outlast_fs::durable;
use outlast_types::Timestamp;

use super::order::Kind;

/// How long images are kept that nobody expires.
const KEPT_SECONDS: i64 = 30 * 86_400;

/// A file in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub content: Vec<u8>,
    /// In seconds since 1970.
    pub modified: i64,
    pub mode: u32,
}

/// What one stream of a job has stored.
#[derive(Debug, Clone)]
pub struct Image {
    pub backed_up: i64,
    pub policy: String,
    pub schedule: String,
    pub kind: Kind,
    pub is_synthetic: bool,
    pub files: BTreeMap<PathBuf, Stored>,
    /// All paths that were there, whether they were taken or not: what a true image restore brings back.
    pub(super) seen: Vec<PathBuf>,
}

/// By the ids of their backups.
pub(super) type Images = BTreeMap<String, Image>;

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

pub(super) fn moment(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// What an image and those below it hold: of a full, its own; of an incremental, what was seen and lies in it or an
/// earlier one since the last full.
pub(super) fn restorable(images: &Images, backup: &str) -> BTreeMap<PathBuf, Stored> {
    let Some(image) = images.get(backup) else { return BTreeMap::new() };
    if image.kind == Kind::Full || image.kind == Kind::User {
        return image.files.clone();
    }
    let mut files = BTreeMap::new();
    for below in chain(images, image) {
        files.extend(below.files.clone());
    }
    files.retain(|path, _| image.seen.contains(path));
    files
}

/// The images that one stands on, the full first and itself last.
fn chain<'a>(images: &'a Images, image: &'a Image) -> Vec<&'a Image> {
    let mut before: Vec<&Image> = images
        .values()
        .filter(|it| {
            it.policy == image.policy && it.kind != Kind::User && it.backed_up <= image.backed_up
        })
        .collect();
    before.sort_by_key(|it| it.backed_up);
    let full = before.iter().rposition(|it| it.kind == Kind::Full);
    // Without a full, nothing of those before can be counted on.
    match full {
        Some(full) => before.split_off(full),
        None => vec![image],
    }
}

/// When the last backup began that a new one goes on from; 0 if it has to take all.
pub(super) fn since(images: &Images, policy: &str, kind: Kind) -> i64 {
    let is_base = |image: &&Image| {
        let is_of_kind = match kind {
            Kind::Full | Kind::User => false,
            Kind::Cumulative => image.kind == Kind::Full,
            Kind::Differential => image.kind != Kind::User,
        };
        image.policy == policy && is_of_kind
    };
    images.values().filter(is_base).map(|image| image.backed_up).max().unwrap_or(0)
}

/// A full of what the last backup saw.
pub(super) fn synthesize(
    images: &Images,
    policy: &str,
    schedule: &str,
    began: i64,
) -> io::Result<Image> {
    let is_of_it = |image: &Image| image.policy == policy && image.kind != Kind::User;
    let all = || images.iter().filter(|(_, image)| is_of_it(image));
    let has_full = all().any(|(_, image)| image.kind == Kind::Full);
    let last = all().max_by_key(|(_, image)| image.backed_up).filter(|_| has_full);
    let Some((backup, last)) = last else {
        return Err(io::Error::other("there is no full to make it of"));
    };
    Ok(Image {
        backed_up: began,
        policy: policy.to_owned(),
        schedule: schedule.to_owned(),
        kind: Kind::Full,
        is_synthetic: true,
        files: restorable(images, backup),
        seen: last.seen.clone(),
    })
}

/// Writes what the programs tell, and the programs. Each image's files are in a file that is called like the words by
/// which it is asked for.
pub(super) fn publish(state: &Path, programs: &Path, images: &Images) -> io::Result<()> {
    durable::create_directories(state, 0o755)?;
    let mut images: Vec<&Image> = images.values().collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.backed_up));
    let mut list = String::from(
        "Backed Up           Expires    Files       KB      C  Sched Type     On Hold  Policy\n\
         ------------------- ---------- ----------- ------- -  -------------- -------- ----------------\n",
    );
    for image in images {
        let (date, time) = civil(image.backed_up);
        let (expires, _) = civil(image.backed_up + KEPT_SECONDS);
        let kilobytes = image.files.values().map(|file| file.content.len()).sum::<usize>() / 1024;
        list.push_str(&format!(
            "{date} {time} {expires} {:>11} {kilobytes:>7} N  {:<14} 0        {}\n",
            image.files.len(),
            image.kind.shown(),
            image.policy
        ));
        let mut files = String::new();
        for (path, file) in &image.files {
            let (date, time) = named(file.modified);
            let (size, path) = (file.content.len(), path.display());
            files.push_str(&format!("-rw-r-----  outlast nbu {size:>15} {date} {time} {path}\n"));
        }
        let name = format!("{}.{time}", date.replace('/', "-"));
        durable::replace(&state.join(name), files.as_bytes(), 0o644)?;
    }
    durable::replace(&state.join("images"), list.as_bytes(), 0o644)?;
    for (name, script) in [("bpclimagelist", LIST), ("bplist", FILES)] {
        let script = script.replace("STATE", &state.display().to_string());
        durable::replace(&programs.join(name), script.as_bytes(), 0o755)?;
    }
    Ok(())
}

const LIST: &str = "#!/bin/sh
# The images of a client; 227 says that there are none.
[ \"$(wc -l < 'STATE/images')\" -gt 2 ] || { echo 'EXIT STATUS 227: no entity was found' >&2; exit 227; }
cat 'STATE/images'
";

const FILES: &str = "#!/bin/sh
# The files of the image from -s DATE TIME, below the last argument.
for last; do :; done
while [ $# -gt 0 ]; do
  case $1 in -s) name=$(printf '%s' \"$2\" | tr / -).$3; shift;; esac
  shift
done
[ -f \"STATE/$name\" ] || { echo 'EXIT STATUS 227: no entity was found' >&2; exit 227; }
grep -F \" $last/\" \"STATE/$name\" || { echo 'EXIT STATUS 227: no entity was found' >&2; exit 227; }
";

/// `11/26/2026` and `03:00:05`.
fn civil(seconds: i64) -> (String, String) {
    let text = shown(seconds);
    (format!("{}/{}/{}", &text[5..7], &text[8..10], &text[..4]), text[11..19].to_owned())
}

/// `Nov 26` and `03:00:05`.
fn named(seconds: i64) -> (String, String) {
    let text = shown(seconds);
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = text[5..7].parse().unwrap_or(1_usize).clamp(1, 12);
    (format!("{} {}", months[month - 1], &text[8..10]), text[11..19].to_owned())
}

fn shown(seconds: i64) -> String {
    Timestamp::from_unix(seconds, 0).unwrap_or(Timestamp::EPOCH).to_string()
}
