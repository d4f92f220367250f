//! Sizes, rates and durations as people write and read them.

use std::time::Duration;

/// `bytes` with a binary unit and three significant digits: `0 B`, `1.50 KiB`, `256 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = 0;
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `duration` in at most two units: `350 ms`, `12 s`, `4 min 5 s`, `26 h`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let pair = |major: u64, unit: &str, minor: u64, minor_unit: &str| {
        if minor == 0 {
            format!("{major} {unit}")
        } else {
            format!("{major} {unit} {minor} {minor_unit}")
        }
    };
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        3600..172_800 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// Why a text is no size or duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct InvalidQuantity {
    text: String,
    expected: &'static str,
}

/// Reads a size: `4096`, `64k`, `256MiB`, `1.5 GB`. `k`, `kb`, `kib` all mean 1024, as in the
/// tools that our users come from.
pub fn parse_bytes(text: &str) -> Result<u64, InvalidQuantity> {
    let error = || InvalidQuantity {
        text: text.chars().take(80).collect(),
        expected: "a size such as 256MiB or 1.5G",
    };
    let (number, unit) = split_unit(text).ok_or_else(error)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(error()),
    };
    scaled(number, 1 << shift).ok_or_else(error)
}

/// Reads a duration: `30s`, `500ms`, `15m`, `26h`, `7d`, `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidQuantity> {
    let error = || InvalidQuantity {
        text: text.chars().take(80).collect(),
        expected: "a duration such as 30s, 15m, 26h or 7d",
    };
    let (number, unit) = split_unit(text).ok_or_else(error)?;
    let millis = match unit {
        "ms" => 1,
        "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(error()),
    };
    scaled(number, millis).map(Duration::from_millis).ok_or_else(error)
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text[end..].trim_start()))
}

/// `number` × `scale`, exact for whole numbers; `None` if it is no number or beyond a u64.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let value: f64 = number.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "fractions are rounded to a byte anyway")]
    let product = value * scale as f64;
    // 2^53: beyond it a fraction cannot be told from its neighbour.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
    (0.0..9e15).contains(&product).then_some(product as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, expected) in
            [("0", 0), ("64k", 65536), ("256MiB", 268_435_456), ("1.5 GB", 1_610_612_736)]
        {
            assert_eq!(parse_bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "MiB", "1x", "-1", "1..2", "99999999999999999999", "1e3"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_print_with_three_digits() {
        for (size, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1536, "1.50 KiB"),
            (1 << 28, "256 MiB"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn durations_read_and_print() {
        assert_eq!(parse_duration("26h"), Ok(Duration::from_secs(93600)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("5").is_err(), "a duration needs its unit");
        assert_eq!(duration(Duration::from_millis(350)), "350 ms");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 5 s");
        assert_eq!(duration(Duration::from_secs(93600)), "26 h");
    }
}
