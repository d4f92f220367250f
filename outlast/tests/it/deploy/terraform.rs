//! The Terraform modules: what they say, what a provider makes of that, and what hosts get to boot with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{has, judge_user_data, of, read, verify_units, write, yaml};
use crate::harness::{run, scratch, succeed};

const MODULES: [&str; 9] = [
    "aws/agent",
    "aws/examples/complete",
    "aws/media",
    "aws/share",
    "aws/workload",
    "azure/agent",
    "azure/examples/complete",
    "azure/share",
    "azure/workload",
];

/// A block of a file: its words, and what is between its braces.
struct Block {
    head: String,
    body: String,
}

/// The blocks of the outermost level. The files are formatted, so a block ends at a brace in the first column.
fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in text.lines() {
        match &mut open {
            Some(_) if line == "}" => blocks.extend(open.take()),
            Some(block) => block.body += &format!("{line}\n"),
            None => {
                let head = line.strip_suffix(" {").map(|head| head.replace('"', ""));
                open = head.map(|head| Block { head, body: String::new() });
            }
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// All blocks of a module.
fn module(name: &str) -> Vec<Block> {
    let entries = fs::read_dir(of(&format!("terraform/{name}"))).unwrap().flatten();
    let files = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "tf")).collect();
    files.sort();
    files.iter().flat_map(|path| blocks(&fs::read_to_string(path).unwrap())).collect()
}

fn find<'a>(blocks: &'a [Block], head: &str) -> &'a str {
    let found = blocks.iter().find(|block| block.head == head);
    &found.unwrap_or_else(|| panic!("there is no {head}")).body
}

/// Without the spaces with which a formatter lines things up.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn terraform(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("terraform");
    command.args(arguments).current_dir(directory).env("TF_CLI_CONFIG_FILE", "/dev/null");
    command.env("TF_IN_AUTOMATION", "1").env("CHECKPOINT_DISABLE", "1");
    command
}

/// A copy of all that the modules refer to.
pub(super) fn copied(directory: &Path) -> PathBuf {
    let from = of("..");
    succeed(
        Command::new("cp").arg("-r").arg(from.join("deploy")).arg(from.join("dist")).arg(directory),
    );
    directory.join("deploy/terraform")
}

/// Where this host keeps a provider, so that nothing has to be fetched.
pub(super) fn plug_ins(provider: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut places = vec![
        home.join(".terraform.d/plugins"),
        PathBuf::from("/usr/local/share/terraform/plugins"),
        PathBuf::from("/usr/share/terraform/plugins"),
    ];
    places.extend(fs::read_dir("/opt").into_iter().flatten().flatten().map(|it| it.path()));
    let holds = |place: &PathBuf| {
        let names = fs::read_dir(place).into_iter().flatten().flatten();
        names.into_iter().any(|name| name.path().join("hashicorp").join(provider).is_dir())
    };
    let found = places.into_iter().find(holds);
    if found.is_none() {
        println!("SKIPPED: no plug-in of the provider {provider} is kept on this host");
    }
    found
}

