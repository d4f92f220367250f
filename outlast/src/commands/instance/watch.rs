//! `outlast instance watch`: one small process that makes the last drop of an instance.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Result;
use outlast_drop::ending::{Ending, EndingLimits, Made, Sign, Step};
use outlast_types::{Environment, Interrupt, Pulse, human};
use outlast_wire::outside::metadata;
use serde_json::json;

use super::alone;
use super::child::{Child, LOOK};
use super::heartbeat::Heartbeat;
use super::platform::{Platform, Platforms, word};
use crate::exit::{Code, Usage};
use crate::notify::Service;
use crate::output::Output;
use crate::signals::{Ended, Grace, Signals};

/// How long a drop may take to end when its time is over.
const TIDY: Duration = Duration::from_secs(10);
/// What a process has to end in when it is cut off.
const CUT_OFF: Duration = Duration::from_secs(15);
/// How often the service is asked, at most and at least.
const EVERY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(60);
/// How often the platform is told that the drop is still being made.
const HEARTBEATS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// Make the final drop when this instance is told to end, then let it end
///
/// Waits for the notice that this instance ends, runs the command after `--`, and completes what the platform waits
/// for. SIGTERM is a notice on every platform.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command is run once for a notice, and again while it fails and there is time. When its time is over it is
told to end (SIGTERM), and ended 10 s later. Then the platform is told that it need not wait, whatever became
of the drop; that is repeated until it is taken. A notice that is withdrawn is not completed, and the next one
makes a drop of its own. A metadata service that does not answer withdraws nothing.

  aws     the lifecycle state of the Auto Scaling group, and spot notices, by the instance metadata service
          (version 2). The group waits until --complete-with has told it (IAM:
          autoscaling:CompleteLifecycleAction), or until the hook's own time is over.
  azure   scheduled events Terminate and Preempt of this machine; they are approved through the same service.
  signal  SIGTERM only. Give whoever sends it more patience than --deadline.

A command of --complete-with or --heartbeat-with is run by /bin/sh, for up to 30 s, with OUTLAST_ENDING_RESULT (sealed,
gaps or failed; making, for a heartbeat), OUTLAST_ENDING_INSTANCE and OUTLAST_ENDING_REGION in its environment.
Heartbeats are for drops that take longer than the group's lifecycle hook waits; they end with --deadline.

One watch runs on a host: the platform is told once, so one command makes all final drops.

Exit codes: 0 the drop is sealed; 1 it is not, or nobody took the answer; 3 it is sealed with gaps.

Examples:
  outlast instance watch --platform azure -- outlast drop files --share /mnt/share --workload shop --final /srv
  outlast instance watch --platform aws --complete-with 'aws autoscaling complete-lifecycle-action
      --auto-scaling-group-name shop --lifecycle-hook-name outlast --lifecycle-action-result CONTINUE
      --instance-id \"$OUTLAST_ENDING_INSTANCE\" --region \"$OUTLAST_ENDING_REGION\"' -- /usr/local/sbin/final-drop"
)]
pub(crate) struct Args {
    /// Who ends this instance
    #[arg(long, value_name = "WHO")]
    platform: Platform,
    /// How long the final drop may take, with all attempts
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = human::parse_duration)]
    deadline: Duration,
    /// The command that tells the platform that it need not wait
    #[arg(long, value_name = "COMMAND")]
    complete_with: Option<String>,
    /// How long that is tried
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = human::parse_duration)]
    complete_within: Duration,
    /// The command that tells the platform, time and again, that the drop is still being made
    #[arg(long, value_name = "COMMAND")]
    heartbeat_with: Option<String>,
    /// How often that is told: 1s to 1h
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = human::parse_duration)]
    heartbeat_every: Duration,
    /// The file that only one watch holds at a time [default: /run/outlast-instance.lock; none with `signal`]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// How often to ask for a notice: 50ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = human::parse_duration)]
    every: Duration,
    /// The address of the metadata service
    #[arg(long, value_name = "URL", default_value = metadata::ADDRESS)]
    metadata: String,
    /// The command that makes the final drop
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What does not fit together.
fn judge(arguments: &Args) -> Result<(), Usage> {
    if arguments.platform == Platform::Signal && arguments.complete_with.is_some() {
        let text = "--complete-with is for platforms that wait: after SIGTERM nobody does";
        return Err(Usage(text.to_owned()));
    }
    if arguments.platform != Platform::Aws && arguments.heartbeat_with.is_some() {
        let text = "--heartbeat-with is for aws: nobody else lengthens a wait that has begun";
        return Err(Usage(text.to_owned()));
    }
    let commands = [
        ("--complete-with", &arguments.complete_with),
        ("--heartbeat-with", &arguments.heartbeat_with),
    ];
    let is_empty =
        |command: &Option<String>| command.as_ref().is_some_and(|it| it.trim().is_empty());
    if let Some((name, _)) = commands.into_iter().find(|(_, command)| is_empty(command)) {
        let text =
            format!("{name} is empty: leave it out, or name the command that tells the platform");
        return Err(Usage(text));
    }
    for (name, given, range, words) in [
        ("--every", arguments.every, EVERY, "50ms to 60s"),
        ("--heartbeat-every", arguments.heartbeat_every, HEARTBEATS, "1s to 1h"),
    ] {
        if !range.contains(&given) {
            return Err(Usage(format!("{name} is {words}, not {}", human::duration(given))));
        }
    }
    Ok(())
}

