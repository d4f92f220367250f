//! One number of a plan, with the formula that it comes from.

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    BytesPerSecond,
    /// Of the prices' currency.
    Money,
    Hours,
    Days,
    Count,
    /// From 0 to 1, shown as a hundredth part.
    Part,
}

impl Unit {
    /// As JSON and CSV name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Money => "money",
            Self::Hours => "hours",
            Self::Days => "days",
            Self::Count => "count",
            Self::Part => "part",
        }
    }
}

/// A number, how it is called, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Such as `share.peak`, below the name of its site.
    pub key: String,
    pub says: &'static str,
    pub value: f64,
    pub unit: Unit,
    /// In words and signs.
    pub formula: &'static str,
    /// The same with its numbers.
    pub filled: String,
}

/// A number as people read it: sizes in powers of two, money with two digits.
pub fn show(value: f64, unit: Unit, currency: &str) -> String {
    match unit {
        Unit::Bytes => size(value),
        Unit::BytesPerSecond => format!("{}/s", size(value)),
        Unit::Money => format!("{} {}", grouped(value, 2), currency),
        Unit::Hours if value < 1.0 => format!("{:.0} min", value * 60.0),
        Unit::Hours => format!("{value:.1} h"),
        Unit::Days => format!("{value:.1} d"),
        Unit::Count if value.fract().abs() < 1e-9 => grouped(value, 0),
        Unit::Count => format!("{value:.2}"),
        Unit::Part => format!("{:.1} %", value * 100.0),
    }
}

/// A size in powers of two, with three digits.
pub fn size(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut value, mut unit) = (bytes, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    let decimals = match value {
        _ if unit == 0 => 0,
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A number with a comma before each three digits.
pub fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut shown = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{shown}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_people_read_them() {
        for (value, unit, shown) in [
            (0.0, Unit::Bytes, "0 B"),
            (1536.0, Unit::Bytes, "1.50 KiB"),
            (1_234_567.5, Unit::Money, "1,234,567.50 USD"),
            (999.0, Unit::Money, "999.00 USD"),
            (0.5, Unit::Hours, "30 min"),
            (26.0, Unit::Hours, "26.0 h"),
            (1_000.0, Unit::Count, "1,000"),
            (0.031, Unit::Part, "3.1 %"),
        ] {
            assert_eq!(show(value, unit, "USD"), shown);
        }
    }
}
