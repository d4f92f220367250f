//! The instance kit: units, user data, scripts, and pipelines.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{has, judge_user_data, names, of, read, reads_yaml, verify_units, write, yaml};
use crate::harness::{outlast, run, scratch, succeed};

const MOUNTS: [&str; 4] = ["aws-efs", "azure-nfs", "azure-smb", "nfs"];
const SCRIPTS: [&str; 4] =
    ["drop", "complete-lifecycle-action", "azure-smb-secret", "pipelines/release.sh"];

#[test]
fn the_kits_units_are_taken_by_systemd_without_a_word() {
    if !has("systemd-analyze", "Debian: systemd") {
        return;
    }
    for mount in MOUNTS {
        let directory = scratch();
        for name in names("instance/systemd") {
            let installed = match name.strip_suffix(".mount") {
                Some(which) if which == mount => "mnt-share.mount",
                Some(_) => continue,
                None => &name,
            };
            let text = read(&format!("instance/systemd/{name}"));
            write(&directory.path().join(installed), &text, 0o644);
        }
        let said = verify_units(directory.path());
        assert!(said.is_empty(), "{mount}: {said}");
        // It would notice.
        write(&directory.path().join("outlast-drop.timer"), "[Timer]\nOnCalender=daily\n", 0o644);
        assert!(!verify_units(directory.path()).is_empty());
    }
}

#[test]
fn what_runs_commands_of_teams_is_no_more_exposed_than_they_need_and_the_rest_is_closed() {
    if !has("systemd-analyze", "Debian: systemd") {
        return;
    }
    // Ten times the number that is shown. The first two run whatever a team drops, as whom it likes.
    for (unit, threshold) in
        [("outlast-instance", "80"), ("outlast-drop", "80"), ("outlast-smb-secret", "20")]
    {
        let output = run(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold", threshold])
            .arg(of(&format!("instance/systemd/{unit}.service"))));
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && table.contains("Overall exposure"), "{unit}: {table}");
    }
}

#[test]
fn the_final_drop_ends_before_the_share_is_unmounted() {
    let text = read("instance/systemd/outlast-instance.service");
    let line = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(key));
        lines.next().unwrap_or_else(|| panic!("{key}")).to_owned()
    };
    // Units are stopped in the reverse of the order in which they are started.
    for unit in ["mnt-share.mount", "remote-fs.target", "network-online.target"] {
        assert!(line("After=").split(' ').any(|it| it == unit), "{unit}");
    }
    // A share that is away must not keep the end of an instance from being watched.
    assert!(!text.contains("Requires"), "{text}");
    assert_eq!(line("KillMode="), "mixed");
    // --deadline, tidying up, and --complete-within, as the command has them when nothing is said.
    assert_eq!(line("TimeoutStopSec="), "7min");
    for mount in MOUNTS {
        let text = read(&format!("instance/systemd/{mount}.mount"));
        assert!(text.contains("\nWhere=/mnt/share\n") && text.contains("_netdev"), "{mount}");
        assert!(!text.contains("RequiredBy"), "{mount}: an instance boots without its share");
    }
    let secret = read("instance/systemd/azure-smb.mount");
    assert!(secret.contains("After=network-online.target outlast-smb-secret.service"), "{secret}");
    assert!(secret.contains("credentials=/run/outlast/") && secret.contains("seal"), "{secret}");
    assert!(read("instance/systemd/aws-efs.mount").contains("tls,iam,accesspoint="));
}

