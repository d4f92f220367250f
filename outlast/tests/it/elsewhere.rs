//! Certificates of an authority of the house, which names nobody of ours: what they mean stands in the
//! roles' configurations.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Role, document, fail, outlast, scratch, succeed, wait_until};

/// What a bank's authority puts into certificates; nothing of ours.
const PROFILE: &str = "
[req]
prompt = no
distinguished_name = name
[name]
CN = unused
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[host]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth,serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
[plain]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
";

fn write(path: &Path, text: &str) {
    File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The bank's tool makes key and certificate of `subject` in `directory/name`.
fn certify(bank: &Path, profile: &str, subject: &str, name: &str) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(bank).args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config", "profile.cnf"]);
    openssl.args(["-extensions", profile, "-subj", subject]);
    if profile != "root" {
        openssl.args(["-CA", "root.pem", "-CAkey", "root.key"]);
    }
    succeed(openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]));
}

/// An identity as the bank's people lay it down: certificate and key in one file, and the root.
fn lay_down(bank: &Path, name: &str, directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let read = |suffix: &str| fs::read_to_string(bank.join(format!("{name}.{suffix}"))).unwrap();
    write(&directory.join("identity.pem"), &(read("pem") + &read("key")));
    fs::copy(bank.join("root.pem"), directory.join("ca.pem")).unwrap();
}

const NAMES: &str = "
[identities.\"CN=backup-eu,O=Bank\"]
role = \"agent\"
name = \"eu-1\"
[identities.\"DNS:localhost\"]
role = \"vault\"
name = \"hq\"
[identities.\"CN=anna,O=Bank\"]
role = \"operator\"
name = \"anna\"
";

#[test]
fn an_agent_and_a_vault_work_with_certificates_that_name_nobody_of_ours() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let bank = path("bank");
    fs::create_dir(&bank).unwrap();
    write(&bank.join("profile.cnf"), PROFILE);
    certify(&bank, "root", "/O=Bank/CN=Bank Root", "root");
    certify(&bank, "host", "/O=Bank/CN=vault-hq", "vault");
    certify(&bank, "plain", "/O=Bank/CN=backup-eu", "agent");
    for name in ["vault", "agent"] {
        lay_down(&bank, name, &path(&format!("{name}-identity")));
    }
    succeed(outlast().args(["share", "init"]).arg(path("share")));
    let place = directory.path().display();
    let vault_config = format!(
        "[vault]\ndir = \"{place}/vault\"\nlisten = \"127.0.0.1:0\"\n\
         identity = \"{place}/vault-identity\"\n{NAMES}"
    );
    write(&path("vault.toml"), &vault_config);
    let role = |name: &str| {
        let mut command = outlast();
        command.arg(name).arg("--config").arg(path(&format!("{name}.toml")));
        command.arg("--ready-file").arg(path(&format!("{name}.ready")));
        Role::start(&mut command, &path(&format!("{name}.log")))
    };
    let mut vault = role("vault");
    wait_until("the vault serves", || {
        assert!(!vault.has_ended(), "{}", vault.words());
        path("vault.ready").exists()
    });
    let ready: Value = serde_json::from_slice(&fs::read(path("vault.ready")).unwrap()).unwrap();
    let url = ready["url"].as_str().unwrap().replace("127.0.0.1", "localhost");
    let agent_config = format!(
        "[agent]\nshare = \"{place}/share\"\nstate = \"{place}/state\"\nupstream = \"{url}\"\n\
         identity = \"{place}/agent-identity\"\npoll = \"200ms\"\nkeep = 0\n"
    );
    // Without the section, the certificate means nobody, and that is said with its names.
    write(&path("agent.toml"), &agent_config);
    let mut start = outlast();
    let words = fail(start.arg("agent").arg("--config").arg(path("agent.toml")), 1);
    assert!(words.contains("nothing says whom CN=backup-eu,O=Bank means"), "{words}");
    write(&path("agent.toml"), &format!("{agent_config}{NAMES}"));
    let mut agent = role("agent");

    let mut command = outlast();
    command.args(["drop", "--workload", "shop", "--share"]).arg(path("share"));
    let drop = succeed(command.args(["--exec", "x", "--", "echo", "x"])).trim().to_owned();
    for state in ["accepted", "vaulted", "released"] {
        let receipt = path(&format!("share/w/shop/receipts/{drop}.{state}.json"));
        let mut said = None;
        wait_until(&format!("the drop is {state}"), || {
            assert!(!agent.has_ended(), "{}", agent.words());
            // A receipt that is just being written is none yet.
            let read = fs::read(&receipt).ok();
            said = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            said.is_some()
        });
        let receipt = said.unwrap();
        let by = if state == "vaulted" { "hq" } else { "eu-1" };
        assert_eq!(receipt["by"], by);
    }
    let mut doctor = outlast();
    doctor.args(["doctor", "agent", "--json", "--config"]).arg(path("agent.toml"));
    let found = document(&mut doctor);
    assert!(found.to_string().contains("agent eu-1"), "{found}");
    agent.stop();
    vault.stop();
}
