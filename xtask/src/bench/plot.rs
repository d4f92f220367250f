//! The picture: for each case a bar for each program, its processor time as a part of restic's (of
//! the slowest, where restic has none).

use std::fmt::Write as _;

use super::cases::Case;
use super::report::Results;
use super::tools::Tool;

const WIDTH: f64 = 910.0;
const LEFT: f64 = 330.0;
/// Where the bar of restic ends.
const FULL: f64 = 340.0;
const BAR: f64 = 15.0;
const GAP: f64 = 14.0;
const TOP: f64 = 56.0;
/// Longer bars are cut off; their number is told.
const LONGEST: f64 = 1.35;

const COLORS: [(&str, &str); 3] =
    [("outlast", "#0f766e"), ("restic", "#9ca3af"), ("borg", "#d6a55c")];

/// The picture as SVG, readable on light and on dark ground.
pub(super) fn svg(results: &Results, tools: &[Tool]) -> String {
    let mut bars = String::new();
    let mut y = TOP;
    for case in Case::ALL {
        let found: Vec<_> = tools
            .iter()
            .filter_map(|tool| Some((tool.name(), results.summary(case, tool.name())?.cpu)))
            .collect();
        let restic = found.iter().find(|(name, _)| *name == "restic").map(|(_, cpu)| *cpu);
        let most = found.iter().map(|(_, cpu)| *cpu).fold(0.0, f64::max);
        let whole = restic.unwrap_or(most).max(0.001);
        if found.is_empty() {
            continue;
        }
        // Writing into a string does not fail.
        let _ = writeln!(
            bars,
            "<text class=\"case\" x=\"{}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            LEFT - 12.0,
            y + BAR * 0.8,
            case.title()
        );
        for (name, cpu) in found {
            bar(&mut bars, y, name, cpu, cpu / whole);
            y += BAR + 3.0;
        }
        y += GAP;
    }
    let height = y + 10.0;
    let legend: String = tools
        .iter()
        .zip([0.0, 150.0, 300.0])
        .map(|(tool, x)| {
            let x = LEFT + x;
            format!(
                "<rect x=\"{x}\" y=\"30\" width=\"12\" height=\"12\" fill=\"{}\"/>\
                 <text x=\"{}\" y=\"40\">{}</text>\n",
                color(tool.name()),
                x + 18.0,
                tool.version()
            )
        })
        .collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #1f2937 }} .ground {{ fill: #ffffff }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e5e7eb }} \
         .ground {{ fill: #111827 }} }}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">Processor time, restic = 1 (less is better)</text>\n\
         {legend}{bars}</svg>\n"
    )
}

fn bar(out: &mut String, y: f64, name: &str, cpu: f64, part: f64) {
    let width = (part.min(LONGEST) * FULL).max(1.0);
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{}\"/>\
         <text x=\"{:.1}\" y=\"{:.0}\" font-size=\"11\">{part:.2} · {cpu:.1} s</text>",
        color(name),
        LEFT + width + 6.0,
        y + BAR * 0.78
    );
}

fn color(name: &str) -> &'static str {
    COLORS.iter().find(|(known, _)| *known == name).map_or("#6b7280", |(_, color)| color)
}
