//! Asking a product of one job after the other.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use outlast_fs::durable;
use outlast_handover::product::{ANSWER_BYTES_MAX, Question, Verdict, bacula, facts, images, jobs};
use outlast_handover::{FileFact, Holds, Outcome, Statement};
use outlast_types::{Clock as _, SystemClock, Timestamp};
use outlast_wire::Believed;
use outlast_wire::outside::Questions;

use super::program::{self, Ended};
use crate::proxies;
use crate::settings::Confirmer;

/// Directories of which a director is asked at a time, for one job; the rest in the next round.
const DIRECTORIES_MAX: usize = 20_000;
/// The status by which NetBackup's programs say that they found nothing.
const NOTHING_FOUND: i32 = 227;
/// Images of the server's last jobs that one answer has.
const JOBS_ANSWERED: &str = "100";
/// The oldest version of the API that has keys.
const ACCEPT: &str = "application/vnd.netbackup+json;version=4.0";

/// A product, while it is asked.
pub(super) struct Product {
    how: How,
    /// The directory that is handed over, and the hand-over's name.
    directory: PathBuf,
    name: String,
    end: Instant,
    host: String,
}

enum How {
    NetBackup {
        programs: PathBuf,
        client: Option<String>,
        images: Option<Vec<images::Image>>,
    },
    Api {
        server: Box<Questions>,
        client: Option<String>,
        jobs: Option<Vec<jobs::Record>>,
    },
    Bacula {
        bconsole: PathBuf,
        config: PathBuf,
    },
    Command {
        words: Vec<String>,
    },
    /// What `bpdbjobs` printed on a server, and where it lies here.
    Report {
        file: PathBuf,
        said: String,
    },
}

impl Product {
    pub(super) fn new(
        confirmer: Confirmer,
        directory: &Path,
        name: &str,
        deadline: Duration,
    ) -> Result<Self> {
        let how = match confirmer {
            Confirmer::NetBackup { programs, client } => {
                How::NetBackup { programs, client, images: None }
            }
            Confirmer::NetBackupApi { address, key, ca, client } => {
                let believed = Believed::read(ca.as_deref())?;
                let server = Questions::new(&address, &key, ACCEPT, &believed, &proxies::roads()?)?;
                let server = Box::new(server.within(deadline));
                How::Api { server, client, jobs: None }
            }
            Confirmer::Bacula { bconsole, config } => How::Bacula { bconsole, config },
            Confirmer::Command { words } => How::Command { words },
        };
        Ok(Self::of(how, directory, name, deadline))
    }

    /// An administrator's report of jobs.
    pub(super) fn report(file: &Path, directory: &Path, name: &str) -> Result<Self> {
        let said = durable::read_bounded(file, ANSWER_BYTES_MAX)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let how = How::Report { file: file.to_owned(), said };
        Ok(Self::of(how, directory, name, Duration::ZERO))
    }

    fn of(how: How, directory: &Path, name: &str, deadline: Duration) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let (directory, name) = (directory.to_owned(), name.to_owned());
        Self { how, directory, name, end: Instant::now() + deadline, host }
    }

    /// Who says it, for the record.
    pub(super) fn by(&self) -> String {
        let host = &self.host;
        match &self.how {
            How::NetBackup { .. } => format!("bplist on {host}"),
            How::Api { server, .. } => format!("the jobs of {}", server.location()),
            How::Bacula { .. } => format!("bconsole on {host}"),
            How::Command { words } => format!("{} on {host}", words[0]),
            How::Report { file, .. } => format!("bpdbjobs, in {} on {host}", file.display()),
        }
    }

    /// Whether a job that it does not know has no image any more: lists of jobs are forgotten after days.
    pub(super) fn tells_absence(&self) -> bool {
        matches!(self.how, How::NetBackup { .. } | How::Bacula { .. })
    }

    /// What it says of a job. `wanted` are the files whose fate is to be told, by their whole paths; `since` is when the
    /// oldest job began of which it will be asked.
    pub(super) fn ask(
        &mut self,
        question: &Question,
        wanted: &[FileFact],
        since: Timestamp,
    ) -> Result<Verdict> {
        let by = self.by();
        let end = self.end;
        match &mut self.how {
            How::NetBackup { programs, client, images } => {
                let client = client.clone().or_else(|| question.job.client.clone());
                let client = client.unwrap_or_else(|| self.host.clone());
                if images.is_none() {
                    *images = Some(list_images(programs, &client, since, end)?);
                }
                let found = images::of_job(question, images.as_deref().unwrap_or_default());
                let mut files = Vec::new();
                for image in found.iter().filter(|_| !wanted.is_empty()) {
                    files.extend(list_files(
                        programs,
                        (image, &client),
                        &self.directory,
                        wanted,
                        end,
                    )?);
                }
                Ok(images::verdict(question, &found, files, &by))
            }
            How::Api { server, client, jobs } => {
                let client = client.clone().or_else(|| question.job.client.clone());
                let record = match answered_alone(server, question)? {
                    Some(record) => Some(record),
                    None => {
                        if jobs.is_none() {
                            *jobs = Some(list_jobs(server, client.as_deref())?);
                        }
                        jobs::find(question, jobs.as_deref().unwrap_or_default())
                    }
                };
                Ok(jobs::verdict(question, record, &by))
            }
            How::Report { said, .. } => {
                Ok(jobs::verdict(question, jobs::report(said, question), &by))
            }
            How::Bacula { bconsole, config } => {
                ask_director((bconsole, config), question, wanted, &by, end)
            }
            How::Command { words } => {
                ask_command(words, question, &self.directory, &self.name, end)
            }
        }
    }
}

