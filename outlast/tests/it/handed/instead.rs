//! Workloads that a product alone gets: nothing of them is shipped, and its confirmation alone frees them.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use outlast_fs::fault::DIE_AT;
use outlast_handover::State;

use super::site::{Past, quick};
use super::world::World;
use crate::harness::{Up, document, run, succeed, wait_until};

const INSTEAD: &str = "instead = true";
const CONFIRMED: (&str, &str) = ("OUTLAST_PROMISE_SAFE", "confirmed");
const SIGKILL: i32 = 9;

/// A drop that lies where the product reads, and that a job of this number has, by the vault's word, too.
fn confirmed(world: &mut World, number: u64) -> String {
    let drop = world.drop("shop", 100_000, number);
    world.wait_for(&drop, State::Offered);
    world.run_job(&format!("host_{number}"));
    wait_until("the vault has signed that it heard so", || world.is_countersigned(&drop));
    drop
}

#[test]
fn i1_what_a_product_alone_gets_is_never_shipped_and_goes_when_it_and_a_newer_one_are_confirmed() {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let first = world.drop("shop", 100_000, 1);
    world.wait_for(&first, State::Offered);
    let accepted = world.up.wait_for_receipt("shop", &first, "accepted");
    assert!(accepted["size"].as_u64().is_some_and(|size| size > 100_000), "{accepted}");
    let second = world.drop("shop", 100_000, 2);
    world.wait_for(&second, State::Offered);
    world.several_passes();
    assert!(world.is_on_share("shop", &first), "nobody has confirmed it");
    // Only the newer one is confirmed, and then the older one, too.
    let offered = world.find(&second).unwrap();
    world.run_job_of("host_2", &offered.path);
    wait_until("the vault has signed that", || world.is_countersigned(&second));
    world.several_passes();
    assert!(world.is_on_share("shop", &first) && world.find(&first).is_some());
    world.run_job("host_3");
    world.wait_until_freed(&first);
    assert!(world.is_on_share("shop", &second) && world.find(&second).is_some());
    for drop in [&first, &second] {
        assert!(!world.up.receipt("shop", drop, "vaulted").exists(), "it was shipped");
    }
    // The promise is kept by what the product has.
    let shown = document(&mut world.up.ask(&["workload", "show", "shop", "--json"]));
    let shown = &shown["workloads"][0];
    assert_eq!(shown["safe"], "confirmed", "{shown}");
    assert_eq!(shown["state"], "fresh", "{shown}");
    assert_eq!(world.up.incidents(), Vec::<serde_json::Value>::new());
    let status = succeed(crate::harness::outlast().args(["share", "status"]).arg(&world.up.share));
    assert!(status.contains("confirmed"), "{status}");
    world.up.role.stop();
}

#[test]
fn i1_a_confirmation_that_is_withdrawn_frees_nothing_that_a_product_alone_has() {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let first = world.drop("shop", 100_000, 1);
    world.wait_for(&first, State::Offered);
    let job = world.run_job("host_1");
    wait_until("the vault has signed that it heard so", || world.is_countersigned(&first));
    world.withdraw_from_share(&job, &first);
    let second = world.drop("shop", 100_000, 2);
    let offered = world.wait_for(&second, State::Offered);
    world.run_job_of("host_2", &offered.path);
    wait_until("the vault has signed that", || world.is_countersigned(&second));
    world.several_passes();
    assert!(world.is_on_share("shop", &first) && world.find(&first).is_some());
    world.run_job("host_3");
    world.wait_until_freed(&first);
    world.up.role.stop();
}

#[test]
fn i4_where_policy_counts_only_what_is_vaulted_a_confirmation_frees_nothing_and_that_is_said() {
    let mut world = World::with(INSTEAD, &[]);
    let first = confirmed(&mut world, 1);
    let second = confirmed(&mut world, 2);
    wait_until("it is said", || {
        world.up.role.words().contains("the vault's policy does not count that as safe")
    });
    world.several_passes();
    assert!(world.is_on_share("shop", &first) && world.is_on_share("shop", &second));
    world.up.role.stop();
}

#[test]
fn i1_a_vault_that_has_forgotten_hears_from_another_agent_what_it_signed_and_then_lets_go() {
    let mut world = World::with(INSTEAD, &[CONFIRMED, ("OUTLAST_AGENT_KEEP", "2")]);
    let (first, second) = (confirmed(&mut world, 1), confirmed(&mut world, 2));
    assert!(world.is_on_share("shop", &first) && world.find(&first).is_some());
    world.up.role.stop();
    // Whatever the vault and the agent knew of it is gone but for the share, and so is the directory.
    let home = world.up.dir.clone();
    let forgotten = ["vault/deliveries", "agent"].map(|name| home.join(name));
    for path in &forgotten {
        assert!(
            path.exists(),
            "{path:?}: {:?}",
            run(std::process::Command::new("find").arg(&home))
        );
        fs::remove_dir_all(path).unwrap();
    }
    for path in [world.product(), world.place().desk().to_owned()] {
        fs::remove_dir_all(path).unwrap();
    }
    world.up = Up::start_with(&home, &world.settings(&[CONFIRMED]));
    wait_until("the first has left the share", || {
        world.up.drop_directory("shop", &first).is_none()
    });
    assert!(world.is_on_share("shop", &second));
    assert!(world.up.receipt("shop", &first, "released").exists());
    assert_eq!(world.find(&second).map(|it| it.drop), None, "the product has it");
    world.up.role.stop();
}

