//! Quantities as files say them: `"3%"`, `"200GiB"`, `"24h"`, `"02:00"`, `"2027-01"`.

use std::fmt;
use std::str::FromStr;

use outlast_types::human;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Text in quotes, whatever it says.
struct Quoted;

impl Visitor<'_> for Quoted {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it in quotes and with its unit, such as \"3%\", \"200GiB\" or \"24h\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// Anything that has a form in words.
#[derive(Debug, Clone)]
pub(super) struct Word<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_str(Quoted)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(pub(super) f64);

/// A part, from a percentage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part(pub(super) f64);

/// A time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(std::time::Duration);

/// Minutes after midnight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(pub(super) u32);

/// A year and a month.
#[derive(Debug, Clone, Copy)]
pub(super) struct Month(pub(super) (i16, i8));

impl Span {
    pub(super) fn hours(self) -> f64 {
        self.0.as_secs_f64() / 3600.0
    }
}

macro_rules! read_as {
    ($name:ident, $read:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = deserializer.deserialize_str(Quoted)?;
                let read: fn(&str) -> Result<$name, String> = $read;
                read(&text).map_err(D::Error::custom)
            }
        }
    };
}

read_as!(Size, |text| {
    let bytes = human::parse_bytes(text).map_err(|error| error.to_string())?;
    Ok(Size(bytes as f64))
});
read_as!(Span, |text| human::parse_duration(text).map(Span).map_err(|error| error.to_string()));
read_as!(Part, |text| {
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let number = number.filter(|number| number.is_finite() && *number >= 0.0);
    number.map(|number| Part(number / 100.0)).ok_or_else(|| {
        format!("{text:?} is no part: write a percentage of 0 or more, such as \"3%\"")
    })
});
read_as!(Clock, |text| {
    let read = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 2);
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((read(hour)?, read(minute)?)));
    let minutes = parts.filter(|(hour, minute)| *hour < 24 && *minute < 60);
    minutes.map(|(hour, minute)| Clock(hour * 60 + minute)).ok_or_else(|| {
        format!("{text:?} is no time of day: write hours and minutes, such as \"02:00\"")
    })
});
read_as!(Month, |text| {
    let parts = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2);
    let read = parts.and_then(|(year, month)| Some((year.parse().ok()?, month.parse().ok()?)));
    let read = read.filter(|(_, month): &(i16, i8)| (1..=12).contains(month));
    read.map(Month).ok_or_else(|| {
        format!("{text:?} is no month: write a year and a month, such as \"2027-01\"")
    })
});
