use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use outlast_types::{DropId, SystemClock, SystemRandom, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::fetch::Wanted;

fn shop() -> WorkloadName {
    WorkloadName::new("shop").unwrap()
}

fn share() -> (tempfile::TempDir, Share) {
    let directory = tempfile::tempdir().unwrap();
    let share = Share::init(directory.path(), &SystemClock, &SystemRandom).unwrap();
    (directory, share)
}

fn request(wanted: Wanted) -> Request {
    let instance = Some("green-1".to_owned());
    Request { id: RequestId::new(&SystemRandom), wanted, key: "AAAA".to_owned(), instance }
}

fn path_of(share: &Share, directory: &str, name: &str) -> PathBuf {
    share.workload_directory(&shop()).join(directory).join(name)
}

#[test]
fn a_request_is_read_as_it_was_written_and_a_torn_or_moved_one_is_none() {
    let (_directory, share) = share();
    assert!(Desk::find_requests(&share, &shop()).unwrap().is_none());
    let desk = Desk::of_requests(&share, &shop()).unwrap();
    let drop = DropId::new(&SystemClock, &SystemRandom);
    let wanted = [Wanted::Newest, Wanted::Drop(drop), Wanted::At(Timestamp::EPOCH)];
    for request in wanted.map(request) {
        let digest = desk.ask(&request).unwrap();
        assert_eq!(desk.request(request.id).unwrap(), Some((request.clone(), digest)));
        assert!(desk.ask(&request).is_err(), "an id is used once");
        let path = path_of(&share, "requests", &file_of(request.id));
        let whole = fs::read(&path).unwrap();
        let replace = |bytes: &[u8]| {
            fs::remove_file(&path).unwrap();
            File::create(&path).unwrap().write_all(bytes).unwrap();
        };
        for length in 0..whole.len() {
            replace(&whole[..length]);
            assert_eq!(desk.request(request.id).unwrap(), None, "{length}");
        }
        replace(&whole);
        // Under another id, or below another workload, it is nobody's.
        let other = RequestId::new(&SystemRandom);
        fs::copy(&path, path_of(&share, "requests", &file_of(other))).unwrap();
        assert_eq!(desk.request(other).unwrap(), None);
        let blog = WorkloadName::new("blog").unwrap();
        let elsewhere = Desk::of_requests(&share, &blog).unwrap();
        let copied = share.workload_directory(&blog).join("requests").join(file_of(request.id));
        fs::copy(&path, copied).unwrap();
        assert_eq!(elsewhere.request(request.id).unwrap(), None);
        desk.remove(other).unwrap();
        desk.remove(request.id).unwrap();
        desk.remove(request.id).unwrap();
    }
    // A link leads nowhere.
    let id = RequestId::new(&SystemRandom);
    std::os::unix::fs::symlink("/etc/passwd", path_of(&share, "requests", &file_of(id))).unwrap();
    assert_eq!(desk.request(id).unwrap(), None);
}

#[test]
fn a_reply_and_its_progress_replace_those_of_before_and_are_about_one_request() {
    let (_directory, share) = share();
    let desk = Desk::of_answers(&share, &shop()).unwrap();
    let request = RequestId::new(&SystemRandom);
    assert_eq!(desk.replied(request).unwrap(), None);
    let answer = answer_name(&SystemRandom);
    let refused = Reply { request, decision: serde_json::json!({ "text": "no" }), answer: None };
    let granted = Reply { answer: Some((answer.clone(), "sealed".to_owned())), ..refused.clone() };
    for reply in [&refused, &granted] {
        desk.reply(reply).unwrap();
        assert_eq!(desk.replied(request).unwrap().as_ref(), Some(reply));
    }
    let progress = |state, beat| Progress {
        state,
        bytes: 3,
        total: 7,
        reason: Some("r".repeat(2 * 500)),
        beat,
    };
    assert_eq!(desk.progress(Some(&answer)).unwrap(), None);
    for (answer, beat) in [(None, 1), (Some(answer.as_str()), 2), (Some(answer.as_str()), 3)] {
        desk.tell(answer, &progress(AnswerState::Writing, beat)).unwrap();
        let told = desk.progress(answer).unwrap().unwrap();
        assert_eq!((told.state, told.beat, told.bytes), (AnswerState::Writing, beat, 3));
        assert_eq!(told.reason.unwrap().len(), 500);
    }
    desk.tell_nothing().unwrap();
    assert_eq!(desk.progress(None).unwrap(), None);
    let made = desk.make_answer(&answer).unwrap();
    made.create_new("config", b"x", made.access().unwrap()).unwrap();
    let listed = desk.list(100).unwrap();
    assert_eq!((listed.requests, listed.answers), (vec![request], vec![answer.clone()]));
    assert!(listed.is_whole && !desk.list(1).unwrap().is_whole);
    desk.remove_answer(&answer).unwrap();
    desk.remove_answer(&answer).unwrap();
    assert!(desk.answer(&answer).is_err() && desk.answer("../../w").is_err());
    assert_eq!(desk.list(100).unwrap().answers, Vec::<String>::new());
}

#[test]
fn who_asks_is_heard_until_it_is_taken_away_and_where_nobody_answers_that_is_seen() {
    let (directory, share) = share();
    assert!(!is_open(&share).unwrap());
    assert!(ring(&share, &shop()).is_err());
    open(&share).unwrap();
    open(&share).unwrap();
    assert!(is_open(&share).unwrap());
    ring(&share, &shop()).unwrap();
    ring(&share, &shop()).unwrap();
    File::create(directory.path().join("fetch/No Workload")).unwrap();
    assert_eq!(rung(&share, 10).unwrap(), (vec![shop()], true));
    assert!(!rung(&share, 1).unwrap().1);
    unring(&share, &shop()).unwrap();
    unring(&share, &shop()).unwrap();
    assert_eq!(rung(&share, 10).unwrap().0, Vec::new());
}

#[test]
fn the_age_of_a_document_is_that_of_the_clock_which_dates_it() {
    let (_directory, share) = share();
    let desk = Desk::of_requests(&share, &shop()).unwrap();
    let request = request(Wanted::Newest);
    desk.ask(&request).unwrap();
    let now = desk.now(&SystemRandom).unwrap();
    assert!((-2..=2).contains(&desk.age(request.id, now).unwrap()));
    let file = File::options()
        .write(true)
        .open(path_of(&share, "requests", &file_of(request.id)))
        .unwrap();
    let past = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap() - 5000);
    file.set_times(FileTimes::new().set_modified(past)).unwrap();
    assert!((4998..=5002).contains(&desk.age(request.id, now).unwrap()));
    assert_eq!(desk.age(RequestId::new(&SystemRandom), now), None);
    assert_eq!(desk.list(10).unwrap().requests, [request.id], "nothing else is left there");
}

proptest! {
    #[test]
    fn garbage_is_no_document_and_breaks_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse::<serde_json::Value>(&bytes).is_none());
        let digest = Digest::of(Algorithm::Blake3, &bytes).to_string();
        // Proven garbage is garbage.
        let proven = proof::join(bytes, SELF, &digest);
        drop(parse::<serde_json::Value>(&proven));
    }
}