pub(crate) fn run(arguments: &Args, output: &Output) -> Result<Code> {
    judge(arguments)?;
    // After a SIGTERM nobody is told anything: two that are asked to end, each by itself, do no harm.
    let is_locked = arguments.platform != Platform::Signal || arguments.lock.is_some();
    let _alone = if is_locked { alone::take(arguments.lock.as_deref(), output)? } else { None };
    let finish = arguments.deadline + TIDY + arguments.complete_within;
    let signals = Signals::catch_with(Grace { finish, tidy: CUT_OFF, ..Grace::default() })?;
    let mut watch = Watch::new(arguments, &signals, output)?;
    if arguments.platform == Platform::Aws && arguments.complete_with.is_none() {
        output.remark(
            "without --complete-with nobody tells the Auto Scaling group that the drop is made: it waits until \
             its lifecycle hook times out",
        );
    }
    watch.go_on()?;
    watch.tell()
}

struct Watch<'a> {
    arguments: &'a Args,
    signals: &'a Signals,
    output: &'a Output,
    environment: Environment,
    platform: Platforms,
    ending: Ending,
    child: Option<Child>,
    heartbeat: Heartbeat,
    /// When the service was asked last, and what it said.
    sign: (Option<Duration>, Sign),
    service: Service,
}

impl<'a> Watch<'a> {
    fn new(arguments: &'a Args, signals: &'a Signals, output: &'a Output) -> Result<Self> {
        let platform = Platforms::new(
            arguments.platform,
            &arguments.metadata,
            arguments.complete_with.clone(),
            signals.asked(),
        )?;
        let limits = EndingLimits {
            drop: arguments.deadline,
            tidy: TIDY,
            answer: arguments.complete_within,
        };
        let environment = Environment { pulse: Pulse::default(), ..Environment::system() };
        let service = Service::of_environment(std::slice::from_ref(&environment.pulse));
        Ok(Self {
            arguments,
            signals,
            output,
            platform,
            ending: Ending::new(limits),
            child: None,
            heartbeat: Heartbeat::new(arguments.heartbeat_with.clone(), arguments.heartbeat_every),
            sign: (None, Sign::Unknown),
            service,
            environment,
        })
    }

    /// Watches until all is done.
    fn go_on(&mut self) -> Result<()> {
        self.service.ready();
        self.output.remark("watching for the end of this instance");
        loop {
            self.environment.pulse.beat();
            self.service.watch();
            self.obey_the_last_signal()?;
            self.look();
            let now = self.now();
            if let Some(status) = self.child.as_mut().and_then(Child::ended) {
                self.child = None;
                self.drop_ended(now, Some(status));
            }
            let is_making = !self.ending.is_watching() && self.ending.made().is_none();
            let wanted = is_making && self.platform.waits();
            self.heartbeat.tend(now, wanted, &self.platform, self.output);
            let asked = self.signals.asked().is_requested();
            let was_watching = self.ending.is_watching();
            match self.ending.next(now, self.sign.1, asked) {
                Step::Rest => self.rest(asked),
                Step::Drop => self.begin(now, was_watching, asked),
                Step::Stop => {
                    self.output
                        .warn("the final drop takes longer than --deadline; it is told to end");
                    self.child.iter().for_each(Child::stop);
                }
                Step::Kill => {
                    if let Some(mut child) = self.child.take() {
                        child.kill();
                    }
                    self.drop_ended(now, None);
                }
                Step::Answer => {
                    self.heartbeat.stop();
                    self.answer(now);
                }
                Step::End => return Ok(()),
            }
        }
    }

