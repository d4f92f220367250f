//! Directories: the share and how it is mounted, what is free, what may be written.

use std::path::Path;

use outlast_drop::{Share, ShareError};
use outlast_types::human;
use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;

use super::finding::Finding;
use super::mount::Mount;

/// What an agent needs for its journals and caches.
pub(super) const STATE_BYTES_MIN: u64 = 256 << 20;
/// What a vault needs to take one drop more.
pub(super) const VAULT_BYTES_MIN: u64 = 1 << 30;
/// What instances need to write one drop more.
pub(super) const SHARE_BYTES_MIN: u64 = 256 << 20;
/// Less than this part of a file system is a warning.
const FREE_PART: u64 = 10;

/// Looks at the share of an agent.
pub(super) fn share(path: &Path, found: &mut Vec<Finding>) {
    let shown = path.display();
    let mount = Mount::of(path);
    let kind = mount.as_ref().map_or("a file system that is not known", |mount| &mount.kind);
    let share = match Share::open(path) {
        Ok(share) => share,
        Err(error) => {
            let fix = match error {
                ShareError::NotADirectory { .. } | ShareError::NotAShare { .. } => {
                    "mount the share there (`findmnt` lists what is mounted), or correct `share` in \
                     [agent]; `outlast share init` makes a share of an empty directory"
                }
                ShareError::UnknownVersion { .. } => "install a newer outlast here",
                _ => "look at the mount and its server; the error says what the system answered",
            };
            let said = match &mount {
                Some(mount) if path.exists() => {
                    format!("{error} (it lies on {}, {})", mount.point.display(), mount.kind)
                }
                _ => error.to_string(),
            };
            found.push(Finding::bad("share", said).fix(fix));
            return;
        }
    };
    let what = format!("{shown} is the share {}, on {kind}", share.id());
    found.push(match &mount {
        Some(mount) if mount.point == Path::new("/") => Finding::warning("share", what).fix(
            "it lies on this host's own root file system, where no other host can drop; good for \
             trying out only",
        ),
        Some(mount) if !mount.is_network() => Finding::good(
            "share",
            format!("{what}, which is of this host: other hosts must reach it by a server here"),
        ),
        _ => Finding::good("share", what),
    });
    writable("share", &path.join("w"), found);
    space("share", path, SHARE_BYTES_MIN, found);
}

/// Looks at a directory of a role's own, which it makes if it is missing.
pub(super) fn directory(
    check: &'static str,
    path: &Path,
    bytes_min: u64,
    found: &mut Vec<Finding>,
) {
    let Some(nearest) = path.ancestors().find(|path| path.exists()) else { return };
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    writable(check, nearest, found);
    space(check, nearest, bytes_min, found);
}

fn writable(check: &'static str, path: &Path, found: &mut Vec<Finding>) {
    let shown = path.display();
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match access(path, wanted) {
        Ok(()) => {}
        // The first drop makes it.
        Err(Errno::NOENT) => {}
        Err(Errno::ROFS) => found.push(
            Finding::bad(check, format!("{shown} is mounted read-only")).fix("mount it writable"),
        ),
        Err(error) => found.push(
            Finding::bad(check, format!("this user may not write to {shown}: {error}"))
                .fix("look at its owner and mode, and run this as the user of the role"),
        ),
    }
}

fn space(check: &'static str, path: &Path, bytes_min: u64, found: &mut Vec<Finding>) {
    let shown = path.display();
    let stat = match statvfs(path) {
        Ok(stat) => stat,
        Err(error) => {
            let words = format!("cannot see how much is free on {shown}: {error}");
            return found.push(Finding::unknown(check, words));
        }
    };
    let (free, all) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
    let said = format!("{} of {} are free on {shown}", human::bytes(free), human::bytes(all));
    // Network file systems that grow tell of no end, and some of no number of files.
    let few_files = stat.f_files > 0 && stat.f_favail * FREE_PART * 10 < stat.f_files;
    found.push(if all > 0 && free < bytes_min {
        Finding::bad(check, said).fix("free space there, or make it larger")
    } else if all > 0 && free < all / FREE_PART {
        Finding::warning(check, said).fix("free space there, or make it larger")
    } else if few_files {
        let files = format!("only {} more files fit on {shown}", stat.f_favail);
        Finding::warning(check, files).fix("remove small files there, or make it larger")
    } else {
        Finding::good(check, said)
    });
}
