//! The vault's machine is lost: repositories and a kit bring it back, and agents go on. Without Outlast, kit
//! and stock restic give the data back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use outlast_fs::fault::DIE_AT;
use serde_json::Value;

use crate::harness::{Role, Up, document, fail, outlast, run, scratch, succeed, wait_until};

const PASSPHRASE: &str = "six words that nobody ever guesses";
/// Fewer strikes than these cannot have met all that a recovery does.
const STRIKES_MIN: u32 = 8;
/// From one strike to the next: prime to the steps that a durable write has.
const STRIDE: u32 = 5;

/// A place with a passphrase file, a share of its own, and room for the rest.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { directory: scratch() };
        write(scene.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        fs::create_dir(scene.path("share")).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An `up` in `name` on the scene's share, which saves its state at its end only.
    fn up(&self, name: &str) -> Up {
        let settings = [("OUTLAST_VAULT_SAVE_STATE", "1h"), ("OUTLAST_AGENT_REPORT", "1s")];
        Up::start_on(&self.path(name), &self.path("share"), &settings)
    }

    fn kit(&self, up: &str, into: &str) -> Command {
        let mut command = outlast();
        command.args(["ca", "kit", "--dir"]).arg(self.path(up));
        command.arg("--passphrase-file").arg(self.path("passphrase"));
        command.arg("--into").arg(self.path(into));
        command
    }

    fn recover(&self, from: impl AsRef<Path>, kit: &str, into: &str) -> Command {
        let mut command = outlast();
        command.args(["vault", "recover", "--from"]).arg(from.as_ref());
        command.arg("--kit").arg(self.path(kit));
        command.arg("--passphrase-file").arg(self.path("passphrase"));
        command.arg("--dir").arg(self.path(into));
        command
    }

    /// The vault's machine burns; what is left is the disk of the repositories.
    fn lose(&self, up: &str) -> PathBuf {
        let disk = self.path("disk");
        rename(self.path(up).join("vault/repos"), &disk).unwrap();
        fs::remove_dir_all(self.path(up)).unwrap();
        disk
    }
}

#[expect(clippy::disallowed_methods, reason = "what is taken away need not survive a crash")]
fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> std::io::Result<()> {
    fs::rename(from, to)
}

#[expect(clippy::disallowed_methods, reason = "a test's files need not survive a crash")]
fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> std::io::Result<()> {
    fs::write(path, content)
}

fn text<'a>(name: &'a str, content: &'a str) -> [&'a str; 5] {
    ["--exec", name, "--", "echo", content]
}

fn heads(kit: &Value) -> String {
    format!("{}:{}", kit["head"]["number"], kit["head"]["hash"].as_str().unwrap())
}

fn received(up: &Up, workload: &str, receipt: &Value) -> bool {
    let snapshots = document(&mut up.ask(&["snapshots", workload, "--json"]));
    let mut snapshots = snapshots.as_array().unwrap().iter();
    snapshots.any(|it| it["id"] == receipt["snapshot"] && it["received"] == receipt["at"])
}

/// The audit log is whole, and tells whoever kept a head of it what of it is lost.
fn the_log_goes_on(scene: &Scene, kit: &Value, noticed: &Value) {
    let verify = |head: &str| {
        let mut command = outlast();
        command.args(["audit", "verify", "--json", "--dir"]).arg(scene.path("up"));
        if !head.is_empty() {
            command.args(["--head", head]);
        }
        command
    };
    let verdict = document(&mut verify(""));
    assert_eq!((&verdict["whole"], verdict["gaps"].as_array().unwrap().len()), (&true.into(), 1));
    assert!(verdict["head"]["number"].as_u64() > noticed["head"]["number"].as_u64());
    succeed(&mut verify(&heads(kit)));
    // Whoever kept a head of after the newest save learns that what it stands for is lost.
    let lost = run(&mut verify(&heads(noticed)));
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&lost.stdout).contains("\"lost\""));
}

