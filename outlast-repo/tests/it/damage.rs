//! The damage matrix: {delete, truncate, flip a bit, swap two} × {pack, index, snapshot, key,
//! config} × {open, list, restore, check} on repositories of stock restic and of our own engine.
//!
//! Whatever was done to the repository: nothing panics; `check` names the object, or opening does;
//! and a restore never passes off anything for what it is not.

use outlast_format::Sha256Id;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use outlast_format::config::Version;
use outlast_fs::EntryPath;
use outlast_fs::walk::Walk;
use outlast_repo::backup::{self, Input};
use outlast_repo::restore::{Options, restore};
use outlast_repo::{RepoError, Repository, check, read};
use outlast_store::directory::DirectoryStore;
use outlast_testing::{compare_trees, pseudo_random};
use outlast_types::{Clock, Silent, SystemClock, SystemRandom, Timestamp};

use crate::restic::{self, PASSWORD, SECOND_PASSWORD};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Damage {
    Delete,
    Truncate,
    FlipBit,
    SwapTwo,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Pack,
    Index,
    Snapshot,
    Key,
    Config,
}

/// Who has to notice.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noticed {
    /// Opening the repository fails and names the object.
    ByOpen,
    /// The check of the structure names the object.
    ByCheck,
    /// The check that reads all data names the object.
    ByReadData,
    /// The check of the structure finds what is missing; nothing is left that has its name.
    ByEffect,
    /// Nobody can: nothing else in a repository knows that there was one more.
    Never,
}

impl Kind {
    /// The objects of this kind, largest first, so that the first of the packs has content.
    pub(crate) fn objects(self, repository: &Path) -> Vec<PathBuf> {
        let directory = match self {
            Self::Config => return vec![repository.join("config")],
            Self::Pack => "data",
            Self::Index => "index",
            Self::Snapshot => "snapshots",
            Self::Key => "keys",
        };
        let mut found = Vec::new();
        let mut directories = vec![repository.join(directory)];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { found.push(path) }
            }
        }
        found.sort_by_key(|path| (std::cmp::Reverse(path.metadata().unwrap().len()), path.clone()));
        found
    }
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Damage {
    /// Does it to `objects[0]` (and `objects[1]`); the names of those that are damaged now.
    pub(crate) fn inflict(self, objects: &[PathBuf]) -> Vec<String> {
        let path = &objects[0];
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        let length = path.metadata().unwrap().len();
        match self {
            Self::Delete => fs::remove_file(path).unwrap(),
            Self::Truncate => {
                fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
            }
            Self::FlipBit => {
                let file = fs::File::options().read(true).write(true).open(path).unwrap();
                let mut byte = [0];
                file.read_exact_at(&mut byte, length / 4 * 3).unwrap();
                file.write_all_at(&[byte[0] ^ 1], length / 4 * 3).unwrap();
            }
            Self::SwapTwo => {
                let (one, two) = (fs::read(path).unwrap(), fs::read(&objects[1]).unwrap());
                fs::set_permissions(&objects[1], fs::Permissions::from_mode(0o600)).unwrap();
                for (path, content) in [(path, two), (&objects[1], one)] {
                    let file = fs::File::create(path).unwrap();
                    file.write_all_at(&content, 0).unwrap();
                }
                return vec![name(path), name(&objects[1])];
            }
        }
        vec![name(path)]
    }
}

/// Who made the repository.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Maker {
    Restic,
    Ours,
}

/// A repository with two of everything: snapshots, indexes, data packs, tree packs, keys.
pub(crate) struct Template {
    root: tempfile::TempDir,
    maker: Maker,
}

