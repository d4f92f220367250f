//! Drops on their way, hour by hour: written to the share, read and worked on by the agent, sent over the line.
//!
//! Each of them takes one after the other, in the order in which they came, as fast as the hour allows.
//! What the share can do in an hour goes to the agent's looking first, then to writers, then to the agent's
//! reading.

use std::collections::VecDeque;

use crate::share::Throughput;

/// Seconds of an hour.
const HOUR: f64 = 3600.0;
/// A byte more or less is none.
const EPSILON: f64 = 1e-6;

/// The drops that workloads of one kind make at one time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    /// Seconds since the beginning.
    pub(crate) born: f64,
    /// Bytes on the share, of content, and on the line.
    pub(crate) share: f64,
    pub(crate) content: f64,
    pub(crate) line: f64,
    /// Seconds that the agent's processors are busy with it.
    pub(crate) work: f64,
    pub(crate) class: usize,
    /// Whether it is the first: all of it travels, and nobody promised when it is there.
    pub(crate) is_first: bool,
}

/// What is the same for all shares.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) items: &'a [Item],
    /// Bytes that the line carries in each hour, and how many hours that is.
    pub(crate) line: &'a [f64],
    /// Bytes that the agent's looking is metered with in an hour.
    pub(crate) looking: f64,
    /// Vaulted drops that stay.
    pub(crate) keep: usize,
    pub(crate) classes: usize,
    /// Seconds until a drop is seen.
    pub(crate) seen_after: f64,
}

/// One hour. All bytes but the last are of this hour.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hour {
    pub written: f64,
    pub read: f64,
    /// Bytes that came to wait for the line, and that went over it.
    pub arrived: f64,
    pub line: f64,
    /// The part of the hour for which the line was busy.
    pub busy: f64,
    /// Bytes that lie on the share: at the end, and at most.
    pub resident: f64,
    pub resident_most: f64,
    /// Bytes that wait for the line at the end.
    pub spool: f64,
    /// Bytes that a share with credits may still move at full speed.
    pub credits: f64,
}

/// The drop that took longest.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Slowest {
    pub seconds: f64,
    /// When it was made: seconds since the beginning.
    pub born: f64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    pub(crate) hours: Vec<Hour>,
    /// By kind of workload.
    pub(crate) slowest: Vec<Slowest>,
    /// When all first drops were there; nothing if they never were.
    pub(crate) seeded: Option<f64>,
}

/// A place where one after the other is served.
#[derive(Debug, Default)]
struct Stage {
    /// Items with what is left of them, and when they came.
    waiting: VecDeque<(usize, f64, f64)>,
}

impl Stage {
    fn push(&mut self, item: usize, amount: f64, at: f64) {
        self.waiting.push_back((item, amount, at));
    }

    /// Serves for one hour; tells of each item that is through when that was. Gives the amount that was
    /// served, and the seconds that took.
    fn serve(&mut self, from: f64, rate: f64, mut through: impl FnMut(usize, f64)) -> (f64, f64) {
        let (end, mut now, mut served, mut busy) = (from + HOUR, from, 0.0, 0.0);
        while let Some((item, left, came)) = self.waiting.front_mut() {
            now = now.max(*came);
            if now >= end || rate <= 0.0 && *left > EPSILON {
                break;
            }
            let takes = if rate.is_finite() && *left > 0.0 { *left / rate } else { 0.0 };
            if now + takes > end + EPSILON {
                let done = (end - now) * rate;
                *left -= done;
                (served, busy) = (served + done, busy + end - now);
                break;
            }
            (now, served, busy) = (now + takes, served + *left, busy + takes);
            through(*item, now);
            self.waiting.pop_front();
        }
        (served, busy)
    }
}

/// Lets the hours pass.
pub(crate) fn run(setting: &Setting<'_>, share: &mut dyn Throughput) -> Course {
    let mut way = Way::new(setting);
    for (hour, line) in setting.line.iter().enumerate() {
        way.pass(hour, *line, share);
    }
    way.end()
}