#[test]
fn a_lost_vault_comes_back_from_repositories_and_kit_and_agents_go_on() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    for content in ["one", "two"] {
        let drop = up.drop("shop", &text("shop.sql", content));
        up.wait_for_receipt("shop", &drop, "vaulted");
    }
    let kit = document(scene.kit("up", "kit").arg("--json"));
    let reason = ["--reason", "holidays"];
    succeed(up.ask(&["workload", "pause", "shop"]).args(["--for", "3d"]).args(reason));
    let paused = document(&mut up.ask(&["workload", "show", "shop", "--json"]));
    // The newest save is of this end.
    up.role.stop();
    let mut up = scene.up("up");
    let mut younger = Vec::new();
    for (workload, content) in [("shop", "three"), ("young", "first")] {
        let drop = up.drop(workload, &text("dump.sql", content));
        younger.push((workload, up.wait_for_receipt(workload, &drop, "vaulted")));
    }
    let noticed = document(outlast().args(["audit", "verify", "--json", "--dir"]).arg(&up.dir));
    up.role.kill();
    let disk = scene.lose("up");
    let waiting = up.drop("shop", &text("shop.sql", "four"));

    let recovered = document(scene.recover(&disk, "kit", "up").arg("--json"));
    assert_eq!(recovered["younger"], serde_json::json!(["young"]), "{recovered:#}");
    assert_eq!(recovered["waiting_for_agents"], serde_json::json!(["up"]));
    assert_eq!(
        (&recovered["missing"], &recovered["absent"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
    the_log_goes_on(&scene, &kit, &noticed);

    let mut up = scene.up("up");
    up.wait_for_receipt("shop", &waiting, "vaulted");
    // What came after the newest save is known as it was: by the receipts that lie on the share.
    for (workload, receipt) in &younger {
        wait_until("its arrival is known again", || received(&up, workload, receipt));
    }
    for (workload, content) in [("shop", "four\n"), ("young", "first\n")] {
        let target = scene.path(&format!("restored-{workload}"));
        succeed(up.ask(&["restore", workload, "--into"]).arg(&target));
        let name = if workload == "shop" { "shop.sql" } else { "dump.sql" };
        assert_eq!(fs::read_to_string(target.join(name)).unwrap(), content);
    }
    let shown = document(&mut up.ask(&["workload", "show", "shop", "--json"]));
    assert_eq!(shown["orders"], paused["orders"]);
    wait_until("all agents have reported", || {
        let all = up.incidents();
        let is_withheld = |it: &&Value| it["key"] == "releases-withheld";
        all.iter().find(is_withheld).is_some_and(|it| !it["resolved"].is_null())
    });
    for incident in up.incidents() {
        assert!(!incident["resolved"].is_null(), "{incident:#}");
        assert_ne!(incident["key"], "vault-went-back", "nothing was lost: {incident:#}");
    }
    let resume = ["vault", "resume", "--reason", "x", "--dir"];
    let words = fail(outlast().args(resume).arg(&up.dir), 1);
    assert!(words.contains("nothing to resume"), "{words}");
    let log = succeed(outlast().args(["audit", "export", "--dir"]).arg(&up.dir));
    for action in ["kit_made", "recovered", "releases_resumed"] {
        assert_eq!(log.matches(&format!("\"action\":\"{action}\"")).count(), 1, "{action}");
    }
    // And it goes on as any other: a kit of it, an end, a start.
    succeed(&mut scene.kit("up", "kit-2"));
    up.role.stop();
    let mut up = scene.up("up");
    let drop = up.drop("shop", &text("shop.sql", "five"));
    up.wait_for_receipt("shop", &drop, "vaulted");
}

#[test]
fn a_vault_that_is_lost_right_after_a_revocation_comes_back_with_it() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    succeed(&mut scene.kit("up", "kit"));
    let token = scene.path("bi.token");
    let mut command = outlast();
    command.args(["ca", "token", "--role", "reader", "--name", "bi", "--dir"]).arg(&up.dir);
    succeed(command.arg("--out").arg(&token));
    let mut command = outlast();
    command.arg("enroll").arg("--token-file").arg(&token);
    succeed(command.arg("--identity").arg(scene.path("bi")));
    let state = |up: &Up| {
        let list = document(&mut up.ask(&["ca", "list", "--json"]));
        let list = list["certificates"].as_array().unwrap();
        let of = list.iter().find(|it| it["peer"]["name"] == "bi").unwrap();
        of["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&up), "good");
    succeed(up.ask(&["ca", "revoke", "bi"]).args(["--role", "reader"]));
    up.role.kill();
    let disk = scene.lose("up");
    succeed(&mut scene.recover(&disk, "kit", "up"));
    assert_eq!(state(&scene.up("up")), "revoked");
}

#[test]
fn a_vault_that_is_lost_right_after_a_renaming_comes_back_with_the_name_of_now() {
    for is_save_older in [false, true] {
        let scene = Scene::new();
        let mut up = scene.up("up");
        let drop = up.drop("shop", &text("shop.sql", "one"));
        up.wait_for_receipt("shop", &drop, "vaulted");
        succeed(&mut scene.kit("up", "kit"));
        up.role.stop();
        let own = scene.path("up").join("vault/repos/.vault");
        let mut copy = Command::new("cp");
        assert!(copy.arg("-a").arg(&own).arg(scene.path("own")).status().unwrap().success());
        let mut up = scene.up("up");
        succeed(&mut up.ask(&["workload", "rename", "shop", "store"]));
        up.role.kill();
        let disk = scene.lose("up");
        assert!(disk.join("store").exists(), "it was moved");
        if is_save_older {
            rename(disk.join(".vault"), scene.path("newer")).unwrap();
            rename(scene.path("own"), disk.join(".vault")).unwrap();
        }
        let told = succeed(&mut scene.recover(&disk, "kit", "up"));
        assert!(!told.contains("missing"), "{is_save_older}: {told}");
        let mut up = scene.up("up");
        let snapshots = document(&mut up.ask(&["snapshots", "store", "--json"]));
        assert_eq!(snapshots[0]["drop"], drop.as_str(), "{is_save_older}: {snapshots}");
        let second = up.drop("shop", &text("shop.sql", "two"));
        up.wait_for_receipt("shop", &second, "vaulted");
        let names = document(&mut up.ask(&["workload", "list", "--json"])).to_string();
        assert!(names.contains("\"store\"") && !names.contains("\"shop\""), "{names}");
        up.role.stop();
    }
}

#[test]
fn stock_restic_opens_a_kit_and_by_it_every_repository_also_a_later_one() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    let drop = up.drop("shop", &text("shop.sql", "one"));
    up.wait_for_receipt("shop", &drop, "vaulted");
    succeed(&mut scene.kit("up", "kit"));
    let drop = up.drop("later", &text("later.sql", "two"));
    up.wait_for_receipt("later", &drop, "vaulted");
    up.role.stop();

    let restic = |repository: &Path, password: &Path| {
        let mut command = Command::new("restic");
        command.args(["--no-cache", "--no-lock", "-r"]).arg(repository);
        command.arg("--password-file").arg(password);
        command
    };
    let (kit, opened) = (scene.path("kit"), scene.path("opened"));
    let passphrase = scene.path("passphrase");
    succeed(restic(&kit, &passphrase).args(["check", "--read-data"]));
    succeed(restic(&kit, &passphrase).args(["restore", "latest", "--target"]).arg(&opened));
    let repos = scene.path("up/vault/repos");
    let shop = opened.join("passwords/shop");
    let target = scene.path("restored-shop");
    succeed(
        restic(&repos.join("shop"), &shop).args(["restore", "latest", "--target"]).arg(&target),
    );
    assert_eq!(fs::read_to_string(target.join("shop.sql")).unwrap(), "one\n");
    // What the vault saved of itself, too.
    let own = opened.join("passwords/.vault");
    let listed = succeed(restic(&repos.join(".vault"), &own).args(["ls", "latest"]));
    for name in ["/vault/keys/later.password", "/identity/identity.pem", "/ca/", "/vault.toml"] {
        assert!(listed.contains(name), "{name} is not in {listed}");
    }
    assert!(!listed.contains("/vault/recovery") && !listed.contains("/vault/repos"), "{listed}");
    // Of a later one, as the page says it.
    let page = fs::read_to_string(kit.join("README.txt")).unwrap();
    assert_eq!(page, fs::read_to_string(opened.join("README.txt")).unwrap());
    let line = page.split("    openssl kdf").nth(1).unwrap().split("\n\n").next().unwrap();
    let line =
        format!("openssl kdf{line}").replace("WORKLOAD", "later").replace("./opened-kit", "opened");
    succeed(Command::new("sh").args(["-ec", &line]).current_dir(scene.directory.path()));
    let later = scene.path("password");
    succeed(restic(&repos.join("later"), &later).args(["check"]));
    // One password opens one repository.
    assert!(!run(restic(&repos.join("shop"), &later).arg("snapshots")).status.success());
    // The page has no secret, and nobody else may read the kit.
    let secret = fs::read_to_string(opened.join("secret")).unwrap();
    assert!(!page.contains(secret.trim()) && !page.contains("PRIVATE KEY"));
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o077
    };
    assert_eq!((mode(&kit), mode(&scene.path("up/vault/recovery/secrets/1.json"))), (0, 0));
}

/// The command fails with this sentence, and leaves nothing behind.
fn refused(scene: &Scene, command: &mut Command, sentence: &str) {
    let words = fail(command, 1);
    assert!(words.contains(sentence), "{words}");
    for made in ["new/vault/keys", "new/vault/recovering.json", "new/ca", "new/identity/vault"] {
        assert!(!scene.path(made).exists(), "{made} was made: {words}");
    }
}

#[test]
fn what_does_not_fit_together_is_said_and_nothing_is_made() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    for workload in ["shop", "web"] {
        let drop = up.drop(workload, &text("dump.sql", workload));
        up.wait_for_receipt(workload, &drop, "vaulted");
    }
    succeed(&mut scene.kit("up", "kit"));
    let repos = scene.path("up/vault/repos");
    refused(
        &scene,
        &mut scene.recover(&repos, "kit", "new"),
        "a vault is running on the repositories",
    );
    up.role.stop();

    refused(&scene, &mut scene.recover(&repos, "nothing", "new"), "there is no recovery kit in");
    refused(
        &scene,
        &mut scene.recover(scene.path("share"), "kit", "new"),
        "there are no repositories in",
    );
    refused(
        &scene,
        &mut scene.recover(scene.path("gone"), "kit", "new"),
        "there are no repositories in",
    );
    let wrong = scene.path("wrong");
    write(&wrong, "six words that somebody has guessed").unwrap();
    let mut command = outlast();
    command.args(["vault", "recover", "--from"]).arg(&repos).arg("--kit").arg(scene.path("kit"));
    command.arg("--passphrase-file").arg(&wrong).arg("--dir").arg(scene.path("new"));
    refused(&scene, &mut command, "the passphrase does not open the recovery kit");
    write(&wrong, "short").unwrap();
    let mut kit = outlast();
    kit.args(["ca", "kit", "--dir"]).arg(scene.path("up")).arg("--passphrase-file").arg(&wrong);
    let words = fail(kit.arg("--into").arg(scene.path("weak")), 2);
    assert!(words.contains("too short") && !scene.path("weak").exists(), "{words}");
    let words = fail(&mut scene.kit("up", "kit"), 1);
    assert!(words.contains("is not empty"), "{words}");

    // A vault's own directory, or anything else, is not written over.
    let words = fail(&mut scene.recover(&repos, "kit", "up"), 1);
    assert!(words.contains("there is something in"), "{words}");
}