impl Template {
    pub(crate) fn get(maker: Maker) -> &'static Self {
        static RESTIC: OnceLock<Template> = OnceLock::new();
        static OURS: OnceLock<Template> = OnceLock::new();
        let template = match maker {
            Maker::Restic => &RESTIC,
            Maker::Ours => &OURS,
        };
        template.get_or_init(|| {
            let template = Self { root: tempfile::tempdir().unwrap(), maker };
            let source = template.source();
            fs::create_dir_all(source.join("sub/deep")).unwrap();
            let write = |name: &str, content: &[u8]| {
                let file = fs::File::create_new(source.join(name)).unwrap();
                file.write_all_at(content, 0).unwrap();
            };
            write("first", &pseudo_random(1, 3 << 20));
            write("sub/small", b"small");
            write("sub/deep/other", &pseudo_random(2, 700_000));
            let more = || write("second", &pseudo_random(3, 2 << 20));
            match maker {
                Maker::Restic => template.make_with_restic(more),
                Maker::Ours => template.make(more),
            }
            template
        })
    }

    fn make_with_restic(&self, more: impl FnOnce()) {
        let (source, repository) = (self.source(), self.repository());
        restic::back_up(&repository, &source, "2", "auto");
        more();
        restic::run(&repository, &source, &["backup", "."]);
        let password = self.root.path().join("password");
        let file = fs::File::create(&password).unwrap();
        file.write_all_at(SECOND_PASSWORD.as_bytes(), 0).unwrap();
        let password = password.to_str().unwrap();
        restic::run(&repository, &source, &["key", "add", "--new-password-file", password]);
    }

    fn make(&self, more: impl FnOnce()) {
        let store = Arc::new(DirectoryStore::create_layout(&self.repository()).unwrap());
        let maker = outlast_repo::Maker {
            hostname: "host".into(),
            username: "user".into(),
            created: Timestamp::EPOCH,
        };
        let (clock, random) = (SystemClock, SystemRandom);
        let repository = Repository::init(store, PASSWORD, Version::V2, &maker, &random).unwrap();
        let back_up = || {
            let walk = Walk::new(&[self.source()]).unwrap();
            let (input, options) = (Input::Tree(Box::new(walk)), backup::Options::new(clock.now()));
            let outcome =
                backup::backup(&repository, input, &options, &clock, &random, &Silent).unwrap();
            backup::publish(&repository, &outcome).unwrap();
        };
        back_up();
        more();
        back_up();
        repository.add_key(SECOND_PASSWORD, &maker, &random).unwrap();
    }

    /// Where the source lies in the snapshots.
    fn subpath(&self) -> Option<EntryPath> {
        let source = self.source();
        let inside = source.strip_prefix("/").unwrap().to_str().unwrap();
        (self.maker == Maker::Ours).then(|| EntryPath::parse(inside.as_bytes()).unwrap())
    }

    fn source(&self) -> PathBuf {
        self.root.path().join("source")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.root.path().join("repository")
    }
}

/// Every way to use the damaged repository at `path`; what each had to say.
struct Outcome {
    structure: Vec<String>,
    data: Vec<String>,
    affected: u64,
    restore: Vec<String>,
    list: Vec<String>,
    /// Lines about files that the restore left out or put aside.
    differences: Vec<String>,
}

