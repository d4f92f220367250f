//! Hosts join by a token, by the commands that people type.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Role, Up, document, fail, outlast, scratch, succeed, wait_until};

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    outlast_fs::durable::replace(path.as_ref(), content.as_ref(), 0o600).unwrap();
}

fn enroll(token: &Path, identity: &Path) -> Command {
    let mut command = outlast();
    command.arg("enroll").arg("--token-file").arg(token).arg("--identity").arg(identity);
    command
}

/// `outlast ca token …` by the operator of an `up`.
fn token(up: &Up, arguments: &[&str]) -> Command {
    let mut command = outlast();
    command.args(["ca", "token"]).args(arguments).arg("--dir").arg(&up.dir);
    command
}

#[test]
fn a_host_joins_by_a_token_and_works_with_its_certificate() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    let (file, identity) = (directory.path().join("reader.token"), directory.path().join("reader"));
    let out = file.to_str().unwrap();
    let made = succeed(&mut token(&up, &["--role", "reader", "--name", "bi", "--out", out]));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = fs::read_to_string(&file).unwrap();
    assert!(!made.contains(secret.trim()), "it is in the file only");
    // The file is not written over.
    fail(&mut token(&up, &["--role", "reader", "--name", "bi", "--out", out]), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);

    let said = document(enroll(&file, &identity).arg("--json"));
    assert_eq!((&said["role"], &said["name"]), (&"reader".into(), &"bi".into()));
    let certificate = fs::read(identity.join("identity.pem")).unwrap();
    let mode = fs::metadata(identity.join("identity.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let serving = fs::read(up.dir.join("serving.json")).unwrap();
    let serving: serde_json::Value = serde_json::from_slice(&serving).unwrap();
    let url = serving["url"].as_str().unwrap();
    let mut list = outlast();
    list.args(["workload", "list", "--json", "--vault", url, "--identity"]).arg(&identity);
    document(&mut list);
    // At each boot once more: nothing is asked, and nothing changes.
    succeed(&mut enroll(&file, &identity));
    assert_eq!(fs::read(identity.join("identity.pem")).unwrap(), certificate);
    let refused = fail(enroll(&file, &identity).arg("--replace"), 4);
    assert!(refused.contains("was used already") && refused.contains("another token"), "{refused}");
    assert_eq!(fs::read(identity.join("identity.pem")).unwrap(), certificate);

    // What is there and is no identity that can be read is left alone.
    write(identity.join("identity.pem"), "torn");
    fail(&mut enroll(&file, &identity), 1);
    assert_eq!(fs::read(identity.join("identity.pem")).unwrap(), b"torn");

    let tokens = document(outlast().args(["ca", "tokens", "--json", "--dir"]).arg(&up.dir));
    assert_eq!(tokens["tokens"][0]["state"], "used");
    let exported = succeed(&mut up.ask(&["audit", "export"]));
    assert!(exported.contains("token_made") && !exported.contains(secret.trim()));
}

#[test]
fn a_token_comes_by_standard_input_and_a_bad_one_is_told_before_anything_is_made() {
    let directory = scratch();
    let up = Up::start(&directory.path().join("up"));
    let identity = directory.path().join("agent");
    let text =
        succeed(&mut token(&up, &["--role", "agent", "--name", "eu-1", "--workloads", "shop-*"]));
    let file = directory.path().join("mistyped");
    write(&file, &text.trim()[1..]);
    let said = fail(&mut enroll(&file, &identity), 1);
    assert!(said.contains("no token of outlast"), "{said}");
    write(&file, &text.trim()[..text.len() - 9]);
    let said = fail(&mut enroll(&file, &identity), 1);
    assert!(said.contains("not copied whole"), "{said}");
    assert!(!identity.exists(), "nothing was made");
    write(&file, &text);
    let mut command = enroll(Path::new("-"), &identity);
    let said = succeed(command.stdin(Stdio::from(fs::File::open(&file).unwrap())));
    assert!(said.contains("agent eu-1, shop-*"), "{said}");
    assert!(!identity.join("waiting.key").exists());
    let id = document(outlast().args(["ca", "tokens", "--json", "--dir"]).arg(&up.dir));
    let id = id["tokens"][0]["id"].as_str().unwrap().to_owned();
    let revoked = succeed(outlast().args(["ca", "revoke-token", &id, "--dir"]).arg(&up.dir));
    assert!(revoked.contains("revoked"), "{revoked}");
    let said = fail(&mut enroll(&file, &directory.path().join("other")), 4);
    assert!(said.contains("was revoked"), "{said}");
}

/// A vault and an agent, each a process with a configuration of its own.
struct Site {
    directory: tempfile::TempDir,
    url: String,
    vault: Role,
}

impl Site {
    fn new() -> Self {
        let directory = scratch();
        let path = directory.path();
        let ca = path.join("ca");
        succeed(
            outlast()
                .args(["ca", "init", "--vault", "hq", "--host", "127.0.0.1", "--dir"])
                .arg(&ca),
        );
        let config = format!(
            "[vault]\ndir = \"{0}/vault\"\nlisten = \"127.0.0.1:0\"\nidentity = \"{0}/ca/vault\"\n\
             issuer = \"{0}/ca/issuer\"\n",
            path.display()
        );
        write(path.join("vault.toml"), config);
        let (ready, config) = (path.join("vault.ready"), path.join("vault.toml"));
        let mut command = outlast();
        command.arg("vault").arg("--config").arg(config).arg("--ready-file").arg(&ready);
        let mut vault = Role::start(&mut command, &path.join("vault.log"));
        wait_until("the vault serves", || {
            assert!(!vault.has_ended(), "{}", vault.words());
            ready.exists()
        });
        let serving: serde_json::Value =
            serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
        let url = serving["url"].as_str().unwrap().to_owned();
        fs::create_dir(path.join("share")).unwrap();
        succeed(outlast().args(["share", "init"]).arg(path.join("share")));
        Self { directory, url, vault }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `outlast WORDS…` by the operator.
    fn ask(&self, words: &[&str]) -> Command {
        let mut command = outlast();
        command
            .args(words)
            .args(["--vault", &self.url, "--identity"])
            .arg(self.path("ca/operator"));
        command
    }

    /// The next host of the agent: it has a token and the share, and nothing else.
    fn agent(&self, number: usize) -> Role {
        let (identity, state) =
            (self.path(&format!("agent-{number}")), self.path(&format!("state-{number}")));
        succeed(&mut enroll(&self.path("eu-1.token"), &identity));
        let config = format!(
            "[agent]\nshare = \"{}\"\nstate = \"{}\"\nupstream = \"{}\"\nidentity = \"{}\"\npoll = \"200ms\"\n",
            self.path("share").display(),
            state.display(),
            self.url,
            identity.display()
        );
        let file = self.path(&format!("agent-{number}.toml"));
        write(&file, config);
        let mut command = outlast();
        command.arg("agent").arg("--config").arg(&file);
        Role::start(&mut command, &self.path(&format!("agent-{number}.log")))
    }

    fn drop(&self, content: &Path) -> String {
        let mut command = outlast();
        command.args(["drop", "--workload", "shop-db", "--share"]).arg(self.path("share"));
        succeed(command.arg(content)).trim().to_owned()
    }

    /// Waits until a drop is vaulted.
    fn wait_for(&self, drop: &str) {
        let receipt = self.path("share/w/shop-db/receipts").join(format!("{drop}.vaulted.json"));
        wait_until("the drop is vaulted", || receipt.exists());
    }

    /// Bytes of packs that the vault has.
    fn packed(&self) -> u64 {
        let data = self.path("vault/repos/shop-db/data");
        let folders = fs::read_dir(data).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
        files.flatten().map(|file| file.metadata().map_or(0, |it| it.len())).sum()
    }
}

#[test]
fn an_agent_is_replaced_three_times_once_in_mid_shipment_without_a_human_or_a_page() {
    let mut site = Site::new();
    let out = site.path("eu-1.token");
    let words = ["ca", "token", "--role", "agent", "--name", "eu-1", "--reusable", "--out"];
    succeed(&mut site.ask(&[&words[..], &[out.to_str().unwrap()]].concat()));

    let mut agent = site.agent(0);
    let small = site.path("small.sql");
    write(&small, "create table a (b integer);");
    site.wait_for(&site.drop(&small));
    // It vanishes in the midst of a drop that takes a while.
    let large = site.path("large.sql");
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[3]
    })
    .take(160 << 20)
    .collect();
    write(&large, noise);
    let before = site.packed();
    let drop = site.drop(&large);
    wait_until("a part of it has arrived", || site.packed() > before + (16 << 20));
    agent.kill();
    assert!(site.packed() < before + (160 << 20), "it was in the midst");
    agent = site.agent(1);
    site.wait_for(&drop);
    for number in 2..4 {
        agent.kill();
        agent = site.agent(number);
        site.wait_for(&site.drop(&small));
    }
    agent.stop();
    let listed = document(&mut site.ask(&["workload", "list", "--json"]));
    assert_eq!(listed["incidents"], serde_json::json!([]), "nobody was paged");
    let listed = document(&mut site.ask(&["ca", "list", "--json"]));
    let of_agent = listed["certificates"].as_array().unwrap().iter();
    let states: Vec<&str> = of_agent
        .filter(|it| it["grounds"].as_str().is_some_and(|it| it.starts_with("token")))
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["revoked", "revoked", "revoked", "good"]);
    let uses = succeed(outlast().args(["audit", "export"]).arg(site.path("vault")));
    assert_eq!(uses.matches("\"certificate_issued\"").count(), 4, "each use is on record");
    site.vault.stop();
}
