//! Drops that an operator lets go by hand, and what is left of them on the share.

use std::fs;

use outlast_handover::JobFacts;
use outlast_handover::State;

use super::world::World;
use crate::harness::{Up, outlast, succeed, wait_until};

const INSTEAD: &str = "instead = true";
const CONFIRMED: (&str, &str) = ("OUTLAST_PROMISE_SAFE", "confirmed");

/// Lets a drop of `shop` go by hand.
fn let_go(world: &World, drop: &str) -> String {
    let mut release = outlast();
    release.args(["handover", "release", "nbu", "--workload=shop", "--drop", drop]);
    release.args(["--reason", "the disk is full", "--config"]);
    succeed(release.arg(world.up.dir.join("agent.toml")))
}

fn why(world: &World, drop: &str) -> String {
    world.find(drop).map(|it| it.why).unwrap_or_default()
}

/// A drop that the product has, by the vault's word, too.
fn confirmed(world: &mut World, number: u64) -> (String, JobFacts) {
    let drop = world.drop("shop", 50_000, number);
    world.wait_for(&drop, State::Offered);
    let job = world.run_job(&format!("host_{number}"));
    wait_until("the vault has signed that it heard so", || world.is_countersigned(&drop));
    (drop, job)
}

#[test]
fn i1_what_a_product_alone_has_and_somebody_lets_go_stays_where_it_reads_if_the_confirmation_is_withdrawn()
 {
    let mut world = World::with(INSTEAD, &[CONFIRMED]);
    let (first, job) = confirmed(&mut world, 1);
    let reader = world.begin(&JobFacts::of_id("reader"));
    let_go(&world, &first);
    wait_until("the agent knows", || why(&world, &first).contains("the disk is full"));
    world.withdraw_from_share(&job, &first);
    world.end(&reader, 150);
    world.several_passes();
    assert!(why(&world, &first).contains("withdrawn since"), "{}", why(&world, &first));
    assert!(world.is_on_share("shop", &first));
    // Another job has it: now it goes, and with the next one it leaves the share, too.
    world.run_job("host_2");
    wait_until("it has left the directory", || world.find(&first).is_none());
    assert!(world.is_countersigned(&first) && world.is_on_share("shop", &first));
    confirmed(&mut world, 3);
    world.wait_until_freed(&first);
    world.up.role.stop();
}

#[test]
fn i1_what_lies_on_the_share_and_of_which_nobody_knows_any_more_that_a_product_has_it_is_offered_once_more()
 {
    let mut world = World::with(INSTEAD, &[CONFIRMED, ("OUTLAST_AGENT_KEEP", "2")]);
    let (first, _) = confirmed(&mut world, 1);
    let (second, _) = confirmed(&mut world, 2);
    let_go(&world, &first);
    wait_until("it has left the directory", || world.find(&first).is_none());
    assert!(world.is_on_share("shop", &first));
    world.up.role.stop();
    // The vault has forgotten, and what it signed is lost, too.
    fs::remove_dir_all(world.up.dir.join("vault/deliveries")).unwrap();
    fs::remove_file(world.up.receipt("shop", &first, "confirmed")).unwrap();
    let home = world.up.dir.clone();
    world.up = Up::start_with(&home, &world.settings(&[CONFIRMED]));
    world.wait_for(&first, State::Offered);
    assert!(world.is_on_share("shop", &first) && world.is_on_share("shop", &second));
    assert!(world.up.role.words().contains("it is offered once more"));
    world.run_job("host_3");
    world.wait_until_freed(&first);
    assert!(world.is_on_share("shop", &second));
    world.up.role.stop();
}

#[test]
fn i4_what_leaves_since_the_vault_holds_it_is_never_told_to_be_confirmed() {
    let mut world = World::new("");
    let first = world.drop("shop", 50_000, 1);
    world.wait_for(&first, State::Offered);
    world.up.wait_for_receipt("shop", &first, "vaulted");
    let reader = world.begin(&JobFacts::of_id("reader"));
    let said = let_go(&world, &first);
    assert!(said.contains("the vault holds it"), "{said}");
    wait_until("the agent knows", || why(&world, &first).contains("the disk is full"));
    world.several_passes();
    assert!(!world.up.receipt("shop", &first, "confirmed").exists(), "nobody has confirmed it");
    world.end(&reader, 150);
    wait_until("it has left the directory", || world.find(&first).is_none());
    assert!(world.is_on_share("shop", &first));
    world.up.role.stop();
}