    fn now(&self) -> Duration {
        self.environment.timer.elapsed()
    }

    /// A second signal, or the end of all patience: nothing is waited for any longer.
    fn obey_the_last_signal(&mut self) -> Result<()> {
        let Some(caught) = self.signals.look() else { return Ok(()) };
        let told = match self.child.take() {
            Some(mut child) => {
                child.stop();
                child.finish(TIDY, &*self.environment.timer);
                "the final drop was broken off"
            }
            None => "no final drop was under way",
        };
        Err(Ended { caught, told: told.to_owned() }.into())
    }

    /// Asks for a notice, if it is time to.
    fn look(&mut self) {
        let now = self.now();
        let is_due = self.sign.0.is_none_or(|at| now.saturating_sub(at) >= self.arguments.every);
        if is_due {
            let sign = self.platform.look(self.output);
            self.sign = (Some(self.now()), sign);
        }
    }

    fn rest(&self, asked: bool) {
        let is_idle = self.child.is_none() && self.ending.is_watching();
        let pause = if is_idle { self.arguments.every } else { LOOK };
        let never = Interrupt::default();
        // Once it is asked to end, that does not wake it from every pause.
        let waking = if asked { &never } else { self.signals.asked() };
        // The service manager wants to hear from it, too.
        self.environment.timer.pause(pause.min(Duration::from_secs(1)), waking);
    }

    fn begin(&mut self, now: Duration, is_first: bool, asked: bool) {
        if is_first {
            if asked {
                self.service.stopping();
            }
            self.output.remark("making the final drop");
        }
        let words = &self.arguments.command;
        let mut command = Command::new(&words[0]);
        // What it prints is no result of ours.
        command.args(&words[1..]).stdin(Stdio::null());
        if self.output.is_json() {
            command.stdout(std::io::stderr());
        }
        match Child::start(&mut command) {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                let name = words[0].to_string_lossy();
                self.output.warn(&format!("cannot start {name}: {error}"));
                self.ending.drop_ended(now, Made::Failed, &*self.environment.random);
            }
        }
    }

    fn drop_ended(&mut self, now: Duration, status: Option<ExitStatus>) {
        let made = match status.and_then(|status| status.code()) {
            Some(0) => Made::Whole,
            Some(code) if code == i32::from(Code::Incomplete as u8) => Made::WithGaps,
            _ => Made::Failed,
        };
        match (made, status) {
            (Made::Whole, _) => self.output.remark("the final drop is made"),
            (Made::WithGaps, _) => self.output.warn("the final drop is made, with gaps"),
            (Made::Failed, Some(status)) => {
                self.output
                    .warn(&format!("the final drop failed: its command ended with {status}"));
            }
            (Made::Failed, None) => self.output.warn("the final drop did not end, and was ended"),
        }
        self.ending.drop_ended(now, made, &*self.environment.random);
    }

    fn answer(&mut self, now: Duration) {
        let made = self.ending.made().unwrap_or(Made::Failed);
        let outcome = self.platform.answer(made, &*self.environment.timer);
        if let Err(error) = &outcome {
            let words = format!("the platform could not be told to go on: {error:#}; trying again");
            self.output.warn(&words);
        }
        self.ending.answered(now, outcome.is_ok(), &*self.environment.random);
    }

    fn tell(&self) -> Result<Code> {
        let made = self.ending.made().unwrap_or(Made::Failed);
        let answered = self.ending.was_answered();
        if self.output.is_json() {
            self.output.json(&json!({ "drop": word(made), "completed": answered }))?;
        } else if answered == Some(true) {
            self.output.remark("the platform was told that it need not wait");
        } else if answered == Some(false) {
            let time = human::duration(self.arguments.complete_within);
            self.output.warn(&format!(
                "the platform was not told within {time} that it need not wait: it ends this instance when its own \
                 patience is over"
            ));
        }
        Ok(match made {
            Made::Whole if answered != Some(false) => Code::Done,
            Made::WithGaps if answered != Some(false) => Code::Incomplete,
            _ => Code::Failed,
        })
    }
}
