use outlast_types::{RejectionCode, WorkloadName};
use outlast_wire::api::{Declared, StoppedWriter};

use super::*;
use crate::board::{PassNews, Seen};

fn name(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

fn drop_id(number: u32) -> DropId {
    format!("01a2066b-8649-78cb-a8bc-a5af{number:08x}").parse().unwrap()
}

fn refusal() -> Refusal {
    Refusal { code: RejectionCode::WrongHash, reason: "\u{e9}".repeat(5000), place: None }
}

/// A pass that saw `quiet` directories with nothing in them, and some workloads.
fn pass(quiet: usize) -> PassNews {
    let mut seen: BTreeMap<_, _> =
        (0..quiet).map(|number| (name(&format!("a{number:05}")), Seen::default())).collect();
    let declared = Some(Declared::default());
    seen.insert(name("declared"), Seen { declared, ..Seen::default() });
    seen.insert(name("waiting"), Seen { waiting: 3, ..Seen::default() });
    seen.insert(name("zz-bad"), Seen::default());
    PassNews {
        started: Timestamp::EPOCH,
        finished: Timestamp::EPOCH,
        is_share_usable: true,
        tenure: None,
        problems: Vec::new(),
        seen,
    }
}

/// The board after that pass.
fn board(quiet: usize) -> Board {
    let board = Board::default();
    board.begin_pass(Timestamp::EPOCH, Duration::ZERO);
    board.end_pass(None, pass(quiet), None, Duration::from_millis(1042));
    board
}

fn news(board: &Board, seconds: u64) -> News {
    board.news(Timestamp::EPOCH, Duration::from_secs(seconds))
}

#[test]
fn the_important_comes_first_and_ten_thousand_empty_directories_hide_nothing() {
    let board = board(10_001);
    let address = outlast_drop::DropAddress {
        workload: name("zz-bad"),
        day: Timestamp::EPOCH.day(),
        drop: drop_id(1),
    };
    board.refused(&address, refusal());
    let report = Report::of(&news(&board, 2), Timestamp::EPOCH).unwrap();
    let first: Vec<_> = report.pages[0].iter().take(4).map(|it| it.name.as_str()).collect();
    assert_eq!(first, ["zz-bad", "waiting", "declared", "a00000"]);
    assert_eq!(report.pages.len(), 11);
    assert!(report.pages.iter().all(|page| page.len() <= REPORT_WORKLOADS_MAX));
    assert_eq!(report.pages.iter().map(Vec::len).sum::<usize>(), 10_004);
    let rejected = &report.pages[0][0].rejected;
    assert_eq!(rejected[0].reason.chars().count(), REASON_CHARS_MAX);
    // What the vault has heard is not told again.
    board.heard(&report.pages[0]);
    let report = Report::of(&news(&board, 3), Timestamp::EPOCH).unwrap();
    assert_eq!(report.pages[0][0].name.as_str(), "waiting");
}

#[test]
fn no_page_is_longer_than_a_vault_takes_however_many_drops_were_rejected() {
    let board = board(0);
    for workload in ["one", "two", "three"] {
        for number in 0..1500 {
            let (workload, day) = (name(workload), Timestamp::EPOCH.day());
            let address = outlast_drop::DropAddress { workload, day, drop: drop_id(number) };
            board.refused(&address, refusal());
        }
    }
    let report = Report::of(&news(&board, 2), Timestamp::EPOCH).unwrap();
    assert!(report.pages.len() >= 3);
    for page in &report.pages {
        let bytes = serde_json::to_vec(page).unwrap().len();
        assert!(bytes < outlast_wire::api::BODY_BYTES_MAX / 2, "{bytes}");
    }
    let rejected: Vec<_> = report.pages.concat().into_iter().map(|it| it.rejected).collect();
    let newest = rejected.iter().filter(|of| of.iter().any(|it| it.drop == drop_id(1499)));
    assert_eq!(newest.count(), 3, "the newest of each");
}

#[test]
fn a_pass_that_stands_still_is_told_and_one_that_takes_long_is_not() {
    let board = Board::default();
    assert!(Report::of(&news(&board, 0), Timestamp::EPOCH).is_none(), "nothing is known");
    board.begin_pass(Timestamp::EPOCH, Duration::ZERO);
    for minute in 1..30 {
        let seconds = minute * 60;
        board.moved(Duration::from_secs(seconds));
        let news = news(&board, seconds + 299);
        assert!(news.hanging.is_none());
        assert_eq!(news.figures.pass_under_way_millis, Some((seconds + 299) * 1000));
    }
    let report = Report::of(&news(&board, 29 * 60 + 300), Timestamp::EPOCH).unwrap();
    let problem = &report.problems[0];
    assert_eq!(problem.code, outlast_types::ProblemCode::PassHangs);
    assert!(problem.text.contains("stands still for 5 min"), "{}", problem.text);
    assert!(!report.is_share_usable);
    // The words stay the same for a minute, so that the vault is not told each second.
    let next = Report::of(&news(&board, 29 * 60 + 359), Timestamp::EPOCH).unwrap();
    assert_eq!(next.content(), report.content());
    board.end_pass(None, pass(0), None, Duration::from_secs(4000));
    let report = Report::of(&news(&board, 9000), Timestamp::EPOCH).unwrap();
    assert!(report.problems.is_empty() && report.is_share_usable);
    assert_eq!(news(&board, 9000).figures.last_pass_millis, 4_000_000);
}

#[test]
fn a_writer_that_stopped_is_told_until_the_vault_has_heard_of_it() {
    let board = board(0);
    let address = outlast_drop::DropAddress {
        workload: name("gone"),
        day: Timestamp::EPOCH.day(),
        drop: drop_id(1),
    };
    let stopped = StoppedWriter {
        drop: drop_id(1),
        instance: "i-0abc".to_owned(),
        at: Timestamp::EPOCH,
        bytes: Some(43),
    };
    board.stopped(&address, stopped.clone());
    let told = |board: &Board| {
        let report = Report::of(&news(board, 2), Timestamp::EPOCH).unwrap();
        report.pages[0].iter().filter_map(|it| it.stopped.clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(&board), std::slice::from_ref(&stopped));
    let report = Report::of(&news(&board, 2), Timestamp::EPOCH).unwrap();
    // Another one stops while the report is on its way.
    board.stopped(&address, StoppedWriter { drop: drop_id(2), ..stopped.clone() });
    board.heard(&report.pages[0]);
    assert_eq!(told(&board)[0].drop, drop_id(2));
    let report = Report::of(&news(&board, 3), Timestamp::EPOCH).unwrap();
    board.heard(&report.pages[0]);
    assert!(told(&board).is_empty());
}
