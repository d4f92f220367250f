//! The last drop of an instance: the real binary, and a metadata service that behaves as those of the clouds do.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Role, fail, outlast, scratch, succeed, wait_until};

/// What the service says, and what it was asked.
#[derive(Default)]
struct Says {
    /// The token of the session; what comes with another one is refused.
    token: u32,
    lifecycle: Option<&'static str>,
    spot: Option<&'static str>,
    events: Vec<serde_json::Value>,
    /// How many approvals are refused before one is taken.
    refusals: u32,
    approved: Vec<String>,
    asked: u32,
    is_broken: bool,
}

struct Cloud {
    says: Arc<Mutex<Says>>,
    address: String,
}

impl Cloud {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Says { lifecycle: Some("InService"), ..Says::default() }));
        let shared = Arc::clone(&says);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away is none of the service's troubles.
                let _ = stream.map(|stream| answer(&stream, &shared));
            }
        });
        Self { says, address }
    }

    fn change(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap());
    }

    fn look<T>(&self, look: impl FnOnce(&Says) -> T) -> T {
        look(&self.says.lock().unwrap())
    }

    /// Waits until everything has been asked again that is asked.
    fn wait_until_asked(&self) {
        let before = self.look(|says| says.asked);
        wait_until("it is asked again", || self.look(|says| says.asked) > before + 4);
    }
}

fn answer(mut stream: &TcpStream, says: &Mutex<Says>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut token, mut metadata, mut length) = (None, false, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.trim().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "x-aws-ec2-metadata-token" => token = value.parse().ok(),
            "x-aws-ec2-metadata-token-ttl-seconds" => token = Some(u32::MAX),
            "metadata" => metadata = value == "true",
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, text) = says.lock().unwrap().say(method, path, token, metadata, &body);
    let head =
        format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}", text.len());
    stream.write_all(format!("{head}\r\n\r\n{text}").as_bytes())
}

impl Says {
    fn say(
        &mut self,
        method: &str,
        path: &str,
        token: Option<u32>,
        metadata: bool,
        body: &[u8],
    ) -> (u16, String) {
        self.asked += 1;
        if self.is_broken {
            return (500, "no".to_owned());
        }
        let path = path.split('?').next().unwrap();
        if path.starts_with("/metadata/") {
            return if metadata {
                self.say_of_azure(method, path, body)
            } else {
                (400, String::new())
            };
        }
        if (method, path) == ("PUT", "/latest/api/token") {
            assert_eq!(token, Some(u32::MAX), "a session needs a length");
            return (200, self.token.to_string());
        }
        if token != Some(self.token) {
            return (401, String::new());
        }
        let found = match path.trim_start_matches("/latest/meta-data/") {
            "autoscaling/target-lifecycle-state" => self.lifecycle,
            "spot/instance-action" => self.spot,
            "instance-id" => Some("i-0abc"),
            "placement/region" => Some("eu-central-1"),
            _ => None,
        };
        found.map_or((404, String::new()), |text| (200, text.to_owned()))
    }

    fn say_of_azure(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        match (method, path) {
            ("GET", "/metadata/instance/compute/name") => (200, "shop_7".to_owned()),
            ("GET", "/metadata/instance/compute/location") => (200, "westeurope".to_owned()),
            ("GET", "/metadata/scheduledevents") => {
                (200, json!({ "DocumentIncarnation": 1, "Events": self.events }).to_string())
            }
            ("POST", "/metadata/scheduledevents") if self.refusals > 0 => {
                self.refusals -= 1;
                (503, "later".to_owned())
            }
            ("POST", "/metadata/scheduledevents") => {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                let id = body["StartRequests"][0]["EventId"].as_str().unwrap();
                self.approved.push(id.to_owned());
                (200, String::new())
            }
            _ => (404, String::new()),
        }
    }
}

/// An instance with a share.
struct Instance {
    directory: tempfile::TempDir,
    share: PathBuf,
}

