use super::*;
use crate::grants::Grants;

/// The table of objects, one line for each role and verb, one letter for each kind, in upper case
/// where it is allowed: config, key, lock, snapshot, index, data.
const OBJECTS: &str = "
    agent    create  c k L s I D
    agent    read    C K L s I D
    agent    size    C K L S I D
    agent    list    C K L S I D
    agent    remove  c k L s i d
    media    create  c k l s I D
    media    read    C k l s I D
    media    size    C k l s I D
    media    list    c k l s I D
    media    remove  c k l s i d
    vault    create  c k l s i d
    vault    read    c k l s i d
    vault    size    c k l s i d
    vault    list    c k l s i d
    vault    remove  c k l s i d
    operator create  C K L S I D
    operator read    C K L S I D
    operator size    C K L S I D
    operator list    C K L S I D
    operator remove  c k L s i d
    reader   create  c k L s i d
    reader   read    C K L S I D
    reader   size    C K L S I D
    reader   list    C K L S I D
    reader   remove  c k L s i d
";

/// The table of calls, one line for each, one letter for each role, in upper case where it is
/// allowed: agent, media, vault, operator, reader.
const CALLS: &str = "
    A M v O R  open a repository
    A M v o r  make a repository
    A M v o r  ship drops
    A M v O r  ask what is lacking
    A M v O r  ask what is held
    A M v o r  report from a share
    a M v o r  report from a spool
    A M v O R  ask whom to trust
    A M v o r  fetch a backup for an instance
    a m v O R  list workloads
    a m v O R  look at a workload
    a m v O R  list snapshots
    a m v O R  list incidents
    a m v O R  list what operators ordered
    a m v O R  list jobs
    A M V O R  greet the vault
    A M V O R  measure the road
    a m v O R  look at metrics
    a m v O r  list certificates
    a m v O r  revoke certificates
    A M v O R  renew a certificate
    a m v O r  make tokens
    a m v O r  list tokens
    a m v O r  revoke tokens
    a m v O r  begin a repository anew
    a m v O r  pause a workload
    a m v O r  retire a workload
    a m v O r  resume a workload
    a m v O r  rename a workload
    a m v O r  announce a release
    a m v O r  accept a drop
    a m v O r  apply a policy
    a m v O r  answer an incident
    a m v O r  resume releases
    a m v O R  look at what is kept
    a m v O r  order what is kept
    a m v O R  look at scrubs
    a m v O R  look at drills
    a m v O r  run a drill
    a m v O R  look at reports
";

#[test]
fn every_role_has_exactly_the_verbs_it_needs() {
    let kinds = [Kind::Config, Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Data];
    let mut lines = OBJECTS.lines().map(str::trim).filter(|line| !line.is_empty());
    for role in Role::ALL {
        for verb in Verb::ALL {
            let mut cells = lines.next().unwrap().split_whitespace();
            assert_eq!(cells.next(), Some(role.as_str()));
            assert_eq!(cells.next(), Some(verb.as_str()));
            for (kind, cell) in kinds.into_iter().zip(cells) {
                let expected = cell.chars().all(char::is_uppercase);
                let action = Action::Object { verb, kind };
                assert_eq!(allowed(role, action), expected, "{role} {action}");
            }
        }
    }
    assert_eq!(lines.next(), None);
}

/// What the table of objects cannot show.
#[test]
fn an_agent_reads_data_back_with_a_grant_alone() {
    for action in all_actions() {
        let is_meant = action == Action::Object { verb: Verb::Read, kind: Kind::Data };
        for role in Role::ALL {
            let is_grant = reach(role, action) == Reach::Grant;
            assert_eq!(is_grant, is_meant && role == Role::Agent, "{role} {action}");
        }
    }
    let agent = certified(Role::Agent, None);
    let shop = WorkloadName::new("shop-db").unwrap();
    let action = Action::Object { verb: Verb::Read, kind: Kind::Data };
    let refused = check(&agent, action, &shop).unwrap_err();
    assert!(matches!(refused.why, Why::NoGrant(_)), "{refused}");
}

#[test]
fn every_role_has_exactly_the_calls_it_needs() {
    let mut lines = CALLS.lines().map(str::trim).filter(|line| !line.is_empty());
    for call in Call::ALL {
        let (cells, words) = lines.next().unwrap().split_once("  ").unwrap();
        assert_eq!(words, call.as_str());
        let cells: Vec<&str> = cells.split(' ').collect();
        assert_eq!(cells.len(), Role::ALL.len());
        for (role, cell) in Role::ALL.into_iter().zip(cells) {
            assert!(role.as_str().starts_with(&cell.to_lowercase()), "{call:?}: {cell} is {role}");
            let expected = cell.chars().all(char::is_uppercase);
            assert_eq!(allowed(role, call.into()), expected, "{role} {words}");
        }
    }
    assert_eq!(lines.next(), None);
}

