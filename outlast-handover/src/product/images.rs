//! NetBackup's image catalogue, as a client may ask for it: `bpclimagelist` and `bplist`, in UTC and with seconds.
//!
//! An image is there when its job has ended with status 0 or 1, and what is in it, `bplist` lists: so a list proves
//! itself, whatever the status was.

use outlast_types::Timestamp;

use super::civil;
use super::{LINES_MAX, Question, Shown, Verdict, told};
use crate::evidence::{FileFact, Holds, Outcome, Statement};
use crate::job::JobFacts;

/// Around the beginning of a lease, an image without an id is looked for: its time is when the server began the job,
/// a while before its script ran.
const BEFORE_SECONDS: i64 = 3600;
const AFTER_SECONDS: i64 = 60;
/// The images of the streams of one job are not further apart than that.
const APART_SECONDS: i64 = 300;
/// Images of one job that are asked for; each is of one stream.
pub const IMAGES_MAX: usize = 64;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub backed_up: Timestamp,
    pub files: u64,
    /// In the words of a hook: `FULL`, `INCR`.
    pub kind: Option<&'static str>,
    pub policy: String,
}

/// The images in what `bpclimagelist -Listseconds` prints, without those that are not complete.
pub fn images(answer: &str) -> Vec<Image> {
    answer.lines().take(LINES_MAX).filter_map(image).collect()
}

fn image(line: &str) -> Option<Image> {
    let mut words = line.split_whitespace().peekable();
    let date = civil::slashed(words.next()?)?;
    let (hour, minute, second) = civil::time_of_day(words.next()?)?;
    let expires = words.next()?;
    // An image that is not complete expires at the beginning of all time.
    if civil::slashed(expires).is_some_and(|(year, ..)| year <= 1970) || expires == "0" {
        return None;
    }
    if words.peek().is_some_and(|word| civil::time_of_day(word).is_some()) {
        words.next();
    }
    let files = words.next()?.parse().ok()?;
    let _kilobytes: u64 = words.next()?.parse().ok()?;
    let rest: Vec<&str> = words.collect();
    let policy = (*rest.last()?).to_owned();
    let shown = rest.join(" ").to_ascii_lowercase();
    let kinds = [
        ("full", "FULL"),
        ("cumul", "CINC"),
        ("diff", "INCR"),
        ("incr", "INCR"),
        ("user b", "UBAK"),
        ("user a", "UARC"),
    ];
    // After whether it is compressed: one letter.
    let kind = kinds.iter().filter_map(|(word, kind)| Some((shown.find(word)?, *kind))).min();
    let backed_up = civil::moment(date, (hour, minute, second.unwrap_or(0)))?;
    Some(Image { backed_up, files, kind: kind.map(|(_, kind)| kind), policy })
}

/// The moment in a backup's id, such as `agenthost_1795735405`.
pub fn moment_of(id: &str) -> Option<Timestamp> {
    let (client, seconds) = id.rsplit_once('_')?;
    let is_one = !client.is_empty() && seconds.len() >= 9 && seconds.len() <= 11;
    is_one.then(|| Timestamp::from_unix(seconds.parse().ok()?, 0)).flatten()
}

/// The images of a job: the one that its id names, or else those of its policy and type from about when it began.
pub fn of_job<'a>(question: &Question, images: &'a [Image]) -> Vec<&'a Image> {
    let facts = &question.job;
    if let Some(moment) = facts.job.as_deref().and_then(moment_of) {
        return images.iter().filter(|image| image.backed_up == moment).take(IMAGES_MAX).collect();
    }
    let Some(began) = question.began else { return Vec::new() };
    let Some(policy) = &facts.policy else { return Vec::new() };
    let around = began.unix_seconds() - BEFORE_SECONDS..=began.unix_seconds() + AFTER_SECONDS;
    let is_of_it = |image: &&Image| {
        let is_kind = match (&facts.kind, image.kind) {
            (Some(said), Some(shown)) => said.eq_ignore_ascii_case(shown),
            _ => true,
        };
        image.policy == *policy && is_kind && around.contains(&image.backed_up.unix_seconds())
    };
    let found: Vec<&Image> = images.iter().filter(is_of_it).collect();
    // An earlier one is of an earlier job, whose own question finds it.
    let last = found.iter().map(|image| image.backed_up.unix_seconds()).max().unwrap_or(0);
    let is_near = |image: &&Image| image.backed_up.unix_seconds() >= last - APART_SECONDS;
    found.into_iter().filter(is_near).take(IMAGES_MAX).collect()
}

