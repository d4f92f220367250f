use proptest::prelude::*;

use super::images::Image;
use super::status::{bacula_outcome, netbackup, netbackup_outcome};
use super::*;
use crate::evidence::{Holds, Outcome};

const BACULA_JOB: &str = include_str!("../../tests/golden/bacula-job.txt");
const BACULA_UNKNOWN: &str = include_str!("../../tests/golden/bacula-unknown.txt");
const IMAGES: &str = include_str!("../../tests/golden/netbackup-bpclimagelist.txt");
const FILES: &str = include_str!("../../tests/golden/netbackup-bplist.txt");
const REPORT: &str = include_str!("../../tests/golden/netbackup-bpdbjobs.txt");
const JOB: &[u8] = include_bytes!("../../tests/golden/netbackup-job.json");
const JOBS: &[u8] = include_bytes!("../../tests/golden/netbackup-jobs.json");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn of_id(id: &str) -> Question {
    Question { job: JobFacts::of_id(id), ..Question::default() }
}

fn ended(verdict: Verdict) -> Statement {
    match verdict {
        Verdict::Ended(statement) => *statement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_of_bacula_is_read_with_the_files_that_its_catalogue_lists() {
    let record = bacula::job(BACULA_JOB).unwrap().unwrap();
    assert_eq!((record.id, record.status, record.level), (1, 'T', Some('F')));
    let directories = ["/srv/nbu/", "/srv/nbu/shop/b/", "/nowhere/"].map(str::to_owned);
    let asked = bacula::ask_files(record.id, &directories);
    let shown = bacula::files(BACULA_JOB, record.id, &asked);
    let of: Vec<_> =
        shown.iter().map(|it| (it.path.as_str(), it.size, *it.modified.start())).collect();
    let made = 1_795_735_224;
    assert_eq!(of, [("/srv/nbu/README.txt", 2, made), ("/srv/nbu/shop/b/na me.sql", 3, made)]);
    assert!(bacula::files(BACULA_JOB, 2, &asked).is_empty(), "of another job");
    let files = facts(shown, &HashMap::new());
    let said = ended(bacula::verdict(&of_id("1"), Some(record), files, "bconsole"));
    assert_eq!(said.outcome, Outcome::Well);
    assert_eq!(said.ended, Some(at("2026-11-26T23:23:28Z")));
    assert_eq!(said.job.kind.as_deref(), Some("Full"));
    assert_eq!(bacula::job(BACULA_UNKNOWN), Ok(None));
    for strange in ["", "llist jobid=1\nllist: is an invalid command.\n", "JobId: x\n"] {
        assert!(bacula::job(strange).is_err(), "nobody may think that it is gone: {strange}");
    }
    assert_eq!(bacula::verdict(&of_id("99"), None, Vec::new(), ""), Verdict::Unknown);
}

#[test]
fn nothing_but_an_id_gets_into_a_command_for_bacula() {
    assert_eq!(bacula::ask_job("12").as_deref(), Some("llist jobid=12"));
    let name = "Shop.2026-11-26_23.23.25_03";
    assert_eq!(bacula::ask_job(name), Some(format!("llist ujobid={name}")));
    for hostile in ["", "1 yes", "1\ndelete jobid=1", "shop", "1;", "\u{661}"] {
        assert_eq!(bacula::ask_job(hostile), None, "{hostile:?}");
    }
    let odd = ["/srv/a \"b\" \\c/".to_owned(), "/srv/two\nlines/".to_owned()];
    let asked = bacula::ask_files(1, &odd);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].0.ends_with("path=\"/srv/a \\\"b\\\" \\\\c/\""), "{}", asked[0].0);
}

#[test]
fn each_status_of_bacula_is_an_outcome_or_none_yet() {
    assert_eq!(bacula_outcome('T'), Some(Outcome::Well));
    assert_eq!(bacula_outcome('W'), Some(Outcome::Partial));
    for letter in ['A', 'E', 'e', 'f', 'I', 'D', '?'] {
        let Some(Outcome::Failed { words, .. }) = bacula_outcome(letter) else {
            panic!("{letter}")
        };
        assert!(words.contains(&format!("JobStatus {letter}")), "{words}");
    }
    for letter in "CRBFSmMsjcdtpailLq".chars() {
        assert_eq!(bacula_outcome(letter), None, "{letter}");
    }
}

