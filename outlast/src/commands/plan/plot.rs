//! Pictures of a plan: SVG that takes its colours from the page, so that it is readable on light and on dark
//! ground and on paper.

use std::fmt::Write as _;

use crate::output::plain;

/// The width of all pictures, in their own units.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const HEIGHT: f64 = 190.0;
const BELOW: f64 = 26.0;

/// One colour of a picture: its class, what it is, and its values.
pub(super) struct Series {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
}

/// How the numbers of an axis are written.
pub(super) type Words<'a> = &'a dyn Fn(f64) -> String;

/// Text that means nothing to a browser, nor to a terminal on which somebody looks at the page.
pub(super) fn escaped(text: &str) -> String {
    plain(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

struct Picture {
    text: String,
    most: f64,
}

impl Picture {
    /// The ground: lines across at round numbers up to `most`.
    fn new(says: &str, most: f64, step: f64, words: Words<'_>) -> Self {
        let height = TOP + HEIGHT + BELOW;
        let says = escaped(says);
        let mut text = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{says}\">\n<title>{says}</title>\n"
        );
        let top = (most / step).ceil().max(1.0) * step;
        let mut at = 0.0;
        while at <= top + step / 2.0 {
            let y = TOP + HEIGHT - at / top * HEIGHT;
            let class = if at == 0.0 { "base" } else { "grid" };
            let _ = writeln!(
                text,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                words(at)
            );
            at += step;
        }
        Self { text, most: top }
    }

    fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT - value / self.most * HEIGHT
    }

    fn below(&mut self, x: f64, label: &str) {
        let _ = writeln!(
            self.text,
            "<text class=\"axis\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            TOP + HEIGHT + 18.0,
            escaped(label)
        );
    }

    fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// A step between lines that gives about four of them: a round number of tens, or of 1024s.
pub(super) fn step(most: f64, base: f64) -> f64 {
    const TENS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
    const TWOS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
    let mut unit = 1.0;
    while unit * base < most / 5.0 {
        unit *= base;
    }
    let factors: &[f64] = if base == 10.0 { &TENS } else { &TWOS };
    let enough = factors.iter().find(|factor| unit * **factor * 5.0 >= most);
    unit * enough.copied().unwrap_or(base)
}

/// Bars of which each is made of parts, one for each label.
pub(super) fn stacked(
    says: &str,
    labels: &[String],
    series: &[Series],
    words: Words<'_>,
) -> String {
    let total = |place: usize| series.iter().map(|it| it.values[place]).sum::<f64>();
    let most = (0..labels.len()).map(total).fold(1.0, f64::max);
    let mut picture = Picture::new(says, most, step(most, 10.0), words);
    let slot = (WIDTH - LEFT - RIGHT) / labels.len().max(1) as f64;
    let width = (slot * 0.72).min(42.0);
    let every = labels.len().div_ceil(12);
    for (place, label) in labels.iter().enumerate() {
        let x = LEFT + slot * place as f64 + (slot - width) / 2.0;
        let mut below = 0.0;
        for part in series.iter().filter(|it| it.values[place] > 0.0) {
            let value = part.values[place];
            let (top, bottom) = (picture.y(below + value), picture.y(below));
            // A hair of ground between two parts tells them apart without colours.
            let height = (bottom - top - 1.5).max(0.0);
            let _ = writeln!(
                picture.text,
                "<rect class=\"{}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
                 <title>{}, {}: {}</title></rect>",
                part.class,
                escaped(label),
                escaped(part.name),
                words(value)
            );
            below += value;
        }
        if place % every == 0 {
            picture.below(x + width / 2.0, label);
        }
    }
    picture.end()
}

/// The names of the colours.
pub(super) fn legend(series: &[Series]) -> String {
    let one =
        |it: &Series| format!("<span><i class=\"{}\"></i>{}</span>", it.class, escaped(it.name));
    format!("<p class=\"legend\">{}</p>\n", series.iter().map(one).collect::<String>())
}

/// A filled line over `labels`, of which only those are written that are not empty; with a second line that is
/// not filled, such as a limit.
pub(super) fn area(
    says: &str,
    labels: &[String],
    filled: &Series,
    limit: Option<&Series>,
    (base, words): (f64, Words<'_>),
) -> String {
    let values = filled.values.iter().chain(limit.iter().flat_map(|it| &it.values));
    let most = values.copied().filter(|it| it.is_finite()).fold(f64::MIN_POSITIVE, f64::max);
    let mut picture = Picture::new(says, most, step(most, base), words);
    let count = filled.values.len().saturating_sub(1).max(1) as f64;
    let x = |place: usize| LEFT + (WIDTH - LEFT - RIGHT) * place as f64 / count;
    let path = |picture: &Picture, values: &[f64]| {
        let mut path = String::new();
        for (place, value) in values.iter().enumerate() {
            let word = if place == 0 { "M" } else { "L" };
            let _ = write!(path, "{word}{:.1} {:.1}", x(place), picture.y(value.min(picture.most)));
        }
        path
    };
    let line = path(&picture, &filled.values);
    let ground = picture.y(0.0);
    let _ = writeln!(
        picture.text,
        "<path class=\"{0} wash\" d=\"{line}L{1:.1} {ground:.1}L{LEFT} {ground:.1}Z\"/>\
         <path class=\"{0} line\" d=\"{line}\"><title>{2}</title></path>",
        filled.class,
        WIDTH - RIGHT,
        escaped(filled.name)
    );
    if let Some(limit) = limit {
        let line = path(&picture, &limit.values);
        let _ = writeln!(
            picture.text,
            "<path class=\"limit\" d=\"{line}\"><title>{}</title></path>",
            escaped(limit.name)
        );
    }
    for (place, label) in labels.iter().enumerate().filter(|(_, label)| !label.is_empty()) {
        picture.below(x(place), label);
    }
    picture.end()
}

/// Bars that lie, each with its name and its number.
pub(super) fn lying(says: &str, bars: &[(String, &'static str, f64)], words: Words<'_>) -> String {
    const ROW: f64 = 46.0;
    let most = bars.iter().map(|bar| bar.2).fold(f64::MIN_POSITIVE, f64::max);
    let height = ROW * bars.len() as f64 + 4.0;
    let says = escaped(says);
    let mut text = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{says}\">\n<title>{says}</title>\n"
    );
    for (place, (name, class, value)) in bars.iter().enumerate() {
        let y = ROW * place as f64;
        let width = (value / most * (WIDTH - 150.0)).max(1.0);
        let _ = writeln!(
            text,
            "<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text>\
             <rect class=\"{class}\" x=\"0\" y=\"{:.1}\" width=\"{width:.1}\" height=\"16\" rx=\"3\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            y + 14.0,
            escaped(name),
            y + 21.0,
            width + 8.0,
            y + 34.0,
            words(*value)
        );
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_across_are_few_and_at_round_numbers() {
        for (most, wanted) in
            [(3.0, 1.0), (9.0, 2.0), (23.0, 5.0), (900.0, 200.0), (3_100.0, 1_000.0)]
        {
            assert_eq!(step(most, 10.0), wanted, "{most}");
        }
        for (most, wanted) in [(3.3, 1.0), (6.0, 2.0), (900.0, 256.0), (3_300.0, 1024.0)] {
            assert_eq!(step(most, 1024.0), wanted, "{most}");
        }
    }

    #[test]
    fn a_picture_holds_every_part_and_no_text_that_means_something_to_a_browser() {
        let series = [
            Series { class: "a", name: "<b>\u{1b}[8m", values: vec![1.0, 2.0] },
            Series { class: "b", name: "other", values: vec![3.0, 0.0] },
        ];
        let labels = ["one".to_owned(), "two".to_owned()];
        let picture = stacked("says", &labels, &series, &|value| value.to_string());
        assert_eq!(picture.matches("<rect").count(), 3);
        assert!(!picture.contains("<b>") && picture.contains("&lt;b&gt;\\u{1b}[8m"));
        assert!(picture.ends_with("</svg>\n"));
    }
}
