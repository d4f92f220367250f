//! A vault in a network of its own, behind a link of the kernel that is as narrow as a private line, and
//! that goes down.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::harness::{Tier, Tiers};
use super::{MIB, fill};
use crate::harness::{run, scratch, succeed, wait_until};

/// So narrow is the link, in the words of `tc`.
const RATE: &str = "16mbit";

/// Two ends of a cable: ours, and that of a network namespace. They go with it.
pub(super) struct Link {
    namespace: String,
    ours: String,
    theirs: String,
    network: String,
}

impl Link {
    /// One that forwards so much towards the namespace, and no more; `None`, and a loud line, where that
    /// cannot be had.
    fn lay() -> Option<Self> {
        let number = std::process::id();
        let link = Self {
            // As labs name theirs, which sweep away what a killed owner left.
            namespace: format!("outlast-lab-{number}-link"),
            ours: format!("olk{number}a"),
            theirs: format!("olk{number}b"),
            network: format!("10.79.{}", number % 250),
        };
        match link.plug() {
            Ok(()) => Some(link),
            Err(words) => {
                println!("SKIPPED: no link of the kernel can be had here: {words}");
                None
            }
        }
    }

    fn plug(&self) -> Result<(), String> {
        let (ours, theirs, namespace) = (&*self.ours, &*self.theirs, &*self.namespace);
        let (here, there) = (format!("{}.1/30", self.network), format!("{}.2/30", self.network));
        said("ip", &["netns", "add", namespace])?;
        let pair =
            ["link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", namespace];
        said("ip", &pair)?;
        said("ip", &["addr", "add", &here, "dev", ours])?;
        said("ip", &["link", "set", ours, "up"])?;
        said("ip", &["-n", namespace, "addr", "add", &there, "dev", theirs])?;
        said("ip", &["-n", namespace, "link", "set", theirs, "up"])?;
        said("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
        let narrow = ["rate", RATE, "burst", "64kb", "latency", "200ms"];
        said("tc", &[&["qdisc", "add", "dev", ours, "root", "tbf"][..], &narrow].concat())
    }

    /// The address at its far end.
    pub(super) fn far_end(&self) -> String {
        format!("{}.2", self.network)
    }

    /// The same command, at the far end.
    pub(super) fn beyond(&self, command: &Command) -> Command {
        let mut beyond = Command::new("ip");
        beyond.args(["netns", "exec", &self.namespace]).arg(command.get_program());
        beyond.args(command.get_args());
        beyond.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        beyond
    }

    fn set(&self, state: &str) {
        said("ip", &["link", "set", &self.ours, state]).unwrap();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = said("ip", &["link", "del", &self.ours]);
        let _ = said("ip", &["netns", "del", &self.namespace]);
    }
}

fn said(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

#[test]
fn over_a_narrow_link_of_the_kernel_that_goes_down_a_drop_is_vaulted_once() {
    let Some(link) = Link::lay() else { return };
    let directory = scratch();
    let mut tiers = Tiers::start_over(directory.path(), link);
    let file = directory.path().join("data");
    fill(&file, 9, 8 * MIB);
    let before = tiers.line.carried().there;
    let drop = tiers.drop("shop", &file);
    let part = |tiers: &Tiers, bytes| tiers.line.carried().there - before > bytes;
    wait_until("a part of it is over", || part(&tiers, 2 * MIB));
    // A short pull that TCP bridges, and a cut of all connections that it does not.
    for is_cut in [false, true] {
        tiers.link().set("down");
        assert!(!tiers.is_vaulted("shop", &drop), "too late to disturb it");
        if is_cut {
            tiers.line.cut();
        }
        // How long the cable is pulled: nothing is waited for.
        thread::sleep(Duration::from_secs(2));
        tiers.link().set("up");
        wait_until("more of it is over", || part(&tiers, 4 * MIB));
    }
    tiers.wait_for_receipt("shop", &drop, "vaulted");
    assert_eq!(tiers.snapshots("shop"), 1);
    succeed(tiers.restic("shop").args(["check", "--read-data"]));
    assert_eq!(tiers.incidents(), Vec::<String>::new());
    let status = run(&mut tiers.media("status"));
    assert!(status.status.success(), "{status:?}");
    tiers.kill(Tier::Agent);
}