#[test]
fn the_kits_user_data_is_taken_by_cloud_init_and_holds_the_units_as_they_are() {
    if !has("cloud-init", "Debian: cloud-init") || !reads_yaml() {
        return;
    }
    assert_eq!(names("instance/cloud-init").len(), MOUNTS.len());
    for mount in MOUNTS {
        let path = of(&format!("instance/cloud-init/{mount}.yaml"));
        judge_user_data(&path);
        let document = yaml(&path).remove(0);
        let files = document["write_files"].as_array().unwrap();
        let text_of = |wanted: &str| {
            let mut found = files.iter().filter(|file| file["path"] == wanted);
            found.next().unwrap_or_else(|| panic!("{mount}: {wanted}"))["content"].as_str().unwrap()
        };
        for file in files {
            let path = file["path"].as_str().unwrap();
            let content = file["content"].as_str().unwrap();
            let source = match path.rsplit('/').next().unwrap() {
                "mnt-share.mount" => format!("systemd/{mount}.mount"),
                name if path.starts_with("/etc/systemd/system/") => format!("systemd/{name}"),
                name @ ("drop" | "complete-lifecycle-action" | "azure-smb-secret") => {
                    name.to_owned()
                }
                _ => {
                    // User data can be read by whoever is on the instance.
                    assert!(!content.to_lowercase().contains("password"), "{path}: {content}");
                    continue;
                }
            };
            assert_eq!(content, read(&format!("instance/{source}")), "{mount}: {path}");
            let is_script = !source.starts_with("systemd/");
            assert_eq!(file["permissions"] == "0755", is_script, "{mount}: {path}");
        }
        text_of("/etc/systemd/system/outlast-instance.service");
        text_of("/etc/systemd/system/outlast-drop.timer");
        // The words of the watcher are understood.
        let environment = text_of("/etc/outlast/instance.env");
        let options = environment.lines().find_map(|it| it.strip_prefix("WATCH_OPTIONS=")).unwrap();
        let mut watch = outlast();
        watch.args(["instance", "watch"]).args(options.trim_matches('"').split(' '));
        let output = run(watch.args(["--every", "1ms", "--", "true"]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("--every is 50ms to 60s"), "{mount}: {said}");
    }
}

#[test]
fn scripts_are_plain_shell() {
    for script in SCRIPTS {
        let path = of(&format!("instance/{script}"));
        succeed(Command::new("sh").arg("-n").arg(&path));
        assert!(fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0, "{script}");
        assert!(read(&format!("instance/{script}")).contains("\nset -eu\n"), "{script}");
    }
    if has("shellcheck", "Debian: shellcheck") {
        for script in SCRIPTS {
            succeed(Command::new("shellcheck").arg(of(&format!("instance/{script}"))));
        }
    }
}

/// A directory with a program of our own that comes first in PATH.
fn with_program(directory: &Path, name: &str, script: &str) -> String {
    let bin = directory.join("bin");
    write(&bin.join(name), &format!("#!/bin/sh\n{script}\n"), 0o755);
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_key_of_the_share_is_written_whole_and_for_root_alone_and_is_on_no_command_line() {
    let directory = scratch();
    let (file, calls) = (directory.path().join("credentials"), directory.path().join("calls"));
    let path = with_program(
        directory.path(),
        "curl",
        &format!(
            "echo \"$*\" >> {0}; cat >> {0}.in\ncase \"$*\" in\n*169.254.169.254*) echo '{{\"access_token\":\"tok-123\",\"x\":\"y\"}}' ;;\n\
             *shop-secrets.vault.azure.net/secrets/line*) printf '%s' '{{\"value\" : \"d+e/f==\\n\",\"id\":\"u\"}}' ;;\n\
             *shop-secrets.vault.azure.net/secrets/key*) echo '{{\"value\" : \"a+b/c==\",\"id\":\"u\"}}' ;;\n*) exit 22 ;;\nesac",
            calls.display()
        ),
    );
    let bring = |secret: &str| {
        let mut script = Command::new("sh");
        // The loosest mask that there is.
        script.args(["-c", "umask 000; exec \"$0\" \"$1\""]).arg(of("instance/azure-smb-secret"));
        script.arg(&file).env("PATH", &path).env("SMB_ACCOUNT", "shopbackup");
        run(script.env("KEY_VAULT", "shop-secrets").env("KEY_VAULT_SECRET", secret))
    };
    assert!(bring("key").status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), "username=shopbackup\npassword=a+b/c==\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let words = fs::read_to_string(&calls).unwrap();
    assert!(!words.contains("tok-123") && words.contains("--max-time"), "{words}");
    let given = fs::read_to_string(directory.path().join("calls.in")).unwrap();
    assert!(given.contains("Authorization: Bearer tok-123"), "{given}");
    // A file that was brought to the Key Vault ends its line.
    assert!(bring("line").status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), "username=shopbackup\npassword=d+e/f==\n");
    assert!(bring("key").status.success());
    // A secret that is not there changes nothing.
    let output = bring("other");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("no secret other"), "{said}");
    assert!(fs::read_to_string(&file).unwrap().contains("a+b/c=="));
}

