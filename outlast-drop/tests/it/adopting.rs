//! Adopting files of a real file system: finding, judging, copying, removing.
#![expect(clippy::disallowed_methods, reason = "files as teams write them")]

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outlast_drop::adopt::{
    self, Candidate, CopyError, Found, Judged, Round, Rule, RuleText, StepLimits, TroubleKind,
};
use outlast_drop::{
    Claims, Compression, Content, DropLimits, DropWriter, ReadOptions, SealedDrop, Share,
    WriterOptions,
};
use outlast_testing::pseudo_random;
use outlast_types::{Environment, Interrupt, SystemClock, SystemRandom, WorkloadName};

use crate::support::new_share;

const ALL: StepLimits = StepLimits { files: usize::MAX, directories: usize::MAX };

fn put(share: &Share, path: &str, content: &[u8]) -> PathBuf {
    let path = share.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn rule(glob: &str) -> Arc<Rule> {
    rule_of(RuleText::new(glob))
}

fn rule_of(text: RuleText) -> Arc<Rule> {
    Arc::new(Rule::parse(&text).unwrap())
}

fn find(share: &Share, rule: &Arc<Rule>) -> Vec<Found> {
    let step = Round::new(rule).step(share, ALL, &HashSet::new());
    assert!(step.is_over && step.troubles.is_empty(), "{:?}", step.troubles);
    step.found
}

fn paths(found: &[Found]) -> Vec<String> {
    found.iter().map(|found| found.path.to_string()).collect()
}

fn judge(share: &Share, found: &[Found]) -> Vec<Judged> {
    let limits = DropLimits::default();
    let workload = found[0].workload.clone().unwrap();
    adopt::judge(share, &workload, found, &limits, None).unwrap().judged
}

fn free(share: &Share, found: &Found) -> Candidate {
    match judge(share, std::slice::from_ref(found)).remove(0) {
        Judged::Free(candidate) => *candidate,
        other => panic!("{other:?}"),
    }
}

fn copy(share: &Share, candidate: &Candidate) -> Result<outlast_drop::Seal, CopyError> {
    adopt::copy(share, candidate, &Environment::system(), &Interrupt::default())
}

fn content(share: &Share, candidate: &Candidate) -> Vec<u8> {
    let sealed = SealedDrop::open(share, &candidate.address()).unwrap();
    let mut content = Vec::new();
    sealed.content(ReadOptions::default()).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn a_rule_finds_plain_files_and_follows_no_link_out_of_its_way() {
    let (directory, share) = new_share();
    let outside = directory.path().join("outside");
    fs::create_dir_all(outside.join("crm")).unwrap();
    fs::write(outside.join("crm/secret.dump"), b"x").unwrap();
    put(&share, "in/shop/a.dump", b"a");
    put(&share, "in/shop/b.dump.part", b"b");
    put(&share, "in/shop/.hidden.dump", b"h");
    put(&share, "in/shop/deeper/c.dump", b"c");
    put(&share, "in/crm-2/d.dump", b"d");
    put(&share, "elsewhere/shop/e.dump", b"e");
    let root = share.path();
    symlink(outside.join("crm"), root.join("in/linked")).unwrap();
    symlink(outside.join("crm/secret.dump"), root.join("in/shop/link.dump")).unwrap();
    fs::create_dir(root.join("in/shop/directory.dump")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("in/shop/fifo.dump")).status();
    assert!(made.unwrap().success());
    let found = find(&share, &rule("in/{workload}/*.dump"));
    assert_eq!(paths(&found), ["in/crm-2/d.dump", "in/shop/a.dump"]);
    assert_eq!(found[1].workload.as_ref().unwrap().as_str(), "shop");
    assert_eq!(paths(&find(&share, &rule("*/{workload}/e.dump"))), ["elsewhere/shop/e.dump"]);
    assert_eq!(paths(&find(&share, &rule("nowhere/{workload}/*"))), [] as [String; 0]);
    // The way itself may be a link.
    fs::rename(root.join("in"), outside.join("in")).unwrap();
    symlink(outside.join("in"), root.join("in")).unwrap();
    assert_eq!(paths(&find(&share, &rule("in/{workload}/*.dump"))), [] as [String; 0]);
}

#[test]
fn many_files_are_looked_at_a_step_at_a_time_and_all_of_them_once() {
    let (_directory, share) = new_share();
    for number in 0..250 {
        put(&share, &format!("in/shop/{number:03}.dump"), b"x");
        put(&share, &format!("in/w{number:03}/x.dump"), b"x");
    }
    let rule = rule("in/{workload}/*.dump");
    let limits = StepLimits { files: 40, directories: 30 };
    let mut round = Round::new(&rule);
    let (mut found, mut steps) = (Vec::new(), 0);
    loop {
        let step = round.step(&share, limits, &HashSet::new());
        assert!(step.found.len() <= limits.files);
        found.extend(paths(&step.found));
        steps += 1;
        if step.is_over {
            break;
        }
    }
    assert!(steps > 10, "{steps}");
    let all: HashSet<_> = found.iter().cloned().collect();
    assert_eq!((all.len(), found.len()), (500, 500));
    // What is known costs no look.
    let known: HashSet<_> =
        find(&share, &rule).into_iter().map(|found| found.path).take(499).collect();
    let step = Round::new(&rule).step(&share, ALL, &known);
    assert_eq!((step.found.len(), step.passed_over.len()), (1, 499));
}

#[test]
fn a_copy_is_the_file_and_no_file_is_taken_twice_whatever_it_is_called() {
    let (_directory, share) = new_share();
    let text: Vec<u8> = pseudo_random(1, 100_000).iter().map(|byte| b'a' + byte % 4).collect();
    let path = put(&share, "in/shop/a.dump", &text);
    let rule = rule("in/{workload}/*");
    let found = find(&share, &rule);
    let candidate = free(&share, &found[0]);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let seal = copy(&share, &candidate).unwrap();
    assert_eq!(content(&share, &candidate), text);
    assert_eq!(seal.compression, Some(Compression::Zstd), "the share is written less");
    assert!(seal.stored_bytes() < text.len() as u64 / 2);
    assert_eq!(seal.content, Content::stream("a.dump").unwrap());
    assert_eq!(seal.claims.source.as_ref().unwrap().position.as_deref(), Some("in/shop/a.dump"));
    assert_eq!(fs::read(&path).unwrap(), text);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    let taken = Judged::Taken(candidate.address());
    assert_eq!(judge(&share, &found), std::slice::from_ref(&taken));
    // Rotated.
    let rotated = share.path().join("in/shop/a.dump.1");
    fs::rename(&path, &rotated).unwrap();
    assert_eq!(judge(&share, &found), [Judged::Changed], "it is not there any more");
    assert_eq!(judge(&share, &find(&share, &rule)), std::slice::from_ref(&taken));
    // Copied with its times, as a restore does.
    let copied = put(&share, "in/shop/b.dump", &text);
    let times = FileTimes::new().set_modified(before);
    OpenOptions::new().write(true).open(&copied).unwrap().set_times(times).unwrap();
    assert_eq!(judge(&share, &find(&share, &rule)), [taken.clone(), taken.clone()]);
    // Written again, though with the same content.
    let times = FileTimes::new().set_modified(before + Duration::from_secs(1));
    OpenOptions::new().write(true).open(&copied).unwrap().set_times(times).unwrap();
    let judged = judge(&share, &find(&share, &rule));
    assert_eq!(judged[0], taken);
    assert!(matches!(&judged[1], Judged::Free(_)), "{judged:?}");
}

#[test]
fn the_same_file_twice_is_taken_once_and_a_drop_made_twice_is_the_same() {
    let (_directory, share) = new_share();
    let path = put(&share, "in/shop/a.dump", b"content");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let copied = put(&share, "in/shop/b.dump", b"content");
    let times = FileTimes::new().set_modified(before);
    OpenOptions::new().write(true).open(&copied).unwrap().set_times(times).unwrap();
    let found = find(&share, &rule("in/{workload}/*"));
    let judged = judge(&share, &found);
    let Judged::Free(candidate) = &judged[0] else { panic!("{judged:?}") };
    assert_eq!(judged[1], Judged::Taken(candidate.address()));
    let first = copy(&share, candidate).unwrap();
    fs::remove_dir_all(share.drop_directory(&candidate.address())).unwrap();
    assert_eq!(copy(&share, &free(&share, &found[0])).unwrap(), first, "all in it is the file's");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_taken_and_leaves_nothing() {
    let (_directory, share) = new_share();
    let path = put(&share, "in/shop/a.dump", &pseudo_random(1, 100_000));
    let rule = rule("in/{workload}/*");
    let candidate = free(&share, &find(&share, &rule)[0]);
    let changes: [&dyn Fn(); 3] = [
        &|| File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap(),
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
    ];
    for change in changes {
        change();
        assert!(matches!(copy(&share, &candidate), Err(CopyError::Changed)));
        assert!(!share.drop_directory(&candidate.address()).exists());
    }
    // The end of the agent.
    fs::remove_dir(&path).unwrap();
    fs::write(&path, pseudo_random(2, 100_000)).unwrap();
    let candidate = free(&share, &find(&share, &rule)[0]);
    let stop = Interrupt::default();
    stop.request();
    let stopped = adopt::copy(&share, &candidate, &Environment::system(), &stop);
    assert!(matches!(stopped, Err(CopyError::Stopped)));
    assert!(!share.drop_directory(&candidate.address()).exists(), "its id can be used again");
    assert_eq!(free(&share, &find(&share, &rule)[0]).address(), candidate.address());
    copy(&share, &candidate).unwrap();
}

#[test]
fn what_a_killed_agent_left_is_no_drop_and_the_file_is_taken_under_the_next_id() {
    let (_directory, share) = new_share();
    put(&share, "in/shop/a.dump", b"content");
    let found = find(&share, &rule("in/{workload}/*"));
    let first = free(&share, &found[0]);
    let begin = |candidate: &Candidate| {
        let options = WriterOptions { id: Some(candidate.address().drop), ..Default::default() };
        let (content, claims) = (Content::stream("a.dump").unwrap(), Claims::default());
        let workload = &candidate.address().workload;
        let (clock, random) = (&SystemClock, &SystemRandom);
        DropWriter::create(&share, workload, content, claims, options, clock, random).unwrap()
    };
    let mut killed = begin(&first);
    killed.write_all(b"con").unwrap();
    killed.flush().unwrap();
    drop(killed);
    let second = free(&share, &found[0]);
    assert_ne!(second.address(), first.address());
    assert!(second.is_same(&first));
    // A seal that is torn is none, either.
    drop(begin(&second));
    let torn = share.drop_directory(&second.address()).join("sealed.json");
    fs::write(torn, b"{\"version\":1,").unwrap();
    let third = free(&share, &found[0]);
    assert_ne!(third.address(), second.address());
    copy(&share, &third).unwrap();
    assert_eq!(judge(&share, &found), [Judged::Taken(third.address())]);
    // What was begun first may be forgotten before what was sealed.
    fs::remove_dir_all(share.drop_directory(&first.address())).unwrap();
    assert_eq!(judge(&share, &found), [Judged::Taken(third.address())]);
}

#[test]
fn names_that_are_no_text_travel_in_a_tree_and_those_of_a_group_together() {
    let (_directory, share) = new_share();
    let odd: &[&[u8]] = &[b"caf\xe9.dump", b"two\nlines.dump"];
    for name in odd {
        let path = share.path().join("in/odd").join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"odd content").unwrap();
    }
    let found = find(&share, &rule("in/{workload}/*.dump"));
    assert_eq!(paths(&found), [r"$'in/odd/caf\xe9.dump'", r"$'in/odd/two\nlines.dump'"]);
    for found in &found {
        let candidate = free(&share, found);
        let seal = copy(&share, &candidate).unwrap();
        assert_eq!(seal.content, Content::Tree);
        let tar = content(&share, &candidate);
        let names = tar_names(&tar);
        assert_eq!(names.into_keys().collect::<Vec<_>>(), [found.path.name()]);
    }
    let group = vec!["{base}.md5".to_owned()];
    let rule = rule_of(RuleText { group, ..RuleText::new("in/{workload}/{base}.sql") });
    put(&share, "in/shop/x.sql", b"select 1");
    let found = find(&share, &rule);
    assert_eq!(found[0].missing.as_deref(), Some(b"x.md5".as_slice()));
    put(&share, "in/shop/x.md5", b"sum");
    let found = find(&share, &rule);
    assert_eq!((found[0].missing.as_ref(), found[0].members.len()), (None, 2));
    let candidate = free(&share, &found[0]);
    copy(&share, &candidate).unwrap();
    let expected = [(&b"x.md5"[..], &b"sum"[..]), (b"x.sql", b"select 1")];
    let expected = expected.map(|(name, content)| (name.to_vec(), content.to_vec()));
    assert_eq!(tar_names(&content(&share, &candidate)), BTreeMap::from(expected));
    put(&share, "in/shop/x.md5", b"another sum");
    assert!(
        matches!(judge(&share, &find(&share, &rule))[0], Judged::Free(_)),
        "any of them counts"
    );
}

/// The files in a tar, with their content.
fn tar_names(tar: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("x.tar");
    fs::write(&archive, tar).unwrap();
    let out = directory.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut tar = std::process::Command::new("tar");
    assert!(tar.arg("-xf").arg(&archive).arg("-C").arg(&out).status().unwrap().success());
    let entries = fs::read_dir(&out).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().as_bytes().to_vec(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn what_is_compressed_stays_as_it_is() {
    let (_directory, share) = new_share();
    let packed = [b"\x1f\x8b\x08\0".to_vec(), vec![0; 100_000]].concat();
    put(&share, "in/shop/a.dump.gz", &packed);
    let candidate = free(&share, &find(&share, &rule("in/{workload}/*"))[0]);
    let seal = copy(&share, &candidate).unwrap();
    assert_eq!((seal.compression, seal.stored_bytes()), (None, packed.len() as u64));
    assert_eq!(content(&share, &candidate), packed);
}

#[test]
fn a_file_that_is_mostly_holes_or_too_long_or_somebody_elses_is_refused() {
    let (directory, share) = new_share();
    let path = put(&share, "in/shop/a.img", b"x");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(16 << 20).unwrap();
    file.seek(SeekFrom::Start(8 << 20)).unwrap();
    file.write_all(b"in the middle").unwrap();
    let shop = WorkloadName::new("shop").unwrap();
    let found = find(&share, &rule("in/{workload}/*"));
    let judged = |limits: &DropLimits, found: &[Found]| {
        adopt::judge(&share, &shop, found, limits, None).unwrap().judged.remove(0)
    };
    let refused = |limits: &DropLimits, found: &[Found]| match judged(limits, found) {
        Judged::Refused(reason) => reason,
        other => panic!("{other:?}"),
    };
    let strict = DropLimits { ratio_from: 1 << 20, ratio_max: 100, ..DropLimits::default() };
    assert!(refused(&strict, &found).contains("holes"));
    let small = DropLimits { bytes_max: 1 << 20, ..DropLimits::default() };
    assert!(refused(&small, &found).contains("drop_max"));
    // Within the limits, holes come back as what they read as, and cost the share next to nothing.
    let candidate = free(&share, &found[0]);
    let seal = copy(&share, &candidate).unwrap();
    assert!(seal.stored_bytes() < 1 << 20, "{}", seal.stored_bytes());
    assert_eq!(content(&share, &candidate), fs::read(&path).unwrap());
    let secret = directory.path().join("secret");
    fs::write(&secret, b"of another").unwrap();
    fs::hard_link(&secret, share.path().join("in/shop/link.dump")).unwrap();
    let found = find(&share, &rule("in/{workload}/*.dump"));
    assert!(refused(&DropLimits::default(), &found).contains("hard links"));
}

#[test]
fn only_what_was_adopted_as_it_is_is_removed() {
    let (_directory, share) = new_share();
    let rule = rule("in/{workload}/*");
    let adopted = |name: &str, content: &[u8]| {
        let path = put(&share, &format!("in/shop/{name}"), content);
        let found = find(&share, &rule).into_iter().find(|it| it.path.name() == name.as_bytes());
        let found = found.unwrap();
        let candidate = free(&share, &found);
        copy(&share, &candidate).unwrap();
        (path, found, candidate.address())
    };
    let (path, found, address) = adopted("a", b"first");
    fs::write(&path, b"other").unwrap();
    assert!(!adopt::remove(&share, &found, &address).unwrap(), "replaced in place");
    let now = find(&share, &rule).remove(0);
    assert!(!adopt::remove(&share, &now, &address).unwrap(), "not what the drop is");
    assert_eq!(fs::read(&path).unwrap(), b"other");
    let (path, found, address) = adopted("b", b"second");
    File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(SystemTime::now())).unwrap();
    let touched = find(&share, &rule).remove(1);
    let gone = adopt::remove(&share, &touched, &address).unwrap();
    assert!(gone && !path.exists() && found.path == touched.path);
    assert!(!adopt::remove(&share, &touched, &address).unwrap(), "it has gone");
    assert!(SealedDrop::open(&share, &address).is_ok());
    assert!(share.path().join("in/shop/a").exists());
}

#[test]
fn a_directory_that_cannot_be_looked_at_is_told_and_the_others_are_looked_at() {
    let (_directory, share) = new_share();
    put(&share, "in/shop/a.dump", b"a");
    put(&share, "in/crm/b.dump", b"b");
    let path = share.path().join("in/crm");
    let close = |mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    close(0);
    let step = Round::new(&rule("in/{workload}/*.dump")).step(&share, ALL, &HashSet::new());
    close(0o700);
    assert!(step.is_over);
    if is_root() {
        eprintln!("SKIPPED: root may look everywhere, so no directory is closed to this test");
        return;
    }
    assert_eq!(paths(&step.found), ["in/shop/a.dump"]);
    let [trouble] = step.troubles.as_slice() else { panic!("{:?}", step.troubles) };
    assert_eq!((trouble.kind, trouble.directory.join("/")), (TroubleKind::Denied, "in/crm".into()));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}
