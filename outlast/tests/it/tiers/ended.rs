//! A media server whose certificate has ended: what each that meets it says.

use std::path::Path;
use std::time::Duration;

use outlast_types::Timestamp;
use outlast_wire::{Peer, Role};

use super::fill;
use super::harness::{Tier, Tiers};
use crate::doctor::issue_to;
use crate::harness::{outlast, run, scratch, wait_until};

/// All that a command says.
fn said(command: &mut std::process::Command) -> String {
    let output = run(command);
    let both = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    both.concat()
}

/// Gives the media server a certificate of a day, issued by that clock.
fn certify(dir: &Path, when: fn(Timestamp) -> Timestamp) {
    let identity = dir.join("identity/media");
    issue_to(Peer::new(Role::Media, "eu-1").unwrap(), (dir, &identity), &["127.0.0.1"], when);
}

#[test]
fn a_certificate_of_a_media_server_that_has_ended_is_named_by_all_who_meet_it_and_loses_nothing() {
    let (directory, words) = (scratch(), "was valid until");
    let mut tiers = Tiers::start(directory.path());
    let (dir, file) = (directory.path().join("up"), directory.path().join("data"));
    fill(&file, 1, 100_000);
    let first = tiers.drop("shop", &file);
    tiers.wait_for_receipt("shop", &first, "vaulted");
    tiers.kill(Tier::Media);
    certify(&dir, |now| now.saturating_sub(Duration::from_secs(99 * 86_400)));
    tiers.begin(Tier::Media);
    let second = tiers.drop("shop", &file);
    wait_until("the agent says why", || tiers.words(Tier::Agent).contains(words));
    wait_until("the media server says why", || tiers.words(Tier::Media).contains(words));
    let doctor = |role: &str| {
        let config = dir.join(format!("{role}.toml"));
        said(outlast().args(["doctor", role, "--config"]).arg(config))
    };
    for (who, text) in [
        ("agent", tiers.words(Tier::Agent)),
        ("media", tiers.words(Tier::Media)),
        ("vault", tiers.words(Tier::Vault)),
        ("doctor agent", doctor("agent")),
        ("doctor media", doctor("media")),
        ("media status", said(&mut tiers.media("status"))),
        ("incidents", tiers.open_incidents().join("\n")),
    ] {
        println!("== {who}\n{text}");
    }
    assert!(doctor("agent").contains(words) && doctor("media").contains(words));
    assert!(said(&mut tiers.media("status")).contains(words));
    // The next one is taken over without a restart.
    certify(&dir, |now| now);
    tiers.wait_for_receipt("shop", &second, "vaulted");
}