fn check(repository: &Repository, read_data: bool) -> (Vec<String>, u64) {
    let report = check::check(
        repository,
        &check::Options { read_data, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    let affected = report.problems.iter().map(|problem| problem.affected.total).sum();
    (report.problems.iter().map(ToString::to_string).collect(), affected)
}

fn list(repository: &Repository) -> Vec<String> {
    let snapshots = read::snapshots(repository).unwrap();
    let mut errors: Vec<_> = snapshots.unreadable.iter().map(ToString::to_string).collect();
    for (_, snapshot) in snapshots.list {
        read::ls(repository, snapshot.tree, |found| {
            errors.extend(found.err().map(|error| error.to_string()));
        })
        .unwrap();
    }
    errors
}

fn use_it(repository: &Repository, template: &Template, target: &Path) -> Outcome {
    let (structure, _) = check(repository, false);
    let (data, affected) = check(repository, true);
    let mut messages = Vec::new();
    let mut differences = Vec::new();
    match read::resolve(repository, "latest") {
        Err(error) => messages.push(error.to_string()),
        Ok(latest) => {
            messages.extend(latest.unreadable.iter().map(ToString::to_string));
            let newest = latest.snapshot.tree;
            let subpath = template.subpath();
            let options = Options { verify: true, subpath, ..Options::default() };
            match restore(repository, newest, target, &options, &Silent) {
                Err(error) => messages.push(error.to_string()),
                Ok(summary) => {
                    messages.extend(summary.problems.iter().map(ToString::to_string));
                    differences = compare_trees(&template.source(), target);
                }
            }
        }
    }
    Outcome { structure, data, affected, restore: messages, list: list(repository), differences }
}

fn named(messages: &[String], names: &[String]) -> bool {
    names.iter().all(|name| messages.iter().any(|message| message.contains(name)))
}

#[track_caller]
fn case(kind: Kind, damage: Damage, noticed: Noticed) {
    case_of(Maker::Restic, kind, damage, noticed);
    case_of(Maker::Ours, kind, damage, noticed);
}

#[track_caller]
fn case_of(maker: Maker, kind: Kind, damage: Damage, noticed: Noticed) {
    let template = Template::get(maker);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("repository");
    restic::copy(&template.repository(), &path);
    let names = damage.inflict(&kind.objects(&path));
    let case = format!("{damage:?} {kind:?} of {maker:?}");
    let opened = restic::try_open(&path, PASSWORD);
    if noticed == Noticed::ByOpen {
        let error = opened.unwrap_err();
        assert!(!matches!(error, RepoError::WrongPassword { .. }), "{case}: {error}");
        let expected =
            if damage == Damage::Delete { "no repository".to_owned() } else { names[0].clone() };
        assert!(error.to_string().contains(&expected), "{case}: {error}");
        return;
    }
    // One of the two keys may be the damaged one.
    let repository = opened.or_else(|_| restic::try_open(&path, SECOND_PASSWORD)).unwrap();
    let outcome = use_it(&repository, template, &directory.path().join("target"));
    let Outcome { structure, data, affected, restore, list, differences } = outcome;
    let all = format!("{case}: {structure:#?} {data:#?} {restore:#?} {list:#?} {differences:#?}");
    match noticed {
        Noticed::ByCheck => assert!(named(&structure, &names) && named(&data, &names), "{all}"),
        Noticed::ByReadData => assert!(structure.is_empty() && named(&data, &names), "{all}"),
        Noticed::ByEffect => assert!(!structure.is_empty() && !data.is_empty(), "{all}"),
        Noticed::Never => {
            assert!(structure.is_empty() && data.is_empty() && restore.is_empty(), "{all}");
        }
        Noticed::ByOpen => {}
    }
    if matches!(kind, Kind::Pack | Kind::Index) {
        assert!(affected > 0, "what the damage hits is named: {all}");
        assert!(!restore.is_empty(), "an incomplete restore says so: {all}");
    }
    if kind == Kind::Snapshot && noticed == Noticed::ByCheck {
        // If no snapshot is left, the first one is named.
        let restored = names.iter().any(|name| named(&restore, std::slice::from_ref(name)));
        assert!(restored && named(&list, &names), "{all}");
        return;
    }
    // What has its own name is right; what is not right has another name or is not there.
    for difference in &differences {
        let honest = difference.ends_with("is missing")
            || (difference.contains(".damaged") && difference.ends_with("should not be there"));
        assert!(honest || noticed == Noticed::Never, "{all}");
    }
}

#[test]
fn packs() {
    case(Kind::Pack, Damage::Delete, Noticed::ByCheck);
    case(Kind::Pack, Damage::Truncate, Noticed::ByCheck);
    case(Kind::Pack, Damage::FlipBit, Noticed::ByReadData);
    case(Kind::Pack, Damage::SwapTwo, Noticed::ByCheck);
}

#[test]
fn indexes() {
    case(Kind::Index, Damage::Delete, Noticed::ByEffect);
    case(Kind::Index, Damage::Truncate, Noticed::ByCheck);
    case(Kind::Index, Damage::FlipBit, Noticed::ByCheck);
    case(Kind::Index, Damage::SwapTwo, Noticed::ByCheck);
}

#[test]
fn snapshots() {
    case(Kind::Snapshot, Damage::Delete, Noticed::Never);
    case(Kind::Snapshot, Damage::Truncate, Noticed::ByCheck);
    case(Kind::Snapshot, Damage::FlipBit, Noticed::ByCheck);
    case(Kind::Snapshot, Damage::SwapTwo, Noticed::ByCheck);
}

#[test]
fn keys() {
    case(Kind::Key, Damage::Delete, Noticed::Never);
    case(Kind::Key, Damage::Truncate, Noticed::ByCheck);
    case(Kind::Key, Damage::FlipBit, Noticed::ByCheck);
    case(Kind::Key, Damage::SwapTwo, Noticed::ByCheck);
}

#[test]
fn the_config() {
    case(Kind::Config, Damage::Delete, Noticed::ByOpen);
    case(Kind::Config, Damage::Truncate, Noticed::ByOpen);
    case(Kind::Config, Damage::FlipBit, Noticed::ByOpen);
}

#[test]
fn the_only_key_is_named_when_it_is_damaged() {
    let template = Template::get(Maker::Restic);
    for damage in [Damage::Truncate, Damage::FlipBit] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repository");
        restic::copy(&template.repository(), &path);
        for key in Kind::Key.objects(&path) {
            damage.inflict(&[key]);
        }
        let names: Vec<_> = Kind::Key.objects(&path).iter().map(|path| name(path)).collect();
        let error = restic::try_open(&path, PASSWORD).unwrap_err().to_string();
        assert!(names.iter().any(|name| error.contains(name)), "{error}");
    }
}

#[test]
fn a_wrong_password_is_called_that() {
    let path = Template::get(Maker::Ours).repository();
    let error = restic::try_open(&path, "not this").unwrap_err();
    assert!(matches!(error, RepoError::WrongPassword { keys: 2, .. }), "{error}");
}

#[test]
fn packs_that_no_index_lists_are_harmless_leftovers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("repository");
    restic::copy(&Template::get(Maker::Restic).repository(), &path);
    let id = outlast_format::PackId::of(b"left over");
    let shard = path.join("data").join(&id.to_string()[..2]);
    fs::create_dir_all(&shard).unwrap();
    fs::File::create(shard.join(id.to_string())).unwrap().write_all_at(b"left over", 0).unwrap();
    let repository = restic::open(&path);
    let report = check::check(
        &repository,
        &check::Options { read_data: true, ..check::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(report.is_clean(), "{:#?}", report.problems);
    assert_eq!(report.leftovers, [id]);
}
