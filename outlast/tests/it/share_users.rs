//! One share, many users: blue, green and the agent, none of them root, whoever comes first and
//! whatever their umasks are. Needs root, to be somebody else; skipped where it cannot run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Up, fail, scratch, succeed};

const AGENT: u32 = 3000;
const BLUE: u32 = 3001;
const GREEN: u32 = 3002;
const STRANGER: u32 = 3003;
const GROUP: u32 = 4000;

struct Hosts {
    directory: tempfile::TempDir,
    share: PathBuf,
}

impl Hosts {
    /// A place that every user reaches, with a directory of the agent's for the share.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can be several users");
            return None;
        }
        let directory = scratch();
        open(directory.path(), 0o755);
        let binary = directory.path().join("outlast");
        fs::copy(env!("CARGO_BIN_EXE_outlast"), &binary).unwrap();
        open(&binary, 0o755);
        let share = directory.path().join("share");
        fs::create_dir(&share).unwrap();
        chown(&share, Some(AGENT), Some(GROUP)).unwrap();
        Some(Self { directory, share })
    }

    /// `outlast` as a user of the group, with a umask.
    fn outlast(&self, user: u32, umask: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
        command.arg(self.directory.path().join("outlast"));
        command.uid(user).gid(if user == STRANGER { STRANGER } else { GROUP });
        command.env("HOME", self.directory.path()).current_dir(self.directory.path());
        command
    }

    fn drop_command(&self, user: u32, umask: &str) -> Command {
        let mut command = self.outlast(user, umask);
        command.args(["drop", "--quiet", "--workload", "shop", "--share"]).arg(&self.share);
        command.args(["--exec", "shop.sql", "--", "echo", "a dump"]);
        command
    }

    fn init(&self, umask: &str, options: &[&str]) {
        let mut command = self.outlast(AGENT, umask);
        succeed(command.args(["share", "init"]).args(options).arg(&self.share));
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn whoever_comes_first_shuts_nobody_out_of_a_share_whatever_the_umasks_are() {
    for (umasks, options, mode) in [
        (["077", "077", "022"], vec![], Some(0o2775)),
        (["022", "022", "077"], vec!["--mode", "2770", "--group", "4000"], None),
        (["077", "027", "077"], vec!["--group", "4000"], Some(0o700)),
    ] {
        let Some(hosts) = Hosts::new() else { return };
        mode.into_iter().for_each(|mode| open(&hosts.share, mode));
        hosts.init(umasks[0], &options);
        succeed(&mut hosts.drop_command(BLUE, umasks[1]));
        succeed(&mut hosts.drop_command(GREEN, umasks[2]));
        let target = hosts.directory.path().join("seed");
        fs::create_dir(&target).unwrap();
        chown(&target, Some(GREEN), None).unwrap();
        let mut fetch = hosts.outlast(GREEN, "077");
        fetch.args(["fetch", "--workload", "shop", "--share"]).arg(&hosts.share);
        succeed(fetch.arg("--into").arg(target.join("new")));
        if options.contains(&"2770") {
            fail(&mut hosts.drop_command(STRANGER, "022"), 1);
        }
    }
}

#[test]
fn an_agent_that_is_not_root_takes_and_releases_what_others_dropped() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.init("022", &["--group", "4000"]);
    let home = hosts.directory.path().join("up");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(AGENT), Some(GROUP)).unwrap();
    let mut command = hosts.outlast(AGENT, "077");
    let mut up =
        Up::start_as(&mut command, &home.join("o"), &hosts.share, &[("OUTLAST_AGENT_KEEP", "0")]);
    for (user, umask) in [(BLUE, "022"), (GREEN, "077")] {
        let drop = succeed(&mut hosts.drop_command(user, umask));
        up.wait_for_receipt("shop", drop.trim(), "released");
    }
    assert!(up.incidents().is_empty(), "{:?}", up.incidents());
    up.role.stop();
}

#[test]
fn who_is_shut_out_hears_whose_the_directory_is_and_who_can_open_it() {
    let Some(hosts) = Hosts::new() else { return };
    hosts.init("022", &["--mode", "2775", "--group", "4000"]);
    // As another program has made it.
    let workload = hosts.share.join("w/shop");
    fs::create_dir(&workload).unwrap();
    open(&workload, 0o755);
    chown(&workload, Some(BLUE), Some(GROUP)).unwrap();
    let words = fail(&mut hosts.drop_command(GREEN, "022"), 1);
    for expected in ["uid 3002", "w/shop belongs to uid 3001", "group 4000", "0755", "can open it"]
    {
        assert!(words.contains(expected), "{expected}: {words}");
    }
}
