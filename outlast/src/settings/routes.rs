//! `[[route]]`: by which people are told, by a vault of incidents, by others that it is silent.

use std::collections::BTreeMap;

use anyhow::Result;
use outlast_alert::{Kind, Route, Severity};
use outlast_civil::{Weekly, Zone};
use outlast_wire::outside::{
    Address, Destination, LookoutConfig, MailTls, RouteConfig, check_mailbox,
};

use super::flaw::Flaw;
use super::values::{Item, Settings};

const SECTION: &str = "route";
/// Each is a thread.
const ROUTES_MAX: usize = 50;
const NAME_LENGTH_MAX: usize = 40;
/// Where PagerDuty takes events.
const PAGERDUTY: &str = "https://events.pagerduty.com/";
/// The port of mail that is secured from its first byte.
const IMPLICIT_PORT: u16 = 465;

/// What is wrong with routes whose keys are right each by itself.
pub(super) fn judge(settings: &Settings) -> Vec<Flaw> {
    let items = settings.listed(SECTION);
    let mut flaws = Vec::new();
    if items.len() > ROUTES_MAX {
        let words = format!("there are more than {ROUTES_MAX} routes, each of them a thread");
        flaws.extend(items.last().map(|item| item.flaw(&words)));
    }
    let mut names: BTreeMap<&str, &Item> = BTreeMap::new();
    for item in items {
        let (key, name) = (item.key("name"), settings.text_if_set(&item.key("name")));
        let Some(name) = name else { continue };
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.len() > NAME_LENGTH_MAX || !name.chars().all(is_plain) {
            flaws.push(settings.flaw(&key, "use small letters, digits and `-`, 40 at most"));
        }
        if let Some(first) = names.insert(name, item) {
            flaws.push(
                settings.flaw(&key, &format!("{name} is the name of {} already", first.title)),
            );
        }
        flaws.extend(judge_address(settings, item));
        for text in settings.words(&item.key("hours")) {
            if let Err(error) = text.parse::<Weekly>() {
                flaws.push(settings.flaw(&item.key("hours"), &error.to_string()));
            }
        }
        let zone_key = item.key("zone");
        if let Some(name) =
            settings.text_if_set(&zone_key).filter(|name| Zone::named(name).is_err())
        {
            let words =
                format!("this system knows no time zone {name:?}, such as \"Europe/Berlin\"");
            flaws.push(settings.flaw(&zone_key, &words));
        }
    }
    flaws.extend(judge_named(settings, &|name| names.contains_key(name)));
    flaws
}

/// What a policy says of routes that the vault which shall go by it does not have.
pub(super) fn judge_policy(policy: &Settings, running: &Settings) -> Vec<Flaw> {
    let items = running.listed(SECTION);
    let names: Vec<&str> =
        items.iter().filter_map(|item| running.text_if_set(&item.key("name"))).collect();
    judge_named(policy, &|name| names.contains(&name))
}

/// Routes that promises name must be there: nobody would be told by one that is not.
fn judge_named(settings: &Settings, is_there: &dyn Fn(&str) -> bool) -> Vec<Flaw> {
    let classes = settings.classes.iter().map(|class| format!("classes.{class}"));
    let workloads = settings.workloads.iter().map(|workload| format!("workloads.{workload}"));
    let patterns = settings.patterns.iter().map(|pattern| format!("workloads.{pattern}"));
    let handovers = settings.handovers.iter().map(|name| format!("handover.{name}"));
    let sections = ["promise".to_owned(), "handovers".to_owned()].into_iter().chain(handovers);
    let sections = sections.chain(classes).chain(workloads);
    let flaw = |section: String| {
        let key = format!("{section}.route");
        let route = settings.text_if_set(&key).filter(|route| !is_there(route))?;
        Some(settings.flaw(&key, &format!("there is no [[route]] whose name is {route:?}")))
    };
    sections.chain(patterns).filter_map(flaw).collect()
}

/// Whether it is clear where a route leads.
fn judge_address(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let is_set = |name: &str| settings.is_set(&item.key(name));
    let missing = |name: &str, what: &str| item.flaw(&format!("{name} is missing: {what}"));
    let mut flaws = Vec::new();
    let Some(kind) = kind(settings, item) else { return flaws };
    match kind {
        Kind::Mail => {
            for (name, what) in [
                ("server", "the server that takes the mail, such as \"smtp.example.com:587\""),
                ("from", "who writes, such as \"outlast@example.com\""),
                ("to", "to whom, such as [\"ops@example.com\"]"),
            ] {
                if !is_set(name) {
                    flaws.push(missing(name, what));
                }
            }
            flaws.extend(judge_mail(settings, item));
        }
        Kind::Command => match settings.words(&item.key("command")).first() {
            None => {
                flaws.push(missing("command", "the program, such as [\"/usr/local/bin/page\"]"))
            }
            Some(program) if !program.starts_with('/') => flaws.push(
                settings
                    .flaw(&item.key("command"), "give the whole path of the program, from / on"),
            ),
            Some(_) => {}
        },
        _ => {
            match (is_set("url"), is_set("url_file")) {
                (true, true) => {
                    flaws.push(
                        settings.flaw(&item.key("url_file"), "there is `url`, too: leave one out"),
                    );
                }
                (false, false) if kind != Kind::PagerDuty => {
                    flaws.push(missing(
                        "url",
                        "the address to which it goes, or url_file where that is a secret",
                    ));
                }
                _ => {}
            }
            let key = item.key("url");
            if let Some(url) = settings.text_if_set(&key)
                && let Some(words) = wrong_url(url, kind)
            {
                flaws.push(settings.flaw(&key, &words));
            }
            if kind == Kind::PagerDuty && !is_set("secret_file") {
                flaws.push(missing("secret_file", "the file with the routing key of the service"));
            }
        }
    }
    flaws
}

