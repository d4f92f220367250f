//! What rules of retention will have kept in a year: recovery points come, and what no rule keeps goes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use outlast_civil::Zone;
use outlast_fs::durable;
use outlast_promise::{Keep, Kept, Point, Rule, judge};
use outlast_types::{Timestamp, human};
use serde_json::json;

use crate::exit::Usage;
use crate::output::{Output, counted, table, whole_seconds};

/// More recovery points are a mistake.
const POINTS_MAX: u64 = 100_000;
const DAY: Duration = Duration::from_secs(86_400);
/// The picture, in its own units.
const WIDTH: u64 = 960;
const ROW: usize = 18;
const LEFT: u64 = 110;

/// What to look at.
#[derive(Debug, clap::Args)]
pub(super) struct FutureArgs {
    /// Rules of retention, such as last=5,daily=7: show what they will have kept at the end instead
    #[arg(long, value_name = "RULES", conflicts_with_all = ["scenario", "workloads", "seed"])]
    keep: Option<Keep>,
    /// How often a recovery point comes
    #[arg(long, value_name = "SPAN", requires = "keep", value_parser = human::parse_duration, default_value = "1d")]
    every: Duration,
    /// When the first one comes
    #[arg(long, value_name = "TIME", requires = "keep", default_value = "2028-01-01T02:00:00Z")]
    from: Timestamp,
    /// The time zone in which days, weeks, months and years begin
    #[arg(long, value_name = "ZONE", requires = "keep", default_value_t)]
    zone: Zone,
    /// A picture of what is kept at the end of each thirty days goes into this file
    #[arg(long, value_name = "FILE", requires = "keep")]
    svg: Option<PathBuf>,
}

/// What is kept at one moment.
struct Row {
    at: Timestamp,
    kept: Vec<(Timestamp, Kept)>,
}

impl FutureArgs {
    /// Whether this is what was asked for.
    pub(super) fn keep(&self) -> Option<&Keep> {
        self.keep.as_ref()
    }

    /// Lets so many days pass under `keep`.
    pub(super) fn run(&self, keep: &Keep, days: u32, output: &Output) -> Result<()> {
        let length = DAY * days;
        if self.every.is_zero() || length.as_secs() / self.every.as_secs().max(1) > POINTS_MAX {
            let words =
                format!("--every: more than {POINTS_MAX} recovery points come in that time");
            return Err(Usage(words).into());
        }
        let rows = self.pass(keep, length);
        if let Some(file) = &self.svg {
            let picture = self.picture(&rows, keep, length);
            durable::replace(file, picture.as_bytes(), 0o644)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        let Some(end) = rows.last() else { return Ok(()) };
        if output.is_json() {
            let point =
                |(at, kept): &(Timestamp, Kept)| json!({ "time": at, "rules": rules(kept) });
            let row = |row: &Row| json!({ "at": row.at, "kept": row.kept.len() });
            return output.json(&json!({
                "keep": keep.to_string(), "zone": self.zone.to_string(), "at": end.at,
                "kept": end.kept.iter().map(point).collect::<Vec<_>>(),
                "course": rows.iter().map(row).collect::<Vec<_>>(),
            }));
        }
        let row = |(at, kept): &(Timestamp, Kept)| vec![whole_seconds(*at), rules(kept).join(", ")];
        let lines: Vec<Vec<String>> = end.kept.iter().map(row).collect();
        table(output, &["KEPT", "RULES"], &lines)?;
        let all = counted(u64::try_from(end.kept.len())?, "recovery point");
        output
            .remark(format_args!("{all} kept at {} by {keep}, with days of {}", end.at, self.zone));
        Ok(())
    }

    /// What is kept at the end of each thirty days, and at the end of all.
    fn pass(&self, keep: &Keep, length: Duration) -> Vec<Row> {
        let end = self.from.saturating_add(length);
        let (mut now, mut looked, mut rows) = (self.from, self.from, Vec::new());
        let mut points: Vec<Point> = Vec::new();
        while now < end {
            points.push(Point::at(now));
            let judged = judge(&points, keep, &self.zone);
            let kept = points.iter().zip(&judged).filter(|(_, kept)| kept.is_kept());
            let kept: Vec<(Timestamp, Kept)> =
                kept.map(|(point, kept)| (point.time, kept.clone())).collect();
            points = kept.iter().map(|(at, _)| Point::at(*at)).collect();
            let next = now.saturating_add(self.every);
            if next >= end || next.since(looked) >= DAY * 30 {
                rows.push(Row { at: now, kept });
                looked = next;
            }
            if next <= now {
                break;
            }
            now = next;
        }
        rows
    }

    /// One line for each moment, with a mark for each recovery point that is kept then.
    fn picture(&self, rows: &[Row], keep: &Keep, length: Duration) -> String {
        let height = ROW * (rows.len() + 3);
        let title = escaped(&format!("kept by {keep}, one every {}", human::duration(self.every)));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"8\" y=\"{ROW}\">{title}</text>\n"
        );
        let width = WIDTH - LEFT - 20;
        for (index, row) in rows.iter().enumerate() {
            let y = ROW * (index + 2);
            let day = whole_seconds(row.at);
            let day = day.get(..10).unwrap_or(&day);
            let _ =
                writeln!(svg, "<text x=\"8\" y=\"{}\">{day}: {}</text>", y + 10, row.kept.len());
            for (at, _) in &row.kept {
                let x = at.since(self.from).as_secs() * width / length.as_secs().max(1);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{}\" y=\"{y}\" width=\"2\" height=\"12\" fill=\"#246\"/>",
                    LEFT + x
                );
            }
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn rules(kept: &Kept) -> Vec<&'static str> {
    kept.rules.iter().copied().map(Rule::as_str).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_leaves_what_the_rules_say_and_a_picture_of_it() {
        let args = FutureArgs {
            keep: None,
            every: DAY,
            from: "2028-01-01T02:00:00Z".parse().unwrap(),
            zone: Zone::utc(),
            svg: None,
        };
        let keep: Keep = "daily=7,monthly=12".parse().unwrap();
        let rows = args.pass(&keep, DAY * 366);
        let end = rows.last().unwrap();
        // The last seven days of December, and the last day of each of the eleven months before.
        assert_eq!(end.kept.len(), 18, "{:?}", end.kept);
        assert_eq!(end.kept[0].0.to_string(), "2028-01-31T02:00:00Z");
        assert_eq!(rows.len(), 13);
        let picture = args.picture(&rows, &keep, DAY * 366);
        assert_eq!(
            picture.matches("<rect x").count(),
            rows.iter().map(|row| row.kept.len()).sum::<usize>()
        );
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }
}
