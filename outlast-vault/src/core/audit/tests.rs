//! The audit log: what is changed, dropped or cut off is found and named.

use std::time::Duration;

use outlast_testing::ManualTime;
use outlast_wire::Role;
use outlast_wire::api::ErrorCode;
use proptest::prelude::*;

use super::*;
use crate::core::storage::memory::MemoryStorage;
use outlast_wire::Peer;

struct Scene {
    storage: Storage,
    clock: ManualTime,
}

impl Scene {
    fn new() -> Self {
        Self { storage: Arc::new(MemoryStorage::default()), clock: ManualTime::new(start()) }
    }

    fn open(&self) -> AuditLog {
        AuditLog::open(&self.storage, Arc::new(self.clock.clone())).unwrap()
    }

    /// A log with so many entries, in segments of about two.
    fn with(entries: u64) -> Self {
        let scene = Self::new();
        let log = scene.open();
        log.lock().segment_bytes = 400;
        for number in 0..entries {
            log.record(event(number)).unwrap();
        }
        scene
    }

    fn verdict(&self) -> AuditVerdict {
        verify(&*self.storage, None).unwrap()
    }

    fn read(&self, key: &str) -> Vec<u8> {
        self.storage.read(key, 1 << 20).unwrap().unwrap()
    }

    fn write(&self, key: &str, content: &[u8]) {
        self.storage.replace(key, content, Durability::Durable).unwrap();
    }

    /// The key of the segment with this entry, and the place of its line.
    fn line(&self, number: u64) -> (String, std::ops::Range<usize>) {
        for first in segments(&*self.storage).unwrap().into_iter().rev() {
            if first <= number {
                let content = self.read(&key_of(first));
                let mut start = 0;
                for (at, line) in (first..).zip(content.split_inclusive(|byte| *byte == b'\n')) {
                    if at == number {
                        return (key_of(first), start..start + line.len());
                    }
                    start += line.len();
                }
            }
        }
        panic!("entry {number} is not there");
    }

    fn entries(&self) -> Vec<EntryJson> {
        let mut entries = Vec::new();
        let mut take = |line: &[u8]| {
            entries.extend(serde_json::from_slice::<EntryJson>(line));
            Ok(())
        };
        export(&*self.storage, &AuditSelection::default(), &mut take).unwrap();
        entries
    }
}

fn start() -> Timestamp {
    "2026-11-25T12:00:00Z".parse().unwrap()
}

fn peer() -> Peer {
    Peer::new(Role::Agent, "road-1").unwrap()
}

fn event(number: u64) -> Event {
    let shop = WorkloadName::new("shop-db").unwrap();
    Event::by(&peer(), AuditAction::DropPublished).workload(&shop).object(number)
}

fn refusal(code: ErrorCode) -> Event {
    Event::by(&peer(), AuditAction::Requested).not_done(Outcome::Refused, code)
}