#[test]
fn a_status_of_netbackup_says_what_it_means_and_who_does_what() {
    assert_eq!(netbackup_outcome(0), Outcome::Well);
    assert_eq!(netbackup_outcome(1), Outcome::Partial);
    let matrix = [
        2, 6, 13, 41, 54, 57, 58, 59, 71, 73, 74, 75, 76, 77, 84, 96, 129, 150, 156, 196, 1000,
        2074, 2106,
    ];
    let unknown = netbackup(31_415);
    for status in matrix {
        assert_ne!(netbackup(status), unknown, "{status} has words of its own");
        let Outcome::Failed { status: told, words } = netbackup_outcome(status) else { panic!() };
        assert!(told == status && words.contains("; "), "{words}");
    }
}

#[test]
fn images_are_found_by_the_id_of_their_backup_or_by_policy_and_time() {
    let images = images::images(IMAGES);
    assert_eq!(images.len(), 3, "one is not complete: {images:?}");
    assert_eq!(images[0].backed_up, at("2026-11-26T03:00:05Z"));
    let kinds: Vec<_> = images.iter().map(|it| it.kind.unwrap()).collect();
    assert_eq!(kinds, ["INCR", "FULL", "UBAK"]);
    assert_eq!(images::moment_of("agent_host_1795662005"), Some(images[0].backed_up));
    for no_id in ["agenthost", "4711", "_1795662005", "agenthost_x", "a_17956620051795662005"] {
        assert_eq!(images::moment_of(no_id), None, "{no_id}");
    }
    let found = images::of_job(&of_id("agenthost_1795662005"), &images);
    assert_eq!(found, [&images[0]]);
    let run = |kind: &str, began: &str| Question {
        job: JobFacts {
            policy: Some("apps-outlast".to_owned()),
            kind: Some(kind.to_owned()),
            ..JobFacts::default()
        },
        began: Some(at(began)),
        client_status: None,
    };
    assert_eq!(
        images::of_job(&run("INCR", "2026-11-26T03:00:09Z"), &images).len(),
        1,
        "its script ran a little later"
    );
    let hourly =
        [images[0].clone(), Image { backed_up: at("2026-11-26T02:10:00Z"), ..images[0].clone() }];
    let found = images::of_job(&run("INCR", "2026-11-26T03:00:09Z"), &hourly);
    assert_eq!(found, [&hourly[0]], "the one before is of the job before");
    assert!(images::of_job(&run("FULL", "2026-11-26T03:00:09Z"), &images).is_empty());
    assert!(images::of_job(&run("INCR", "2026-11-26T02:00:09Z"), &images).is_empty());
    let question = run("INCR", "2026-11-26T03:00:09Z");
    let said = ended(images::verdict(&question, &[&images[0]], Vec::new(), "bplist"));
    assert_eq!(said.job.key(), question.job.key(), "whatever is found out besides");
    assert_eq!(images::verdict(&question, &[], Vec::new(), ""), Verdict::Unknown);
}

#[test]
fn files_are_listed_with_their_second_and_the_year_that_is_meant() {
    let shown = images::files(FILES, at("2026-11-26T03:30:00Z"));
    let paths: Vec<&str> = shown.iter().map(|it| it.path.as_str()).collect();
    let drop = "/srv/nbu/shop/20261126T025530Z.0199";
    let (dump, list) = (format!("{drop}/shop db.sql"), format!("{drop}/outlast-drop.json"));
    assert_eq!(paths, [dump.as_str(), list.as_str(), "/srv/nbu/README.txt", "/srv/nbu/minutes"]);
    let second = at("2026-11-26T02:55:31Z").unix_seconds();
    assert_eq!(shown[0].modified, second..=second);
    assert_eq!(shown[1].modified, second..=second);
    assert_eq!(*shown[2].modified.start(), at("2025-12-24T02:55:31Z").unix_seconds());
    // Only to the minute: which second it was, the manifest says, if the rest agrees.
    let exact = FileFact { path: "/srv/nbu/minutes".to_owned(), size: 77, modified: second };
    let other = FileFact { modified: second + 60, ..exact.clone() };
    let found = |wanted: &FileFact| {
        let wanted = HashMap::from([(wanted.path.as_str(), wanted)]);
        facts(shown.clone(), &wanted).contains(&exact)
    };
    assert!(found(&exact) && !found(&other));
    // What a year before looks like in January.
    let shown = images::files(FILES, at("2027-01-03T00:00:00Z"));
    assert_eq!(shown[0].modified, second..=second);
}

#[test]
fn a_report_of_jobs_is_read_by_any_of_their_ids() {
    let say = |id: &str| {
        let question = of_id(id);
        jobs::verdict(&question, jobs::report(REPORT, &question), "bpdbjobs")
    };
    let well = ended(say("agenthost_1795662005"));
    assert_eq!((well.outcome, well.holds), (Outcome::Well, Holds::Everything));
    assert_eq!(well.ended, Some(at("2026-11-26T03:05:17Z")));
    assert_eq!(well.job.schedule.as_deref(), Some("daily"));
    assert_eq!(say("4712"), Verdict::Runs);
    let failed = ended(say("4713"));
    assert!(matches!(failed.outcome, Outcome::Failed { status: 96, .. }));
    assert_eq!(failed.holds, Holds::Unsaid);
    assert_eq!(say("96"), Verdict::Unknown, "a count is no id");
}

