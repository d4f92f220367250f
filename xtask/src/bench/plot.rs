//! The picture: for each case a bar for each program, its processor time as a part of restic's (of
//! the most, where restic has none); then the same for the bytes that backups ship.

use std::fmt::Write as _;

use super::case::Case;
use super::measure::mib;
use super::results::{Results, Summary};
use super::tools::Tool;

const WIDTH: f64 = 940.0;
const LEFT: f64 = 330.0;
/// Where the bar of restic ends.
const FULL: f64 = 340.0;
const BAR: f64 = 14.0;
const GAP: f64 = 14.0;
const TOP: f64 = 68.0;
/// The text above the bars of a part.
const HEADING: f64 = 20.0;
/// Longer bars are cut off; their number is told.
const LONGEST: f64 = 1.35;
/// A case in which nobody needs so many seconds or MiB is left out.
const LEAST: f64 = 0.5;

const COLORS: [(&str, &str); 4] =
    [("outlast", "#0f766e"), ("restic", "#9ca3af"), ("rustic", "#b7791f"), ("borg", "#7c8fd0")];

/// The picture as SVG, readable on light and on dark ground.
pub(super) fn svg(results: &Results, tools: &[Tool]) -> String {
    let mut picture = Picture { text: String::new(), y: TOP };
    picture.part("Processor time", "s", results, tools, |_, summary| summary.cpu);
    picture.part("Bytes shipped", "MiB", results, tools, |case, summary| match case {
        // A vault and a server of borg prune by themselves: nothing crosses a line.
        Case::Prune => 0.0,
        _ => mib(summary.shipped_bytes),
    });
    let height = picture.y;
    let mut x = LEFT;
    let mut legend = String::new();
    for tool in tools {
        // Writing into a string does not fail.
        let _ = writeln!(
            legend,
            "<rect x=\"{x}\" y=\"30\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"40\">{}</text>",
            color(tool.name()),
            x + 18.0,
            tool.version()
        );
        x += 145.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #1f2937 }} .ground {{ fill: #ffffff }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e5e7eb }} \
         .ground {{ fill: #111827 }} }}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">restic = 1, less is better</text>\n\
         {legend}{}</svg>\n",
        picture.text
    )
}

struct Picture {
    text: String,
    /// How far down it is drawn.
    y: f64,
}

impl Picture {
    /// Bars of one figure for all cases in which it is told.
    fn part(
        &mut self,
        heading: &str,
        unit: &str,
        results: &Results,
        tools: &[Tool],
        figure: impl Fn(Case, Summary) -> f64,
    ) {
        let _ = writeln!(
            self.text,
            "<text x=\"{LEFT}\" y=\"{:.0}\" font-weight=\"bold\">{heading}</text>",
            self.y
        );
        self.y += HEADING;
        for case in Case::ALL {
            let found: Vec<_> = tools
                .iter()
                .filter_map(|tool| {
                    let summary = results.summary(case, tool.name())?;
                    Some((tool.name(), figure(case, summary)))
                })
                .collect();
            let most = found.iter().map(|(_, value)| *value).fold(0.0, f64::max);
            if most < LEAST {
                continue;
            }
            let restic = found.iter().find(|(name, _)| *name == "restic").map(|(_, value)| *value);
            let whole = restic.unwrap_or(most).max(0.001);
            let _ = writeln!(
                self.text,
                "<text x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                LEFT - 12.0,
                self.y + BAR * 0.8,
                case.title()
            );
            for (name, value) in found {
                self.bar(name, &format!("{:.2} · {value:.1} {unit}", value / whole), value / whole);
            }
            self.y += GAP;
        }
        self.y += GAP;
    }

    fn bar(&mut self, name: &str, label: &str, part: f64) {
        let width = (part.min(LONGEST) * FULL).max(1.0);
        let _ = writeln!(
            self.text,
            "<rect x=\"{LEFT}\" y=\"{:.0}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"11\">{label}</text>",
            self.y,
            color(name),
            LEFT + width + 6.0,
            self.y + BAR * 0.78
        );
        self.y += BAR + 2.0;
    }
}

fn color(name: &str) -> &'static str {
    COLORS.iter().find(|(known, _)| *known == name).map_or("#6b7280", |(_, color)| color)
}
