//! The way to the vault, step by step; what cannot be judged because an earlier step failed is said, too.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use outlast_types::{Clock as _, SystemClock, Timestamp, human};
use outlast_vault::VaultConfig;
use outlast_wire::api::{ErrorCode, Greeting};
use outlast_wire::client::{About, Server, Survey, survey};
use outlast_wire::names::Names;
use outlast_wire::{ApiClient, CallError, CertificateTrouble, Credentials, Identity, Roads, Role};

use super::certificate;
use super::finding::Finding;
use crate::exit::{road_hint, tls_hint};
use crate::output::Output;
use crate::proxies::roads;

/// Clocks that differ by more are a warning, and by more than that to be mended.
const SKEW_TOLERATED: Duration = Duration::from_secs(5);
const SKEW_MAX: Duration = Duration::from_secs(60);
/// What is sent to see how much passes.
const PROBE_BYTES: usize = 4 << 20;
/// Slower than this, a terabyte takes more than eleven days.
const RATE_WARNED: u64 = 1 << 20;
/// Each after the one before; all but the last are of the way, in the order in which it is gone.
const STEPS: [&str; 6] = ["name", "route", "tls", "role", "clock", "throughput"];

/// Goes the way to the vault at `address` with the identity in `directory`.
pub(super) fn look(
    address: &str,
    directory: &Path,
    names: &Names,
    role: Option<Role>,
    output: &Output,
    found: &mut Vec<Finding>,
) {
    let Some(identity) = certificate::look(directory, names, role, found) else {
        return not_judged(&STEPS, "there is no identity to go with", found);
    };
    go(address, &identity, Whose::Given, output, found);
}

/// Looks whether the vault of this configuration serves on this host.
pub(super) fn served(
    config: &VaultConfig,
    identity: &Identity,
    output: &Output,
    found: &mut Vec<Finding>,
) {
    let mut at = config.listen;
    if at.ip().is_unspecified() {
        at.set_ip(if at.is_ipv6() {
            Ipv6Addr::LOCALHOST.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        });
    }
    if at.port() == 0 {
        return found.push(Finding::unknown("route", "it listens on any port that is free"));
    }
    go(&format!("https://{at}/"), identity, Whose::Ours, output, found);
}

/// Whose address is gone to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The one that others are given, too.
    Given,
    /// The one at which the vault of this host listens; its certificate need not name it.
    Ours,
}

fn go(address: &str, identity: &Identity, whose: Whose, output: &Output, found: &mut Vec<Finding>) {
    // What is wrong with proxies is told with the configuration.
    let roads = roads().unwrap_or_default();
    let survey = match output.patiently(address, || survey(address, identity, &roads)) {
        Ok(survey) => survey,
        Err(error) => {
            let fix = "an address is such as https://vault.example:8443/";
            found.push(Finding::bad("name", error.to_string()).fix(fix));
            return not_judged(&STEPS[1..], "there is no address to go to", found);
        }
    };
    let is_open = tell_route(&survey, found);
    if whose == Whose::Ours && is_named_otherwise(&survey) {
        let words = "the vault serves; its certificate names other hosts, by which it is reached";
        return found.push(Finding::good("tls", words));
    }
    if !(is_open && tell_server(survey.server, found)) {
        let done = found.iter().rev().find_map(|it| STEPS.iter().position(|s| *s == it.check));
        let rest = &STEPS[done.map_or(0, |done| done + 1)..];
        return not_judged(rest, "the way ends before", found);
    }
    greet(address, identity, &roads, output, found);
}

