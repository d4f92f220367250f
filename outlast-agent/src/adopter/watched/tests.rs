use outlast_drop::adopt::{Member, RuleText};
use outlast_drop::files::FileFacts;
use outlast_types::SystemRandom;
use proptest::prelude::*;

use super::*;

const SETTLE: Duration = Duration::from_secs(60);

fn path(name: &str) -> EntryPath {
    EntryPath::parse(format!("in/shop/{name}").as_bytes()).unwrap()
}

fn found(name: &str, size: u64) -> Found {
    let facts = FileFacts { size, is_file: true, modified: (1000, 0), ..FileFacts::default() };
    let members = vec![Member { name: name.as_bytes().to_vec(), facts }];
    let workload = Ok(WorkloadName::new("shop").unwrap());
    Found { path: path(name), workload, members, missing: None }
}

fn rule(change: impl FnOnce(&mut RuleText)) -> Rule {
    let mut text = RuleText { settle: SETTLE, ..RuleText::new("in/{workload}/*") };
    change(&mut text);
    Rule::parse(&text).unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn address(number: u8) -> DropAddress {
    DropAddress {
        workload: WorkloadName::new("shop").unwrap(),
        day: Timestamp::EPOCH.day(),
        drop: format!("01a2066b-8649-78cb-a8bc-a5af0e9525{number:02x}").parse().unwrap(),
    }
}

struct Scene {
    files: Files,
    rule: Rule,
    round: u64,
}

impl Scene {
    fn new(change: impl FnOnce(&mut RuleText)) -> Self {
        Self { files: Files::default(), rule: rule(change), round: 1 }
    }

    fn look(&mut self, found: &Found, seconds: u64) {
        let today = Timestamp::from_unix(100_000, 0).unwrap();
        let (by, round, now) = (&self.rule, self.round, at(seconds));
        self.files.look(found.clone(), &Looking { rule: 0, by, round, now, today });
    }

    /// The names that are to be judged.
    fn judging(&mut self) -> Vec<String> {
        let batches = self.files.take_settled(100).into_values().flatten();
        batches.map(|found| String::from_utf8(found.path.name().to_vec()).unwrap()).collect()
    }

    fn judged(&mut self, found: &Found, judged: Judged, seconds: u64) {
        self.files.judged(found, judged, at(seconds), &SystemRandom);
    }

    fn why(&self, name: &str, seconds: u64) -> Option<String> {
        let file = self.files.iter().find(|file| file.found.path == path(name)).unwrap();
        file.why(at(seconds), SETTLE)
    }
}

#[test]
fn a_file_that_has_settled_is_judged_once_and_again_when_it_is_another() {
    let mut scene = Scene::new(|_| {});
    let file = found("a", 1);
    scene.look(&file, 0);
    assert_eq!(scene.judging(), [] as [String; 0]);
    assert!(scene.why("a", 20).unwrap().contains("in 40 s"), "{:?}", scene.why("a", 20));
    scene.look(&file, 60);
    assert_eq!(scene.judging(), ["a"]);
    assert_eq!(scene.judging(), [] as [String; 0]);
    scene.judged(&file, Judged::Taken(address(1)), 60);
    for seconds in [120, 180, 9000] {
        scene.look(&file, seconds);
        assert_eq!(scene.judging(), [] as [String; 0]);
    }
    assert_eq!(scene.why("a", 9000), None);
    scene.look(&found("a", 2), 9001);
    scene.look(&found("a", 2), 9060);
    assert_eq!(scene.judging(), [] as [String; 0], "replaced in place, it begins anew");
    scene.look(&found("a", 2), 9061);
    assert_eq!(scene.judging(), ["a"]);
}

#[test]
fn a_verdict_about_what_a_file_was_is_none_about_what_it_is() {
    let mut scene = Scene::new(|_| {});
    let (old, new) = (found("a", 1), found("a", 2));
    scene.look(&old, 0);
    scene.look(&old, 60);
    assert_eq!(scene.judging(), ["a"]);
    scene.look(&new, 61);
    scene.judged(&old, Judged::Taken(address(1)), 62);
    scene.look(&new, 63);
    scene.look(&new, 122);
    assert_eq!(scene.judging(), [] as [String; 0]);
    scene.look(&new, 123);
    assert_eq!(scene.judging(), ["a"]);
}

#[test]
fn what_lacks_a_part_or_is_too_old_or_has_no_workload_is_not_judged_and_says_why() {
    let mut scene = Scene::new(|_| {});
    let lacking = Found { missing: Some(b"a.md5".to_vec()), ..found("a", 1) };
    let nameless = Found { workload: Err("no name".to_owned()), ..found("b", 1) };
    for seconds in [0, 60, 120] {
        scene.look(&lacking, seconds);
        scene.look(&nameless, seconds);
    }
    assert_eq!(scene.judging(), [] as [String; 0]);
    assert_eq!(scene.why("a", 120).unwrap(), "a.md5 is not there yet");
    assert_eq!(scene.why("b", 120).unwrap(), "no name");
    let mut scene = Scene::new(|text| text.max_age = Some(at(98_000)));
    let young = {
        let mut young = found("young", 1);
        young.members[0].facts.modified = (2001, 0);
        young
    };
    for seconds in [0, 60] {
        scene.look(&found("old", 1), seconds);
        scene.look(&young, seconds);
    }
    assert_eq!(scene.judging(), ["young"]);
    assert_eq!(scene.why("old", 60), None, "it is left alone");
}

#[test]
fn what_failed_is_left_alone_for_a_while() {
    let mut scene = Scene::new(|_| {});
    let file = found("a", 1);
    scene.look(&file, 0);
    scene.look(&file, 60);
    scene.judging();
    scene.judged(&file, Judged::Later("the server is away".to_owned()), 60);
    scene.look(&file, 61);
    assert_eq!(scene.judging(), [] as [String; 0]);
    assert!(scene.why("a", 61).unwrap().contains("the server is away"));
    scene.look(&file, 60 + 31);
    assert_eq!(scene.judging(), ["a"]);
}

#[test]
fn files_that_have_gone_are_forgotten_at_the_end_of_a_round_that_could_look_there() {
    let mut scene = Scene::new(|_| {});
    scene.look(&found("a", 1), 0);
    scene.look(&found("b", 1), 0);
    scene.files.end_round(0, 1, &[]);
    assert_eq!(scene.files.iter().count(), 2);
    scene.round = 2;
    scene.look(&found("a", 1), 60);
    let hidden = vec![vec!["in".to_owned(), "shop".to_owned()]];
    scene.files.end_round(0, 2, &hidden);
    assert_eq!(scene.files.iter().count(), 2, "nobody could look");
    scene.files.end_round(0, 2, &[vec!["in".to_owned(), "sho".to_owned()]]);
    assert_eq!(scene.files.iter().count(), 1);
    scene.files.passed_over(&[path("a")], 3);
    scene.files.end_round(0, 3, &[]);
    assert_eq!(scene.files.iter().count(), 1);
    scene.files.end_round(0, 4, &[]);
    assert_eq!(scene.files.iter().count(), 0);
}

#[test]
fn receipts_stay_for_what_was_taken_and_where_that_is_not_known() {
    let mut scene = Scene::new(|_| {});
    let file = found("a", 1);
    scene.look(&file, 0);
    assert!(!scene.files.kept().lets_go(&address(7)), "a may be any of them");
    scene.look(&file, 60);
    scene.judging();
    scene.judged(&file, Judged::Taken(address(1)), 60);
    let kept = scene.files.kept();
    assert!(!kept.lets_go(&address(1)) && kept.lets_go(&address(2)));
    let mut renamed = file.clone();
    renamed.members[0].facts.changed = (5, 0);
    scene.look(&renamed, 120);
    assert!(!scene.files.kept().lets_go(&address(1)), "it is the same, most likely");
    scene.look(&found("a", 2), 180);
    assert!(scene.files.kept().lets_go(&address(1)), "nobody has taken what was written just now");
    let all = Kept { all: true, ..Kept::default() };
    assert!(!all.lets_go(&address(1)));
}

proptest! {
    /// Whatever is seen and done, what is taken was settled as it is.
    #[test]
    fn nothing_is_judged_that_did_not_stay_as_it_is(
        steps in prop::collection::vec((0_u64..3, 0_u64..40, any::<bool>()), 1..60),
    ) {
        let mut scene = Scene::new(|_| {});
        let (mut now, mut same) = (0, (u64::MAX, 0));
        for (size, pause, is_taken) in steps {
            now += pause;
            if same.0 != size {
                same = (size, now);
            }
            let file = found("a", size);
            scene.look(&file, now);
            if scene.judging() == ["a"] {
                prop_assert!(now - same.1 >= SETTLE.as_secs(), "{now} {same:?}");
                let judged = if is_taken { Judged::Taken(address(1)) } else { Judged::Changed };
                if !is_taken {
                    // It is looked at anew from here on.
                    same = (u64::MAX, 0);
                }
                scene.judged(&file, judged, now);
            }
        }
    }
}
