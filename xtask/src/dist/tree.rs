//! Files as they will be installed: all of root, sorted by name, dated alike.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tar::{EntryType, Header};

/// What is at a path.
#[derive(Debug, Clone)]
enum Content {
    Directory,
    Bytes(Vec<u8>),
    Link(String),
}

/// Something with a mode.
#[derive(Debug, Clone)]
struct Entry {
    mode: u32,
    /// User and group, by number.
    owner: u32,
    content: Content,
}

/// Files and directories by path, without a slash at the front.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// A file, and the directories above it.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.put(path, mode, Content::Bytes(content.into()));
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, 0o777, Content::Link(target.to_owned()));
    }

    pub(super) fn directory(&mut self, path: &str, mode: u32) {
        self.put(path, mode, Content::Directory);
    }

    /// One that is not root's.
    pub(super) fn directory_of(&mut self, path: &str, mode: u32, owner: u32) {
        self.directory(path, mode);
        if let Some(entry) = self.entries.get_mut(path) {
            entry.owner = owner;
        }
    }

    fn put(&mut self, path: &str, mode: u32, content: Content) {
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for directory in above {
            let entry = Entry { mode: 0o755, owner: 0, content: Content::Directory };
            self.entries.entry(directory.to_owned()).or_insert(entry);
        }
        self.entries.insert(path.to_owned(), Entry { mode, owner: 0, content });
    }

    /// What belongs to the checkout below a directory, or a file of it, as it lies there, below `to`.
    pub(super) fn of_checkout(&mut self, root: &Path, directory: &str, to: &str) -> Result<()> {
        let names = listed(root, directory)?;
        ensure!(!names.is_empty(), "there is nothing in {directory} of the checkout");
        for name in names {
            let path = root.join(&name);
            let known =
                std::fs::symlink_metadata(&path).with_context(|| format!("look at {name}"))?;
            ensure!(known.is_file(), "{name} is no plain file");
            let mode = if known.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            let below = name.strip_prefix(directory).unwrap_or(&name);
            self.file(&format!("{to}{below}"), mode, std::fs::read(&path)?);
        }
        Ok(())
    }

    /// All of another tree, below a directory or, if that is empty, beside what is there.
    pub(super) fn add(&mut self, other: &Self, below: &str) {
        for (path, entry) in &other.entries {
            let path = if below.is_empty() { path.clone() } else { format!("{below}/{path}") };
            self.put(&path, entry.mode, entry.content.clone());
        }
    }

    /// One file of it.
    pub(super) fn only(&self, path: &str) -> Self {
        let found = self.entries.get_key_value(path);
        Self {
            entries: found.map(|(path, entry)| (path.clone(), entry.clone())).into_iter().collect(),
        }
    }

    /// The names of its files.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let files = self.entries.iter().filter(|(_, it)| matches!(it.content, Content::Bytes(_)));
        files.map(|(path, _)| path.as_str())
    }

    /// How many bytes are in its files.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match &entry.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Directory | Content::Link(_) => 0,
        });
        sizes.sum()
    }

    /// The same as an archive; names begin with `prefix`.
    pub(super) fn tar(&self, prefix: &str, moment: u64) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        if !prefix.is_empty() {
            let top = Entry { mode: 0o755, owner: 0, content: Content::Directory };
            member(&mut archive, prefix, &top, moment)?;
        }
        for (path, entry) in &self.entries {
            let slash = if matches!(entry.content, Content::Directory) { "/" } else { "" };
            member(&mut archive, &format!("{prefix}{path}{slash}"), entry, moment)?;
        }
        // Two blocks of zeros are the end.
        archive.resize(archive.len() + 1024, 0);
        Ok(archive)
    }
}

/// The names of what belongs to a checkout: what git says, which leaves out what somebody tried there; and where there
/// is no git, all but hidden names.
fn listed(root: &Path, directory: &str) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--", directory]).current_dir(root);
    let known = git.output().ok().filter(|output| output.status.success());
    if let Some(output) = known.filter(|output| !output.stdout.is_empty()) {
        let list = String::from_utf8(output.stdout).context("a name of a file is not UTF-8")?;
        return Ok(list.split_terminator('\0').map(str::to_owned).collect());
    }
    let top = directory.trim_end_matches('/');
    let (mut waiting, mut found) = (vec![top.to_owned()], Vec::new());
    while let Some(name) = waiting.pop() {
        if !root.join(&name).is_dir() {
            found.push(name);
            continue;
        }
        for entry in std::fs::read_dir(root.join(&name))? {
            let entry = entry?.file_name().into_string().ok().context("a name is not UTF-8")?;
            if !entry.starts_with('.') {
                waiting.push(format!("{name}/{entry}"));
            }
        }
    }
    Ok(found)
}

/// Appends a file to an archive. The library gives the layout of a header; what else it does to names and modes is
/// left out.
fn member(archive: &mut Vec<u8>, name: &str, entry: &Entry, moment: u64) -> Result<()> {
    let mut header = Header::new_ustar();
    let (kind, bytes, target) = match &entry.content {
        Content::Directory => (EntryType::Directory, &[][..], ""),
        Content::Bytes(bytes) => (EntryType::Regular, bytes.as_slice(), ""),
        Content::Link(target) => (EntryType::Symlink, &[][..], target.as_str()),
    };
    let fields = header.as_ustar_mut().context("a header of tar has fields")?;
    for (field, text) in [(&mut fields.name, name), (&mut fields.linkname, target)] {
        let field = field.get_mut(..text.len());
        field
            .with_context(|| format!("{text} is too long for an archive"))?
            .copy_from_slice(text.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    let name = if entry.owner == 0 { "root" } else { "outlast" };
    header.set_username(name)?;
    header.set_groupname(name)?;
    header.set_mtime(moment);
    header.set_size(bytes.len() as u64);
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(512), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_depends_on_what_is_in_it_and_not_on_the_order_in_which_it_came() {
        let mut tree = Tree::default();
        tree.file("b/c", 0o644, "x");
        tree.link("b/d", "c");
        tree.directory("a", 0o700);
        let mut other = Tree::default();
        other.directory("a", 0o700);
        other.link("b/d", "c");
        other.file("b/c", 0o644, "x");
        assert_eq!(tree.tar("./", 7).unwrap(), other.tar("./", 7).unwrap());
        assert_ne!(tree.tar("./", 7).unwrap(), other.tar("./", 8).unwrap());
        assert_eq!(tree.bytes(), 1);
        tree.file(&"n".repeat(101), 0o644, "");
        assert!(tree.tar("", 7).is_err());
    }

    #[test]
    fn a_checkout_without_git_gives_what_is_not_hidden() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["deploy/a/b.tf", "deploy/.terraform/secret", "deploy/c"] {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap();
        }
        let mut tree = Tree::default();
        tree.of_checkout(directory.path(), "deploy/", "to/").unwrap();
        assert_eq!(tree.files().collect::<Vec<_>>(), ["to/a/b.tf", "to/c"]);
        assert!(tree.of_checkout(directory.path(), "nothing/", "to/").is_err());
    }
}
