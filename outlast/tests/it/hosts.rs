//! Vault, media server, agent and an instance, set up by the commands of docs/operations.md and nothing
//! else.
//!
//! Each is a network namespace with file systems of its own (`/etc`, `/root`, `/usr/bin`, `/var`) over
//! those of this machine. The agent reaches the media server and nothing else, that one the vault; the
//! instance has no network at all. What stands in for the rest of a machine:
//! `systemctl`, which starts what a unit says as the user that it says, and `scp`, which copies between
//! the hosts. Needs root; skipped where namespaces cannot be made.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{scratch, wait_until};

const PAGE: &str = include_str!("../../../docs/operations.md");
const VAULT: &str = "vault";
const MEDIA: &str = "media";
const AGENT: &str = "agent";
const INSTANCE: &str = "instance";

/// A block of commands, and on which hosts it is for.
struct Block {
    heading: String,
    hosts: Vec<String>,
    commands: String,
}

/// The blocks of the page, in its order.
fn blocks() -> Vec<Block> {
    let (mut blocks, mut heading, mut open) = (Vec::new(), String::new(), None::<Block>);
    for line in PAGE.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (None, Some(fence)) => {
                let mut words = fence.split_whitespace().map(str::to_owned);
                let language = words.next();
                let hosts: Vec<String> = words.collect();
                let is_shown = language.as_deref() == Some("toml") && hosts.is_empty();
                assert!(is_shown || language.as_deref() == Some("sh"), "{fence}");
                assert!(is_shown || !hosts.is_empty(), "no host for the commands under {heading}");
                open = Some(Block { heading: heading.clone(), hosts, commands: String::new() });
            }
            (None, None) => {
                if let Some(text) = line.strip_prefix("## ") {
                    heading = text.to_owned();
                }
            }
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// A host: a process that holds its namespaces, and its files.
struct Host {
    name: &'static str,
    root: PathBuf,
    holder: Child,
}

impl Host {
    /// Makes one, with `share` at `/mnt/share` if it is given one.
    fn make(name: &'static str, stage: &Path, share: Option<&Path>) -> Option<Self> {
        let root = stage.join(name);
        // Each knows the next one on the way, and no other.
        let names = match name {
            VAULT | MEDIA => "10.93.7.1 vault.example\n10.93.7.2 media.example\n",
            AGENT => "10.93.8.1 media.example\n",
            _ => "",
        };
        let program = Path::new(env!("CARGO_BIN_EXE_outlast"));
        let units = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/systemd"));
        let script = format!(
            "set -e
            mkdir -p {root} && mount -t tmpfs -o mode=755 tmpfs {root}
            for folder in etc root usr/bin var mnt run; do
                below={root}/$(echo $folder | tr / -); mkdir -p $below/upper $below/work
                mount -t overlay overlay -o lowerdir=/$folder,upperdir=$below/upper,workdir=$below/work /$folder
            done
            ip link set lo up
            mkdir -p /root/release/dist /mnt/share
            install -d -m 1777 /run/test
            ln -s {program} /root/release/outlast
            cp -r {units} /root/release/dist/systemd
            rm -f /usr/bin/outlast
            cp {stage}/systemctl {stage}/scp /usr/bin/
            printf '127.0.0.1 localhost\\n{names}' > /etc/hosts
            {share}
            echo ready > {stage}/{name}.ready
            exec sleep 3600",
            root = root.display(),
            program = program.display(),
            units = units.display(),
            stage = stage.display(),
            names = names.replace('\n', "\\n"),
            share = share.map_or_else(String::new, |share| format!("mount --bind {} /mnt/share", share.display())),
        );
        let log = fs::File::create(stage.join(format!("{name}.log"))).unwrap();
        let holder = Command::new("unshare")
            .args(["--mount", "--net", "--propagation", "private", "bash", "-c", &script])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut host = Self { name, root, holder };
        let ready = stage.join(format!("{name}.ready"));
        let mut ended = false;
        wait_until("the host is there", || {
            ended = host.holder.try_wait().unwrap().is_some();
            ended || ready.exists()
        });
        if ended {
            println!("{}", fs::read_to_string(stage.join(format!("{name}.log"))).unwrap());
            return None;
        }
        write(&stage.join(format!("{name}.pid")), &host.holder.id().to_string());
        Some(host)
    }

    /// Runs commands there, as somebody who pastes them.
    fn run(&self, commands: &str) -> std::process::Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount", "--net"]);
        command.args(["bash", "-e", "-u", "-o", "pipefail", "-c"]);
        // The directory is that of the release, in the namespace.
        command.arg(format!("cd /root/release\n{commands}"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command.stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn must(&self, commands: &str) -> String {
        let output = self.run(commands);
        assert!(
            output.status.success(),
            "on {}: {}\n{commands}\n--- stdout\n{}\n--- stderr\n{}\n--- its log\n{}",
            self.name,
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.log(),
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What its roles said.
    fn log(&self) -> String {
        String::from_utf8_lossy(&self.run("cat /run/test/*.log").stdout).into_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The roles on it, which are nobody's children any more, and then the namespaces.
        self.run("for pid in /run/test/*.pid; do kill -9 -- -$(cat $pid); done");
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_dir(&self.root);
    }
}

const SYSTEMCTL: &str = r#"#!/bin/bash
# Stands in for systemd: starts what a unit says, as the user that it says.
set -e
[ "$1" = daemon-reload ] && exit 0
verb=$1; shift; [ "$1" = --now ] && shift
unit=$1; file=/etc/systemd/system/$unit.service
said() { sed -n "s/^$1=//p" "$file" "$file".d/*.conf 2>/dev/null | tail -1; }
stop() {
    [ -f /run/test/$unit.pid ] || return 0
    pid=$(cat /run/test/$unit.pid); kill -TERM -- -$pid 2>/dev/null || true
    while kill -0 -- -$pid 2>/dev/null; do sleep 0.05; done
    rm /run/test/$unit.pid
}
start() {
    install -d -m 700 -o "$(said User)" -g "$(said Group)" "/var/lib/$(said StateDirectory)"
    setsid runuser -u "$(said User)" -- $(said ExecStart) --ready-file /run/test/$unit-$$.ready \
        >> /run/test/$unit.log 2>&1 < /dev/null &
    echo $! > /run/test/$unit.pid
    for _ in $(seq 1200); do
        [ -f /run/test/$unit-$$.ready ] && exit 0
        kill -0 $! 2>/dev/null || { echo "$unit has ended" >&2; tail -5 /run/test/$unit.log >&2; exit 1; }
        sleep 0.05
    done
    echo "$unit does not begin" >&2; exit 1
}
case $verb in
    enable|start) start ;;
    stop) stop ;;
    restart) stop; start ;;
    reload) kill -HUP $(pgrep -g "$(cat /run/test/$unit.pid)" -x outlast) ;;
    *) echo "systemctl $verb: not known here" >&2; exit 1 ;;
esac
"#;

fn write(path: &Path, content: &str) {
    outlast_fs::durable::replace(path, content.as_bytes(), 0o644).unwrap();
}

fn executable(path: &Path, content: &str) {
    write(path, content);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The hosts, with a line between vault and media server, and one between that and the agent.
fn hosts(stage: &Path) -> Option<[Host; 4]> {
    let share = stage.join("share");
    fs::create_dir(&share).unwrap();
    fs::set_permissions(stage, fs::Permissions::from_mode(0o755)).unwrap();
    executable(&stage.join("systemctl"), SYSTEMCTL);
    let scp = format!(
        "#!/bin/bash\n# Stands in for ssh: root@HOST.example:PATH is a file of that host.\nset -e\n[ \"$1\" = -r ] && shift\n\
         host=${{2#root@}}; pid=$(cat {}/${{host%%.*}}.pid)\ncp -r \"$1\" \"/proc/$pid/root${{2#*:}}\"\n",
        stage.display()
    );
    executable(&stage.join("scp"), &scp);
    let vault = Host::make(VAULT, stage, None)?;
    let media = Host::make(MEDIA, stage, None)?;
    let agent = Host::make(AGENT, stage, Some(&share))?;
    let instance = Host::make(INSTANCE, stage, Some(&share))?;
    join(&vault, &media, "line", ["10.93.7.1/24", "10.93.7.2/24"]);
    join(&media, &agent, "cloud", ["10.93.8.1/24", "10.93.8.2/24"]);
    Some([vault, media, agent, instance])
}

/// Lays a line between two hosts, with an address at each end.
fn join(one: &Host, other: &Host, line: &str, [here, there]: [&str; 2]) {
    one.must(&format!(
        "ip link add {line} type veth peer name {line} netns {}
        ip address add {here} dev {line} && ip link set {line} up",
        other.holder.id()
    ));
    other.must(&format!("ip address add {there} dev {line} && ip link set {line} up"));
}

/// The section about a first backup that travels by disk.
const SEEDING: &str = "A first backup by disk";
/// Waits for a receipt of `$drop`.
const WAIT: &str = "timeout 120 bash -c \"until ls /mnt/share/w/shop-db/receipts/$drop.$state.json; do sleep 0.1; done\"";

/// Commands of an instance that drops, and waits until the drop is in this state.
fn drop_until(state: &str) -> String {
    format!(
        "echo \"-- $RANDOM\" >> /root/shop.sql
        drop=$(outlast drop --share /mnt/share --workload shop-db /root/shop.sql); state={state}
        echo $drop > /root/drop
        {WAIT}"
    )
}

/// Sets the line's rate in the media server's file, and waits until that is in force.
fn set_line(media: &Host, rate: &str, shown: &str) {
    media.must(&format!(
        "sed -i '/^\\[line\\]/,$d' /etc/outlast/media.toml
        printf '\\n[line]\\nrate = \"{rate}\"\\n' >> /etc/outlast/media.toml
        systemctl reload outlast-media
        timeout 60 bash -c 'until runuser -u outlast -- outlast media status | grep \"{shown}\"; do sleep 0.1; done'"
    ));
}

#[test]
fn the_hosts_are_set_up_by_the_commands_of_the_page_and_nothing_else() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make hosts");
        return;
    }
    let stage = scratch();
    let Some(hosts) = hosts(stage.path()) else {
        println!("skipped: this machine allows no namespaces with overlays");
        return;
    };
    let host = |name: &str| hosts.iter().find(|host| host.name == name).unwrap();
    let operator = "--vault https://vault.example:8443/ --identity /root/outlast-ca/operator";
    let mut served = Vec::new();
    for Block { heading, hosts, commands } in blocks() {
        println!("== {heading}: {hosts:?}");
        if heading == SEEDING && hosts == [MEDIA] {
            set_line(host(MEDIA), "closed", "closed now");
            host(INSTANCE).must(&drop_until("shipped"));
        }
        let said: String = hosts.iter().map(|name| host(name).must(&commands)).collect();
        match heading.as_str() {
            SEEDING if hosts == [MEDIA] => assert!(!said.contains("copied 0 "), "{said}"),
            SEEDING => {
                assert!(!said.contains("the vault took 0 "), "{said}");
                set_line(host(MEDIA), "unlimited", "no limit now");
                host(INSTANCE).must(&format!("drop=$(cat /root/drop); state=vaulted\n{WAIT}"));
            }
            "See that it works" => {
                let restored = host(VAULT).must("find /root/restored -name shop.sql | xargs cat");
                assert!(restored.contains("CREATE TABLE orders"), "{restored}");
                let refused = host(INSTANCE).run(&format!("outlast workload list {operator}"));
                assert!(!refused.status.success(), "an instance reaches nothing");
            }
            "Replace an agent" if hosts == [AGENT] => {
                // The next one goes on with the same share.
                host(INSTANCE).must(&drop_until("vaulted"));
                let list = host(VAULT).must(&format!("outlast ca list {operator}"));
                assert!(list.contains("replaced by means of token"), "{list}");
            }
            "Revoke" if served.iter().filter(|it| **it == heading).count() == 0 => {
                // The agent is shut out: what is dropped now waits.
                wait_until("the agent is refused", || {
                    host(AGENT).log().contains("is revoked since")
                });
            }
            "Revoke" if hosts == [AGENT] => {
                host(INSTANCE).must(&drop_until("vaulted"));
            }
            _ => {}
        }
        served.push(heading);
    }
    let verified = host(VAULT).must("outlast audit verify /var/lib/outlast-vault");
    assert!(!verified.is_empty());
}