#[test]
fn what_is_written_is_found_again_in_order_and_goes_on_after_a_start() {
    let scene = Scene::with(7);
    assert!(segments(&*scene.storage).unwrap().len() > 2);
    scene.open().record(event(7)).unwrap();
    let verdict = scene.verdict();
    assert_eq!((verdict.entries, verdict.faults.as_slice()), (8, [].as_slice()));
    assert_eq!((verdict.head.number, verdict.first), (8, Some(start())));
    let objects: Vec<_> = scene.entries().into_iter().filter_map(|entry| entry.object).collect();
    assert_eq!(objects, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    let text = String::from_utf8(scene.read(&key_of(1))).unwrap();
    let first = text.lines().next().unwrap();
    assert_eq!(
        first,
        format!(
            r#"{{"version":1,"number":1,"at":"2026-11-25T12:00:00Z","actor":"agent road-1","action":"drop_published","workload":"shop-db","object":"0","outcome":"done","before":"{}"}}"#,
            "0".repeat(64)
        )
    );
}

#[test]
fn a_line_that_is_dropped_is_named() {
    for number in 1..=7 {
        let scene = Scene::with(8);
        let (key, line) = scene.line(number);
        let mut content = scene.read(&key);
        content.drain(line);
        scene.write(&key, &content);
        let [fault] = scene.verdict().faults.try_into().unwrap();
        assert!(
            matches!(fault, AuditFault::Missing { from, to, .. } if (from, to) == (number, number)),
            "{fault}"
        );
    }
}

#[test]
fn an_end_that_is_missing_is_named_also_after_the_log_went_on() {
    for cut in 1..=8 {
        let scene = Scene::with(8);
        for number in (cut..=8).rev() {
            let (key, line) = scene.line(number);
            scene.write(&key, &scene.read(&key)[..line.start]);
        }
        let faults = scene.verdict().faults;
        assert_eq!(faults, [AuditFault::EndMissing { from: cut, to: 8 }]);
        // The start tells it, gives no number twice, and the gap stays.
        scene.open().record(event(9)).unwrap();
        let verdict = scene.verdict();
        let [fault] = verdict.faults.try_into().unwrap();
        assert!(matches!(fault, AuditFault::Missing { from, to: 8, .. } if from == cut), "{fault}");
        assert_eq!(verdict.head.number, 10);
        let told = &scene.entries()[usize::try_from(cut).unwrap() - 1];
        assert_eq!(told.action, AuditAction::LogFault);
        assert!(told.details["fault"].contains(&format!("entries {cut} to 8")));
    }
}

#[test]
fn a_segment_that_is_removed_is_named() {
    let scene = Scene::with(8);
    let numbers = segments(&*scene.storage).unwrap();
    scene.storage.remove(&key_of(numbers[1])).unwrap();
    let [fault] = scene.verdict().faults.try_into().unwrap();
    let (from, to) = (numbers[1], numbers[2] - 1);
    assert!(matches!(fault, AuditFault::Missing { from: f, to: t, .. } if (f, t) == (from, to)));
}

#[test]
fn a_folder_that_is_gone_is_told_and_is_not_that_of_a_new_vault() {
    let scene = Scene::with(8);
    let head = scene.open().head();
    for first in segments(&*scene.storage).unwrap() {
        scene.storage.remove(&key_of(first)).unwrap();
    }
    let missing = AuditFault::EndMissing { from: 1, to: 8 };
    assert_eq!(scene.verdict().faults, std::slice::from_ref(&missing));
    let log = scene.open();
    assert_eq!(log.problem(), Some(missing.to_string().as_str()));
    assert_eq!(log.last_member(Source::Orders), None, "only a look at all of it tells");
    log.record(event(9)).unwrap();
    assert_eq!(log.head().number, 10, "no number is given twice");
    assert!(scene.entries()[0].details["fault"].contains("entries 1 to 8"));
    assert_eq!(scene.entries()[0].before, head.hash, "it goes on after what was lost");
    let verdict = log.verify().unwrap();
    assert!(verdict.problem().unwrap().contains("entries 1 to 8 are missing"), "{verdict:?}");
}

#[test]
fn a_log_that_is_put_back_is_whole_again() {
    let scene = Scene::with(8);
    let segments = segments(&*scene.storage).unwrap();
    let kept: Vec<_> =
        segments.iter().map(|first| (key_of(*first), scene.read(&key_of(*first)))).collect();
    for (key, _) in &kept {
        scene.storage.remove(key).unwrap();
    }
    let log = scene.open();
    assert!(log.verify().unwrap().problem().is_some());
    for (key, content) in kept {
        scene.write(&key, &content);
    }
    assert_eq!(log.verify().unwrap().faults, []);
    assert_eq!(scene.open().problem(), None);
}

#[test]
fn a_note_in_the_folder_as_older_vaults_wrote_it_counts_and_moves_out() {
    let scene = Scene::with(5);
    let note = scene.read(HEAD);
    scene.storage.remove(HEAD).unwrap();
    scene.write(HEAD_INSIDE, &note);
    let (key, line) = scene.line(5);
    scene.write(&key, &scene.read(&key)[..line.start]);
    assert_eq!(scene.verdict().faults, [AuditFault::EndMissing { from: 5, to: 5 }]);
    scene.open();
    assert_eq!(scene.storage.length(HEAD_INSIDE).unwrap(), None);
    let newest: AuditHead = serde_json::from_slice(&scene.read(HEAD)).unwrap();
    assert_eq!(newest.number, 6, "the entry that tells of the fault");
}

#[test]
fn a_line_that_a_kill_cut_off_is_cut_away_and_told() {
    let whole = Scene::with(3);
    let (_, last) = whole.line(3);
    for kept in 1..last.len() {
        let scene = Scene::with(3);
        let (key, line) = scene.line(3);
        scene.write(&key, &scene.read(&key)[..line.start + kept]);
        // The kill came before the newest hash was noted.
        let second = scene.line(2);
        let bytes = scene.read(&second.0)[second.1].to_vec();
        let head = AuditHead { number: 2, hash: hash_of(bytes.strip_suffix(b"\n").unwrap()) };
        scene.write(HEAD, &serde_json::to_vec(&head).unwrap());
        assert_eq!(scene.verdict().unfinished_bytes, kept as u64);
        scene.open();
        let verdict = scene.verdict();
        assert_eq!((verdict.faults.as_slice(), verdict.unfinished_bytes), ([].as_slice(), 0));
        let told = scene.entries().pop().unwrap();
        assert_eq!((told.number, told.action), (3, AuditAction::LogFault));
        assert_eq!(told.details["cut_off_bytes"], kept.to_string());
    }
}

#[test]
fn without_the_note_of_the_newest_hash_the_log_is_whole_all_the_same() {
    for note in [None, Some(&b"{\"number\":"[..])] {
        let scene = Scene::with(5);
        scene.storage.remove(HEAD).unwrap();
        if let Some(note) = note {
            scene.write(HEAD, note);
        }
        assert_eq!(scene.verdict().faults, []);
        scene.open().record(event(5)).unwrap();
        assert_eq!((scene.verdict().head.number, scene.verdict().faults), (6, Vec::new()));
    }
}

#[test]
fn a_hash_that_somebody_wrote_down_tells_a_log_that_was_written_anew() {
    let known = Scene::with(5).open().head();
    let forged = Scene::new();
    let log = forged.open();
    for number in 0..9 {
        log.record(event(number + 100)).unwrap();
    }
    assert_eq!(forged.verdict().faults, [], "by itself it is sound");
    let verdict = verify(&*forged.storage, Some(known.clone())).unwrap();
    assert_eq!(verdict.faults, [AuditFault::Changed { number: 5 }]);
    let honest = Scene::with(9);
    assert_eq!(verify(&*honest.storage, Some(known.clone())).unwrap().faults, []);
    let short = Scene::with(3);
    let verdict = verify(&*short.storage, Some(known)).unwrap();
    assert_eq!(verdict.faults, [AuditFault::EndMissing { from: 4, to: 5 }]);
}

#[test]
fn what_is_refused_again_and_again_takes_two_entries_a_minute_and_is_counted() {
    let scene = Scene::new();
    let log = scene.open();
    for _ in 0..1000 {
        log.record_repeated(refusal(ErrorCode::Refused)).unwrap();
    }
    log.record_repeated(refusal(ErrorCode::Contested)).unwrap();
    log.flush(false).unwrap();
    assert_eq!(scene.entries().len(), 2, "one for each code, at once");
    scene.clock.advance(Duration::from_secs(60));
    // Late, and counted still.
    log.record_repeated(refusal(ErrorCode::Refused)).unwrap();
    log.flush(false).unwrap();
    let entries = scene.entries();
    assert_eq!(entries.len(), 3);
    assert_eq!((entries[2].times, entries[2].since), (Some(1000), Some(start())));
    log.record_repeated(refusal(ErrorCode::Refused)).unwrap();
    log.record_repeated(refusal(ErrorCode::Refused)).unwrap();
    assert_eq!(scene.entries().len(), 4, "a new minute begins with an entry");
    log.flush(true).unwrap();
    assert_eq!(scene.entries()[4].times, Some(1), "at the end nothing is left uncounted");
    assert_eq!(scene.verdict().faults, []);
}

#[test]
fn many_strangers_are_counted_together_and_what_is_done_is_never_lost() {
    let scene = Scene::new();
    let log = scene.open();
    let by = |n: u32, outcome| {
        let peer = Peer::new(Role::Agent, &format!("road-{n}")).unwrap();
        let event = Event::by(&peer, AuditAction::KeyHandedOut);
        if outcome == Outcome::Done { event } else { event.not_done(outcome, ErrorCode::Refused) }
    };
    for n in 0..10_000 {
        log.record_repeated(by(n, Outcome::Refused)).unwrap();
    }
    assert_eq!(scene.entries().len(), 8193);
    log.record_repeated(by(1, Outcome::Done)).unwrap();
    log.record_repeated(by(1, Outcome::Done)).unwrap();
    assert_eq!(scene.entries().len(), 8195);
    log.flush(true).unwrap();
    let counted: u64 = scene.entries().iter().map(|entry| entry.times.unwrap_or(1)).sum();
    assert_eq!(counted, 10_002);
}

#[test]
fn a_member_of_a_list_is_written_once_whatever_segment_it_went_to() {
    let scene = Scene::with(3);
    let member =
        |log: &AuditLog, number| log.record_member(Source::Incidents, number, event(number));
    let log = scene.open();
    member(&log, 5).unwrap();
    member(&log, 5).unwrap();
    member(&log, 4).unwrap();
    log.record_member(Source::Orders, 4, event(4)).unwrap();
    assert_eq!(scene.entries().len(), 5);
    log.lock().segment_bytes = 1;
    log.record(event(9)).unwrap();
    let log = scene.open();
    log.lock().segment_bytes = 1;
    member(&log, 5).unwrap();
    assert_eq!(scene.entries().len(), 6);
    member(&log, 6).unwrap();
    assert_eq!(scene.entries().len(), 7);
    assert_eq!(scene.verdict().faults, []);
}

#[test]
fn only_what_is_asked_for_is_exported() {
    let scene = Scene::with(2);
    scene.clock.advance(Duration::from_secs(5));
    let log = scene.open();
    log.record(Event::by_vault(AuditAction::Started)).unwrap();
    let ask = |asked: AuditSelection| {
        let mut lines = 0;
        let mut take = |line: &[u8]| {
            lines += line.iter().filter(|byte| **byte == b'\n').count();
            Ok(())
        };
        export(&*scene.storage, &asked, &mut take).unwrap();
        lines
    };
    let shop = WorkloadName::new("shop-db").ok();
    let later = Some(start().saturating_add(Duration::from_secs(5)));
    assert_eq!(ask(AuditSelection::default()), 3);
    assert_eq!(ask(AuditSelection { workload: shop, ..Default::default() }), 2);
    assert_eq!(ask(AuditSelection { since: later, ..Default::default() }), 1);
    assert_eq!(ask(AuditSelection { until: later, ..Default::default() }), 2);
}

proptest! {
    #![proptest_config(outlast_testing::cases(64))]
    #[test]
    fn a_bit_that_flips_anywhere_is_found_and_its_entry_is_named(
        number in 1_u64..=8, place in 0_usize..1_000_000, bit in 0_u8..8,
    ) {
        let scene = Scene::with(8);
        let (key, line) = scene.line(number);
        let mut content = scene.read(&key);
        // Not the line's end: without it two lines are one, which has a test of its own.
        let offset = line.start + place % (line.len() - 1);
        content[offset] ^= 1 << bit;
        prop_assume!(content[offset] != b'\n');
        scene.write(&key, &content);
        let faults = scene.verdict().faults;
        let named = |fault: &AuditFault| match fault {
            AuditFault::Changed { number: found } => *found == number,
            AuditFault::Unreadable { place, .. } => place.contains("line"),
            // Its number was changed.
            AuditFault::Missing { from, .. } => *from <= number,
            AuditFault::OutOfOrder { .. } => true,
            AuditFault::EndMissing { .. } | AuditFault::Lost { .. } => false,
        };
        prop_assert!(!faults.is_empty() && named(&faults[0]), "entry {}: {:?}", number, faults);
    }
}

#[test]
fn after_a_recovery_no_number_is_given_twice_and_the_gap_is_told_and_no_fault() {
    let scene = Scene::with(5);
    let saved = scene.verdict().head;
    // Three more, which the save lacks.
    let lost = {
        let log = scene.open();
        (5..8).for_each(|number| log.record(event(number)).unwrap());
        log.head()
    };
    let recovered = Scene::with(5);
    recovered.storage.remove(HEAD).unwrap();
    let log = recovered.open();
    log.record_recovery(Some(&saved), Event::by_vault(AuditAction::Recovered)).unwrap();
    log.record(event(9)).unwrap();
    assert!(log.head().number > lost.number, "{:?}", log.head());
    drop(log);
    let verdict = recovered.verdict();
    assert_eq!((verdict.faults, verdict.entries), (Vec::new(), 7));
    assert_eq!(verdict.gaps.len(), 1);
    assert_eq!((verdict.gaps[0].from, verdict.gaps[0].to), (6, 5 + RECOVERY_GAP));
    // Whoever kept the head of a save or a kit finds it, and whoever kept a later one learns of the loss.
    assert_eq!(verify(&*recovered.storage, Some(saved.clone())).unwrap().faults, []);
    let faults = verify(&*recovered.storage, Some(lost.clone())).unwrap().faults;
    assert_eq!(faults, [AuditFault::Lost { number: lost.number }]);
    // Another start goes on.
    recovered.open().record(event(10)).unwrap();
    assert_eq!(recovered.verdict().faults, []);

    // One that does not follow what is there explains nothing.
    let (key, line) = recovered.line(5);
    let mut content = recovered.read(&key);
    content[line.start + 1] = b' ';
    recovered.write(&key, &content);
    assert!(!recovered.verdict().faults.is_empty());
}

#[test]
fn a_log_that_is_lost_as_a_whole_goes_on_after_the_head_that_a_kit_has() {
    let scene = Scene::new();
    let known = AuditHead { number: 41, hash: "ab".repeat(32) };
    let log = scene.open();
    log.record_recovery(Some(&known), Event::by_vault(AuditAction::Recovered)).unwrap();
    assert!(log.head().number > 41);
    let verdict = scene.verdict();
    assert_eq!((verdict.faults, verdict.gaps.len()), (Vec::new(), 1));
    let faults = verify(&*scene.storage, Some(known)).unwrap().faults;
    assert_eq!(faults, [AuditFault::Lost { number: 41 }]);
}
