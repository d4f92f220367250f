//! Which role may do what with which kind of object: one table, pure.

use outlast_store::{Kind, Verb};

use crate::Role;

/// Whether `role` may do `verb` with objects of `kind` in a repository that it has access to.
///
/// - An agent adds data and indexes and keeps its locks. It opens the repository (config, keys)
///   and knows what is there (index, sizes, listings), but reads back neither data nor snapshots,
///   and it makes no snapshot: the vault publishes.
/// - A media server forwards ciphertext: it adds data and indexes and sees whether they arrived.
/// - An operator reads all and adds all kinds, so that stock restic can back up.
/// - A reader reads all, and locks while it does.
/// - A vault keeps repositories and asks no other for one.
///
/// Nobody replaces or removes anything but locks; what is old enough is removed by the vault
/// itself, according to policy.
pub fn allowed(role: Role, verb: Verb, kind: Kind) -> bool {
    use Kind::{Config, Data, Index, Key, Lock};
    match (role, verb) {
        (Role::Vault, _) => false,
        (Role::Media, Verb::Create | Verb::Size | Verb::List) => matches!(kind, Data | Index),
        (Role::Media, Verb::Read | Verb::Remove) => false,
        (_, Verb::Size | Verb::List) => true,
        (_, Verb::Remove) => kind == Lock,
        (Role::Agent, Verb::Create) => matches!(kind, Data | Index | Lock),
        (Role::Agent, Verb::Read) => matches!(kind, Config | Key | Index | Lock),
        (Role::Operator, Verb::Create | Verb::Read) | (Role::Reader, Verb::Read) => true,
        (Role::Reader, Verb::Create) => kind == Lock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole table, one line for each role and verb, one letter for each kind, in upper case
    /// where it is allowed: config, key, lock, snapshot, index, data.
    const TABLE: &str = "
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

    #[test]
    fn every_role_has_exactly_the_verbs_it_needs() {
        let kinds = [Kind::Config, Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Data];
        let mut lines = TABLE.lines().map(str::trim).filter(|line| !line.is_empty());
        for role in Role::ALL {
            for verb in Verb::ALL {
                let mut cells = lines.next().unwrap().split_whitespace();
                assert_eq!(cells.next(), Some(role.as_str()));
                assert_eq!(cells.next(), Some(verb.as_str()));
                for (kind, cell) in kinds.into_iter().zip(cells) {
                    let expected = cell.chars().all(char::is_uppercase);
                    assert_eq!(allowed(role, verb, kind), expected, "{role} {verb} {kind}");
                }
            }
        }
        assert_eq!(lines.next(), None);
    }
}