#[test]
fn an_answer_of_the_jobs_api_is_read_and_another_jobs_id_confirms_nothing() {
    let [job] = jobs::answered(JOB).unwrap().try_into().unwrap();
    let question = of_id("agenthost_1795662005");
    let found = jobs::find(&question, &[job]);
    let said = ended(jobs::verdict(&question, found, "api"));
    assert_eq!((said.outcome, said.holds), (Outcome::Well, Holds::Everything));
    let all = jobs::answered(JOBS).unwrap();
    let say = |question: &Question| jobs::verdict(question, jobs::find(question, &all), "api");
    assert!(matches!(
        ended(say(&of_id("agenthost_1795665612"))).outcome,
        Outcome::Failed { status: 96, .. }
    ));
    assert_eq!(say(&of_id("agenthost_1795662612")), Verdict::Runs);
    assert_eq!(say(&of_id("4714")), Verdict::Unknown, "it deletes images");
    let run = Question {
        job: JobFacts {
            policy: Some("apps-outlast".to_owned()),
            schedule: Some("daily".to_owned()),
            ..JobFacts::default()
        },
        ..Question::default()
    };
    assert_eq!(say(&run), Verdict::Unknown, "two of them ran");
    assert!(jobs::answered(b"{\"errorCode\": 8507}").is_err());
}

/// Takes lines away, doubles them and cuts them.
fn broken(text: &str, cut: usize, skip: usize) -> String {
    let kept = text.lines().enumerate().filter(|(number, _)| number % skip != 0);
    let mut broken: String = kept.map(|(_, line)| format!("{line}\n")).collect();
    let end = (0..=cut.min(broken.len())).rev().find(|end| broken.is_char_boundary(*end));
    broken.truncate(end.unwrap_or(0));
    broken
}

proptest! {
    #[test]
    fn no_answer_whatever_it_is_ends_a_parser(text in "\\PC{0,200}|([ -~\t]{0,60}\n){0,8}", id in "[0-9_a-z]{0,20}") {
        let question = of_id(&id);
        let _ = bacula::job(&text);
        bacula::complaint(&text);
        bacula::files(&text, 1, &[(text.clone(), "/".to_owned())]);
        images::files(&text, at("2026-11-26T00:00:00Z"));
        let found = images::images(&text);
        images::of_job(&question, &found);
        jobs::report(&text, &question);
        let _ = jobs::answered(text.as_bytes());
    }

    /// What is left of an answer that broke off says no more than the whole.
    #[test]
    fn a_broken_answer_lists_no_file_that_the_whole_one_does_not(cut in 0_usize..3000, skip in 2_usize..9) {
        let now = at("2026-11-26T03:30:00Z");
        let whole = images::files(FILES, now);
        let end_of_line = broken(FILES, cut, skip);
        // The last line may be cut in its name; one that is whole is as it was.
        let complete = &end_of_line[..end_of_line.rfind('\n').map_or(0, |end| end + 1)];
        for file in images::files(complete, now) {
            prop_assert!(whole.contains(&file));
        }
        let asked = bacula::ask_files(1, &["/srv/nbu/".to_owned(), "/srv/nbu/shop/b/".to_owned()]);
        let whole = bacula::files(BACULA_JOB, 1, &asked);
        let cut = &BACULA_JOB[..cut.min(BACULA_JOB.len())];
        let complete = &cut[..cut.rfind('\n').map_or(0, |end| end + 1)];
        for file in bacula::files(complete, 1, &asked) {
            prop_assert!(whole.contains(&file));
        }
    }

    #[test]
    fn a_listed_file_is_read_as_it_was_written(size in 0_u64..1 << 50, at in 1_000_000_000_i64..4_000_000_000, name in "[a-z][a-z ,;]{0,30}[a-z]") {
        let moment = Timestamp::from_unix(at, 0).unwrap();
        let text = moment.to_string();
        let (year, month, day) = (&text[..4], &text[5..7], &text[8..10]);
        let line = format!("-rw-r----- o g {size} {month}/{day}/{year} {} /srv/{name}\n", &text[11..19]);
        let shown = images::files(&line, moment);
        prop_assert_eq!(shown, vec![Shown { path: format!("/srv/{name}"), size, modified: at..=at }]);
    }
}
