//! The parsers of what backup products say of their jobs.

use std::collections::HashMap;

use outlast_handover::JobFacts;
use outlast_handover::product::{
    Question, Shown, Verdict, bacula as director, facts, images, jobs,
};
use outlast_types::Timestamp;

use crate::outcome::{Outcome, scale};

/// The directory that is asked for.
const DIRECTORY: &str = "/srv/";
/// The job that is asked for.
const BACKUP: &str = "agenthost_1795662005";

/// An answer of a director of Bacula.
pub fn bacula(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    director::complaint(&text);
    let asked = director::ask_files(1, &[DIRECTORY.to_owned()]);
    let files = director::files(&text, 1, &asked);
    let shape = scale(files.len());
    judge(&files);
    match director::job(&text) {
        Err(reason) if files.is_empty() => Outcome::refused(reason),
        Err(_) => Outcome::accepted(shape),
        Ok(record) => {
            let status = record.as_ref().map(|record| record.status);
            let files = facts(files, &HashMap::new());
            director::verdict(&Question::default(), record, files, "bconsole");
            Outcome::accepted((shape, status))
        }
    }
}

/// Lists of images and files, reports of jobs, and answers of the jobs API, of NetBackup.
pub fn netbackup(input: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(input);
    let question = Question { job: JobFacts::of_id(BACKUP), ..Question::default() };
    let all = images::images(&text);
    let found = images::of_job(&question, &all);
    images::verdict(&question, &found, Vec::new(), "bplist");
    let now = Timestamp::from_unix(1_795_662_005, 0).expect("it is a moment");
    let files = images::files(&text, now);
    judge(&files);
    let report = jobs::verdict(&question, jobs::report(&text, &question), "bpdbjobs");
    let answered = jobs::answered(input).map(|records| {
        let verdict = jobs::verdict(&question, jobs::find(&question, &records), "api");
        (scale(records.len()), is_ended(&verdict))
    });
    let shape = (scale(all.len()), scale(files.len()), is_ended(&report));
    match answered {
        Err(reason) if shape == (0, 0, false) => Outcome::refused(reason),
        Err(_) => Outcome::accepted(shape),
        Ok(answered) => Outcome::accepted((shape, answered)),
    }
}

fn is_ended(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Ended(_))
}

fn judge(files: &[Shown]) {
    for file in files {
        assert!(file.path.starts_with('/'), "a path from the root");
        assert!(!file.path.contains('\n'), "and of one line");
        let span = file.modified.end() - file.modified.start();
        assert!((0..60).contains(&span), "within a minute");
    }
}
