use super::*;

/// The table of objects, one line for each role and verb, one letter for each kind, in upper case
/// where it is allowed: config, key, lock, snapshot, index, data.
const OBJECTS: &str = "
    agent    create  c k L s I D
    agent    read    C K L s I d
    agent    size    C K L S I D
    agent    list    C K L S I D
    agent    remove  c k L s i d
    media    create  c k l s I D
    media    read    c k l s i d
    media    size    c k l s I D
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
    A m v O R  open a repository
    A m v o r  make a repository
    A m v o r  ship drops
    A m v O r  ask what is held
    A m v o r  report from a share
    A M v O R  ask whom to trust
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
    a m v O r  begin a repository anew
    a m v O r  pause a workload
    a m v O r  retire a workload
    a m v O r  resume a workload
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

#[test]
fn a_refusal_says_who_may() {
    let reader = Peer::new(Role::Reader, "anna").unwrap();
    let refused = check(&reader, Call::AskHoldings).unwrap_err();
    let words = "reader anna may not ask what is held: its role does not allow it";
    assert_eq!(refused.to_string(), words);
    assert_eq!(refused.hint(), "use an identity with the role agent or operator");
    let action = Action::Object { verb: Verb::Remove, kind: Kind::Data };
    assert!(check(&reader, action).unwrap_err().hint().starts_with("no role may"));
    assert_eq!(check(&reader, Call::ListWorkloads), Ok(()));
}