#[test]
fn i1_while_the_vault_is_away_no_confirmation_frees_anything() {
    let (past, root) = (Past::new(), quick());
    let site = past.site(root.path(), INSTEAD);
    let drops = ["1", "2", "3", "4"].map(|content| site.drop("shop", content.as_bytes()));
    let mut agent = site.start();
    wait_until("all are offered", || site.drops().len() == drops.len());
    site.run_job(1);
    let is_told = |drop: &String| site.receipt("shop", drop, "confirmed")["state"] == "confirmed";
    wait_until("all are confirmed, as far as the agent knows", || drops.iter().all(is_told));
    // The agent goes on with its passes, and has said so.
    let fifth = site.drop("shop", b"5");
    wait_until("it is offered", || site.find(&fifth).is_some());
    site.run_job(2);
    wait_until("it is confirmed", || is_told(&fifth));
    assert!(agent.words().contains("was not told of this pass"), "its vault is there");
    for drop in &drops {
        let days = fs::read_dir(site.share.path().join("w/shop/drops")).unwrap();
        let mut days = days.map(|day| day.unwrap().path().join(drop).join("sealed.json"));
        assert!(days.any(|seal| seal.exists()), "{drop} has left the share");
        assert!(!site.receipt("shop", drop, "confirmed")["handover"]["countersigned"].is_string());
    }
    agent.stop();
}

#[test]
fn i1_an_agent_killed_at_any_step_of_freeing_what_a_product_has_goes_on_with_that() {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let mut last = confirmed(&mut world, 1);
    let (home, drops) = (world.up.dir.clone(), world.up.share.join("w/shop/drops"));
    let mut strikes = 0;
    loop {
        let number = strikes + 2;
        let next = world.drop("shop", 1000, number);
        world.wait_for(&next, State::Offered);
        world.up.role.stop();
        // The product is done while the agent is not there.
        world.run_job(&format!("host_{number}"));
        let strike = format!("{} {}", strikes + 1, drops.display());
        let settings = world.settings(&[CONFIRMED, (DIE_AT, &strike)]);
        world.up = Up::start_with(&home, &settings);
        let mut has_ended = false;
        wait_until("it is freed, or the agent is killed", || {
            has_ended = world.up.role.has_ended();
            has_ended || world.up.drop_directory("shop", &last).is_none()
        });
        if has_ended {
            let status = world.up.role.wait();
            assert_eq!(status.signal(), Some(SIGKILL), "{}", world.up.role.words());
        } else {
            // What it may be struck at now comes after that.
            world.up.role.kill();
        }
        world.up = Up::start_with(&home, &world.settings(&[CONFIRMED]));
        world.wait_until_freed(&last);
        assert!(world.is_on_share("shop", &next), "strike {strikes}");
        last = next;
        if !has_ended {
            break;
        }
        strikes += 1;
    }
    assert!(strikes >= 3, "{strikes} strikes");
    world.up.role.stop();
}

#[test]
fn content_that_is_no_whole_backup_is_offered_to_no_product_until_an_operator_accepts_it() {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let good = confirmed(&mut world, 1);
    let cut = "printf '%s\\n' '-- PostgreSQL database dump' 'COPY public.t (id) FROM stdin;' 1 2 3";
    let broken = world.up.drop("shop", &["--exec", "shop.sql", "--", "sh", "-c", cut]);
    let rejected = world.up.wait_for_receipt("shop", &broken, "rejected");
    assert!(rejected["reason"].to_string().contains("dump"), "{rejected}");
    world.several_passes();
    assert_eq!(world.find(&broken).map(|it| it.drop), None, "it is offered");
    assert!(world.is_on_share("shop", &broken), "it is kept for whoever looks at it");
    let incidents = world.up.incidents();
    assert_eq!(incidents.len(), 1, "{incidents:?}");
    assert_eq!(incidents[0]["owner"], "app", "{incidents:?}");
    // It is no newer one for which another goes.
    assert!(world.is_on_share("shop", &good) && world.find(&good).is_some());
    succeed(&mut world.up.ask(&["share", "accept", &broken, "--reason", "it is one table"]));
    world.wait_for(&broken, State::Offered);
    world.run_job("host_2");
    world.wait_until_freed(&good);
    wait_until("nothing is wrong any more", || {
        world.up.incidents().iter().all(|it| !it["resolved"].is_null())
    });
    world.up.role.stop();
}

#[test]
fn what_is_brought_back_from_the_product_goes_to_the_vault_and_to_no_product_again() {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let first = confirmed(&mut world, 1);
    let restored = world.directory.path().join("restored");
    succeed(std::process::Command::new("cp").arg("-r").arg(world.product()).arg(&restored));
    let mut import = crate::harness::outlast();
    import.args(["handover", "import", "--json", "--share"]).arg(&world.up.share).arg(&restored);
    let imported = document(&mut import);
    assert_eq!(imported["imported"][0]["was"], *first, "{imported}");
    let new = imported["imported"][0]["drop"].as_str().unwrap().to_owned();
    world.up.wait_for_receipt("shop", &new, "vaulted");
    world.several_passes();
    assert_eq!(world.find(&new).map(|it| it.drop), None, "it is offered again");
    assert!(world.is_on_share("shop", &first), "one of before is no newer one");
    world.up.role.stop();
}