#[test]
fn the_group_is_told_by_the_name_of_the_instance_and_what_became_of_the_drop() {
    let directory = scratch();
    let path = with_program(directory.path(), "aws", "echo \"$@\"");
    let told = |result: &str| {
        let mut script = Command::new(of("instance/complete-lifecycle-action"));
        script.env("PATH", &path).env("LIFECYCLE_GROUP", "shop").env("LIFECYCLE_HOOK", "hook");
        script
            .env("OUTLAST_ENDING_INSTANCE", "i-0abc")
            .env("OUTLAST_ENDING_REGION", "eu-central-1");
        succeed(script.env("OUTLAST_ENDING_RESULT", result))
    };
    assert_eq!(
        told("sealed").trim(),
        "autoscaling complete-lifecycle-action --region eu-central-1 --auto-scaling-group-name shop \
         --lifecycle-hook-name hook --instance-id i-0abc --lifecycle-action-result CONTINUE"
    );
    assert!(told("gaps").contains("CONTINUE") && told("failed").contains("ABANDON"));
    assert_eq!(
        told("making").trim(),
        "autoscaling record-lifecycle-action-heartbeat --region eu-central-1 --auto-scaling-group-name shop \
         --lifecycle-hook-name hook --instance-id i-0abc"
    );
    let output = run(Command::new(of("instance/complete-lifecycle-action")).env("PATH", &path));
    assert!(String::from_utf8_lossy(&output.stderr).contains("instance.env"), "{output:?}");
}

#[test]
fn a_release_ends_blue_only_after_its_last_drop_has_come_so_far() {
    let directory = scratch();
    let share = directory.path().join("share");
    succeed(outlast().args(["share", "init"]).arg(&share));
    let program = Path::new(env!("CARGO_BIN_EXE_outlast"));
    let path =
        with_program(directory.path(), "outlast", &format!("exec {} \"$@\"", program.display()));
    let note = |name: &str| -> PathBuf { directory.path().join(name) };
    let release = |drop: &str, until: &str| {
        let mut script = Command::new("sh");
        script.arg(of("instance/pipelines/release.sh")).env("PATH", &path);
        script.env("BLUE", "r1").env("WORKLOAD", "shop").env("SHARE", &share);
        script.env("UNTIL", until).env("TIMEOUT", "1s").env("DROP_BLUE", drop);
        script.env("DEPLOY_GREEN", format!("touch {}", note("green").display()));
        run(script.env("END_BLUE", format!("touch {}", note("ended").display())))
    };
    let nothing = release("true", "sealed");
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert_eq!(nothing.status.code(), Some(3), "{said}");
    assert!(said.contains("r1 is left alone") && note("green").exists(), "{said}");
    assert!(!note("ended").exists());
    assert!(!release("false", "sealed").status.success() && !note("ended").exists());
    let drop = "outlast drop --share $SHARE --workload shop --instance b1 --release r1 --final --exec x -- echo x";
    // Nobody is believed whose authority is not named.
    let said = release(drop, "accepted");
    assert!(String::from_utf8_lossy(&said.stderr).contains("authority"), "{said:?}");
    assert!(!note("ended").exists());
    let output = release(drop, "sealed");
    assert!(output.status.success() && note("ended").exists(), "{output:?}");
}

#[test]
fn pipelines_say_what_the_release_script_asks_for() {
    if !reads_yaml() {
        return;
    }
    let script = read("instance/pipelines/release.sh");
    for (pipeline, steps) in [
        ("github-actions", "/jobs/release/steps/1"),
        ("gitlab-ci", "/release"),
        ("azure-devops", "/jobs/0/steps/1"),
    ] {
        let path = of(&format!("instance/pipelines/{pipeline}.yml"));
        let document = yaml(&path).remove(0);
        let step = document.pointer(steps).unwrap_or_else(|| panic!("{pipeline}"));
        assert!(step.to_string().contains("sh ci/release.sh"), "{pipeline}: {step}");
        let said = step.get("env").or_else(|| step.get("variables")).unwrap().as_object().unwrap();
        for name in said.keys().filter(|name| *name != "GREEN") {
            assert!(script.contains(&format!("${{{name}")), "{pipeline}: {name}");
        }
        for name in ["WORKLOAD", "DEPLOY_GREEN", "DROP_BLUE", "END_BLUE", "CA"] {
            assert!(said.contains_key(name), "{pipeline}: {name}");
        }
        assert!(said["DROP_BLUE"].as_str().unwrap().contains("--final --release"), "{pipeline}");
    }
}
