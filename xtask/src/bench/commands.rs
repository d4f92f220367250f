//! How each program is told what to do. All get the same work: a backup reads everything, whatever
//! was backed up before; a check reads all data; a prune leaves nothing that is not needed.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A program that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Outlast,
    Restic,
    Rustic,
    Borg,
}

/// What a program is asked to do with its repository.
#[derive(Debug, Clone, Copy)]
pub(super) enum Task<'a> {
    Init,
    /// Back this up, and read all of it, whatever was backed up before.
    Backup(&'a Path),
    /// Restore the newest snapshot into this empty directory, which is the current one.
    Restore(&'a Path),
    /// Print this file of the newest snapshot.
    Cat(&'a Path),
    Check,
    /// Remove the oldest snapshot, and everything that only it needed.
    Prune,
}

/// What a task works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) repository: &'a Path,
    /// The names of the first snapshot that is there, and of the last; empty if there is none.
    pub(super) oldest: &'a str,
    pub(super) newest: &'a str,
}

/// The arguments of each command that does the task, one after the other.
pub(super) fn commands(kind: Kind, task: Task<'_>, place: Place<'_>) -> Vec<Vec<OsString>> {
    match kind {
        Kind::Outlast => vec![outlast(task, place)],
        Kind::Restic => vec![restic(task, place)],
        Kind::Rustic => vec![rustic(task, place)],
        Kind::Borg => borg(task, place),
    }
}

fn words(list: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    list.iter().map(|word| word.as_ref().to_owned()).collect()
}

fn outlast(task: Task<'_>, place: Place<'_>) -> Vec<OsString> {
    let command = match task {
        Task::Init => words(&[&"init"]),
        Task::Backup(path) => words(&[&"backup", &path]),
        Task::Restore(target) => words(&[&"restore", &"latest", &"--target", &target]),
        Task::Cat(path) => words(&[&"cat", &"latest", &path]),
        Task::Check => words(&[&"check", &"--read-data"]),
        Task::Prune => words(&[
            &"forget",
            &place.oldest,
            &"--prune",
            &"--grace",
            &"0s",
            &"--max-repack",
            &"1000T",
            &"--max-unused",
            &"0%",
        ]),
    };
    [words(&[&"repo"]), command, words(&[&"-q", &"-r", &place.repository])].concat()
}

fn restic(task: Task<'_>, place: Place<'_>) -> Vec<OsString> {
    let command = match task {
        Task::Init => words(&[&"init"]),
        Task::Backup(path) => words(&[&"backup", &"--force", &path]),
        Task::Restore(target) => words(&[&"restore", &"latest", &"--target", &target]),
        Task::Cat(path) => words(&[&"dump", &"latest", &path]),
        Task::Check => words(&[&"check", &"--read-data"]),
        Task::Prune => words(&[&"forget", &place.oldest, &"--prune", &"--max-unused", &"0%"]),
    };
    [words(&[&"-q", &"-r", &place.repository]), command].concat()
}

fn rustic(task: Task<'_>, place: Place<'_>) -> Vec<OsString> {
    let command = match task {
        Task::Init => words(&[&"init"]),
        Task::Backup(path) => words(&[&"backup", &"--force", &path]),
        Task::Restore(target) => words(&[&"restore", &"latest", &target]),
        Task::Cat(path) => {
            let mut file = OsString::from("latest:");
            file.push(path);
            words(&[&"dump", &file])
        }
        Task::Check => words(&[&"check", &"--read-data"]),
        // What it would otherwise mark first, or leave for another time, it removes at once, as the
        // others do.
        Task::Prune => words(&[
            &"forget",
            &place.oldest,
            &"--prune",
            &"--instant-delete",
            &"--max-repack",
            &"unlimited",
            &"--max-unused",
            &"0%",
        ]),
    };
    let global = words(&[&"--no-progress", &"--log-level", &"warn", &"-r", &place.repository]);
    [global, command].concat()
}

fn borg(task: Task<'_>, place: Place<'_>) -> Vec<Vec<OsString>> {
    let repository = &place.repository;
    let archive = |name: &str| {
        let mut archive = repository.as_os_str().to_owned();
        archive.push("::");
        archive.push(name);
        archive
    };
    let command = match task {
        Task::Init => words(&[&"init", &"-e", &"repokey-blake2", repository]),
        Task::Backup(path) => words(&[
            &"create",
            &"-C",
            &"zstd,3",
            &"--files-cache",
            &"disabled",
            &archive("{now:%s.%f}"),
            &path,
        ]),
        // It extracts to where it stands.
        Task::Restore(_) => words(&[&"extract", &archive(place.newest)]),
        Task::Cat(path) => {
            // Its archives know paths from the root, without the slash.
            let path = path.strip_prefix("/").unwrap_or(path);
            words(&[&"extract", &"--stdout", &archive(place.newest), &path])
        }
        Task::Check => words(&[&"check", &"--verify-data", repository]),
        Task::Prune => {
            let delete = words(&[&"delete", &archive(place.oldest)]);
            return vec![delete, words(&[&"compact", &"--threshold", &"0", repository])];
        }
    };
    vec![command]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, task: Task<'_>) -> Vec<String> {
        let place = Place { repository: Path::new("/r"), oldest: "one", newest: "two" };
        let commands = commands(kind, task, place);
        commands.iter().map(|words| words.join(OsStr::new(" ")).into_string().unwrap()).collect()
    }

    #[test]
    fn every_backup_reads_everything() {
        let backup = Task::Backup(Path::new("/d/x.sql"));
        assert_eq!(said(Kind::Outlast, backup), ["repo backup /d/x.sql -q -r /r"]);
        assert_eq!(said(Kind::Restic, backup), ["-q -r /r backup --force /d/x.sql"]);
        assert_eq!(
            said(Kind::Rustic, backup),
            ["--no-progress --log-level warn -r /r backup --force /d/x.sql"]
        );
        let words = "create -C zstd,3 --files-cache disabled /r::{now:%s.%f} /d/x.sql";
        assert_eq!(said(Kind::Borg, backup), [words]);
    }

    #[test]
    fn a_file_is_named_as_each_program_knows_it() {
        let cat = Task::Cat(Path::new("/d/x.sql"));
        assert_eq!(said(Kind::Outlast, cat), ["repo cat latest /d/x.sql -q -r /r"]);
        assert_eq!(said(Kind::Restic, cat), ["-q -r /r dump latest /d/x.sql"]);
        assert!(said(Kind::Rustic, cat)[0].ends_with("dump latest:/d/x.sql"));
        assert_eq!(said(Kind::Borg, cat), ["extract --stdout /r::two d/x.sql"]);
    }

    #[test]
    fn prune_takes_the_oldest_snapshot_and_all_that_only_it_needed() {
        let outlast =
            "repo forget one --prune --grace 0s --max-repack 1000T --max-unused 0% -q -r /r";
        assert_eq!(said(Kind::Outlast, Task::Prune), [outlast]);
        let restic = "-q -r /r forget one --prune --max-unused 0%";
        assert_eq!(said(Kind::Restic, Task::Prune), [restic]);
        let rustic = "forget one --prune --instant-delete --max-repack unlimited --max-unused 0%";
        assert!(said(Kind::Rustic, Task::Prune)[0].ends_with(rustic));
        assert_eq!(said(Kind::Borg, Task::Prune), ["delete /r::one", "compact --threshold 0 /r"]);
    }

    #[test]
    fn restores_go_where_they_are_told() {
        let restore = Task::Restore(Path::new("/t"));
        assert_eq!(said(Kind::Outlast, restore), ["repo restore latest --target /t -q -r /r"]);
        assert_eq!(said(Kind::Restic, restore), ["-q -r /r restore latest --target /t"]);
        assert!(said(Kind::Rustic, restore)[0].ends_with("-r /r restore latest /t"));
        assert_eq!(said(Kind::Borg, restore), ["extract /r::two"]);
    }
}
