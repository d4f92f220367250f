//! Servers that are killed, hosts that lose their power, mounts that go, writers that wake up late.

use std::time::Duration;

use outlast_testing::pseudo_random;

use super::site::{App, Kind, Site};

/// Takes some seconds, so that something can happen in its middle; 10 MB.
const SLOW: &str = "bash -c 'for n in $(seq 40); do seq 35000; sleep 0.1; done'";
const SLOW_SUM: &str = "for n in $(seq 40); do seq 35000; done | sha256sum | cut -c -64";

#[test]
fn an_nfs_server_that_is_killed_in_the_middle_costs_no_drop() {
    let Some(mut site) = Site::up(Kind::Nfs, "") else { return };
    server_killed(&mut site);
    // On the same site, since hosts take long to boot.
    unmounted_in_between(&mut site);
}

#[test]
fn an_smb_server_that_is_killed_in_the_middle_costs_no_drop() {
    let Some(mut site) = Site::up(Kind::Smb, "") else { return };
    server_killed(&mut site);
}

fn server_killed(site: &mut Site) {
    let mut app = site.app(2, "blue-1", "");
    let server = site.kind.server();
    // While it is written, and while the agent reads it.
    for in_reading in [false, true] {
        let slow = format!(
            "{} --segment-size 1MiB --compress off --exec data -- {SLOW}",
            app.drop_command("shop")
        );
        let job = app.start(&slow);
        if !in_reading {
            site.wait_until("it is being written", || {
                site.drops("shop").iter().any(|drop| drop.join("0002.seg").exists())
            });
        } else {
            site.wait_until("it is sealed", || app.guest.outcome(&job).is_some());
        }
        site.lab.kill(server).unwrap();
        std::thread::sleep(Duration::from_secs(1));
        site.lab.start(server).unwrap();
        let outcome = app.end(&job);
        // An honest failure is followed by the next attempt, as with a timer.
        let drop = match outcome.code {
            0 => outcome.words,
            _ => {
                assert!(!in_reading, "{}", outcome.words);
                println!("the writer gave up, as it may: {}", outcome.words);
                app.run(&slow)
            }
        };
        site.wait_for("shop", drop.trim(), "vaulted");
        let sum = app.run(SLOW_SUM);
        let restored = site.restored("shop", "");
        assert!(restored.contains(sum.trim()), "{restored}");
    }
    site.nobody_is_blamed();
}

/// The agent's mount goes, and the empty directory below it appears.
fn unmounted_in_between(site: &mut Site) {
    let mut app = site.app(3, "green-1", "");
    site.keeper("umount -l /mnt/nfs");
    let drop = app.run(&format!("{} --exec data -- echo content", app.drop_command("shop")));
    site.wait_until("the agent has seen it", || site.words().contains("is it mounted?"));
    assert_eq!(site.keeper("ls -A /mnt/nfs"), "", "nothing is made there");
    site.keeper("mount.nfs -o vers=4.1,hard 10.77.0.1:/backups /mnt/nfs");
    site.wait_for("shop", drop.trim(), "released");
    assert_eq!(site.ask("snapshots shop").as_array().unwrap().len(), 3);
}

#[test]
fn hosts_that_lose_their_power_at_any_moment_wake_nobody_and_lose_nothing() {
    let Some(mut site) = Site::up(Kind::Nfs, "") else { return };
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let moments = pseudo_random(seed, 3);
    let mut app = site.app(2, "blue-1", "");
    let mut promised = Vec::new();
    for (round, moment) in moments.into_iter().enumerate() {
        let done = app.run(&format!("{} --exec data -- echo {round}", app.drop_command("shop")));
        promised.push(done.trim().to_owned());
        app.start(&format!("{} --compress off --exec data -- {SLOW}", app.drop_command("shop")));
        std::thread::sleep(Duration::from_millis(300 + 10 * u64::from(moment)));
        app.guest.kill();
        if round == 1 {
            site.power_cycle();
        }
        app = site.app(2, "blue-1", "");
    }
    for drop in &promised {
        site.wait_for("shop", drop, "vaulted");
    }
    site.wait_until("what dead hosts left has gone", || site.drops("shop").is_empty());
    let snapshots = site.ask("snapshots shop").as_array().unwrap().len();
    assert!(snapshots >= promised.len(), "{snapshots}");
    site.nobody_is_blamed();
    woken_too_late(&mut site, app);
}

/// A writer that was held up for longer than the grace time: it is told, and seals nothing.
fn woken_too_late(site: &mut Site, mut app: App) {
    let job =
        app.start(&format!("{} --compress off --exec data -- {SLOW}", app.drop_command("late")));
    site.wait_until("it is being written", || !site.drops("late").is_empty());
    app.run("pkill -STOP -f ' drop -q '");
    site.wait_until("it was given up", || site.drops("late").is_empty());
    app.run("pkill -CONT -f ' drop -q '");
    let outcome = app.end(&job);
    assert_ne!(outcome.code, 0, "{}", outcome.words);
    assert!(site.drops("late").is_empty());
    site.nobody_is_blamed();
}