/// What Terraform plans in a directory.
fn plan(directory: &Path, plug_ins: Option<&Path>) -> Value {
    let mut init = terraform(directory, &["init", "-no-color", "-input=false", "-backend=false"]);
    if let Some(place) = plug_ins {
        init.arg(format!("-plugin-dir={}", place.display()));
    }
    succeed(&mut init);
    succeed(&mut terraform(directory, &["validate", "-no-color"]));
    succeed(&mut terraform(directory, &["plan", "-no-color", "-input=false", "-out=plan"]));
    let shown = succeed(&mut terraform(directory, &["show", "-json", "plan"]));
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn every_variable_and_output_explains_itself() {
    for name in MODULES {
        for block in module(name) {
            let kind = block.head.split(' ').next().unwrap();
            if matches!(kind, "variable" | "output") {
                assert!(plain(&block.body).contains("description = "), "{name}: {}", block.head);
            }
        }
    }
    if has("terraform", "from its vendor") {
        let output =
            run(&mut terraform(&of("terraform"), &["fmt", "-check", "-diff", "-recursive"]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn nothing_may_connect_to_the_agent() {
    let aws = module("aws/agent");
    for block in &aws {
        assert!(!block.head.contains("ingress"), "{}", block.head);
        assert!(!block.head.starts_with("resource aws_security_group_rule"), "{}", block.head);
    }
    let group = find(&aws, "resource aws_security_group agent");
    assert!(!group.contains("ingress"), "{group}");
    let template = plain(find(&aws, "resource aws_launch_template agent"));
    assert!(template.contains("associate_public_ip_address = false"), "{template}");
    assert!(template.contains("http_tokens = \"required\"") && !template.contains("key_name"));
    // The rules of the group that it shares with instances go out alone.
    let share = module("aws/share");
    let into_clients = share
        .iter()
        .filter(|it| it.head.contains("ingress_rule"))
        .find(|it| plain(&it.body).contains("= aws_security_group.client.id description"));
    assert!(into_clients.is_none());
    let azure = module("azure/agent");
    let rule = plain(find(&azure, "resource azurerm_network_security_rule nothing_comes_in"));
    for word in [
        "direction = \"Inbound\"",
        "access = \"Deny\"",
        "protocol = \"*\"",
        "source_address_prefix = \"*\"",
    ] {
        assert!(rule.contains(word), "{word}: {rule}");
    }
    let rules = azure.iter().filter(|it| it.head.contains("network_security_rule")).count();
    assert!(rules == 1 && azure.iter().all(|it| !it.head.contains("public_ip")));
}

#[test]
fn the_agents_role_reads_its_token_and_mounts_and_no_more() {
    let aws = module("aws/agent");
    let policy = plain(find(&aws, "data aws_iam_policy_document agent"));
    let mut actions: Vec<&str> =
        policy.split('"').filter(|it| it.contains(':') && !it.contains(' ')).collect();
    actions.retain(|word| !word.starts_with("elasticfilesystem:AccessPointArn"));
    actions.sort_unstable();
    assert_eq!(
        actions,
        [
            "elasticfilesystem:ClientMount",
            "elasticfilesystem:ClientWrite",
            "kms:Decrypt",
            "ssm:GetParameter"
        ]
    );
    assert!(policy.contains("resources = [var.token_parameter_arn]"), "{policy}");
    // Never two at once, and one that dies is replaced.
    let group = plain(find(&aws, "resource aws_autoscaling_group agent"));
    assert!(group.contains("max_size = 1 desired_capacity = 1"), "{group}");
}

#[test]
fn the_access_point_is_the_workload_and_nothing_ages_into_what_is_dear_to_read() {
    let share = module("aws/share");
    let file_system = plain(find(&share, "resource aws_efs_file_system share"));
    assert!(file_system.contains("encrypted = true"), "{file_system}");
    assert!(!file_system.contains("lifecycle_policy"), "{file_system}");
    let point = plain(find(&share, "resource aws_efs_access_point workload"));
    assert!(point.contains("for_each = var.workloads"), "{point}");
    assert!(point.contains("posix_user { uid = each.value.uid gid = each.value.uid }"), "{point}");
    let directory = plain(find(&share, "resource aws_efs_access_point directory"));
    assert!(directory.contains("path = \"/outlast/w/${each.key}\""), "{directory}");
    assert!(directory.contains("owner_uid = each.value.uid"), "{directory}");
    assert!(directory.contains("permissions = \"2770\""), "{directory}");
    let policy = plain(find(&share, "data aws_iam_policy_document share"));
    assert_eq!(policy.matches("effect = \"Deny\"").count(), 2, "{policy}");
    for word in ["aws:SecureTransport", "elasticfilesystem:AccessPointArn"] {
        assert!(policy.contains(word), "{word}");
    }
    let workload = module("aws/workload");
    let policy = plain(find(&workload, "data aws_iam_policy_document workload"));
    assert!(policy.contains("values = [local.mine.access_point_arn]"), "{policy}");
    assert!(!policy.contains("ClientRootAccess"), "{policy}");
    let hook = plain(find(&workload, "resource aws_autoscaling_lifecycle_hook final_drop"));
    assert!(hook.contains("\"autoscaling:EC2_INSTANCE_TERMINATING\""), "{hook}");
}

#[test]
fn the_aws_example_plans_and_the_plan_keeps_the_promises() {
    if !has("terraform", "from its vendor") {
        return;
    }
    let Some(plug_ins) = plug_ins("aws") else { return };
    let directory = scratch();
    let example = copied(directory.path()).join("aws/examples/complete");
    // So that nobody is asked who we are.
    let offline = "provider \"aws\" {\n  access_key = \"x\"\n  secret_key = \"x\"\n  skip_credentials_validation = true\n  \
                   skip_requesting_account_id = true\n  skip_metadata_api_check = true\n}\n";
    write(&example.join("offline_override.tf"), offline, 0o644);
    let plan = plan(&example, Some(&plug_ins));
    let changes = plan["resource_changes"].as_array().unwrap();
    let of_kind = |kind: &str| changes.iter().filter(|it| it["type"] == kind).collect::<Vec<_>>();
    let points = of_kind("aws_efs_access_point");
    assert_eq!(points.len(), 1 + 2 * 2, "the agent's, and for each workload one and its directory");
    let mut users: Vec<u64> = points
        .iter()
        .filter(|it| it["name"] == "workload")
        .map(|it| it.pointer("/change/after/posix_user/0/uid").unwrap().as_u64().unwrap())
        .collect();
    users.sort_unstable();
    assert_eq!(users, [10101, 10102]);
    let file_system = &of_kind("aws_efs_file_system")[0]["change"]["after"];
    assert_eq!(file_system["encrypted"], true);
    assert_eq!(file_system["lifecycle_policy"].as_array().map(Vec::len), Some(0));
    for rule in of_kind("aws_vpc_security_group_ingress_rule") {
        let address = rule["address"].as_str().unwrap();
        assert!(!address.contains("module.agent"), "{address}");
    }
    for group in of_kind("aws_security_group") {
        let inline = &group["change"]["after"]["ingress"];
        assert!(inline.as_array().is_none_or(Vec::is_empty), "{group}");
    }
    for template in of_kind("aws_launch_template") {
        assert_eq!(
            template.pointer("/change/after/metadata_options/0/http_tokens").unwrap(),
            "required"
        );
    }
    let media = of_kind("aws_autoscaling_group")
        .into_iter()
        .filter(|it| it["address"].as_str().unwrap().contains("module.media"));
    assert_eq!(
        media.count(),
        2,
        "a group for each name: two with one token would revoke each other"
    );
}

/// Looks at what a host boots with: by cloud-init, by systemd, and by the shell.
fn judge_boot(text: &str, directory: &Path) -> Vec<(String, String)> {
    let path = directory.join("user-data");
    write(&path, text, 0o644);
    judge_user_data(&path);
    let document = yaml(&path).remove(0);
    let files = document["write_files"].as_array().unwrap().iter();
    let files: Vec<(String, String)> = files
        .map(|file| {
            [&file["path"], &file["content"]].map(|it| it.as_str().unwrap().to_owned()).into()
        })
        .collect();
    let units = directory.join("units");
    for (path, content) in &files {
        if let Some(name) = path.strip_prefix("/etc/systemd/system/") {
            write(&units.join(name), content, 0o644);
        }
        if content.starts_with("#!/bin/sh") {
            let script = directory.join("script");
            write(&script, content, 0o755);
            succeed(Command::new("sh").arg("-n").arg(&script));
        }
    }
    assert_eq!(verify_units(&units), "", "{text}");
    files
}

#[test]
fn a_workloads_user_data_on_azure_says_what_the_team_said() {
    let tools = [
        ("terraform", "from its vendor"),
        ("cloud-init", "Debian: cloud-init"),
        ("systemd-analyze", "Debian: systemd"),
    ];
    if !tools.iter().all(|(program, from)| has(program, from)) || !super::reads_yaml() {
        return;
    }
    let directory = scratch();
    let modules = copied(directory.path());
    for (protocol, mount) in [
        ("SMB", "What=//acct.file.core.windows.net/drops"),
        ("NFS", "What=acct.file.core.windows.net:/acct/drops"),
    ] {
        let at = modules.join(format!("azure/used-{protocol}"));
        let text = format!(
            "module \"it\" {{\n  source = \"../workload\"\n  workload = \"shop-db\"\n  key_vault = \"vault\"\n  \
             share = {{ account = \"acct\", share = \"drops\", protocol = \"{protocol}\" }}\n  \
             drop = [\"postgres\", \"--database\", \"the shop\"]\n  after = [\"postgresql.service\"]\n  \
             schedule = \"hourly\"\n}}\noutput \"user_data\" {{\n  value = module.it.user_data\n}}\n\
             output \"timeout\" {{\n  value = module.it.termination_timeout\n}}\n"
        );
        write(&at.join("main.tf"), &text, 0o644);
        let plan = plan(&at, None);
        let output = |name: &str| {
            let value = plan.pointer(&format!("/planned_values/outputs/{name}/value")).unwrap();
            value.as_str().unwrap().to_owned()
        };
        assert_eq!(output("timeout"), "PT13M");
        let files = judge_boot(&output("user_data"), directory.path());
        let content = |path: &str| {
            let found = files.iter().find(|(name, _)| name.ends_with(path));
            &found.unwrap_or_else(|| panic!("{path}")).1
        };
        assert!(content("mnt-share.mount").contains(mount), "{}", content("mnt-share.mount"));
        assert!(content("outlast-drop.timer").contains("OnCalendar=hourly"));
        assert!(content("release.conf").contains("After=postgresql.service"));
        assert!(content("instance.env").contains("--platform=azure --deadline=10m"));
        let drop = content("/etc/outlast/drop");
        let words = "outlast drop postgres --share /mnt/share --workload shop-db --instance \"$(hostname)\" \"$@\" \
                     '--database' 'the shop'";
        assert!(drop.contains(words), "{drop}");
        assert_eq!(files.iter().any(|(name, _)| name.contains("smb-secret")), protocol == "SMB");
        fs::remove_dir_all(directory.path().join("units")).unwrap();
    }
    // What cannot be meant is refused with its name.
    let at = modules.join("azure/used-SMB");
    let bad = fs::read_to_string(at.join("main.tf")).unwrap();
    for (from, to, told) in [
        ("key_vault = \"vault\"", "key_vault = \"\"", "key_vault"),
        ("\"shop-db\"", "\"Shop DB\"", "workload's name"),
        ("\"the shop\"", "\"it's\"", "single quote"),
    ] {
        write(&at.join("main.tf"), &bad.replace(from, to), 0o644);
        let output = run(&mut terraform(&at, &["plan", "-no-color", "-input=false"]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && plain(&said).contains(told), "{to}: {said}");
    }
}

#[test]
fn hosts_on_aws_boot_with_units_and_scripts_that_are_understood() {
    let tools = [
        ("terraform", "from its vendor"),
        ("cloud-init", "Debian: cloud-init"),
        ("systemd-analyze", "Debian: systemd"),
    ];
    if !tools.iter().all(|(program, from)| has(program, from)) || !super::reads_yaml() {
        return;
    }
    let Some(plug_ins) = plug_ins("aws") else { return };
    let directory = scratch();
    let modules = copied(directory.path());
    let at = modules.join("aws/used");
    let text = r#"
locals {
  share = {
    file_system_id = "fs-1", file_system_arn = "arn:f", client_security_group_id = "sg-1", agent_uid = 10000
    agent_access_point = { id = "fsap-a", arn = "arn:a" }
    workloads = { shop-db = { access_point_id = "fsap-1", access_point_arn = "arn:1", directory_id = "fsap-d", directory_arn = "arn:d" } }
  }
  token = "arn:aws:ssm:eu-central-1:123456789012:parameter/outlast/agent/eu-1"
}
module "workload" {
  source = "../workload"
  workload = "shop-db"
  share = local.share
  role_name = "shop"
  group_name = "shop"
  group_id = "shop"
  drop = ["--exec", "shop.sql", "--", "pg_dump", "shop"]
}
module "agent" {
  source = "../agent"
  name = "eu-1"
  share = local.share
  vpc_id = "vpc-1"
  subnet_ids = ["subnet-1"]
  ami_id = "ami-1"
  upstream = "https://media.example:8443/"
  upstream_cidr = "10.0.0.0/8"
  token_parameter_arn = local.token
}
output "workload" {
  value = module.workload.user_data
}
output "agent" {
  value = module.agent.user_data
}
provider "aws" {
  region = "eu-central-1"
  access_key = "x"
  secret_key = "x"
  skip_credentials_validation = true
  skip_requesting_account_id = true
  skip_metadata_api_check = true
}
"#;
    write(&at.join("main.tf"), text, 0o644);
    write(&at.join("versions.tf"), &read("terraform/aws/share/versions.tf"), 0o644);
    let plan = plan(&at, Some(&plug_ins));
    let output = |name: &str| {
        plan.pointer(&format!("/planned_values/outputs/{name}/value")).unwrap().as_str().unwrap()
    };
    let files = judge_boot(output("workload"), directory.path());
    let all: String = files.iter().map(|(path, content)| format!("{path}\n{content}\n")).collect();
    for word in [
        "What=fs-1:/",
        "accesspoint=fsap-1,",
        "LIFECYCLE_GROUP=shop",
        "--share /mnt/share --workload shop-db --instance \"$(hostname)\" \"$@\" '--exec' 'shop.sql' '--' 'pg_dump'",
    ] {
        assert!(all.contains(word), "{word}: {all}");
    }
    fs::remove_dir_all(directory.path().join("units")).unwrap();
    let files = judge_boot(output("agent"), directory.path());
    let prepare = &files.iter().find(|(path, _)| path.ends_with("prepare-agent")).unwrap().1;
    assert!(prepare.contains("directory shop-db fsap-d"), "{prepare}");
    assert!(prepare.contains("--name \"/outlast/agent/eu-1\" --with-decryption"), "{prepare}");
}
