use std::time::Duration;

use outlast_agent::AgentConfig;
use outlast_handover::Layout;
use outlast_types::WorkloadPattern;

use crate::settings::Document;

use super::*;

/// The lines before the hand-overs.
const AGENT: &str = "[agent]\nshare = \"/srv/share\"\nstate = \"/var/lib/agent\"\nupstream = \"https://v/\"\nidentity = \"/etc/i\"\n";

fn read(handovers: &str) -> Result<AgentConfig, String> {
    let document = Document::new(Path::new("/etc/agent.toml"), format!("{AGENT}{handovers}"));
    let read = document.and_then(|document| document.with_variables(std::iter::empty()));
    read.map_err(|error| error.to_string())
}

#[test]
fn a_hand_over_of_which_only_the_places_are_said_is_as_the_crate_has_it() {
    let config = read("[[handover]]\nname = \"nbu\"\ndirectory = \"/srv/nbu/\"\n").unwrap();
    let rules = Rules::new("nbu", PathBuf::from("/srv/nbu"));
    assert_eq!(config.handover, [Handover { rules, confirm: None }]);
}

#[test]
fn owner_and_group_are_users_of_this_host_by_name_or_number() {
    let of = |lines: &str| {
        let config =
            read(&format!("[[handover]]\nname = \"nbu\"\ndirectory = \"/srv/nbu\"\n{lines}"));
        let rules = config.unwrap().handover.remove(0).rules;
        (rules.owner, rules.group)
    };
    assert_eq!(of("owner = \"root\"\ngroup = \"root\"\n"), (Some(0), Some(0)));
    assert_eq!(of("owner = \"1001\"\ngroup = 1002\n"), (Some(1001), Some(1002)));
    assert_eq!(of(""), (None, None));
}

#[test]
fn all_that_is_said_of_a_hand_over_is_taken_in() {
    let config = read(
        "[[handover]]\nname = \"nbu\"\ndirectory = \"/srv/nbu\"\nworkloads = [\"shop-*\", \"crm\"]\nlayout = \"plain\"\n\
         encrypt_to = \"age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd\"\n\
         keep = 3\nkeep_until = [\"Monthly\", \"full\"]\nbudget = \"1TiB\"\nfile_max = \"64GiB\"\nfiles_max = 7\nowner = 0\n\
         group = 1001\nmode = \"0440\"\nread_window = \"22:00-06:00\"\nzone = \"Europe/Berlin\"\nlease = \"2d\"\nfrees = \"vaulted\"\n\
         [[handover]]\nname = \"b\"\ndirectory = \"/srv/b\"\nkeep_until = \"full\"\n",
    );
    let config = config.unwrap();
    let pattern = |text: &str| WorkloadPattern::new(text).unwrap();
    let expected = Rules {
        workloads: vec![pattern("crm"), pattern("shop-*")],
        layout: Layout::Plain,
        keep: 3,
        keep_until: vec!["Monthly".to_owned(), "full".to_owned()],
        budget: Some(1 << 40),
        file_max: Some(64 << 30),
        files_max: 7,
        owner: Some(0),
        group: Some(1001),
        mode: 0o440,
        read_window: Some("22:00-06:00".parse().unwrap()),
        zone: Zone::named("Europe/Berlin").unwrap(),
        lease: Duration::from_secs(2 * 86_400),
        frees: Frees::Vaulted,
        encrypt_to: vec![
            "age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd".parse().unwrap(),
        ],
        ..Rules::new("nbu", PathBuf::from("/srv/nbu"))
    };
    assert_eq!(config.handover[0].rules, expected);
    assert_eq!(config.handover[1].rules.keep_until, ["full"]);
}