fn wrong_url(url: &str, kind: Kind) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    let is_here = ["localhost", "127.0.0.1", "["].iter().any(|here| host.starts_with(here));
    let may_be_plain = matches!(kind, Kind::Alertmanager | Kind::Webhook | Kind::Heartbeat);
    match scheme {
        "https" if !host.is_empty() => None,
        "http" if !host.is_empty() && (may_be_plain || is_here) => None,
        "http" => Some("what is secret in it would go unencrypted: use https".to_owned()),
        _ => Some("give an address such as \"https://alertmanager.example:9093/\"".to_owned()),
    }
}

fn judge_mail(settings: &Settings, item: &Item) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let from = settings.text_if_set(&item.key("from")).map(|from| ("from", from));
    let to = settings.words(&item.key("to")).iter().map(|to| ("to", to.as_str()));
    for (name, address) in from.into_iter().chain(to) {
        if let Err(error) = check_mailbox(address) {
            flaws.push(settings.flaw(&item.key(name), &error.to_string()));
        }
    }
    let key = item.key("server");
    match settings.text_if_set(&key).map(|text| (text, host_and_port(text))) {
        Some((_, Some((host, _)))) => {
            let is_here = ["localhost", "127.0.0.1", "::1"].contains(&host);
            if settings.text_if_set(&item.key("tls")) == Some("none") && !is_here {
                let words = "mail to another host is secured: use starttls or implicit";
                flaws.push(settings.flaw(&item.key("tls"), words));
            }
        }
        Some((text, None)) => {
            let words = format!("{text:?} has no port: give one such as \"smtp.example.com:587\"");
            flaws.push(settings.flaw(&key, &words));
        }
        None => {}
    }
    if settings.is_set(&item.key("user")) != settings.is_set(&item.key("secret_file")) {
        flaws.push(item.flaw("give both user and secret_file, which holds the password, or none"));
    }
    flaws
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some(()).and(port.parse().ok()).map(|port| (host, port))
}

fn kind(settings: &Settings, item: &Item) -> Option<Kind> {
    let said = settings.text_if_set(&item.key("kind"))?;
    Kind::ALL.into_iter().find(|kind| kind.as_str() == said)
}

/// How an agent or a media server watches over its vault, by the routes of its own.
pub(super) fn lookout(settings: &Settings, section: &str) -> Result<LookoutConfig> {
    let after = settings.duration(&format!("{section}.vault_silence"))?;
    Ok(LookoutConfig { after, routes: build(settings)? })
}

/// The routes, which have no flaws.
pub(super) fn build(settings: &Settings) -> Result<Vec<RouteConfig>> {
    settings.listed(SECTION).iter().map(|item| route(settings, item)).collect()
}