impl Instance {
    fn new() -> Self {
        let directory = scratch();
        let share = directory.path().join("share");
        succeed(outlast().args(["share", "init"]).arg(&share));
        Self { directory, share }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Watches, with a final drop of something small.
    fn watch(&self, cloud: Option<&Cloud>, arguments: &[&str]) -> Role {
        let mut drop = vec![env!("CARGO_BIN_EXE_outlast"), "drop", "--share"];
        drop.extend([self.share.to_str().unwrap(), "--workload", "shop", "--final"]);
        drop.extend(["--exec", "shop.sql", "--", "echo", "-- PostgreSQL database dump complete"]);
        self.watch_with(cloud, arguments, &drop)
    }

    fn watch_with(&self, cloud: Option<&Cloud>, arguments: &[&str], drop: &[&str]) -> Role {
        let mut command = outlast();
        command.args(["instance", "watch", "--every", "50ms"]).args(arguments);
        // Not that of this host.
        command.arg("--lock").arg(self.path("lock"));
        if let Some(cloud) = cloud {
            command.args(["--metadata", &cloud.address]);
        }
        // What an earlier one said is not this one's word.
        let log =
            self.path(&format!("log-{}", fs::read_dir(self.directory.path()).unwrap().count()));
        let role = Role::start(command.arg("--").args(drop), &log);
        wait_until("it watches", || role.words().contains("watching"));
        role
    }

    /// How many drops are sealed.
    fn sealed(&self) -> usize {
        let days = fs::read_dir(self.share.join("w/shop/drops")).into_iter().flatten().flatten();
        let drops = days.flat_map(|day| fs::read_dir(day.path()).unwrap().flatten());
        drops.filter(|drop| drop.path().join("sealed.json").exists()).count()
    }
}

/// A command that fails so many times, and notes each time what it was told.
fn completing(notes: &Path, failures: usize) -> String {
    let notes = notes.display();
    format!(
        "echo $OUTLAST_ENDING_RESULT $OUTLAST_ENDING_INSTANCE $OUTLAST_ENDING_REGION >> {notes}; \
         test $(wc -l < {notes}) -gt {failures}"
    )
}

#[test]
fn a_group_that_terminates_an_instance_gets_its_drop_and_is_told_until_it_hears() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    let notes = instance.path("notes");
    let complete = completing(&notes, 2);
    let mut watch =
        instance.watch(Some(&cloud), &["--platform", "aws", "--complete-with", &complete]);
    // A session ends, and is begun anew without a word.
    cloud.wait_until_asked();
    cloud.change(|says| says.token += 1);
    cloud.wait_until_asked();
    assert_eq!((instance.sealed(), notes.exists()), (0, false), "{}", watch.words());
    // What does not answer tells nothing, and takes nothing back.
    cloud.change(|says| says.is_broken = true);
    wait_until("that is told", || watch.words().contains("notices are not seen meanwhile"));
    cloud.change(|says| (says.is_broken, says.lifecycle) = (false, Some("Terminated")));
    assert!(watch.wait().success(), "{}", watch.words());
    let noted = fs::read_to_string(&notes).unwrap();
    assert_eq!(noted, "sealed i-0abc eu-central-1\n".repeat(3), "{}", watch.words());
    assert_eq!(instance.sealed(), 1);
    let words = watch.words();
    assert_eq!(words.matches("trying again").count(), 2, "{words}");
    assert!(!words.contains("401"), "{words}");
}

#[test]
fn a_notice_that_is_withdrawn_completes_nothing_and_the_next_one_drops_again() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    let notes = instance.path("notes");
    let complete = completing(&notes, 0);
    let mut watch =
        instance.watch(Some(&cloud), &["--platform", "aws", "--complete-with", &complete]);
    cloud.change(|says| {
        says.spot = Some(r#"{"action": "terminate", "time": "2026-09-21T14:13:20Z"}"#);
    });
    wait_until("a spot notice is heeded", || instance.sealed() == 1);
    cloud.change(|says| says.spot = None);
    wait_until("that is told", || watch.words().contains("the notice was withdrawn"));
    assert!(watch.words().contains("at 2026-09-21T14:13:20Z"), "{}", watch.words());
    cloud.wait_until_asked();
    assert!(!watch.has_ended() && !notes.exists());
    cloud.change(|says| says.lifecycle = Some("Warmed:Terminated"));
    assert!(watch.wait().success(), "{}", watch.words());
    assert_eq!(instance.sealed(), 2);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "sealed i-0abc eu-central-1\n");
}

