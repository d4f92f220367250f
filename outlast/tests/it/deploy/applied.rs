//! The modules for AWS, applied to a simulator of the cloud's API, and what they made as that API tells it. And what a judge
//! of security finds in all of deploy/.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::terraform::{copied, plug_ins, terraform};
use super::{has, of, write};
use crate::harness::{run, scratch, succeed, wait_until};

/// The simulator, which `cargo xtask test` brings; it knows no waiting group and has no data.
struct Simulator {
    server: Child,
    packages: PathBuf,
    port: u16,
}

impl Simulator {
    fn start(log: &Path) -> Option<Self> {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/moto");
        if !packages.exists() {
            println!(
                "SKIPPED, NOTHING IS APPLIED: there is no target/peers/moto (cargo xtask test brings it)"
            );
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(log).unwrap();
        let mut server = Command::new("python3");
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        server.env("PYTHONPATH", &packages).stdin(Stdio::null());
        let server = server.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut simulator = Self { server, packages, port };
        wait_until("the simulator listens", || {
            assert!(matches!(simulator.server.try_wait(), Ok(None)), "the simulator has ended");
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(simulator)
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What an expression in Python says of it, where `of(service)` is a client.
    fn ask(&self, expression: &str) -> Value {
        let script = format!(
            "import boto3, json
def of(service):
    return boto3.client(service, endpoint_url='{}', region_name='eu-central-1',
                        aws_access_key_id='x', aws_secret_access_key='x')
print(json.dumps({expression}, default=str))",
            self.address()
        );
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", &self.packages).args(["-c", &script]);
        serde_json::from_str(&succeed(&mut python)).unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Removes a block from a file.
fn without(path: &Path, head: &str) {
    let text = fs::read_to_string(path).unwrap();
    let at = text.find(head).unwrap_or_else(|| panic!("{}: {head}", path.display()));
    let end = at + text[at..].find("\n}\n").unwrap() + 3;
    write(path, &format!("{}{}", &text[..at], &text[end..]), 0o644);
}

/// The example, on the simulator: without media servers, whose balancer takes a minute of waiting, and without the policy
/// for backups of EFS, which the simulator does not know.
fn example(directory: &Path, simulator: &Simulator) -> PathBuf {
    let example = copied(directory).join("aws/examples/complete");
    without(&example.join("main.tf"), "module \"media\" {");
    without(&example.join("../../share/main.tf"), "resource \"aws_efs_backup_policy\"");
    let services = ["autoscaling", "ec2", "efs", "iam", "ssm", "sts"];
    let address = simulator.address();
    let endpoints: String =
        services.iter().map(|service| format!("    {service} = \"{address}\"\n")).collect();
    let provider = format!(
        "provider \"aws\" {{\n  access_key = \"x\"\n  secret_key = \"x\"\n  skip_credentials_validation = true\n  \
         skip_requesting_account_id = true\n  skip_metadata_api_check = true\n  endpoints {{\n{endpoints}  }}\n}}\n"
    );
    write(&example.join("simulator_override.tf"), &provider, 0o644);
    let here = simulator.ask(
        "(lambda subnets: dict(vpc_id=subnets[0]['VpcId'], subnet_ids={it['AvailabilityZone']: it['SubnetId'] \
         for it in subnets[:2]}, ami_id=of('ec2').describe_images()['Images'][0]['ImageId']))\
         (of('ec2').describe_subnets()['Subnets'])",
    );
    write(&example.join("terraform.tfvars.json"), &here.to_string(), 0o644);
    example
}

#[test]
fn what_the_modules_make_on_aws_is_an_identity_for_each_workload_and_an_agent_that_nothing_reaches()
{
    if !has("terraform", "from its vendor") {
        return;
    }
    let Some(plug_ins) = plug_ins("aws") else { return };
    let directory = scratch();
    let Some(simulator) = Simulator::start(&directory.path().join("simulator.log")) else { return };
    let example = example(directory.path(), &simulator);
    let mut init = terraform(&example, &["init", "-no-color", "-input=false", "-backend=false"]);
    succeed(init.arg(format!("-plugin-dir={}", plug_ins.display())));
    let apply = ["apply", "-no-color", "-input=false", "-auto-approve"];
    let said = succeed(&mut terraform(&example, &apply));
    assert!(said.contains("Apply complete!"), "{said}");

    let points = simulator.ask("of('efs').describe_access_points()['AccessPoints']");
    let mut found: Vec<(u64, &str, &str)> = points
        .as_array()
        .unwrap()
        .iter()
        .map(|point| {
            let text = |pointer: &str| point.pointer(pointer).unwrap().as_str().unwrap();
            let user = point.pointer("/PosixUser/Uid").unwrap().as_u64().unwrap();
            (user, text("/RootDirectory/Path"), text("/RootDirectory/CreationInfo/Permissions"))
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            (10000, "/outlast", "0755"),
            (10000, "/outlast/w/shop-db", "2770"),
            (10000, "/outlast/w/shop-files", "2770"),
            (10101, "/outlast", "0755"),
            (10102, "/outlast", "0755"),
        ]
    );
    let systems = simulator.ask("of('efs').describe_file_systems()['FileSystems']");
    assert_eq!(systems[0]["Encrypted"], true, "{systems}");
    let aging = simulator.ask(
        "of('efs').describe_lifecycle_configuration(FileSystemId=of('efs').describe_file_systems()\
         ['FileSystems'][0]['FileSystemId'])['LifecyclePolicies']",
    );
    assert_eq!(aging, Value::Array(Vec::new()));
    nothing_reaches_the_agent(&simulator);
    let hook = &simulator.ask(
        "of('autoscaling').describe_lifecycle_hooks(AutoScalingGroupName='shop')['LifecycleHooks']",
    )[0];
    assert_eq!(hook["LifecycleTransition"], "autoscaling:EC2_INSTANCE_TERMINATING", "{hook}");
    assert!(hook["HeartbeatTimeout"].as_u64().unwrap() >= 600, "{hook}");
    a_second_time_makes_and_removes_nothing(&example);
}

fn nothing_reaches_the_agent(simulator: &Simulator) {
    let groups = simulator.ask("of('ec2').describe_security_groups()['SecurityGroups']");
    let mut agents = 0;
    for group in groups.as_array().unwrap() {
        let name = group["GroupName"].as_str().unwrap();
        if name.contains("agent") {
            assert_eq!(group["IpPermissions"], Value::Array(Vec::new()), "{group}");
            agents += 1;
        }
    }
    assert_eq!(agents, 1, "{groups}");
    let agent = simulator.ask(
        "[it for it in of('autoscaling').describe_auto_scaling_groups()['AutoScalingGroups'] \
         if 'agent' in it['AutoScalingGroupName']]",
    );
    let sizes = (&agent[0]["DesiredCapacity"], &agent[0]["MaxSize"]);
    assert_eq!(sizes, (&1.into(), &1.into()), "{agent}");
    assert_eq!(agent[0]["Instances"].as_array().unwrap().len(), 1);
}

/// The simulator tells three things otherwise than it was told them; only that may be changed.
fn a_second_time_makes_and_removes_nothing(example: &Path) {
    succeed(&mut terraform(example, &["plan", "-no-color", "-input=false", "-out=again"]));
    let shown = succeed(&mut terraform(example, &["show", "-json", "again"]));
    let plan: Value = serde_json::from_str(&shown).unwrap();
    for change in plan["resource_changes"].as_array().unwrap() {
        let actions = &change["change"]["actions"];
        let address = change["address"].as_str().unwrap();
        let is_the_simulators = [
            "module.share.aws_vpc_security_group_egress_rule.client",
            "module.share.aws_vpc_security_group_ingress_rule.share",
            "module.shop_db.aws_autoscaling_lifecycle_hook.final_drop",
        ]
        .contains(&address);
        let is_known = is_the_simulators && actions[0] == "update";
        assert!(actions[0] == "no-op" || actions[0] == "read" || is_known, "{change}");
    }
}

#[test]
fn what_a_judge_of_security_finds_is_mended_or_has_a_reason() {
    if !has("checkov", "pip install checkov") {
        return;
    }
    let mut checkov = Command::new("checkov");
    checkov.arg("--config-file").arg(of("checkov.yaml"));
    for place in ["terraform", "kubernetes"] {
        checkov.arg("--directory").arg(of(place));
    }
    let output = run(&mut checkov);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("Failed checks: 0"), "{said}\n{output:?}");
    // What it cannot read, it passes over.
    assert!(!said.to_lowercase().contains("parsing errors"), "{said}");
}
