//! A passphrase that somebody types.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::harness::{Up, fail, outlast, scratch, succeed};

const PASSPHRASE: &str = "six words that nobody ever guesses";

/// Runs `outlast ARGUMENTS` at a terminal of its own, and types an answer at each question; its exit code, and
/// what the terminal showed.
fn typed(arguments: &str, answers: &[&str]) -> (Option<i32>, String) {
    let program = env!("CARGO_BIN_EXE_outlast");
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{program} {arguments}"), "/dev/null"]);
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut hands, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
    let (mut shown, mut answers) = (Vec::new(), answers.iter());
    let (mut buffer, mut questions) = ([0; 1024], 0);
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&shown).into_owned();
        let asked = text.matches("of the kit: ").count() + text.matches("again: ").count();
        for _ in questions..asked {
            let answer = answers.next().expect("another question");
            hands.write_all(answer.as_bytes()).unwrap();
        }
        questions = asked;
    }
    let text = String::from_utf8(shown).unwrap();
    assert!(!text.contains("guesses"), "{text}");
    (script.wait().unwrap().code(), text)
}

#[test]
fn a_passphrase_that_is_typed_is_asked_for_twice_and_shown_nowhere() {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let up = Up::start(&path("up"));
    let kit = format!("ca kit --dir {} --into {}", up.dir.display(), path("kit").display());
    let right = format!("{PASSPHRASE}\n");
    let (code, said) = typed(&kit, &[&right, "another one that nobody guesses\n"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not the same twice"), "{said}");
    let (code, said) = typed(&kit, &["six w\u{3}"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    let (code, said) = typed(&kit, &[&right, &right]);
    assert_eq!(code, Some(0), "{said}");
    let file = path("passphrase");
    outlast_fs::durable::replace(&file, right.as_bytes(), 0o600).unwrap();
    let mut restic = Command::new("restic");
    restic.args(["--no-cache", "--no-lock", "-r"]).arg(path("kit")).arg("--password-file");
    succeed(restic.arg(&file).arg("snapshots"));

    // Without a terminal, nobody is asked.
    let mut alone = outlast();
    alone.args(["ca", "kit", "--dir"]).arg(&up.dir).arg("--into").arg(path("another"));
    let mut setsid = Command::new("setsid");
    setsid.arg("-w").arg(alone.get_program()).args(alone.get_args()).stdin(Stdio::null());
    assert!(fail(&mut setsid, 2).contains("--passphrase-file"));
}