fn route(settings: &Settings, item: &Item) -> Result<RouteConfig> {
    let key = |name: &str| item.key(name);
    let kind = kind(settings, item).unwrap_or(Kind::Command);
    let hours = settings.words(&key("hours")).iter().map(|text| text.parse::<Weekly>());
    let is_critical = settings.text_if_set(&key("severity")) == Some("critical");
    let usual = Route::new(settings.text(&key("name"))?, kind);
    let route = Route {
        owners: settings.words(&key("owners")).to_vec(),
        severity: if is_critical { Severity::Critical } else { Severity::Warning },
        hours: hours.collect::<std::result::Result<_, _>>()?,
        zone: settings.text_if_set(&key("zone")).map_or(Ok(Zone::utc()), Zone::named)?,
        after: settings.duration_if_set(&key("after")).unwrap_or_default(),
        repeat: settings.duration_if_set(&key("repeat")),
        ..usual
    };
    let (secret, ca) =
        (settings.path_if_set(&key("secret_file")), settings.path_if_set(&key("ca")));
    let to = match kind {
        Kind::Mail => {
            let server = settings.text(&key("server"))?;
            let (host, port) = host_and_port(server).unwrap_or((server, IMPLICIT_PORT));
            let tls = match settings.text_if_set(&key("tls")) {
                Some("none") => MailTls::None,
                Some("implicit") => MailTls::Implicit,
                None if port == IMPLICIT_PORT => MailTls::Implicit,
                _ => MailTls::StartTls,
            };
            Destination::Mail {
                host: host.to_owned(),
                port,
                tls,
                user: settings.text_if_set(&key("user")).map(str::to_owned),
                secret,
                ca,
                from: settings.text(&key("from"))?.to_owned(),
                to: settings.words(&key("to")).to_vec(),
            }
        }
        Kind::Command => Destination::Command {
            words: settings.words(&key("command")).to_vec(),
            deadline: settings.duration(&key("deadline"))?,
        },
        _ => {
            let plain = || settings.text_if_set(&key("url")).unwrap_or(PAGERDUTY).to_owned();
            let file = settings.path_if_set(&key("url_file"));
            let url = file.map_or_else(|| Address::Plain(plain()), Address::InFile);
            Destination::Http { url, secret, ca }
        }
    };
    Ok(RouteConfig { route, to })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use outlast_vault::VaultConfig;

    use crate::settings::Document;

    use super::*;

    fn read(routes: &str) -> Result<VaultConfig, String> {
        let text =
            format!("[vault]\ndir = \"/v\"\nlisten = \":8443\"\nidentity = \"/i\"\n{routes}");
        let document = Document::new(Path::new("/etc/vault.toml"), text);
        let read = document.and_then(|document| document.with_variables(std::iter::empty()));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_of_each_kind_is_read() {
        let config = read(
            "[[route]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://am:9093/\"\n\
             [[route]]\nname = \"pd\"\nkind = \"pagerduty\"\nsecret_file = \"/s/pd\"\nseverity = \"critical\"\nowners = [\"platform\"]\n\
             [[route]]\nname = \"shop\"\nkind = \"slack\"\nurl_file = \"/s/slack\"\nhours = [\"Mon-Fri 08:00-18:00\"]\nzone = \"UTC\"\n\
             [[route]]\nname = \"boss\"\nkind = \"mail\"\nserver = \"smtp.example.com:465\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\nafter = \"30m\"\nrepeat = \"4h\"\n\
             [[route]]\nname = \"own\"\nkind = \"command\"\ncommand = [\"/bin/page\", \"-v\"]\n",
        );
        let routes = config.unwrap().routes;
        let kinds: Vec<&str> = routes.iter().map(|it| it.route.kind.as_str()).collect();
        assert_eq!(kinds, ["alertmanager", "pagerduty", "slack", "mail", "command"]);
        let Destination::Http { url: Address::Plain(url), secret: Some(_), .. } = &routes[1].to
        else {
            panic!("{:?}", routes[1].to)
        };
        assert_eq!(url, PAGERDUTY);
        assert_eq!(routes[1].route.severity, Severity::Critical);
        let Destination::Mail { tls: MailTls::Implicit, port: 465, .. } = routes[3].to else {
            panic!("{:?}", routes[3].to)
        };
        assert_eq!(routes[3].route.after.as_secs(), 1800);
        assert_eq!(routes[2].to.secrets(), [Path::new("/s/slack")]);
    }

    #[test]
    fn a_route_without_an_address_and_others_that_tell_nobody_are_refused_at_their_place() {
        for (route, said) in [
            ("kind = \"webhook\"\n", "url is missing"),
            ("kind = \"pagerduty\"\n", "secret_file is missing"),
            (
                "kind = \"mail\"\nto = [\"x@example.com\"]\nfrom = \"y@example.com\"\n",
                "server is missing",
            ),
            (
                "kind = \"mail\"\nserver = \"s:25\"\nto = [\"ops\"]\nfrom = \"y@e.com\"\n",
                "is no address",
            ),
            (
                "kind = \"mail\"\nserver = \"s:25\"\ntls = \"none\"\nto = [\"o@e.com\"]\nfrom = \"y@e.com\"\n",
                "is secured",
            ),
            ("kind = \"command\"\n", "command is missing"),
            ("kind = \"command\"\ncommand = [\"page\"]\n", "whole path"),
            ("kind = \"slack\"\nurl = \"http://hooks.example/x\"\n", "use https"),
            ("kind = \"webhook\"\nurl = \"https://h/\"\nhours = [\"8-18\"]\n", "Mon-Fri"),
            ("kind = \"webhook\"\nurl = \"https://h/\"\nzone = \"Mars/Base\"\n", "no time zone"),
            ("kind = \"pigeon\"\n", "there is no"),
        ] {
            let text = format!("[[route]]\nname = \"ops\"\n{route}");
            let words = read(&text).unwrap_err();
            assert!(words.contains(said) && words.contains("line"), "{said}: {words}");
        }
        let twice = "[[route]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://h/\"\n".repeat(2);
        assert!(read(&twice).unwrap_err().contains("already"));
        assert!(read("[[route]]\nkind = \"webhook\"\n").unwrap_err().contains("name is missing"));
    }
}