fn not_judged(checks: &[&'static str], why: &str, found: &mut Vec<Finding>) {
    found.extend(checks.iter().map(|check| Finding::unknown(check, format!("not judged: {why}"))));
}

/// Name, proxy and addresses; whether there is a connection.
fn tell_route(survey: &Survey, found: &mut Vec<Finding>) -> bool {
    let first = match &survey.proxy {
        Some(proxy) => {
            found.push(Finding::good("proxy", format!("the way leads through {proxy}")));
            proxy
        }
        None => &survey.host,
    };
    let names = match &survey.names {
        Ok(names) => names,
        Err(error) => {
            found.push(Finding::bad("name", error.to_string()).fix(road_hint(error)));
            return false;
        }
    };
    let all: Vec<String> = names.iter().map(ToString::to_string).collect();
    found.push(Finding::good("name", format!("{first} is at {}", all.join(", "))));
    let is_open = survey.routes.iter().any(|(_, outcome)| outcome.is_ok());
    for (address, outcome) in &survey.routes {
        found.push(match outcome {
            Ok(took) => Finding::good(
                "route",
                format!("{address} takes connections, within {} ms", took.as_millis()),
            ),
            Err(tried) => {
                let words = format!("no connection to {address}: {tried}");
                let fix = crate::exit::tried_hint(tried);
                match is_open {
                    true => Finding::warning("route", words),
                    false => Finding::bad("route", words),
                }
                .fix(fix)
            }
        });
    }
    is_open
}

/// Whether the server is one of ours, by other names.
fn is_named_otherwise(survey: &Survey) -> bool {
    let Some(Err(error)) = &survey.server else { return false };
    let trouble = error.get_ref().and_then(|it| it.downcast_ref::<CertificateTrouble>());
    trouble.is_some_and(|trouble| trouble.about == About::Host)
}

/// TLS, and the certificate of the server; whether it takes ours.
fn tell_server(server: Option<std::io::Result<Server>>, found: &mut Vec<Finding>) -> bool {
    match server {
        None => false,
        Some(Err(error)) => {
            let inner = error.get_ref();
            let trouble = inner.and_then(|it| it.downcast_ref::<CertificateTrouble>());
            let road = inner.and_then(|it| it.downcast_ref());
            let fix = match (trouble, road) {
                (Some(trouble), _) => tls_hint(trouble),
                (_, Some(road)) => road_hint(road),
                _ => "is it the address of a vault, with its port?",
            };
            found.push(Finding::bad("tls", error.to_string()).fix(fix));
            false
        }
        Some(Ok(Server { peer, certificate })) => {
            let whose = peer.map_or("a server without a name".to_owned(), |it| it.to_string());
            found.push(Finding::good("tls", format!("{whose} answers, and we know each other")));
            found.extend(certificate.map(|validity| {
                certificate::judged(&format!("the certificate of {whose}"), validity)
            }));
            true
        }
    }
}

/// What the vault says to us.
fn greet(
    address: &str,
    identity: &Identity,
    roads: &Roads,
    output: &Output,
    found: &mut Vec<Finding>,
) {
    let client = match ApiClient::over(address, Credentials::Identity(identity), roads) {
        Ok(client) => client,
        Err(error) => return found.push(Finding::bad("role", error.to_string())),
    };
    // The first call makes the connection; the second is as fast as the road.
    let greeted = client.greet().and_then(|_| {
        let (began, before) = (Instant::now(), SystemClock.now());
        Ok((client.greet()?, before, began.elapsed()))
    });
    let (greeting, before, took) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            found.push(refused(&error));
            return not_judged(&STEPS[4..], "the vault does not tell", found);
        }
    };
    let Greeting { peer, vault, now, version } = greeting;
    found.push(Finding::good("role", format!("to {vault} (outlast {version}), this is {peer}")));
    found.push(clock(before.saturating_add(took / 2), now));
    let began = Instant::now();
    let measured = output.patiently(address, || client.measure(PROBE_BYTES));
    let sending = began.elapsed().saturating_sub(took).max(Duration::from_micros(1));
    match measured {
        Ok(measured) => found.push(throughput(measured.bytes, sending, took)),
        Err(error) => found.push(refused(&error)),
    }
}

fn refused(error: &CallError) -> Finding {
    match error {
        CallError::Refused { status: 404, body, .. } if body.code == ErrorCode::NotFound => {
            Finding::unknown("role", "the vault is older and does not answer to this")
        }
        CallError::Refused { status: 401 | 403, .. } => Finding::bad("role", error.to_string())
            .fix("have an identity issued that the vault takes; was this one revoked?"),
        CallError::Refused { .. } | CallError::Unintelligible { .. } => {
            Finding::bad("role", error.to_string())
                .fix("what answers there is no vault: correct the address")
        }
        CallError::Unable { .. } | CallError::Unreachable { .. } => {
            Finding::bad("role", error.to_string()).fix("look at the vault's log")
        }
    }
}

/// How this host's clock stands to the vault's.
fn clock(here: Timestamp, vault: Timestamp) -> Finding {
    let (skew, words) = match here > vault {
        true => (here.since(vault), "ahead of"),
        false => (vault.since(here), "behind"),
    };
    if skew <= SKEW_TOLERATED {
        return Finding::good("clock", "this host's clock agrees with the vault's");
    }
    let told = Duration::from_secs(skew.as_secs());
    let said = format!(
        "this host's clock is {} {words} the vault's: it is {here} here and {vault} there",
        human::duration(told)
    );
    let fix = "set the clock that is wrong, and keep it right by NTP (`timedatectl set-ntp true`)";
    match skew > SKEW_MAX {
        true => Finding::bad("clock", said).fix(fix),
        false => Finding::warning("clock", said).fix(fix),
    }
}

fn throughput(bytes: u64, took: Duration, round: Duration) -> Finding {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let rate = bytes.saturating_mul(1_000_000) / micros;
    let said = format!(
        "{} a second over this road, {} ms to the vault and back",
        human::bytes(rate),
        round.as_millis()
    );
    match rate < RATE_WARNED {
        true => Finding::warning("throughput", said)
            .fix("a first full backup takes long over this road: look at the link"),
        false => Finding::good("throughput", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Verdict;

    #[test]
    fn clocks_are_compared_both_ways() {
        let vault = Timestamp::from_unix(1_800_000_000, 0).unwrap();
        for (seconds, verdict, words) in [
            (3, Verdict::Good, "agrees"),
            (30, Verdict::Warning, "30 s"),
            (600, Verdict::Bad, "10 min"),
            (2 * 86400, Verdict::Bad, "2 d"),
        ] {
            let skew = Duration::from_secs(seconds);
            let ahead = clock(vault.saturating_add(skew), vault);
            let behind = clock(vault.saturating_sub(skew), vault);
            assert_eq!((ahead.verdict, behind.verdict), (verdict, verdict));
            assert!(ahead.message.contains(words), "{ahead:?}");
            assert!(behind.message.contains(words), "{behind:?}");
            if verdict != Verdict::Good {
                assert!(ahead.message.contains("ahead of"), "{ahead:?}");
                assert!(behind.message.contains("behind"), "{behind:?}");
            }
        }
    }

    #[test]
    fn a_slow_road_is_a_warning() {
        let second = Duration::from_secs(1);
        assert_eq!(throughput(4 << 20, second, second).verdict, Verdict::Good);
        assert_eq!(throughput(4 << 20, second * 60, second).verdict, Verdict::Warning);
        assert_eq!(throughput(0, Duration::ZERO, second).verdict, Verdict::Warning);
    }
}