/// What is wrong is told with its line and its key, and what to do.
#[test]
fn what_is_wrong_in_a_hand_over_is_told_at_its_line_and_key() {
    // The keys of the hand-over begin at line 7.
    let golden: [(&str, &[&str]); 35] = [
        ("", &["line 6", "name is missing in this [[handover]]", "directory is missing"]),
        ("name = \"NBU\"\n", &["line 7", "handover[1].name: use small letters"]),
        ("name = \"\"\n", &["line 7", "handover[1].name", "empty"]),
        ("name = \"-n\"\n", &["line 7", "handover[1].name: use small letters"]),
        ("directory = \"srv\"\n", &["line 7", "handover[1].directory: give the whole path"]),
        ("directory = \"/srv/../etc\"\n", &["line 7", "without `..`"]),
        ("directory = \"/\"\n", &["line 7", "below /"]),
        ("directory = \"/srv/share/nbu\"\n", &["line 7", "agent.share is in it, or it in that"]),
        ("directory = \"/srv\"\n", &["line 7", "agent.share is in it"]),
        ("directory = \"/etc/i\"\n", &["line 7", "agent.identity is in it"]),
        ("directory = \"/var/lib/agent\"\n", &["line 7", "agent.state is in it"]),
        ("workloads = []\n", &["line 7", "handover[1].workloads: it names no workload"]),
        ("workloads = [\"SHOP DB\"]\n", &["line 7", "handover[1].workloads"]),
        ("layout = \"plains\"\n", &["line 7", "did you mean \"plain\"?"]),
        ("keep = 0\n", &["line 7", "handover[1].keep: use 1 or more"]),
        ("keep = \"2\"\n", &["line 7", "handover[1].keep", "without quotes"]),
        (
            "keep_until = [\" \"]\n",
            &["line 7", "handover[1].keep_until: a schedule without a name"],
        ),
        ("keep_until = 3\n", &["line 7", "it wants a text in quotes", "or a list"]),
        ("budget = \"0\"\n", &["line 7", "handover[1].budget"]),
        ("file_max = \"4KiB\"\n", &["line 7", "handover[1].file_max: use 1MiB or more"]),
        ("files_max = 0\n", &["line 7", "handover[1].files_max: use 1 or more"]),
        ("encrypt_to = \"age1x\"\n", &["line 7", "handover[1].encrypt_to: \"age1x\""]),
        (
            "encrypt_to = [\"age1hm0x5qlnuef88fc643fxsuy74wwxqhsnng4ufcnpmz5jrmxxxf4qjrxjgd\"]\n",
            &["line 7", "it wants layout = \"plain\""],
        ),
        ("owner = 4294967295\n", &["line 7", "handover[1].owner: no user"]),
        ("packed = true\n", &["line 7", "handover[1].packed", "it wants layout"]),
        ("owner = \"no-such-user\"\n", &["line 7", "/etc/passwd has no user", "getent passwd"]),
        ("group = \"no-such-group\"\n", &["line 7", "/etc/group has no group", "its number"]),
        ("owner = \"a:b\"\n", &["line 7", "is not a name in quotes"]),
        ("owner = true\n", &["line 7", "this is a boolean", "or a number"]),
        ("mode = \"0666\"\n", &["line 7", "handover[1].mode: \"0666\" lets others write"]),
        ("mode = \"0040\"\n", &["line 7", "lets not even their owner"]),
        ("mode = 0o640\n", &["line 7", "handover[1].mode", "in quotes, such as \"0640\""]),
        ("read_window = \"22-6\"\n", &["line 7", "handover[1].read_window", "22:00-06:00"]),
        ("zone = \"Mars\"\n", &["line 7", "handover[1].zone", "no time zone \"Mars\""]),
        ("lease = \"5s\"\n", &["line 7", "handover[1].lease", "use 1 min to 31 d"]),
    ];
    for (line, wanted) in golden {
        let rest = ["name = \"a\"\n", "directory = \"/srv/a\"\n"];
        let is_said =
            |other: &&str| line.is_empty() || line.split(' ').next() == other.split(' ').next();
        let rest: String = rest.into_iter().filter(|other| !is_said(other)).collect();
        let said = read(&format!("[[handover]]\n{line}{rest}")).unwrap_err();
        for words in wanted {
            assert!(said.contains(words), "{line}: {words} is not in:\n{said}");
        }
    }
    let said =
        read("[[handover]]\nname = \"a\"\ndirectory = \"/x\"\nencrypt = true\n").unwrap_err();
    assert!(said.contains("line 9") && said.contains("has no key \"encrypt\""), "{said}");
    assert!(read("[handover]\nname = \"a\"\n").unwrap_err().contains("[[handover]]"));
}