#[test]
fn azure_is_answered_for_this_machine_and_for_what_ends_it_alone() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    let event = |id: &str, kind: &str, machine: &str| {
        json!({ "EventId": id, "EventType": kind, "EventStatus": "Scheduled", "Resources": [machine],
                "NotBefore": "Mon, 21 Sep 2026 14:14:20 GMT" })
    };
    let notes = instance.path("notes");
    let complete = completing(&notes, 0);
    let mut watch =
        instance.watch(Some(&cloud), &["--platform", "azure", "--complete-with", &complete]);
    cloud.change(|says| {
        says.events = vec![event("r", "Reboot", "shop_7"), event("o", "Terminate", "shop_8")];
        says.refusals = 2;
    });
    cloud.wait_until_asked();
    assert_eq!(instance.sealed(), 0, "{}", watch.words());
    cloud.change(|says| says.events.push(event("t", "Terminate", "SHOP_7")));
    assert!(watch.wait().success(), "{}", watch.words());
    assert_eq!(instance.sealed(), 1);
    assert_eq!(cloud.look(|says| says.approved.clone()), ["t"]);
    // A command of ours comes before the approval, after which there may be no machine.
    assert_eq!(fs::read_to_string(&notes).unwrap(), "sealed shop_7 westeurope\n".repeat(3));
    assert!(watch.words().contains("at 2026-09-21T14:14:20Z"), "{}", watch.words());
}

#[test]
fn sigterm_is_a_notice_and_a_second_one_ends_the_drop() {
    let instance = Instance::new();
    let mut watch = instance.watch(None, &["--platform", "signal"]);
    watch.stop();
    assert_eq!(instance.sealed(), 1);
    // A drop that takes longer, and the wish not to wait for it.
    let begun = instance.path("begun");
    let script = format!("touch {}; sleep 600", begun.display());
    let mut watch = instance.watch(None, &["--platform", "signal", "--", "/bin/sh", "-c", &script]);
    watch.signal(Signal::TERM);
    wait_until("the drop has begun", || begun.exists());
    // Two that come together are one wish.
    wait_until("it is given time", || watch.words().contains("another one ends it"));
    wait_until("it ends", || {
        if !watch.has_ended() {
            watch.signal(Signal::TERM);
        }
        watch.has_ended()
    });
    assert_eq!(watch.wait().code(), Some(143), "{}", watch.words());
    assert!(watch.words().contains("the final drop was broken off"), "{}", watch.words());
}

#[test]
fn a_drop_that_fails_or_hangs_keeps_no_instance_for_ever() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    cloud.change(|says| says.lifecycle = Some("Terminated"));
    let (notes, tries) = (instance.path("notes"), instance.path("tries"));
    let complete = completing(&notes, 0);
    // Fails first, then hangs and does not hear that its time is over.
    let tries = tries.display();
    let script =
        format!("trap '' TERM; echo x >> {tries}; test $(wc -l < {tries}) -gt 1 && sleep 600");
    let mut watch = instance.watch_with(
        Some(&cloud),
        &["--platform", "aws", "--deadline", "2s", "--complete-with", &complete],
        &["/bin/sh", "-c", &script],
    );
    assert_eq!(watch.wait().code(), Some(1), "{}", watch.words());
    assert_eq!(fs::read_to_string(&notes).unwrap(), "failed i-0abc eu-central-1\n");
    let words = watch.words();
    for told in ["its command ended with", "longer than --deadline", "did not end, and was ended"] {
        assert!(words.contains(told), "{told}: {words}");
    }
}

