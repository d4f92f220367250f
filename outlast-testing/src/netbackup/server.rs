//! The primary server: it runs jobs, keeps their images, and tells of both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::catalogue::{self, Image, Stored};
use super::client::{Client, Ended, Told};
use super::order::{Fault, Job, Kind, Order};

/// A primary server with one client.
pub struct Server {
    home: PathBuf,
    client: String,
    /// How long a script may take: 300 s where nobody says otherwise.
    pub script_timeout: Duration,
    /// Called when all is listed and nothing is opened yet.
    pub between: Option<Box<dyn FnMut() + Send>>,
    images: BTreeMap<String, Image>,
    jobs: Vec<Job>,
}

impl Server {
    /// One whose files are below `home`.
    pub fn new(home: &Path, client: &str) -> io::Result<Self> {
        let server = Self {
            home: home.to_owned(),
            client: client.to_owned(),
            script_timeout: Duration::from_secs(300),
            between: None,
            images: BTreeMap::new(),
            jobs: Vec::new(),
        };
        std::fs::create_dir_all(server.programs())?;
        server.publish()?;
        Ok(server)
    }

    /// Where its client's programs and scripts are: `/usr/openv/netbackup/bin` of a real one.
    pub fn programs(&self) -> PathBuf {
        self.home.join("bin")
    }

    /// Runs a job; what became of each of its streams, which are jobs of their own with an id each. A stream whose script
    /// refuses does not keep the others from running.
    pub fn run(&mut self, order: &Order) -> io::Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for stream in 1..=order.streams.max(1) {
            let (backup, began) = self.next();
            let (programs, since) =
                (self.programs(), catalogue::since(&self.images, &order.policy, order.kind));
            let mut client = Client {
                programs: &programs,
                name: &self.client,
                script_timeout: self.script_timeout,
                between: &mut self.between,
                since,
            };
            let told = Told { order, backup: &backup, began, stream };
            let Ended { status, log, image } = client.run(&told)?;
            self.images.extend(image.map(|image| (backup.clone(), image)));
            let job = self.job(order, backup, began, status, log);
            self.jobs.push(job.clone());
            self.publish()?;
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// The same until it ends with 0 or 1, as often as `tries` allows; only the first has the fault. All tries are told.
    pub fn run_with_retries(&mut self, order: &Order, tries: usize) -> io::Result<Vec<Job>> {
        let mut all = Vec::new();
        let mut order = order.clone();
        for _ in 0..tries.max(1) {
            let jobs = self.run(&order)?;
            let is_over = jobs.iter().all(|job| matches!(job.status, 0 | 1));
            all.extend(jobs);
            if is_over {
                break;
            }
            order.fault = Fault::None;
        }
        Ok(all)
    }

    /// Makes a full of what the last backup of a policy saw, out of the images that are there, without the client. Its
    /// time is that of the last backup.
    pub fn synthesize(&mut self, policy: &str, schedule: &str) -> io::Result<Job> {
        let (backup, began) = self.next();
        let image = catalogue::synthesize(&self.images, policy, schedule, began)?;
        self.images.insert(backup.clone(), image);
        let order = Order::new(policy, schedule, Kind::Full, Path::new("/"));
        let log = vec!["made of images, without the client".to_owned()];
        let job = self.job(&order, backup, began, 0, log);
        self.jobs.push(job.clone());
        self.publish()?;
        Ok(job)
    }

    /// An image that reached its end, or was expired by somebody.
    pub fn expire(&mut self, backup: &str) -> io::Result<bool> {
        let was_there = self.images.remove(backup).is_some();
        self.publish()?;
        Ok(was_there)
    }

    /// The image of a backup.
    pub fn image(&self, backup: &str) -> Option<&Image> {
        self.images.get(backup)
    }

    /// All jobs, the first one first.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The files that a restore from this image brings back: an incremental's with those of the images below it.
    pub fn restorable(&self, backup: &str) -> BTreeMap<PathBuf, Stored> {
        catalogue::restorable(&self.images, backup)
    }

    /// Restores what an image can bring back, below another directory.
    pub fn restore(&self, backup: &str, from: &Path, into: &Path) -> io::Result<usize> {
        let files = self.restorable(backup);
        for (path, stored) in &files {
            let Ok(within) = path.strip_prefix(from) else { continue };
            let target = into.join(within);
            std::fs::create_dir_all(target.parent().unwrap_or(into))?;
            let mut file = std::fs::File::create(&target)?;
            io::Write::write_all(&mut file, &stored.content)?;
            let times = std::fs::FileTimes::new().set_modified(catalogue::moment(stored.modified));
            file.set_times(times)?;
        }
        Ok(files.len())
    }

    /// The id and the time of the next backup, which no other has.
    fn next(&self) -> (String, i64) {
        let now = catalogue::now();
        let last = self.jobs.iter().map(|job| job.began).max().unwrap_or(0);
        let began = now.max(last + 1);
        (format!("{}_{began}", self.client), began)
    }

    fn job(&self, order: &Order, backup: String, began: i64, status: i32, log: Vec<String>) -> Job {
        Job {
            id: 1 + self.jobs.len() as u64,
            backup,
            policy: order.policy.clone(),
            schedule: order.schedule.clone(),
            kind: order.kind.word(),
            status,
            began,
            ended: catalogue::now(),
            log,
        }
    }

    fn publish(&self) -> io::Result<()> {
        catalogue::publish(&self.home.join("catalogue"), &self.programs(), &self.images)
    }

    /// The answer of its jobs API, as JSON: all jobs, or one.
    pub fn answer(&self, id: Option<u64>) -> Option<String> {
        let shown = |job: &Job| {
            format!(
                "{{\"type\":\"job\",\"id\":\"{id}\",\"attributes\":{{\"jobId\":{id},\"jobType\":\"BACKUP\",\"policyName\":{policy:?},\
                 \"scheduleName\":{schedule:?},\"scheduleType\":{kind:?},\"clientName\":{client:?},\"backupId\":{backup:?},\
                 \"status\":{status},\"state\":\"DONE\"}}}}",
                id = job.id,
                policy = job.policy,
                schedule = job.schedule,
                kind = job.kind,
                client = self.client,
                backup = job.backup,
                status = job.status,
            )
        };
        match id {
            Some(id) => {
                let job = self.jobs.iter().find(|job| job.id == id)?;
                Some(format!("{{\"data\":{}}}", shown(job)))
            }
            None => {
                let all: Vec<String> = self.jobs.iter().rev().map(shown).collect();
                Some(format!("{{\"data\":[{}]}}", all.join(",")))
            }
        }
    }
}