#[test]
fn repositories_and_kits_that_do_not_fit_together_are_named_and_nothing_is_made() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    for workload in ["shop", "web"] {
        let drop = up.drop(workload, &text("dump.sql", workload));
        up.wait_for_receipt(workload, &drop, "vaulted");
    }
    succeed(&mut scene.kit("up", "kit"));
    up.role.stop();
    let repos = scene.path("up/vault/repos");
    // A kit of another vault.
    let other = Scene::new();
    let mut stranger = other.up("up");
    stranger.role.stop();
    succeed(&mut other.kit("up", "kit"));
    rename(other.path("kit"), scene.path("strange")).unwrap();
    refused(&scene, &mut scene.recover(&repos, "strange", "new"), "opens none of the repositories");

    // A repository that is missing, and one of somebody else.
    rename(repos.join("web"), scene.path("web")).unwrap();
    refused(&scene, &mut scene.recover(&repos, "kit", "new"), "1 are not in");
    let foreign = repos.join("foreign");
    succeed(outlast().args(["repo", "init", "-r"]).arg(&foreign).env("OUTLAST_PASSWORD", "x"));
    refused(&scene, &mut scene.recover(&repos, "kit", "new"), "do not fit this kit: foreign");
    fs::remove_dir_all(&foreign).unwrap();
    let words = fail(&mut scene.recover(&repos, "kit", "new"), 1);
    assert!(words.contains("web") && words.contains("--accept-missing"), "{words}");

    // What the vault saved of itself is gone, too.
    rename(repos.join(".vault"), scene.path("own")).unwrap();
    refused(
        &scene,
        &mut scene.recover(&repos, "kit", "new"),
        "what the vault saved of itself is not in",
    );
    rename(scene.path("own"), repos.join(".vault")).unwrap();

    // A damaged kit.
    let data = scene.path("kit/data");
    let packs: Vec<PathBuf> = fs::read_dir(&data)
        .unwrap()
        .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect();
    let sound: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    packs.iter().for_each(|pack| write(pack, b"rubbish").unwrap());
    refused(&scene, &mut scene.recover(&repos, "kit", "new"), "is damaged");
    packs.iter().zip(&sound).for_each(|(pack, content)| write(pack, content).unwrap());

    // Without what is missing it goes on, and the vault keeps saying so.
    let recovered =
        document(scene.recover(&repos, "kit", "new").args(["--accept-missing", "--json"]));
    assert_eq!(recovered["missing"], serde_json::json!(["web"]));
    let up = scene.up("new");
    wait_until("the missing repository is an incident", || {
        up.incidents().iter().any(|it| it["key"] == "repository/web")
    });
}

