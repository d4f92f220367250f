//! Two products that are to have the same drops.

use std::fs;

use outlast_handover::State;
use serde_json::Value;

use super::world::World;
use crate::harness::{scratch, wait_until};

/// What a receipt says of each hand-over: its name, the job that has it, and whether the vault has signed that.
fn said(world: &World, drop: &str) -> Vec<(String, String, bool)> {
    let read = fs::read(world.up.receipt("shop", drop, "confirmed")).unwrap_or_default();
    let receipt: Value = serde_json::from_slice(&read).unwrap_or_default();
    let first = &receipt["handover"];
    let others = first["others"].as_array().into_iter().flatten();
    let all = std::iter::once(first).chain(others).filter(|it| it["handover"].is_string());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = all
        .map(|it| {
            let job = text(&it["jobs"][0]["job"]);
            (text(&it["handover"]), job, it["countersigned"].is_string())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn i1_two_products_are_each_spoken_of_in_one_receipt_and_a_drop_goes_when_both_have_it() {
    let directory = scratch();
    let [tape, cloud] = ["tape", "cloud"].map(|name| directory.path().join(name));
    let keys = format!(
        "instead = true\n[[handover]]\nname = \"cloud\"\ndirectory = \"{}\"\ninstead = true",
        cloud.display()
    );
    let mut world = World::at(&tape, &keys, &[("OUTLAST_PROMISE_SAFE", "confirmed")]);
    let (first, second) = (world.drop("shop", 50_000, 1), world.drop("shop", 50_000, 2));
    for product in [&cloud, &tape] {
        world.turn_to(product);
        world.wait_for(&first, State::Offered);
        world.wait_for(&second, State::Offered);
    }
    let job_of_tape = world.run_job("tape_1");
    let tape_has = ("nbu".to_owned(), "tape_1".to_owned(), true);
    wait_until("the vault knows of the one", || said(&world, &second) == [tape_has.clone()]);
    world.turn_to(&cloud);
    let offered = world.find(&second).unwrap();
    world.run_job_of("cloud_1", &offered.path);
    let cloud_has = ("cloud".to_owned(), "cloud_1".to_owned(), true);
    let both = [cloud_has.clone(), tape_has.clone()];
    wait_until("the vault knows of both", || said(&world, &second) == both);
    // One has the first, the other has not.
    let seen = world.passes();
    wait_until("some passes go by", || world.passes() >= seen + 8);
    assert!(world.is_on_share("shop", &first));
    // What the one takes back, the other has not taken back.
    world.turn_to(&tape);
    world.withdraw(&job_of_tape);
    wait_until("it is taken back", || said(&world, &second) == [cloud_has.clone()]);
    world.run_job("tape_2");
    world.turn_to(&cloud);
    world.run_job("cloud_2");
    wait_until("both have both, and the first goes", || {
        world.up.drop_directory("shop", &first).is_none()
    });
    assert!(world.is_on_share("shop", &second));
    assert_eq!(said(&world, &first).len(), 2);
    world.up.role.stop();
}
