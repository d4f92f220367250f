use std::time::Duration;

use outlast_agent::AgentConfig;
use outlast_promise::Promise;
use outlast_types::WorkloadName;
use outlast_vault::VaultConfig;

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
    assert_eq!((config.dir.as_path(), config.promise.owner()), (Path::new("/v"), "ops"));
    assert_eq!(config.promise.rpo(), Duration::from_secs(7200));
}

#[test]
fn policy_for_a_workload_builds_on_the_default_promise() {
    let text = format!(
        "{VAULT}[promise]\nowner = \"ops\"\n[workloads.shop-db]\nrpo = \"12h\"\n\
         [workloads.web]\nowner = \"team-web\"\n"
    );
    let config: VaultConfig = read(&text, &[]).unwrap();
    let promise = |name| config.workloads[&WorkloadName::new(name).unwrap()].over(&config.promise);
    let shop = promise("shop-db");
    assert_eq!((shop.rpo(), shop.owner()), (Duration::from_secs(12 * 3600), "ops"));
    let web = promise("web");
    assert_eq!((web.rpo(), web.owner()), (Promise::RPO_DEFAULT, "team-web"));
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
    let usual =
        outlast_vault::AgentLimits { received: 2 << 40, new_workloads: 7, ..Default::default() };
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
             share, state, upstream, identity, poll, grace, keep, receipts_keep, budget, share_budget, report, patience, drop_max, ratio_max, seal_key, textfile",
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