fn list_images(
    programs: &Path,
    client: &str,
    since: Timestamp,
    end: Instant,
) -> Result<Vec<images::Image>> {
    // The server gives a backup its time before the client's script runs.
    let since = since.saturating_sub(Duration::from_secs(3600));
    let words = images::ask_images(client, since).context("the time of the oldest job is none")?;
    let program = programs.join("bpclimagelist");
    let ended = program::run(&program, &words, &[], "", end)?;
    match ended.status.code() {
        Some(0) => Ok(images::images(&ended.said)),
        Some(NOTHING_FOUND) => Ok(Vec::new()),
        _ => bail!("{}", complaint(&program, &ended)),
    }
}

fn list_files(
    programs: &Path,
    (image, client): (&images::Image, &str),
    directory: &Path,
    wanted: &[FileFact],
    end: Instant,
) -> Result<Vec<FileFact>> {
    let directory = directory.to_string_lossy();
    let words = images::ask_files(image, client, &directory).context("an image has no time")?;
    let program = programs.join("bplist");
    let ended = program::run(&program, &words, &[], "", end)?;
    match ended.status.code() {
        Some(0) => {}
        Some(NOTHING_FOUND) => return Ok(Vec::new()),
        _ => bail!("{}", complaint(&program, &ended)),
    }
    Ok(known(images::files(&ended.said, SystemClock.now()), wanted))
}

/// The files of a listing that anybody asked for.
fn known(mut shown: Vec<outlast_handover::product::Shown>, wanted: &[FileFact]) -> Vec<FileFact> {
    let wanted: HashMap<&str, &FileFact> =
        wanted.iter().map(|file| (file.path.as_str(), file)).collect();
    shown.retain(|file| wanted.contains_key(file.path.as_str()));
    facts(shown, &wanted)
}

/// The job by its own number, where that is what is known of it.
fn answered_alone(server: &Questions, question: &Question) -> Result<Option<jobs::Record>> {
    let is_number = |id: &&String| !id.is_empty() && id.bytes().all(|it| it.is_ascii_digit());
    let Some(id) = question.job.job.as_ref().filter(is_number) else { return Ok(None) };
    let Some(answer) = server.ask(&format!("admin/jobs/{id}"), &[], ANSWER_BYTES_MAX)? else {
        return Ok(None);
    };
    Ok(jobs::find(question, &understood(server, &answer)?))
}

fn list_jobs(server: &Questions, client: Option<&str>) -> Result<Vec<jobs::Record>> {
    let mut filter = "jobType eq 'BACKUP'".to_owned();
    // A quote would end the name.
    if let Some(client) = client.filter(|client| !client.contains('\'')) {
        filter.push_str(&format!(" and clientName eq '{client}'"));
    }
    let query = [("filter", filter.as_str()), ("sort", "-jobId"), ("page[limit]", JOBS_ANSWERED)];
    match server.ask("admin/jobs", &query, ANSWER_BYTES_MAX)? {
        Some(answer) => understood(server, &answer),
        None => bail!("{} has no jobs API: see confirm.address", server.location()),
    }
}