/// What to ask `bplist` for the files of an image below a directory; it is run with `TZ=UTC` and `LC_ALL=C`.
pub fn ask_files(image: &Image, client: &str, directory: &str) -> Option<Vec<String>> {
    let (date, time) = civil::shown(image.backed_up)?;
    let words = ["-C", client, "-t", "0", "-k", &image.policy, "-l", "-R", "-Listseconds"];
    let window = ["-s", &date, &time, "-e", &date, &time, directory];
    Some(words.into_iter().chain(window).map(str::to_owned).collect())
}

/// What to ask `bpclimagelist` for all images since a moment.
pub fn ask_images(client: &str, since: Timestamp) -> Option<Vec<String>> {
    let (date, time) = civil::shown(since)?;
    let words = ["-client", client, "-Listseconds", "-s", &date, &time];
    Some(words.into_iter().map(str::to_owned).collect())
}

/// The files in what `bplist -l -R -Listseconds` prints.
pub fn files(answer: &str, now: Timestamp) -> Vec<Shown> {
    answer.lines().take(LINES_MAX).filter_map(|line| file(line, now)).collect()
}

/// `-rw-r----- outlast nbu 12345 Nov 26 03:10:08 /srv/nbu/shop/…`; the year stands before or after the time, or
/// nowhere.
fn file(line: &str, now: Timestamp) -> Option<Shown> {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let (facts, path) = line.split_at(line.find(" /")?);
    let mut words = facts.split_whitespace();
    let mode = words.next()?;
    if !mode.starts_with('-') || mode.len() < 10 {
        return None;
    }
    let (_owner, _group) = (words.next()?, words.next()?);
    let size = words.next()?.parse().ok()?;
    let (mut date, mut time, mut year) = (None, None, None);
    let mut month = None;
    for word in words {
        if let Some(found) = civil::slashed(word) {
            date = Some((found.1, found.2));
            year = Some(found.0);
        } else if let Some(found) = civil::time_of_day(word) {
            time = Some(found);
        } else if let Some(found) = civil::month(word) {
            month = Some(found);
        } else if let (Some(month), None, Ok(day)) = (month, date, word.parse::<u32>()) {
            date = Some((month, day));
        } else if word.len() == 4 {
            year = Some(word.parse().ok()?);
        } else {
            return None;
        }
    }
    let (month, day) = date?;
    let (hour, minute, second) = time?;
    let year = match year {
        Some(year) => year,
        None => civil::year_before((month, day), (hour, minute, second.unwrap_or(0)), now)?,
    };
    let first = civil::moment((year, month, day), (hour, minute, second.unwrap_or(0)))?;
    let first = first.unix_seconds();
    let last = if second.is_some() { first } else { first + 59 };
    Some(Shown { path: path[1..].to_owned(), size, modified: first..=last })
}

/// What the catalogue says of a job whose images have these files; of a job without images it knows nothing.
pub fn verdict(question: &Question, images: &[&Image], files: Vec<FileFact>, by: &str) -> Verdict {
    let Some(first) = images.first() else { return Verdict::Unknown };
    let said = JobFacts {
        policy: Some(first.policy.clone()),
        kind: first.kind.map(str::to_owned),
        ..JobFacts::default()
    };
    // The catalogue does not tell 0 from 1; its list tells what is there in both.
    let outcome = if question.client_status == Some(1) { Outcome::Partial } else { Outcome::Well };
    Verdict::Ended(Box::new(Statement {
        job: told(&question.job, &said),
        began: question.began,
        ended: None,
        outcome,
        holds: Holds::Listed(files),
        product: Some("NetBackup".to_owned()),
        by: by.to_owned(),
    }))
}
