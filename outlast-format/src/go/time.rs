//! Times as Go's `time.Time` writes them in JSON: RFC 3339 with up to nine decimals.

use std::fmt;

const DAY: i64 = 86_400;

/// A moment as a tree keeps it: any year that a file system can have, and the writer's offset from
/// UTC, without which its text could not be written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoTime {
    /// Seconds since 1970 in UTC, rounded towards the past.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
    /// Minutes that local time is ahead of UTC.
    pub offset_minutes: i16,
}

impl GoTime {
    /// Go's zero time, which stands for "not known".
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, offset_minutes: 0 };

    /// A moment, to be written in UTC.
    pub fn utc(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: nanos.min(999_999_999), offset_minutes: 0 }
    }

    /// Reads what Go (or any RFC 3339) writes; `None` if it is no such time.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = Fields(text.as_bytes());
        let year = fields.number(4)?;
        fields.byte(b'-')?;
        let month = fields.number(2)?;
        fields.byte(b'-')?;
        let day = fields.number(2)?;
        fields.byte(b'T')?;
        let hour = fields.number(2)?;
        fields.byte(b':')?;
        let minute = fields.number(2)?;
        fields.byte(b':')?;
        let second = fields.number(2)?;
        let nanos = fields.fraction()?;
        let offset_minutes = fields.offset()?;
        let valid = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !valid || !fields.0.is_empty() {
            return None;
        }
        let local = days_from_civil(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        let seconds = local - i64::from(offset_minutes) * 60;
        Some(Self { seconds, nanos, offset_minutes })
    }
}

/// The longest text of a time, in bytes.
const TEXT_BYTES_MAX: usize = "2022-08-25T19:12:13.000000001-09:30".len();

/// A time's text while it is written, without the formatting machinery: a tree has three times for
/// each of its members.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl Text {
    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn digits(&mut self, count: usize, mut value: i64) {
        for digit in self.bytes[self.length..self.length + count].iter_mut().rev() {
            // A remainder of ten fits.
            *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
        self.length += count;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl GoTime {
    /// Appends the time as Go's RFC3339Nano has it. Years before 0 and after 9999 become 0 and
    /// 9999, as restic writes them.
    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text().as_bytes());
    }

    fn text(self) -> Text {
        let mut text = Text { bytes: [0; TEXT_BYTES_MAX], length: 0 };
        let local = self.seconds.saturating_add(i64::from(self.offset_minutes) * 60);
        let (year, month, day) = civil_from_days(local.div_euclid(DAY));
        let clamped = year.clamp(0, 9999);
        // A 29th of February that the clamped year does not have becomes the 1st of March.
        let (month, day) =
            if day > days_in_month(clamped, month) { (month + 1, 1) } else { (month, day) };
        let clock = local.rem_euclid(DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        text.digits(4, clamped);
        for (before, value) in
            [(b'-', month), (b'-', day), (b'T', hour), (b':', minute), (b':', second)]
        {
            text.byte(before);
            text.digits(2, value);
        }
        if self.nanos > 0 {
            text.byte(b'.');
            // A field that somebody filled with more must not run into the offset.
            text.digits(9, self.nanos.min(999_999_999).into());
            while text.as_bytes().ends_with(b"0") {
                text.length -= 1;
            }
        }
        match self.offset_minutes {
            0 => text.byte(b'Z'),
            minutes => {
                text.byte(if minutes < 0 { b'-' } else { b'+' });
                // Beyond a day only by a hand-made value.
                let minutes = i64::from(minutes.unsigned_abs());
                text.digits(2, (minutes / 60).min(99));
                text.byte(b':');
                text.digits(2, minutes % 60);
            }
        }
        text
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All of it is ASCII.
        f.write_str(std::str::from_utf8(self.text().as_bytes()).unwrap_or_default())
    }
}

/// The rest of a time that is to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self, expected: u8) -> Option<()> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        (byte == expected).then_some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (text, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        text.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })
    }

    /// Nanoseconds after a decimal point, or none. Digits beyond the ninth are dropped.
    fn fraction(&mut self) -> Option<u32> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.byte(b'.')?;
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let value = |i| digits.get(i).map_or(0, |digit: &u8| u32::from(digit - b'0'));
        (count > 0).then(|| (0..9).fold(0, |nanos, i| nanos * 10 + value(i)))
    }

    fn offset(&mut self) -> Option<i16> {
        let sign = match self.0.first()? {
            b'Z' => return self.byte(b'Z').map(|()| 0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.0 = &self.0[1..];
        let hours = self.number(2)?;
        self.byte(b':')?;
        let minutes = self.number(2)?;
        (hours < 24 && minutes < 60).then_some(())?;
        i16::try_from(sign * (hours * 60 + minutes)).ok()
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar. Years are counted from
/// March, so that the leap day is a year's last; 400 years are 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_and_print_as_go_does() {
        for text in [
            "0001-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999999Z",
            "2022-08-25T19:12:13.5+05:45",
            "2022-08-25T19:12:13.000000001-09:30",
            "2024-02-29T00:00:00Z",
            "9999-12-31T23:59:59.1Z",
        ] {
            assert_eq!(GoTime::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(GoTime::parse("0001-01-01T00:00:00Z"), Some(GoTime::ZERO));
        let shifted = GoTime::parse("1970-01-01T01:00:00+01:00").unwrap();
        assert_eq!((shifted.seconds, shifted.nanos), (0, 0));
    }

    #[test]
    fn years_that_json_cannot_have_are_clamped() {
        let year = |year| GoTime::utc(days_from_civil(year, 2, 29) * DAY, 0).to_string();
        assert_eq!(year(-4), "0000-02-29T00:00:00Z");
        assert_eq!(year(12_000), "9999-03-01T00:00:00Z");
        for seconds in [i64::MIN, i64::MAX] {
            assert!(GoTime::parse(&GoTime::utc(seconds, u32::MAX).to_string()).is_some());
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2022-08-25",
            "2022-08-25T19:12:13",
            "2022-13-25T19:12:13Z",
            "2023-02-29T19:12:13Z",
            "2022-08-25T24:12:13Z",
            "2022-08-25T19:12:13.Z",
            "2022-08-25T19:12:13+0200",
            "2022-08-25T19:12:13+24:00",
            "2022-08-25T19:12:13Zz",
            "+022-08-25T19:12:13Z",
        ] {
            assert_eq!(GoTime::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_survives_its_text(
            seconds in -62_167_000_000i64..253_402_000_000,
            nanos in 0u32..1_000_000_000,
            offset_minutes in -900i16..900,
        ) {
            let time = GoTime { seconds, nanos, offset_minutes };
            prop_assert_eq!(GoTime::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = GoTime::parse(&text);
        }
    }
}