struct Way<'a> {
    setting: &'a Setting<'a>,
    next: usize,
    writing: Stage,
    reading: Stage,
    working: Stage,
    sending: Stage,
    /// Vaulted drops of each kind that are on the share.
    kept: Vec<VecDeque<f64>>,
    resident: f64,
    spool: f64,
    first_left: usize,
    course: Course,
}

impl<'a> Way<'a> {
    fn new(setting: &'a Setting<'a>) -> Self {
        let course =
            Course { slowest: vec![Slowest::default(); setting.classes], ..Course::default() };
        Self {
            setting,
            next: 0,
            writing: Stage::default(),
            reading: Stage::default(),
            working: Stage::default(),
            sending: Stage::default(),
            kept: vec![VecDeque::new(); setting.classes],
            resident: 0.0,
            spool: 0.0,
            first_left: setting.items.iter().filter(|item| item.is_first).count(),
            course,
        }
    }

    fn pass(&mut self, number: usize, line: f64, share: &mut dyn Throughput) {
        let Self { setting, .. } = *self;
        let (items, from) = (setting.items, number as f64 * HOUR);
        let mut hour = Hour::default();
        while let Some(item) = items.get(self.next).filter(|item| item.born < from + HOUR) {
            self.writing.push(self.next, item.share, item.born);
            self.resident += item.share;
            self.next += 1;
        }
        hour.resident_most = self.resident;
        let metered = share.capacity(self.resident);
        let capacity = (metered - setting.looking).max(0.0);
        let reading = &mut self.reading;
        (hour.written, _) = self.writing.serve(from, capacity / HOUR, |item, at| {
            reading.push(item, items[item].share, at + setting.seen_after);
        });
        let left = (capacity - hour.written).max(0.0) * share.reads_for_one();
        let (working, sending, mut arrived) = (&mut self.working, &mut self.sending, 0.0);
        (hour.read, _) = self.reading.serve(from, left / HOUR, |item, at| {
            working.push(item, items[item].work, at);
        });
        self.working.serve(from, 1.0, |item, at| {
            arrived += items[item].line;
            sending.push(item, items[item].line, at);
        });
        hour.arrived = arrived;
        share.used(setting.looking + hour.written + hour.read / share.reads_for_one());
        let mut vaulted = Vec::new();
        let (sent, busy) =
            self.sending.serve(from, line / HOUR, |item, at| vaulted.push((item, at)));
        (hour.line, hour.busy) = (sent, busy / HOUR);
        for (item, at) in vaulted {
            self.arrive(item, at);
        }
        hour.resident = self.resident.max(0.0);
        self.spool = (self.spool + arrived - sent).max(0.0);
        hour.spool = self.spool;
        hour.credits = share.credits();
        self.course.hours.push(hour);
    }

    /// A drop is in the vault.
    fn arrive(&mut self, number: usize, at: f64) {
        let item = &self.setting.items[number];
        let kept = &mut self.kept[item.class];
        kept.push_back(item.share);
        while kept.len() > self.setting.keep {
            self.resident -= kept.pop_front().unwrap_or(0.0);
        }
        if item.is_first {
            self.first_left -= 1;
            if self.first_left == 0 {
                self.course.seeded = Some(at);
            }
        }
        self.judge(item, at);
    }

    fn judge(&mut self, item: &Item, at: f64) {
        let is_promised =
            !item.is_first && self.course.seeded.is_some_and(|seeded| item.born >= seeded);
        let slowest = &mut self.course.slowest[item.class];
        if is_promised && at - item.born > slowest.seconds {
            *slowest = Slowest { seconds: at - item.born, born: item.born };
        }
    }

    /// What is under way at the end has taken as long as it has waited.
    fn end(mut self) -> Course {
        let end = self.course.hours.len() as f64 * HOUR;
        let stages = [&self.writing, &self.reading, &self.working, &self.sending];
        let waiting: Vec<usize> =
            stages.iter().flat_map(|stage| stage.waiting.iter().map(|(item, ..)| *item)).collect();
        for item in waiting {
            let item = self.setting.items[item];
            self.judge(&item, end);
        }
        self.course
    }
}
