//! What the simulator promises: of the ledger, and of itself.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use happening::{Chances, Happening, What, Whom};

mod mutants;
mod reckoning;

/// Plays it, and says all that is needed to see a fault again.
fn assert_right(scenario: &Scenario) -> Outcome {
    let outcome = simulate(scenario).unwrap();
    if !outcome.is_right() {
        let smaller = shrink(scenario, 2000);
        let faults = simulate(&smaller).unwrap().faults;
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("seed {}: {faults:#?}\nin {smaller:#?}", scenario.seed);
    }
    // Each page is one that must be, or one of which it is said why it may be.
    let Counts { pages_sent, pages_expected, pages_allowed, allowed, .. } = &outcome.counts;
    assert_eq!(*pages_sent, pages_expected + pages_allowed, "{:?}", outcome.counts);
    assert_eq!(*pages_allowed, allowed.values().sum::<u64>());
    outcome
}

/// Agents that speak less often, so that a test does not spend its time on that.
fn calm(scenario: Scenario) -> Scenario {
    Scenario { agent_deadline: Duration::from_secs(1500), ..scenario }
}

/// Two weeks of ten workloads to which nothing happens but this.
fn quiet(happenings: &[(u64, What, Whom, u64)]) -> Scenario {
    let happening = |(hour, what, whom, hours): &(u64, What, Whom, u64)| Happening {
        at: hour * 3600,
        what: *what,
        whom: *whom,
        lasts: hours * 3600,
    };
    Scenario {
        chances: Chances::none(),
        happenings: happenings.iter().map(happening).collect(),
        agents: 1,
        ..calm(Scenario::of_everything(10, 14, 3))
    }
}

#[test]
fn i2_i3_a_year_of_everything_pages_whom_it_must_and_nobody_else() {
    let outcome = assert_right(&calm(Scenario::of_everything(20, 366, 1)));
    assert!(outcome.counts.pages_sent > 100, "{:?}", outcome.counts);
    for code in ["agent-silent", "share-unusable", "clock-off", "vault-absent", "nothing-dropped"] {
        assert!(outcome.counts.causes.contains_key(code), "{code}: {:?}", outcome.counts);
    }
}

/// The seeds of random scenarios that are played: so many, or as many as somebody wants who has the time
/// (`OUTLAST_TEST_SEEDS=200`).
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("OUTLAST_TEST_SEEDS").ok();
    0..wanted.map_or(usual, |wanted| wanted.parse().unwrap())
}

#[test]
fn i2_i3_short_and_busy_scenarios_page_whom_they_must_and_nobody_else() {
    for seed in seeds(12) {
        let mut scenario = calm(Scenario::of_everything(6, 30, seed));
        for what in What::ALL {
            // Ten times as much as usual, so that one thing comes in the middle of another.
            scenario.chances.set(*what, Some(Duration::from_secs(what.usual_hours() * 360)));
        }
        scenario.agents = 2;
        assert_right(&scenario);
    }
}

#[test]
fn i2_i3_turns_windows_and_days_off_hold_where_clocks_are_changed() {
    for (start, days) in [("2028-03-08T00:00:00Z", 25), ("2028-10-22T00:00:00Z", 20)] {
        for seed in seeds(4) {
            let mut scenario = calm(Scenario::of_everything(25, days, seed));
            (scenario.start, scenario.agents) = (start.parse().unwrap(), 2);
            for what in [What::CrashLoop, What::Stopped, What::BadDrop, What::Release] {
                scenario.chances.set(what, Some(Duration::from_secs(4 * 86_400)));
            }
            for what in [What::ClockBack, What::VaultDown] {
                scenario.chances.set(what, Some(Duration::from_secs(5 * 86_400)));
            }
            assert!(assert_right(&scenario).counts.pages_sent > 20);
        }
    }
}

#[test]
fn i2_a_year_of_releases_and_crashes_in_mid_drop_pages_nobody() {
    let mut scenario = calm(Scenario::of_everything(10, 366, 5));
    (scenario.chances, scenario.agents) = (Chances::none(), 1);
    for what in [What::Release, What::ScaleOut, What::VaultRestart] {
        scenario.chances.set(what, Some(Duration::from_secs(3 * 86_400)));
    }
    let Counts { pages_sent, pages_expected, instances_vanished, .. } =
        assert_right(&scenario).counts;
    assert!(instances_vanished > 1000, "{instances_vanished}");
    // Those of policy that never drop are told, and nobody else.
    assert_eq!(pages_sent, pages_expected);
    assert!(pages_sent <= 1, "{pages_sent}");
}