/// What an asker may do that is granted `patterns`.
fn certified(role: Role, patterns: Option<&[&str]>) -> Certified {
    let (_directory, authority) = crate::ca::tests::authority();
    let identity = crate::ca::tests::issue(&authority, role, "anna");
    let pattern = |text: &&str| WorkloadPattern::new(text).unwrap();
    let grants = patterns.map(|texts| Grants::of(texts.iter().map(pattern)).unwrap());
    Certified { grants: grants.unwrap_or(Grants::all()), ..identity.certified().clone() }
}

#[test]
fn a_refusal_says_who_may() {
    let reader = certified(Role::Reader, None);
    let shop = WorkloadName::new("shop-db").unwrap();
    let refused = check(&reader, Call::AskHoldings, &shop).unwrap_err();
    let words = "reader anna may not ask what is held: its role does not allow it";
    assert_eq!(refused.to_string(), words);
    assert_eq!(refused.hint(), "use an identity with the role agent or operator");
    let action = Action::Object { verb: Verb::Remove, kind: Kind::Data };
    assert!(check(&reader, action, &shop).unwrap_err().hint().starts_with("no role may"));
    assert_eq!(check(&reader, Call::ViewWorkload, &shop), Ok(()));
}

#[test]
fn nobody_reaches_a_workload_that_is_not_granted() {
    let shop = WorkloadName::new("shop-db").unwrap();
    let other = WorkloadName::new("crm-db").unwrap();
    for role in Role::ALL {
        let narrow = certified(role, Some(&["shop-*"]));
        for action in all_actions() {
            let reach = reach(role, action);
            assert!(!reach.includes(Whose::Other), "{role} {action}");
            if reach == Reach::Free {
                continue;
            }
            let by_itself = matches!(reach, Reach::Granted | Reach::Everything);
            assert_eq!(check(&narrow, action, &shop).is_ok(), by_itself, "{role} {action}");
            let refused = check(&narrow, action, &other).unwrap_err();
            let is_foreign = refused.why == Why::Workload(other.clone());
            assert_eq!(is_foreign, by_itself, "{role} {action}: {refused}");
        }
    }
}

#[test]
fn what_is_about_the_vault_as_a_whole_is_for_who_is_granted_all() {
    let (star, shops, none) = (&["shop-*", "*"][..], &["shop-*"][..], &[][..]);
    for (patterns, allowed) in
        [(None, true), (Some(star), true), (Some(shops), false), (Some(none), false)]
    {
        let reader = certified(Role::Reader, patterns);
        assert_eq!(check_whole(&reader, Call::ListJobs).is_ok(), allowed, "{patterns:?}");
        assert_eq!(check_whole(&reader, Call::ListWorkloads), Ok(()), "it is left out of the list");
    }
}

#[test]
fn a_media_server_does_nothing_by_itself_and_nothing_for_others_that_they_may_not() {
    let media = certified(Role::Media, None);
    let shop = WorkloadName::new("shop-db").unwrap();
    for action in all_actions() {
        let reach = reach(Role::Media, action);
        if reach == Reach::Free {
            continue;
        }
        assert!(check(&media, action, &shop).is_err(), "{action}");
        assert_eq!(check_carrier(&media.peer, action).is_ok(), reach == Reach::Behalf, "{action}");
        if reach == Reach::Behalf {
            assert!(allowed(Role::Agent, action), "{action}");
        }
    }
}

fn all_actions() -> Vec<Action> {
    let kinds = [Kind::Config, Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Data];
    let object = |kind| move |verb| Action::Object { verb, kind };
    let objects = kinds.into_iter().flat_map(|kind| Verb::ALL.into_iter().map(object(kind)));
    objects.chain(Call::ALL.into_iter().map(Action::Call)).collect()
}

/// The table as auditors read it. The page is kept equal by hand: on a difference this test tells
/// what belongs between the marks.
#[test]
fn the_page_for_auditors_shows_this_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("<!-- table of rights: begin -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- table of rights: end -->").unwrap();
    let table = printed();
    assert!(shown == table, "docs/security.md must show between its marks:\n{table}");
}

fn printed() -> String {
    let mut text = String::from("| | what |");
    for role in Role::ALL {
        text.push_str(&format!(" {role} |"));
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for action in all_actions() {
        let (group, words) = match action {
            Action::Object { .. } => ("object", action.to_string()),
            Action::Call(_) => ("call", action.to_string()),
        };
        text.push_str(&format!("| {group} | {words} |"));
        for role in Role::ALL {
            let reach = reach(role, action);
            let cell = match reach {
                Reach::Nothing => "–",
                Reach::Granted => "own",
                Reach::Everything => "own, if all are",
                Reach::Free => "yes",
                Reach::Behalf => "for an agent",
                Reach::Grant => "own, with a grant",
            };
            let other = if reach.includes(Whose::Other) { ", other" } else { "" };
            text.push_str(&format!(" {cell}{other} |"));
        }
        text.push('\n');
    }
    text
}