#[test]
fn a_platform_that_waits_hears_while_the_drop_is_made_and_no_longer() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    let (notes, beats, go) = (instance.path("notes"), instance.path("beats"), instance.path("go"));
    let complete = completing(&notes, 0);
    // Refused once, which does not touch the drop.
    let beat = completing(&beats, 1);
    let drop = format!("while ! test -e {}; do sleep 0.1; done", go.display());
    let options = ["--platform", "aws", "--complete-with", &*complete, "--heartbeat-every", "1s"];
    let options = [&options[..], &["--heartbeat-with", &beat]].concat();
    let mut watch = instance.watch_with(Some(&cloud), &options, &["/bin/sh", "-c", &drop]);
    cloud.wait_until_asked();
    assert!(!beats.exists(), "nobody waits yet");
    cloud.change(|says| says.lifecycle = Some("Terminated"));
    let beaten = || fs::read_to_string(&beats).map_or(0, |noted| noted.lines().count());
    wait_until("it hears more than once", || beaten() >= 3);
    assert!(!watch.has_ended() && !notes.exists(), "the drop is being made");
    File::create_new(&go).unwrap();
    assert!(watch.wait().success(), "{}", watch.words());
    let noted = fs::read_to_string(&beats).unwrap();
    assert!(noted.lines().all(|line| line == "making i-0abc eu-central-1"), "{noted}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "sealed i-0abc eu-central-1\n");
    let words = watch.words();
    assert_eq!(words.matches("the command of --heartbeat-with ended with").count(), 1, "{words}");
    assert!(words.contains("hears again"), "{words}");
}

#[test]
fn a_second_watch_on_a_host_makes_no_second_drop() {
    let (cloud, instance) = (Cloud::new(), Instance::new());
    let mut first = instance.watch(Some(&cloud), &["--platform", "aws"]);
    let second = |lock: &Path| {
        let mut command = outlast();
        command.args(["instance", "watch", "--platform", "azure", "--metadata", &cloud.address]);
        command.arg("--lock").arg(lock).args(["--", "true"]);
        command
    };
    let words = fail(&mut second(&instance.path("lock")), 1);
    assert!(words.contains("another `outlast instance watch` runs on this host"), "{words}");
    let words = fail(&mut second(&instance.path("nowhere/lock")), 1);
    assert!(words.contains("nowhere/lock"), "{words}");
    // What was killed holds nothing.
    first.kill();
    let mut third = instance.watch(Some(&cloud), &["--platform", "aws"]);
    third.stop();
    assert_eq!(instance.sealed(), 1);
}

#[test]
fn what_cannot_be_watched_is_said_at_once() {
    let words = fail(
        outlast()
            .args(["instance", "watch", "--platform", "signal", "--complete-with", "true"])
            .args(["--", "true"]),
        2,
    );
    assert!(words.contains("nobody does"), "{words}");
    let nothing = ["instance", "watch", "--platform", "aws", "--complete-with", " ", "--", "true"];
    let words = fail(outlast().args(nothing), 2);
    assert!(words.contains("--complete-with is empty"), "{words}");
    for (platform, option, value, told) in [
        ("azure", "--heartbeat-with", "true", "--heartbeat-with is for aws"),
        ("aws", "--heartbeat-with", "", "--heartbeat-with is empty"),
        ("aws", "--heartbeat-every", "10ms", "--heartbeat-every is 1s to 1h"),
    ] {
        let mut watch = outlast();
        watch.args(["instance", "watch", "--platform", platform, option, value, "--", "true"]);
        let words = fail(&mut watch, 2);
        assert!(words.contains(told), "{words}");
    }
    let words = fail(
        outlast().args([
            "instance",
            "watch",
            "--platform",
            "aws",
            "--metadata",
            "nowhere",
            "--lock",
            scratch().path().join("lock").to_str().unwrap(),
            "--",
            "true",
        ]),
        1,
    );
    assert!(words.contains("nowhere"), "{words}");
}
