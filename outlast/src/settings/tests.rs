use std::time::Duration;

use outlast_agent::AgentConfig;
use outlast_promise::{Freshness, Promise};
use outlast_types::WorkloadName;
use outlast_vault::VaultConfig;

use super::key::{Default, Form, Key, Kind, Section, Value};
use super::*;

const AGENT: &str = "# ours\n[agent]\nshare = \"/s\"\nstate = \"/a\"\n# a pause\n\
                     upstream = \"https://v/\"\nidentity = \"/i\"\n";
const VAULT: &str = "[vault]\ndir = \"/v\"\nlisten = \"[::1]:0\"\nidentity = \"/i\"\n";

fn read<C: Configured>(text: &str, variables: &[(&str, &str)]) -> Result<C, String> {
    let variables = variables.iter().map(|(name, text)| (name.into(), text.into()));
    let document = Document::new(Path::new("/etc/x.toml"), text.to_owned());
    let read = document.and_then(|document| document.with_variables(variables));
    read.map_err(|error| error.to_string())
}

fn name(name: &str) -> WorkloadName {
    WorkloadName::new(name).unwrap()
}

#[test]
fn what_is_not_said_is_as_the_crates_have_it() {
    let config: AgentConfig = read(AGENT, &[]).unwrap();
    let [share, state, identity] = ["/s", "/a", "/i"].map(Path::new);
    assert_eq!(config, AgentConfig::new(share, state, "https://v/", identity));
    let config: VaultConfig = read(VAULT, &[]).unwrap();
    let expected = VaultConfig::new(Path::new("/v"), "[::1]:0".parse().unwrap(), Path::new("/i"));
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn a_variable_overrides_the_key_of_its_section_only() {
    let variables = [
        ("OUTLAST_AGENT_POLL", "5s"),
        ("OUTLAST_AGENT_KEEP", "3"),
        ("OUTLAST_AGENT_STATE", "2026"),
        ("OUTLAST_VAULT_LISTEN", "nonsense"),
        ("OUTLAST_PASSWORD", "secret"),
        ("HOME", "/root"),
    ];
    let config: AgentConfig = read(AGENT, &variables).unwrap();
    assert_eq!((config.poll.as_secs(), config.keep), (5, 3));
    assert_eq!(config.state, Path::new("2026"), "a number may be a name");
    let alone = [
        ("OUTLAST_VAULT_DIR", "/v"),
        ("OUTLAST_VAULT_LISTEN", "127.0.0.1:0"),
        ("OUTLAST_VAULT_IDENTITY", "/i"),
        ("OUTLAST_PROMISE_OWNER", "ops"),
        ("OUTLAST_PROMISE_RPO", "2h"),
    ];
    let config: VaultConfig = read("", &alone).unwrap();
    assert_eq!(
        (config.dir.as_path(), config.policy.class(&name("x")).owner.as_str()),
        (Path::new("/v"), "ops")
    );
    let rpo = &config.policy.class(&name("x")).freshness;
    assert_eq!(*rpo, Freshness::Rpo(Duration::from_secs(7200)));
}

#[test]
fn policy_for_a_workload_builds_on_the_default_promise() {
    let text = format!(
        "{VAULT}[promise]\nowner = \"ops\"\n[workloads.shop-db]\nrpo = \"12h\"\n\
         [workloads.web]\nowner = \"team-web\"\n"
    );
    let config: VaultConfig = read(&text, &[]).unwrap();
    let promise = |of: &str| config.policy.class(&name(of));
    let shop = promise("shop-db");
    assert_eq!(shop.freshness, Freshness::Rpo(Duration::from_secs(12 * 3600)));
    assert_eq!(shop.owner, "ops");
    let web = promise("web");
    assert_eq!(web.freshness, Freshness::Rpo(Promise::RPO_DEFAULT));
    assert_eq!(web.owner, "team-web");
}

#[test]
fn what_agents_may_have_builds_on_the_limits_for_all() {
    let text = format!(
        "{VAULT}[limits]\nreceived = \"2TiB\"\nworkload_stored = \"1GiB\"\n\
         [agents.road-1]\nreceived = \"unlimited\"\nrequests = 50\n\
         [workloads.shop-db]\nstored = \"500GiB\"\n[workloads.web]\nrpo = \"1h\"\n"
    );
    let variables = [("OUTLAST_LIMITS_NEW_WORKLOADS", "7")];
    let config: VaultConfig = read(&text, &variables).unwrap();
    let limits = &config.limits;
    let usual = outlast_vault::AgentLimits {
        received: 2 << 40,
        new_workloads: 7,
        ..std::default::Default::default()
    };
    assert_eq!(limits.default, usual);
    let more = outlast_vault::AgentLimits {
        received: outlast_vault::UNLIMITED,
        requests_per_second: 50,
        ..usual
    };
    assert_eq!(limits.agents, [("road-1".to_owned(), more)].into());
    let stored = |name| limits.workloads[&WorkloadName::new(name).unwrap()];
    assert_eq!(
        (limits.workload_stored, stored("shop-db"), stored("web")),
        (1 << 30, 500 << 30, 1 << 30)
    );
    let words = vault("[agents.Road]\nrequests = 1\n[limits]\nreceived = \"0\"\nstored = \"much\"");
    assert!(words.contains("line 5") && words.contains("name of an identity"), "{words}");
    assert!(words.contains("use 1 or more") && words.contains("is not a size"), "{words}");
}

#[test]
fn policy_names_the_workloads_that_are_left_to_an_agent() {
    let text = format!(
        "{VAULT}[agents.road-1]\nworkloads = [\"shop-*\", \"crm-db\"]\n[agents.road-2]\nrequests = 5\n\
         [agents.road-3]\nworkloads = []\n"
    );
    let config: VaultConfig = read(&text, &[]).unwrap();
    let allows =
        |agent: &str, workload| config.agents[agent].allows(&WorkloadName::new(workload).unwrap());
    assert!(allows("road-1", "shop-db") && allows("road-1", "crm-db") && !allows("road-1", "erp"));
    assert!(allows("road-2", "erp") && !allows("road-3", "erp"));
    for bad in ["[\"Shop\"]", "[1]", "7"] {
        let words = vault(&format!("[agents.road-1]\nworkloads = {bad}"));
        assert!(words.contains("pattern"), "{bad}: {words}");
    }
}

fn agent(line: &str, variables: &[(&str, &str)]) -> String {
    read::<AgentConfig>(&format!("{AGENT}{line}\n"), variables).unwrap_err()
}

fn vault(text: &str) -> String {
    read::<VaultConfig>(&format!("{VAULT}{text}\n"), &[]).err().unwrap()
}

/// What a person reads who made a mistake, word for word.
#[test]
fn a_mistake_is_told_where_the_user_made_it_and_how_it_is_mended() {
    let golden = [
        (
            agent("graze = \"1h\"", &[]),
            "cannot understand /etc/x.toml, line 8, column 1: [agent] has no key \"graze\"; did you \
             mean grace?",
        ),
        (
            agent("pudding = 1", &[]),
            "cannot understand /etc/x.toml, line 8, column 1: [agent] has no key \"pudding\"; it has \
             share, state, upstream, identity, poll, grace, keep, receipts_keep, budget, share_budget, \
             fetch_from, fetch_budget, fetch_keep, report, vault_silence, patience, loads_at_once, drop_max, ratio_max, \
             seal_key, sources_at_once, textfile",
        ),
        (
            agent("poll = 5", &[]),
            "cannot understand /etc/x.toml, line 8, column 8: agent.poll: this is an integer, and it \
             wants a duration in quotes, such as \"30s\", \"5m\" or \"26h\"",
        ),
        (
            agent("keep = \"2\"", &[]),
            "cannot understand /etc/x.toml, line 8, column 8: agent.keep: \"2\" is text, and it wants \
             a whole number without quotes, such as 2",
        ),
        (
            agent("keep = -1", &[]),
            "cannot understand /etc/x.toml, line 8, column 8: agent.keep: it wants a whole number \
             without quotes, such as 2",
        ),
        (
            agent("poll = \"0s\"", &[]),
            "cannot understand /etc/x.toml, line 8, column 8: agent.poll: \"0s\" is not possible: use \
             10 ms or more",
        ),
        (
            agent("[agents]\npoll = \"5s\"", &[]),
            "cannot understand /etc/x.toml, line 8, column 2: there is no section [agents]; did you \
             mean [agent]?",
        ),
    ];
    for (told, wanted) in golden {
        assert_eq!(told, wanted);
    }
    assert!(agent("poll = \"5s", &[]).contains("/etc/x.toml, line 8, column "));
    assert!(vault("[workloads.Shop-DB]\nrpo = \"1h\"").contains("line 5, column 12: \"Shop-DB\""));
}

#[test]
fn an_address_that_leads_nowhere_is_found_before_a_role_begins() {
    for bad in
        ["vault.example:8443", "http://vault.example/", "https://", "ftp://v/", "https://v/?a"]
    {
        let variables = [("OUTLAST_AGENT_UPSTREAM", bad)];
        let words = agent("", &variables);
        assert!(words.contains("the variable OUTLAST_AGENT_UPSTREAM"), "{words}");
        assert!(words.contains("https://vault.example:8443/"), "{words}");
    }
    let words = vault("metrics_listen = \":9644\"");
    assert!(words.contains("line 5, column 18") && words.contains("localhost:9644"), "{words}");
    let text = format!("{VAULT}metrics_listen = \"localhost:9644\"\n");
    let config: VaultConfig = read(&text, &[]).unwrap();
    assert_eq!(config.metrics_listen, Some("127.0.0.1:9644".parse().unwrap()));
}

#[test]
fn all_mistakes_are_told_at_once_and_what_is_missing_when_there_are_none() {
    let golden = [
        (
            agent("", &[("OUTLAST_AGENT_GRAZE", "1h")]),
            "cannot use the variable OUTLAST_AGENT_GRAZE: [agent] has no key \"graze\"; did you mean \
             OUTLAST_AGENT_GRACE?",
        ),
        (
            agent("", &[("OUTLAST_AGENT_KEEP", "few")]),
            "cannot use the variable OUTLAST_AGENT_KEEP: agent.keep: \"few\" is not a whole number \
             without quotes, such as 2",
        ),
        (
            agent("graze = 1\npoll = 5", &[]),
            "cannot understand /etc/x.toml, line 8, column 1: [agent] has no key \"graze\"; did you \
             mean grace?\ncannot understand /etc/x.toml, line 9, column 8: agent.poll: this is an \
             integer, and it wants a duration in quotes, such as \"30s\", \"5m\" or \"26h\"",
        ),
        (
            read::<AgentConfig>(&AGENT.replace("state", "#state"), &[]).unwrap_err(),
            "cannot use /etc/x.toml: state is missing in [agent]; write it there, or set \
             OUTLAST_AGENT_STATE",
        ),
        (
            vault("[promise]\nrpo = \"10ms\""),
            "cannot understand /etc/x.toml, line 6, column 7: promise.rpo: \"10ms\" is not possible: \
             use 1 s to 366 d",
        ),
        (
            vault("[workloads.a]\nrto = \"1h\""),
            "cannot understand /etc/x.toml, line 6, column 1: [workloads.a] has no key \"rto\"; did \
             you mean rpo?",
        ),
        (
            vault("[promise]\nowner = \"\""),
            "cannot understand /etc/x.toml, line 6, column 9: promise.owner: an owner is 1 to 128 \
             printable characters, for example \"team-shop\"",
        ),
    ];
    for (told, wanted) in golden {
        assert_eq!(told, wanted);
    }
}

#[test]
fn what_the_platform_says_of_a_service_called_like_a_role_is_no_setting() {
    let links = [
        ("OUTLAST_AGENT_SERVICE_HOST", "10.0.0.7"),
        ("OUTLAST_AGENT_SERVICE_PORT", "8443"),
        ("OUTLAST_AGENT_SERVICE_PORT_HTTPS", "8443"),
        ("OUTLAST_AGENT_PORT", "tcp://10.0.0.7:8443"),
        ("OUTLAST_AGENT_PORT_8443_TCP", "tcp://10.0.0.7:8443"),
        ("OUTLAST_AGENT_PORT_8443_TCP_PROTO", "tcp"),
        ("OUTLAST_AGENT_PORT_8443_TCP_PORT", "8443"),
        ("OUTLAST_AGENT_PORT_8443_TCP_ADDR", "10.0.0.7"),
        ("OUTLAST_AGENT_EU_PORT", "udp://10.0.0.7:53"),
    ];
    read::<AgentConfig>(AGENT, &links).unwrap();
    let error = read::<AgentConfig>(AGENT, &[("OUTLAST_AGENT_PORT", "8443")]).unwrap_err();
    assert!(error.contains("OUTLAST_AGENT_PORT: [agent] has no key"), "{error}");
}

const RULE: [Key; 5] = [
    Key { name: "glob", kind: Kind::Text { example: "*.sql" }, default: Default::None, help: "" },
    Key {
        name: "settle",
        kind: Kind::Duration { min: Duration::from_secs(1), max: Duration::MAX },
        default: Default::Value("5m"),
        help: "",
    },
    Key {
        name: "words",
        kind: Kind::Words { example: "[\"a\", \"b\"]" },
        default: Default::Nothing,
        help: "",
    },
    Key { name: "all", kind: Kind::Flag, default: Default::Value("false"), help: "" },
    Key {
        name: "after",
        kind: Kind::OneOf(&["never", "vaulted"]),
        default: Default::Value("never"),
        help: "",
    },
];

/// A role of which sections of one kind may be there any number of times.
const RULED: RoleKeys = RoleKeys {
    name: "ruled",
    sections: &[
        Section {
            name: "house",
            form: Form::Once,
            keys: &[Key {
                name: "share",
                kind: Kind::Path,
                default: Default::Unless("rule"),
                help: "",
            }],
        },
        Section { name: "rule", form: Form::Listed, keys: &RULE },
    ],
};

fn ruled(text: &str) -> Result<Settings, Vec<String>> {
    let document = Document::new(Path::new("/etc/x.toml"), text.to_owned()).unwrap();
    let (settings, flaws) = document.resolve(&RULED, std::iter::empty()).unwrap();
    if flaws.is_empty() {
        return Ok(settings);
    }
    Err(Flaws::new(None, flaws).to_string().lines().map(str::to_owned).collect())
}

#[test]
fn sections_that_are_listed_keep_their_order_and_each_has_its_own_defaults() {
    let text = "[[rule]]\nglob = \"b\"\nwords = [\"x,y\", \"z \\\"\"]\nall = true\n\n\
                [[rule]]\nglob = \"a\"\nsettle = \"1h\"\nafter = \"vaulted\"\n";
    let mut settings = ruled(text).unwrap();
    let globs: Vec<&str> =
        settings.listed("rule").iter().map(|it| settings.text(&it.key("glob")).unwrap()).collect();
    assert_eq!(globs, ["b", "a"]);
    assert_eq!(settings.words("rule[1].words"), ["x,y", "z \""]);
    assert!(settings.words("rule[2].words").is_empty() && settings.flag("rule[1].all"));
    assert!(!settings.flag("rule[2].all"));
    assert_eq!(settings.duration("rule[1].settle").unwrap(), Duration::from_secs(300));
    assert_eq!(settings.duration_if_set("rule[2].settle"), Some(Duration::from_secs(3600)));
    assert_eq!(settings.text_if_set("rule[2].after"), Some("vaulted"));
    assert!(settings.is_set("rule[2].after") && !settings.is_set("rule[1].after"));
    // Where each comes from, and what is wrong between them.
    let place = |flaw: Flaw| match flaw.source {
        Source::File { line, column } => (line, column, flaw.text),
        other => panic!("{other:?}"),
    };
    let flaw = settings.listed("rule")[1].flaw("this cannot be");
    assert_eq!(place(flaw), (6, 1, "rule[2]: this cannot be".to_owned()));
    let flaw = settings.flaw("rule[2].settle", "too long");
    assert_eq!(place(flaw), (8, 10, "rule[2].settle: too long".to_owned()));
    // A default that follows from other settings, unless somebody set the key.
    assert_eq!(settings.missing().len(), 1, "the share");
    settings.settle("house.share", Value::Text("/s".to_owned()));
    settings.settle("rule[2].after", Value::Text("never".to_owned()));
    assert_eq!((settings.text("house.share").unwrap(), settings.missing()), ("/s", Vec::new()));
    assert_eq!(settings.text("rule[2].after").unwrap(), "vaulted");
    // None at all, and all on one line.
    assert!(ruled("").unwrap().listed("rule").is_empty());
    assert_eq!(ruled("rule = [{glob = \"a\"}]").unwrap().listed("rule").len(), 1);
}

#[test]
fn all_mistakes_in_sections_that_are_listed_are_told_where_they_are() {
    let golden: [(&str, &[&str]); 7] = [
        (
            "[[rule]]\nglob = 7\nsetle = \"1h\"\n\n[[rule]]\nafter = \"vault\"\n",
            &[
                "line 2",
                "this is an integer",
                "line 3",
                "[[rule]] has no key \"setle\"; did you mean settle?",
                "line 5",
                "glob is missing in this [[rule]]",
                "line 6",
                "did you mean \"vaulted\"?",
            ],
        ),
        ("[rule]\nglob = \"a\"\n", &["line 1", "there may be several of rule: write [[rule]]"]),
        ("rule = [\"a\"]\n", &["line 1", "rule is a section: write [[rule]]"]),
        ("[[rules]]\n", &["line 1", "there is no section [rules]; did you mean [[rule]]?"]),
        (
            "[[rule]]\nglob = \"\"\n",
            &["line 2", "rule[1].glob: it is empty, and wants a text in quotes"],
        ),
        (
            "[[rule]]\nglob = \"a\"\nall = \"true\"\n",
            &["line 3", "wants true or false without quotes"],
        ),
        (
            "[[rule]]\nglob = \"a\"\nwords = \"b\"\nafter = \"x\"\n",
            &[
                "line 3",
                "it wants a list of texts, such as [\"a\", \"b\"]",
                "line 4",
                "use one of \"never\", \"vaulted\"",
            ],
        ),
    ];
    for (text, wanted) in golden {
        let document = Document::new(Path::new("/etc/x.toml"), text.to_owned()).unwrap();
        let (_, flaws) = document.resolve(&RULED, std::iter::empty()).unwrap();
        let told = document.judge(flaws).unwrap_err().to_string();
        for words in wanted {
            assert!(told.contains(words), "{text}: {words} is not in:\n{told}");
        }
    }
    let many = "[[rule]]\nglob = \"a\"\n".repeat(1001);
    assert!(ruled(&many).unwrap_err()[0].contains("more than 1000"));
}
