//! What a product says of its job: as arguments, and in variables that NetBackup sets for its scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use outlast_handover::lease;
use outlast_handover::{JobFacts, Lease, Place};
use outlast_types::Timestamp;

use crate::exit::Usage;

/// A beginning that is said again so soon is the same; later, it is of another run that says no more of itself.
const AGAIN: Duration = Duration::from_secs(600);

/// A job of the product.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    /// The product's own id of the job [default: $BACKUPID, which NetBackup sets]
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The client that the job is of
    #[arg(long, value_name = "HOST")]
    client: Option<String>,
    /// The policy
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// The schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// The type, such as FULL or INCR
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// When it began, in the product's words [default: $UNIXBACKUPTIME, which NetBackup sets]
    #[arg(long, value_name = "TEXT")]
    start: Option<String>,
    /// Which stream of the job this is, from 1 [default: $STREAM_NUMBER, or 1]
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
    /// How many streams there are of this very id; the job has sent all when all of them have
    #[arg(long, value_name = "COUNT", requires = "job")]
    streams: Option<u32>,
}

/// A stream of a job, as it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) job: JobFacts,
    pub(super) stream: u32,
    pub(super) streams: Option<u32>,
}

impl JobArgs {
    /// What is said of the job, here and in the environment.
    pub(super) fn said(&self) -> Result<Said> {
        self.said_beside(|name| std::env::var(name).ok())
    }

    /// The streams that NetBackup counts have each an id of their own, so that no id has several.
    fn said_beside(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Said> {
        // Scripts hand on what may be empty.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let job = JobFacts {
            job: given(&self.job).or_else(|| variable("BACKUPID")),
            client: given(&self.client),
            policy: given(&self.policy),
            schedule: given(&self.schedule),
            kind: given(&self.kind),
            start: given(&self.start).or_else(|| variable("UNIXBACKUPTIME")),
        };
        // An id says enough; with a time that only one of two hooks knows, they would mean two jobs.
        let job = JobFacts { start: job.start.filter(|_| job.job.is_none()), ..job };
        if job.is_empty() {
            let words =
                "say which job it is: by --job, or by --client, --policy, --schedule and --type";
            return Err(Usage(words.to_owned()).into());
        }
        let counted = || variable("STREAM_NUMBER").and_then(|text| text.trim().parse().ok());
        // NetBackup calls the only stream of a job 0.
        let stream = self.stream.or_else(counted).unwrap_or(1).max(1);
        Ok(Said { job: job.bounded(), stream, streams: self.streams.filter(|count| *count > 0) })
    }
}

impl Said {
    /// Whether a lease may be of the same run, as far as both say something.
    fn may_be_of(&self, lease: &Lease) -> bool {
        let (one, other) = (&self.job, &lease.job);
        let pairs = [
            (&one.client, &other.client),
            (&one.policy, &other.policy),
            (&one.schedule, &other.schedule),
            (&one.kind, &other.kind),
        ];
        pairs.iter().all(|(one, other)| one == other)
    }

    /// The same with something that tells runs apart, where the product says nothing: the run of which another stream
    /// reads just now, or else the moment.
    pub(super) fn of_run(mut self, place: &Place, now: Timestamp) -> Result<Self> {
        if self.job.job.is_some() || self.job.start.is_some() {
            return Ok(self);
        }
        let (leases, _) = lease::list(place)?;
        let open = leases.into_values().filter(|lease| {
            lease.job.job.is_none() && self.may_be_of(lease) && !lease.is_over(now)
        });
        let mut runs: BTreeMap<Option<String>, Vec<Lease>> = BTreeMap::new();
        open.for_each(|lease| runs.entry(lease.job.start.clone()).or_default().push(lease));
        let newest =
            runs.into_iter().max_by_key(|(_, leases)| leases.iter().map(|lease| lease.began).max());
        let same = newest.filter(|(_, leases)| {
            let own = leases.iter().find(|lease| lease.stream == self.stream);
            own.is_none_or(|own| now.since(own.began) < AGAIN)
        });
        let start = same.and_then(|(start, _)| start);
        self.job.start = start.or_else(|| Some(now.to_string()));
        Ok(self)
    }

    /// The lease that ends with this stream: of its key, or, where the beginning knew an id or a time and the end does
    /// not, the newest that may be meant.
    pub(super) fn lease(&self, place: &Place) -> Result<Option<Lease>> {
        if let Some(lease) = lease::find(place, &self.job.key(), self.stream)? {
            return Ok(Some(lease));
        }
        if self.job.job.is_some() {
            return Ok(None);
        }
        let (leases, _) = lease::list(place)?;
        let of_start = |lease: &Lease| {
            self.job.start.is_none()
                || lease.job.start.is_none()
                || lease.job.start == self.job.start
        };
        let mine = leases.into_values().filter(|lease| {
            lease.stream == self.stream && self.may_be_of(lease) && of_start(lease)
        });
        Ok(mine.max_by_key(|lease| lease.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(job: Option<&str>, start: Option<&str>) -> JobArgs {
        let text = |text: &str| Some(text.to_owned());
        JobArgs {
            job: job.map(str::to_owned),
            client: text("agenthost"),
            policy: text("apps"),
            schedule: text("daily"),
            kind: text("INCR"),
            start: start.map(str::to_owned),
            stream: None,
            streams: None,
        }
    }

    fn netbackup(name: &str) -> Option<String> {
        let value = match name {
            "BACKUPID" => "agenthost_1700000000",
            "UNIXBACKUPTIME" => "1700000000",
            "STREAM_NUMBER" => "3",
            "STREAM_COUNT" => "4",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn netbackups_variables_name_the_job_and_its_stream() {
        let said = arguments(None, None).said_beside(netbackup).unwrap();
        assert_eq!(said.job.job.as_deref(), Some("agenthost_1700000000"));
        // Of each stream there is another id: nobody waits for four of this one.
        assert_eq!((said.stream, said.streams), (3, None));
        let said = arguments(Some("7"), None).said_beside(netbackup).unwrap();
        assert_eq!(said.job.key().as_str(), "7", "what is said counts for more");
    }

    #[test]
    fn the_only_stream_is_the_first_whatever_it_is_called() {
        for number in ["0", "-1", "", "x"] {
            let variable = |name: &str| (name == "STREAM_NUMBER").then(|| number.to_owned());
            assert_eq!(
                arguments(None, None).said_beside(variable).unwrap().stream,
                1,
                "{number:?}"
            );
        }
    }

    #[test]
    fn words_that_are_empty_say_nothing_and_nothing_at_all_is_refused() {
        let empty = || Some(" ".to_owned());
        let mut said = arguments(Some(""), Some(""));
        (said.client, said.policy, said.schedule, said.kind) = (empty(), empty(), empty(), empty());
        assert!(said.said_beside(|_| None).is_err());
        assert!(said.said_beside(|_| empty()).is_err());
        assert!(said.said_beside(netbackup).is_ok());
    }
}
