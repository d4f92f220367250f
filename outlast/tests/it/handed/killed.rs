//! kill -9 of the agent at every step that it makes in a hand-over: staging, appearing, hearing of jobs, noting receipts,
//! removing.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outlast_fs::fault::DIE_AT;
use outlast_handover::{State, verify};
use outlast_types::Silent;

use super::site::{Past, Site, quick};
use crate::harness::{PATIENCE, Role};

const SIGKILL: i32 = 9;
/// Rounds that are played side by side: they wait most of the time.
const AT_ONCE: usize = 6;
/// A product that begins a job so often.
const DAY: Duration = Duration::from_millis(1500);

/// One round: two drops, and jobs until the first has gone.
struct Round<'a> {
    site: &'a Site,
    drops: [String; 2],
    /// Whether the agent asks the product itself, which says nothing by itself.
    is_asked: bool,
    jobs: usize,
    last: Option<Instant>,
}

impl Round<'_> {
    /// Plays the product until all is over, or the agent is; whether all is.
    fn play(&mut self, agent: &mut Role) -> bool {
        let began = Instant::now();
        while !self.is_over() {
            if agent.has_ended() {
                return false;
            }
            assert!(began.elapsed() < PATIENCE, "{}\n{}", self.standing(), agent.words());
            let is_there = self.site.drops().len() == 2;
            let is_day = self.last.is_none_or(|last| last.elapsed() >= DAY);
            if (is_there || self.jobs > 0) && is_day {
                self.jobs += 1;
                match self.is_asked {
                    true => drop(self.site.send_job(self.jobs)),
                    false => self.site.run_job(self.jobs),
                }
                self.last = Some(Instant::now());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        true
    }

    /// How it stands, for whoever looks into a round that does not end.
    fn standing(&self) -> String {
        let place = self.site.place();
        let names = |path: &Path| -> Vec<_> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).collect()
        };
        let said = |drop: &String| self.site.receipt("shop", drop, "confirmed").to_string();
        format!(
            "{:?}\nof {:?}, receipts {:?}, staging {:?}, trash {:?}",
            self.site.drops(),
            self.drops,
            self.drops.iter().map(said).collect::<Vec<_>>(),
            names(&place.staging()),
            names(&place.trash())
        )
    }

    /// The first has gone, the second is confirmed, and the share was told of both.
    fn is_over(&self) -> bool {
        let drops = self.site.drops();
        let [first, second] = &self.drops;
        let is_confirmed =
            |drop: &String| self.site.receipt("shop", drop, "confirmed")["state"] == "confirmed";
        let place = self.site.place();
        let entries = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        // A vault that is away may want the copies that were verified yet. Nothing else stays behind.
        let is_copy = |path: &Path| entries(path).all(|entry| entry.file_name() == "raw");
        matches!(&drops[..], [it] if it.drop == *second && it.state == State::Confirmed)
            && is_confirmed(first)
            && is_confirmed(second)
            && entries(&place.staging()).all(|staged| is_copy(&staged.path()))
            && entries(&place.trash()).next().is_none()
    }
}

/// Whatever is in the directory is whole.
fn check(directory: &Path, strike: usize) {
    if !directory.exists() {
        return;
    }
    let search = verify::search(directory).unwrap();
    assert!(search.unreadable.is_empty(), "strike {strike}: {:?}", search.unreadable);
    for found in &search.drops {
        let findings = verify::verify(found, &Silent).unwrap();
        assert!(findings.is_well(), "strike {strike}: {findings:?}");
    }
}

/// What is played in a round.
#[derive(Clone, Copy)]
struct Play<'a> {
    keys: &'a str,
    /// Trees are dropped, and not streams.
    are_trees: bool,
    is_asked: bool,
    /// Each step so far from the last is struck at.
    stride: usize,
}

/// Whether the agent was killed before all was over.
fn round(past: &Past, play: Play<'_>, strike: usize) -> bool {
    let root = quick();
    let site = past.site(root.path(), play.keys);
    site.serve_once();
    let drops = ["the first", "the second"].map(|content| match play.are_trees {
        true => site.drop_tree("shop", &[("a/one", content), ("two", "2")]),
        false => site.drop("shop", content.as_bytes()),
    });
    let is_asked = play.is_asked;
    let mut round = Round { site: &site, drops, is_asked, jobs: 0, last: None };
    let mut command = site.agent();
    command.env(DIE_AT, format!("{} {}", strike + 1, site.product.display()));
    let mut agent = Role::start(&mut command, &site.log());
    if round.play(&mut agent) {
        agent.kill();
        return false;
    }
    let status = agent.wait();
    assert_eq!(status.signal(), Some(SIGKILL), "strike {strike}: {status}\n{}", agent.words());
    check(&site.product, strike);
    // The next one ends what was broken off.
    let mut agent = site.start();
    assert!(round.play(&mut agent), "strike {strike}: {}", agent.words());
    check(&site.product, strike);
    for drop in &round.drops {
        // No vault holds them.
        let days = fs::read_dir(site.share.path().join("w/shop/drops")).unwrap();
        let mut days = days.map(|day| day.unwrap().path().join(drop).join("sealed.json"));
        assert!(days.any(|seal| seal.exists()), "strike {strike}: {drop} has left the share");
    }
    agent.stop();
    true
}

/// Strikes at every step; how many there are.
fn strike_at_every_step(play: Play<'_>) -> usize {
    let past = Past::new();
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let strike = next.fetch_add(play.stride, Ordering::Relaxed);
                if strike >= end.load(Ordering::Relaxed) {
                    break;
                }
                if !round(&past, play, strike) {
                    end.fetch_min(strike, Ordering::Relaxed);
                }
            }
        };
        let players: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for player in players {
            if let Err(panic) = player.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    end.load(Ordering::Relaxed)
}

#[test]
fn i1_an_agent_killed_at_any_step_of_a_hand_over_goes_on_and_nothing_half_made_is_ever_seen() {
    let play = Play { keys: "", are_trees: false, is_asked: false, stride: 1 };
    let strikes = strike_at_every_step(play);
    assert!(strikes > 60, "{strikes} strikes");
}

/// The product is asked by a command, which is killed at such a step, too.
const ASKED: &str =
    "confirm.with = \"command\"\nconfirm.command = [\"/bin/true\"]\nconfirm.every = \"5s\"";

#[test]
fn i1_an_agent_that_asks_the_product_and_shows_dumps_plain_goes_on_after_any_seventh_step() {
    let keys = format!("layout = \"plain\"\n{ASKED}");
    let play = Play { keys: &keys, are_trees: false, is_asked: true, stride: 7 };
    let steps = strike_at_every_step(play);
    assert!(steps > 60, "{steps} steps");
}

#[test]
fn i1_an_agent_that_asks_the_product_and_shows_trees_unpacked_goes_on_after_any_seventh_step() {
    let keys = format!("layout = \"unpacked\"\n{ASKED}");
    let play = Play { keys: &keys, are_trees: true, is_asked: true, stride: 7 };
    let steps = strike_at_every_step(play);
    assert!(steps > 60, "{steps} steps");
}