fn understood(server: &Questions, answer: &[u8]) -> Result<Vec<jobs::Record>> {
    jobs::answered(answer).map_err(|reason| {
        anyhow::anyhow!("what {} answers is not understood: {reason}", server.location())
    })
}

fn ask_director(
    console: (&Path, &Path),
    question: &Question,
    wanted: &[FileFact],
    by: &str,
    end: Instant,
) -> Result<Verdict> {
    let id = question.job.job.as_deref().unwrap_or_default();
    let Some(ask) = bacula::ask_job(id) else {
        bail!("{id:?} is no number and no name of one job of Bacula: the hooks give --job %i");
    };
    let answer = tell(console, &[ask], end)?;
    let record =
        bacula::job(&answer).map_err(|reason| anyhow::anyhow!("bconsole says: {reason}"))?;
    let Some(record) = record else { return Ok(Verdict::Unknown) };
    let has_files = matches!(record.status, 'T' | 'W') && !record.is_purged;
    if !has_files || wanted.is_empty() {
        return Ok(bacula::verdict(question, Some(record), Vec::new(), by));
    }
    let parent = |file: &FileFact| {
        let (directory, _) = file.path.rsplit_once('/')?;
        Some(format!("{directory}/"))
    };
    let directories: BTreeSet<String> = wanted.iter().filter_map(parent).collect();
    let directories: Vec<String> = directories.into_iter().take(DIRECTORIES_MAX).collect();
    let asked = bacula::ask_files(record.id, &directories);
    let mut commands = vec![bacula::prepare(record.id)];
    commands.extend(asked.iter().map(|(command, _)| command.clone()));
    let answer = tell(console, &commands, end)?;
    if let Some(reason) = bacula::complaint(&answer) {
        bail!("bconsole says: {reason} (its console needs llist, .bvfs_update and .bvfs_lsfiles)");
    }
    let files = known(bacula::files(&answer, record.id, &asked), wanted);
    Ok(bacula::verdict(question, Some(record), files, by))
}

/// What a director answers to commands.
fn tell((bconsole, config): (&Path, &Path), commands: &[String], end: Instant) -> Result<String> {
    let input: String = commands.iter().map(|command| format!("{command}\n")).collect();
    let config = config.display().to_string();
    let ended = program::run(bconsole, &["-c".to_owned(), config], &[], &(input + "quit\n"), end)?;
    if !ended.status.success() {
        // It tells why on its standard output.
        let lines = ended.said.lines().filter(|line| !line.starts_with("Connecting to"));
        let why = lines
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("the director does not answer");
        bail!("{} ended with {}: {why}", bconsole.display(), ended.status);
    }
    Ok(ended.said)
}

/// A command of the user's: 0, and nothing else, says that the job ended well.
fn ask_command(
    words: &[String],
    question: &Question,
    directory: &Path,
    name: &str,
    end: Instant,
) -> Result<Verdict> {
    let (program, arguments) = words.split_first().context("there is no command")?;
    let facts = &question.job;
    let began = question.began.map(|at| at.to_string());
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let variables = [
        ("OUTLAST_JOB", said(&facts.job)),
        ("OUTLAST_CLIENT", said(&facts.client)),
        ("OUTLAST_POLICY", said(&facts.policy)),
        ("OUTLAST_SCHEDULE", said(&facts.schedule)),
        ("OUTLAST_KIND", said(&facts.kind)),
        ("OUTLAST_BEGAN", said(&began)),
        ("OUTLAST_HANDOVER", name.to_owned()),
        ("OUTLAST_DIRECTORY", directory.display().to_string()),
    ];
    let ended = program::run(Path::new(program), arguments, &variables, "", end)?;
    if !ended.status.success() {
        return Ok(Verdict::Unknown);
    }
    Ok(Verdict::Ended(Box::new(Statement {
        job: facts.clone(),
        began: question.began,
        ended: None,
        outcome: Outcome::Well,
        holds: Holds::Everything,
        product: None,
        by: format!("{program}, which ended with 0"),
    })))
}

fn complaint(program: &Path, ended: &Ended) -> String {
    let said = ended.said.lines().map(str::trim).rfind(|line| !line.is_empty());
    let why = match (ended.complaint.as_str(), said) {
        ("", said) => said.unwrap_or("it says nothing"),
        (complaint, _) => complaint,
    };
    format!("{} ended with {}: {why}", program.display(), ended.status)
}
