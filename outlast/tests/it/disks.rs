//! Real file systems that a test may break: they need the right to mount, and are gone at its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{run, succeed, wait_until};

/// An ext4 file system in a file, which can be made to answer EIO to everything.
pub(crate) struct Disk {
    /// One block device from first to last: whatever the kernel still holds of the broken file
    /// system is seen by its repair, and cannot be written over it afterwards.
    device: String,
    pub(crate) path: PathBuf,
}

impl Disk {
    /// `None`, with a note, where this user may not mount.
    pub(crate) fn mount(directory: &Path, name: &str) -> Option<Self> {
        let (image, path) = (directory.join("disk.img"), directory.join(name));
        fs::create_dir_all(&path).unwrap();
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        succeed(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let mut losetup = Command::new("losetup");
        let attached = mounted(losetup.args(["--find", "--show"]).arg(&image))?;
        let disk = Self { device: attached.trim().to_owned(), path };
        disk.attach()?;
        Some(disk)
    }

    fn attach(&self) -> Option<String> {
        mounted(Command::new("mount").arg(&self.device).arg(&self.path))
    }

    /// From now on, every access is an EIO; what was not durable is lost, as in a power cut.
    pub(crate) fn fail(&self) {
        succeed(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.path));
    }

    /// What an administrator does then.
    pub(crate) fn repair(&self) {
        wait_until("nobody looks at the broken file system, and it can be unmounted", || {
            run(Command::new("umount").arg(&self.path)).status.success()
        });
        // A process of another test may have a copy of all mounts for a moment.
        let mut checked = None;
        wait_until("nobody has the device", || {
            let output = run(Command::new("e2fsck").arg("-fy").arg(&self.device));
            let is_in_use = String::from_utf8_lossy(&output.stdout).contains("is in use");
            checked = Some(output);
            !is_in_use
        });
        // 1: errors were there and are corrected.
        let checked = checked.unwrap();
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        assert!(self.attach().is_some(), "it mounts again");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
        // Takes effect when the last user is gone.
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).output();
    }
}

/// A small file system in memory, unmounted at the end.
pub(crate) struct Tmpfs {
    pub(crate) path: PathBuf,
}

impl Tmpfs {
    /// `None`, with a note, where this user may not mount.
    pub(crate) fn mount(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let tmpfs = Self { path: path.to_owned() };
        let mut mount = Command::new("mount");
        mounted(mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path)).map(|_| tmpfs)
    }

    pub(crate) fn remount_read_only(&self) {
        succeed(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.path));
    }

    pub(crate) fn resize(&self, size: &str) {
        let options = format!("remount,size={size}");
        succeed(Command::new("mount").arg("-o").arg(options).arg(&self.path));
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}

/// What a command that mounts printed; `None`, with a note, where it is not allowed.
fn mounted(command: &mut Command) -> Option<String> {
    let output = run(command);
    if output.status.success() {
        return Some(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    println!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim());
    None
}