#[test]
fn a_recovery_that_is_killed_at_any_step_is_finished_by_the_same_command() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    let drop = up.drop("shop", &text("shop.sql", "one"));
    up.wait_for_receipt("shop", &drop, "vaulted");
    succeed(&mut scene.kit("up", "kit"));
    up.role.stop();
    let mut up = scene.up("up");
    // Younger than the newest save.
    let drop = up.drop("young", &text("young.sql", "two"));
    up.wait_for_receipt("young", &drop, "vaulted");
    up.role.kill();
    let disk = scene.lose("up");

    let (mut strikes, mut met_the_mark) = (0, false);
    loop {
        let mut command = scene.recover(&disk, "kit", "new");
        let output = run(command.env(DIE_AT, (strikes * STRIDE + 1).to_string()));
        if output.status.success() {
            break;
        }
        let words = String::from_utf8_lossy(&output.stderr);
        if output.status.code().is_some() {
            // The last strike was after the very last step but for waiting for the disk.
            assert!(words.contains("was brought back in") && met_the_mark, "{words}");
            assert!(!scene.path("new/vault/recovering.json").exists());
            break;
        }
        strikes += 1;
        // No vault takes half of it for whole.
        let config = fs::read_to_string(scene.path("new/vault.toml")).unwrap_or_default();
        if scene.path("new/vault/recovering.json").exists() && config.contains("/new/vault\"") {
            met_the_mark = true;
            let mut vault = outlast();
            let words =
                fail(vault.args(["vault", "--config"]).arg(scene.path("new/vault.toml")), 1);
            assert!(words.contains("is being brought back"), "{words}");
        }
    }
    assert!(strikes >= STRIKES_MIN && met_the_mark, "only {strikes} struck");
    let verdict =
        document(outlast().args(["audit", "verify", "--json", "--dir"]).arg(scene.path("new")));
    assert_eq!((&verdict["whole"], verdict["gaps"].as_array().unwrap().len()), (&true.into(), 1));
    let up = scene.up("new");
    for (workload, name, content) in
        [("shop", "shop.sql", "one\n"), ("young", "young.sql", "two\n")]
    {
        let target = scene.path(&format!("restored-{workload}"));
        succeed(up.ask(&["restore", workload, "--into"]).arg(&target));
        assert_eq!(fs::read_to_string(target.join(name)).unwrap(), content);
    }
}

