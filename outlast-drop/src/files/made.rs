//! Directories that are made where they are missing, and durable in any case.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use outlast_fs::fault;
use rustix::fs::{Mode, mkdirat};
use rustix::io::{Errno, retry_on_intr};

use super::{Access, Directory};

impl Directory {
    /// Opens `path`, which is made if it is missing, with those above it that are, each durable in
    /// its parent; with permission bits `mode`, as far as the umask allows.
    pub fn open_or_make(path: &Path, mode: u32) -> io::Result<Self> {
        let missing = match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => error,
            result => return result,
        };
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(missing);
        };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let above = Self::open_or_make(above, mode)?;
        let mode_bits = Mode::from_raw_mode(mode);
        match retry_on_intr(|| mkdirat(&above.descriptor, name, mode_bits)) {
            Err(error) if error != Errno::EXIST => return Err(above.explain(error)),
            _ => above.sync()?,
        }
        Self::open(path)
    }

    /// Opens the directory `name` inside this one, which is made with `access` if it is missing. It is
    /// durable when this returns, also one that was there: its maker may have died before it came to that.
    pub fn make_directory(&self, name: &str, access: Access) -> io::Result<Self> {
        match self.directory(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_directory(name, access)
            }
            Ok(there) => self.sync().map(|()| there),
            failed => failed,
        }
    }

    /// Opens the directory that `names` lead to from this one. Those that are missing are made, each as
    /// open as the one above, and the last as `last` says of that; all are durable when this returns, if this
    /// one is.
    ///
    /// Whoever makes something in a directory has made the directory's own name durable first. So of
    /// those that are there only the last may not be, whose maker has died or did not come to it yet.
    pub fn make_directories(&self, names: &[&str], last: fn(Access) -> Access) -> io::Result<Self> {
        self.make_below(None, names, last)
    }

    /// The same; `above` holds the name of this one, if that may not be durable yet.
    fn make_below(
        &self,
        above: Option<&Self>,
        names: &[&str],
        last: fn(Access) -> Access,
    ) -> io::Result<Self> {
        let (name, rest) = names.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        match self.directory(name) {
            Ok(there) if rest.is_empty() => self.sync().map(|()| there),
            Ok(there) => there.make_below(Some(self), rest, last),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                above.map_or(Ok(()), Self::sync)?;
                let access = self.access()?;
                if rest.is_empty() {
                    return self.create_directory(name, last(access));
                }
                self.create_directory(name, access)?.make_below(None, rest, last)
            }
            failed => failed,
        }
    }

    fn create_directory(&self, name: &str, access: Access) -> io::Result<Self> {
        let mode = access.of_directory();
        fault::point(|| self.path.join(name));
        self.meter.call(&self.path);
        let mode_bits = Mode::from_raw_mode(mode & 0o777);
        match retry_on_intr(|| mkdirat(&self.descriptor, name, mode_bits)) {
            // Somebody else was quicker, or it was we, and the reply was lost: all the rest is done
            // once more, which does no harm.
            Err(Errno::EXIST) | Ok(()) => {}
            Err(error) => return Err(self.explain(error)),
        }
        let made = self.directory(name)?;
        access.give(&made.descriptor, mode, self.descriptor.as_fd())?;
        self.sync()?;
        Ok(made)
    }

    /// Takes the name `name` by an empty directory, which no file of that name can replace; whether
    /// that was possible. What a server is asked for, and no client can remember, is which of two was
    /// first.
    pub fn take_name(&self, name: &str) -> io::Result<bool> {
        fault::point(|| self.path.join(name));
        self.meter.call(&self.path);
        let mode = Mode::from_raw_mode(0o700);
        match retry_on_intr(|| mkdirat(&self.descriptor, name, mode)) {
            Ok(()) => Ok(true),
            // It was we, an earlier time or in a reply that was lost.
            Err(Errno::EXIST) => Ok(self.facts(name.as_bytes())?.is_directory),
            Err(error) => Err(self.explain(error)),
        }
    }
}
