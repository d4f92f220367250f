//! A dump as `pg_dump` writes it, and the dump of the same database a day later.

use std::io::{self, Write};

use super::random::Random;

/// Which dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Day {
    First,
    /// Two rows in a hundred are new, eight in a thousand were changed, in places here and there, and
    /// stand at the end, where PostgreSQL puts them; and one in 25,000 is gone.
    Next,
}

/// For so many rows there is a new one.
const ROWS_FOR_NEW: u64 = 50;
/// Rows that were changed together.
const CLUSTER: u64 = 400;
/// One cluster of so many was changed.
const CHANGED_CLUSTERS: u64 = 125;
const DELETED_ROWS: u64 = 25_000;

const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\
SET client_encoding = 'UTF8';\n\nCREATE TABLE public.orders (\n    id bigint NOT NULL,\n    \
customer integer,\n    email text,\n    street text,\n    city text,\n    amount numeric(10,2),\n    \
status text,\n    note text,\n    created timestamp with time zone,\n    token uuid,\n    \
payload jsonb\n);\n\nCOPY public.orders (id, customer, email, street, city, amount, status, note, \
created, token, payload) FROM stdin;\n";
const TAIL: &str = "\\.\n\nALTER TABLE ONLY public.orders\n    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);\n\n\
--\n-- PostgreSQL database dump complete\n--\n\n";

const CITIES: [&str; 12] = [
    "Berlin", "Paris", "London", "Madrid", "Rome", "Vienna", "Prague", "Warsaw", "Lisbon",
    "Dublin", "Oslo", "Athens",
];
const STREETS: [&str; 10] =
    ["Main", "High", "Station", "Church", "Park", "Mill", "Oak", "King", "Queen", "Bridge"];
const STATES: [&str; 5] = ["new", "paid", "shipped", "returned", "cancelled"];
const NOTES: [&str; 6] = [
    "please leave at the door",
    "call before delivery",
    "gift wrapping requested",
    "no substitutions",
    "fragile",
    "\\N",
];

/// Writes a dump of about `bytes` bytes.
pub(super) fn dump(out: &mut dyn Write, bytes: u64, day: Day) -> io::Result<()> {
    let mut written = 0;
    let mut rows = 0;
    let mut row = String::new();
    out.write_all(HEAD.as_bytes())?;
    while written < bytes {
        make_row(&mut row, rows, Day::First);
        written += row.len() as u64;
        let skipped = day == Day::Next && (is_changed(rows) || rows % DELETED_ROWS == 777);
        if !skipped {
            out.write_all(row.as_bytes())?;
        }
        rows += 1;
    }
    if day == Day::Next {
        for number in (0..rows).filter(|number| is_changed(*number)) {
            make_row(&mut row, number, Day::Next);
            out.write_all(row.as_bytes())?;
        }
        for number in rows..rows + rows.div_ceil(ROWS_FOR_NEW) {
            make_row(&mut row, number, Day::Next);
            out.write_all(row.as_bytes())?;
        }
    }
    out.write_all(TAIL.as_bytes())
}

fn is_changed(row: u64) -> bool {
    Random::new((row / CLUSTER) ^ 0xc1).below(CHANGED_CLUSTERS) == 0
}

fn make_row(row: &mut String, number: u64, day: Day) {
    use std::fmt::Write as _;

    let mut random = Random::new(number << 8);
    let customer = random.skewed(200_000);
    let (house, street, city) = (random.below(400), random.pick(&STREETS), random.pick(&CITIES));
    let (euros, cents) = (random.skewed(1000), random.below(100));
    let (status, note) = match day {
        Day::First => (random.pick(&STATES), random.pick(&NOTES)),
        Day::Next => ("paid", "changed by the night run"),
    };
    let (month, date) = (random.below(10) + 1, random.below(28) + 1);
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    let (token, rest) = (random.next(), random.next());
    let (sku, weight) = (Random::new(random.skewed(50_000)).next(), random.below(1_000_000));
    let (quantity, tag, other) = (random.below(9), random.skewed(100), random.skewed(100));
    row.clear();
    // Writing into a string does not fail.
    let _ = writeln!(
        row,
        "{number}\t{customer}\tuser{customer}@example{}.com\t{house} {street} Street\t{city}\t\
         {euros}.{cents:02}\t{status}\t{note}\t2026-{month:02}-{date:02} \
         {hour:02}:{minute:02}:{second:02}.{:06}+00\t{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}\t\
         {{\"qty\": {quantity}, \"sku\": \"{sku:016x}\", \"tags\": [\"t{tag}\", \"t{other}\"], \
         \"weight\": 0.{weight:06}}}",
        customer % 50,
        random.below(1_000_000),
        token >> 32,
        token & 0xffff,
        token >> 20 & 0xfff,
        rest >> 52,
        rest & 0xffff_ffff_ffff,
    );
}