#[test]
fn a_kit_that_replaces_another_makes_it_worthless() {
    let scene = Scene::new();
    let mut up = scene.up("up");
    let drop = up.drop("shop", &text("shop.sql", "one"));
    up.wait_for_receipt("shop", &drop, "vaulted");
    succeed(&mut scene.kit("up", "kit"));
    let made = document(scene.kit("up", "kit-2").args(["--replace", "--json"]));
    assert_eq!(made["generation"], 2);
    wait_until("the vault has seen to it", || {
        let log = succeed(outlast().args(["audit", "export", "--dir"]).arg(&up.dir));
        log.contains("\"action\":\"key_removed\"")
    });
    // The vault's own follows at its end at the latest.
    up.role.stop();
    let disk = scene.lose("up");
    let words = fail(&mut scene.recover(&disk, "kit", "new"), 1);
    assert!(words.contains("opens none of the repositories"), "{words}");
    succeed(&mut scene.recover(&disk, "kit-2", "new"));
    let mut vault = outlast();
    vault.args(["vault", "--config"]).arg(scene.path("new/vault.toml"));
    let ready = scene.path("ready");
    vault.arg("--ready-file").arg(&ready).env("OUTLAST_VAULT_LISTEN", "127.0.0.1:0");
    let mut vault = Role::start(&mut vault, &scene.path("vault.log"));
    wait_until("it serves", || {
        assert!(!vault.has_ended(), "{}", vault.words());
        ready.exists()
    });
    vault.stop();
}