#[test]
fn what_a_product_alone_gets_waits_for_no_vault_and_stays_as_long_as_on_the_share() {
    let one =
        |keys: &str| read(&format!("[[handover]]\nname = \"a\"\ndirectory = \"/srv/a\"\n{keys}"));
    let frees = |keys: &str| one(keys).unwrap().handover[0].rules.frees;
    assert_eq!((frees(""), frees("frees = \"either\"\n")), (Frees::Both, Frees::Either));
    assert_eq!(frees("instead = true\n"), Frees::Confirmed);
    assert_eq!(frees("instead = true\nfrees = \"either\"\n"), Frees::Either);
    let keep = |keys: &str| one(keys).unwrap().handover[0].rules.keep;
    assert_eq!((keep(""), keep("instead = true\n")), (1, 2), "as on the share");
    assert_eq!(keep("instead = true\nkeep = 3\n"), 3);
    for word in ["both", "vaulted"] {
        let said = one(&format!("instead = true\nfrees = \"{word}\"\n")).unwrap_err();
        for words in ["line 10", "handover[1].frees", "no vault ever holds", "leave it out"] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
    }
    let second = |keys: &str| {
        let first = "instead = true\nworkloads = \"shop-*\"\n";
        one(&format!("{first}[[handover]]\nname = \"b\"\ndirectory = \"/srv/b\"\n{keys}"))
    };
    for keys in ["", "workloads = [\"crm\", \"*-db\"]\n", "frees = \"vaulted\"\n"] {
        let said = second(keys).unwrap_err();
        for words in ["line 9", "handover[1].instead", "handover[2] takes some of these"] {
            assert!(said.contains(words), "{words} is not in:\n{said}");
        }
    }
    assert!(second("workloads = \"crm\"\n").is_ok());
    assert!(second("frees = \"confirmed\"\n").is_ok());
}

#[test]
fn two_hand_overs_share_neither_name_nor_directory() {
    let two = |name: &str, directory: &str| {
        read(&format!(
            "[[handover]]\nname = \"a\"\ndirectory = \"/srv/a\"\n[[handover]]\nname = \"{name}\"\ndirectory = \"{directory}\"\n"
        ))
    };
    assert!(two("b", "/srv/ab").is_ok());
    let said = two("a", "/srv/a/").unwrap_err();
    for words in ["line 10", "a is the name of handover[1]", "line 11", "handover[1].directory"] {
        assert!(said.contains(words), "{words} is not in:\n{said}");
    }
    for within in ["/srv/a/b", "/srv/a.outlast", "/srv/a.outlast/inbox"] {
        assert!(two("b", within).is_err(), "{within}");
    }
    let many: String = (0..21)
        .map(|n| format!("[[handover]]\nname = \"h{n}\"\ndirectory = \"/srv/h{n}\"\n"))
        .collect();
    assert!(read(&many).unwrap_err().contains("more than 20"));
}

#[test]
fn a_secret_key_in_the_place_of_a_public_one_is_refused_and_shown_nowhere() {
    let secret = "AGE-SECRET-KEY-1CC0345FLP6QY9D4NRZHEDW244URJMUFD79NFPZUZX58AJGTLPC7SAGP8R8";
    // One that was copied with a slip, and one in small letters, are as secret.
    let slip = format!("x{secret}");
    for word in [secret, &*slip, &*secret.to_lowercase()] {
        let text = format!(
            "[[handover]]\nname = \"a\"\ndirectory = \"/srv/a\"\nlayout = \"plain\"\nencrypt_to = {word:?}\n"
        );
        let said = read(&text).unwrap_err();
        assert!(said.contains("handover[1].encrypt_to: a key of yours"), "{said}");
        assert!(!said.to_uppercase().contains("1CC0345FLP6"), "{said}");
    }
}