#[test]
fn i2_i3_renamings_change_nothing_and_announced_releases_get_their_time() {
    let announced = |seed| {
        let mut scenario = calm(Scenario::of_everything(25, 60, seed));
        for what in [What::Rename, What::Deploy, What::Stopped, What::Pause, What::VaultRestart] {
            scenario.chances.set(what, Some(Duration::from_secs(3 * 86_400)));
        }
        Scenario { agents: 2, ..scenario }
    };
    for seed in seeds(3) {
        let scenario = announced(seed);
        let outcome = assert_right(&scenario);
        let is_renamed = |page: &&PageSent| {
            page.sentence.split(' ').any(|word| word.starts_with("w0") && word.contains('-'))
        };
        assert!(outcome.pages.iter().any(|page| is_renamed(&page)), "{:?}", outcome.counts);
        let mut as_before = scenario;
        as_before.chances.set(What::Rename, None);
        assert_eq!(assert_right(&as_before).counts.pages_expected, outcome.counts.pages_expected);
    }
}

#[test]
fn i2_i3_a_backup_product_in_trouble_pages_its_team_once_and_explains_what_it_holds_up() {
    let mut causes = BTreeSet::new();
    for seed in seeds(6) {
        let mut scenario = calm(Scenario::of_everything(60, 60, seed));
        for what in [What::ProductIdle, What::JobsFail, What::NeverConfirms, What::Withdrawn] {
            scenario.chances.set(what, Some(Duration::from_secs(10 * 86_400)));
        }
        for what in [What::HandoverFull, What::HandoverBroken, What::LinkDown, What::VaultSlow] {
            scenario.chances.set(what, Some(Duration::from_secs(12 * 86_400)));
        }
        scenario.agents = 2;
        causes.extend(assert_right(&scenario).counts.causes.into_keys());
    }
    for code in [
        "handover-job-failed",
        "handover-unread",
        "handover-unconfirmed",
        "handover-withdrawn",
        "handover-full",
        "handover-unusable",
        "not-confirmed",
    ] {
        assert!(causes.contains(code), "{code}: {causes:?}");
    }
}

#[test]
fn a_scenario_comes_out_the_same_every_time_and_another_seed_is_another_one() {
    let of = |seed| simulate(&calm(Scenario::of_everything(5, 20, seed))).unwrap();
    assert_eq!(of(7), of(7));
    assert_ne!(of(7).counts, of(8).counts);
}

#[test]
fn what_is_spelled_out_is_the_same() {
    let scenario = calm(Scenario::of_everything(5, 40, 9));
    let listed = scenario.spelled_out();
    assert!(listed.happenings.len() > 20);
    assert_eq!(simulate(&scenario).unwrap(), simulate(&listed).unwrap());
}

#[test]
fn a_line_that_is_down_for_three_days_is_one_page_for_all_that_it_holds_up() {
    let outcome = assert_right(&quiet(&[(100, What::LinkDown, Whom::Agent(0), 72)]));
    let of_agent = outcome.pages.iter().filter(|page| page.code == "agent-silent").count();
    assert_eq!(of_agent, 1, "{:?}", outcome.counts);
    let during = |page: &&PageSent| (100 * 3600..172 * 3600).contains(&page.opened);
    assert_eq!(outcome.pages.iter().filter(during).count(), 1, "{:?}", outcome.pages);
}

#[test]
fn a_workload_that_stops_is_one_page_with_its_sentence() {
    let outcome = assert_right(&quiet(&[(100, What::Stopped, Whom::Workload(1), 72)]));
    let [page] = outcome.pages.as_slice() else { panic!("{:?}", outcome.pages) };
    assert_eq!(
        (page.key.to_string().as_str(), page.code),
        ("recovery-point/w00001", "nothing-dropped")
    );
    assert!(page.resolved.is_some());
}

#[test]
fn a_promise_that_breaks_in_the_last_moment_is_no_false_page() {
    let mut scenario = Scenario::of_everything(10_000, 31, 1);
    scenario.only = Some([6351].into());
    let outcome = assert_right(&scenario);
    assert!(outcome.pages.iter().any(|page| page.opened == 31 * 86_400), "{:?}", outcome.pages);
}

#[test]
fn writers_that_die_again_and_again_are_one_page() {
    let outcome = assert_right(&quiet(&[(100, What::CrashLoop, Whom::Workload(1), 72)]));
    let [page] = outcome.pages.as_slice() else { panic!("{:?}", outcome.pages) };
    assert_eq!(page.code, "nothing-dropped");
    assert!(outcome.counts.instances_vanished >= 6, "{:?}", outcome.counts);
}

#[test]
fn what_cannot_be_played_is_refused() {
    let scenario = Scenario::of_everything(5, 20, 1);
    let error = |scenario: Scenario| simulate(&scenario).unwrap_err().to_string();
    assert_eq!(
        error(Scenario { days: 0, ..scenario.clone() }),
        "days is 0, and 1 to 3660 is possible"
    );
    let with = |what, whom| Scenario {
        happenings: vec![Happening { at: 0, what, whom, lasts: 1 }],
        ..scenario.clone()
    };
    assert_eq!(
        error(with(What::Crash, Whom::Workload(5))),
        "there is no workload 5: they are numbered from 0, and there are 5"
    );
    assert_eq!(error(with(What::Crash, Whom::Vault)), "crash befalls a workload");
}
