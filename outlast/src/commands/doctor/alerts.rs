//! The routes of a role: whether each can be used, and, where somebody asks for it, whether a message gets
//! through.

use std::path::Path;

use outlast_types::{Environment, human};
use outlast_vault::VaultConfig;
use outlast_wire::outside::{
    Destination, LookoutConfig, RouteConfig, check_secret, tells_somebody, try_out,
};
use outlast_wire::{Believed, Identity, Proxies, Roads, Role};

use super::finding::Finding;

/// Looks at what each route stands on, and sends nothing.
pub(super) fn look(config: &VaultConfig, found: &mut Vec<Finding>) {
    if config.routes.is_empty() {
        let words = "no [[route]] is configured: nobody is told of incidents but those who look";
        found.push(Finding::warning("alerts", words).fix("docs/alerts.md has each kind to copy"));
    }
    each(&config.routes, found);
}

/// The same for an agent or a media server, which tells that its vault is silent.
pub(super) fn look_out(config: &LookoutConfig, found: &mut Vec<Finding>) {
    let after = human::duration(config.after);
    if tells_somebody(&config.routes) {
        let words = format!("a vault that is silent for {after} is told by routes of its own");
        found.push(Finding::good("alerts", words));
    } else {
        let words = "no [[route]] tells that the vault is silent, but for the log of this role";
        let fix =
            "give it one, or let something outside watch the vault's heartbeat: docs/alerts.md";
        found.push(Finding::warning("alerts", words).fix(fix));
    }
    each(&config.routes, found);
}

fn each(routes: &[RouteConfig], found: &mut Vec<Finding>) {
    for route in routes {
        if usable(route, found) {
            let name = &route.route.name;
            let words = format!("route {name} can be used; `outlast doctor alerts` tries it out");
            found.push(Finding::good("alerts", words));
        }
    }
}

fn usable(config: &RouteConfig, found: &mut Vec<Finding>) -> bool {
    let name = &config.route.name;
    let mut is_usable = true;
    let mut bad = |text: String, fix: &str| {
        is_usable = false;
        found.push(Finding::bad("alerts", format!("route {name}: {text}")).fix(fix));
    };
    for secret in config.to.secrets() {
        if let Err(error) = check_secret(secret) {
            bad(error.to_string(), "write it into a file that only the vault's user may read");
        }
    }
    let ca = match &config.to {
        Destination::Http { ca, .. } | Destination::Mail { ca, .. } => Some(ca),
        Destination::Command { .. } => None,
    };
    if let Some(Err(error)) = ca.map(|ca| Believed::read(ca.as_deref())) {
        bad(error.to_string(), "name the file with `ca`, or install ca-certificates");
    }
    if let Destination::Command { words, .. } = &config.to
        && let Some(program) = words.first().filter(|program| !Path::new(program).exists())
    {
        bad(format!("there is no {program}"), "correct the path");
    }
    is_usable
}

/// Those who tell by routes.
pub(super) struct Teller<'a> {
    pub(super) role: Role,
    pub(super) identity: &'a Path,
    pub(super) proxies: Proxies,
    pub(super) routes: &'a [RouteConfig],
}

/// Sends a marked test by each route.
pub(super) fn send(teller: Teller<'_>, found: &mut Vec<Finding>) {
    let Teller { role, identity, proxies, routes } = teller;
    // Whoever cannot read the identity may try out the routes all the same.
    let name = Identity::load(identity).map(|identity| identity.peer().name().to_owned());
    let name = name.unwrap_or_else(|_| "unknown".to_owned());
    let name = if role == Role::Vault { name } else { format!("{role}/{name}") };
    let (environment, roads) = (Environment::system(), Roads::through(proxies));
    for route in routes {
        if !usable(route, found) {
            continue;
        }
        let (of, kind) = (&route.route.name, route.route.kind.as_str());
        found.push(match try_out(route, &name, &environment, &roads) {
            Ok(()) => Finding::good("alerts", format!("route {of} ({kind}) took a test")),
            Err(reason) => {
                let words = format!("route {of} ({kind}) did not take a test: {reason}");
                Finding::bad("alerts", words).fix("docs/alerts.md says what each kind needs")
            }
        });
    }
}
