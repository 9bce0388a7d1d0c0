//! Writes an instant by a compiled pattern.

use std::fmt::Write;

use super::{DAYS, Item, MONTHS};
use crate::cast::push_padded;
use crate::types::{Date, Time, Zone};

/// The time that is formatted.
pub(super) struct Moment<'a> {
    pub(super) date: Date,
    pub(super) time: Time,
    pub(super) offset_seconds: i32,
    pub(super) micros: i64,
    pub(super) zone: &'a Zone,
}

pub(super) fn format_item(item: &Item, moment: &Moment<'_>, out: &mut String) {
    match item {
        Item::Literal(text) => out.push_str(text),
        Item::Optional(items) => items.iter().for_each(|item| format_item(item, moment, out)),
        Item::Field(letter, count) => format_field(*letter, *count, moment, out),
    }
}

fn format_field(letter: char, count: usize, moment: &Moment<'_>, out: &mut String) {
    let (date, time) = (moment.date, moment.time);
    let half = |hour: u32| if hour.is_multiple_of(12) { 12 } else { hour % 12 };
    match letter {
        'G' => out.push_str(match (count == 4, date.year > 0) {
            (false, true) => "AD",
            (false, false) => "BC",
            (true, true) => "Anno Domini",
            (true, false) => "Before Christ",
        }),
        'y' => format_year(if date.year > 0 { date.year } else { 1 - date.year }, count, out),
        'u' => format_year(date.year, count, out),
        'M' | 'L' => format_name_or_number(date.month, &MONTHS, count, out),
        'Q' | 'q' => match (date.month.div_ceil(3), count) {
            (quarter, 1 | 2) => push_padded(out, quarter, count),
            (quarter, 3) => write_to(out, format_args!("Q{quarter}")),
            (quarter, _) => {
                out.push_str(["1st", "2nd", "3rd", "4th"][usize::try_from(quarter - 1).expect("at most three")]);
                out.push_str(" quarter");
            }
        },
        'd' => push_padded(out, date.day, count),
        'D' => push_padded(out, date.day_of_year(), count),
        // The day of a week, where weeks begin with the first of the month. Java's documentation says otherwise.
        'F' => push_padded(out, (date.day - 1) % 7 + 1, count),
        'E' => {
            let name = DAYS[usize::try_from(date.day_of_week() - 1).expect("at most six")];
            out.push_str(if count == 4 { name } else { &name[..3] });
        }
        'a' => out.push_str(if time.hour < 12 { "AM" } else { "PM" }),
        'H' => push_padded(out, time.hour, count),
        'k' => push_padded(out, if time.hour == 0 { 24 } else { time.hour }, count),
        'K' => push_padded(out, time.hour % 12, count),
        'h' => push_padded(out, half(time.hour), count),
        'm' => push_padded(out, time.minute, count),
        's' => push_padded(out, time.second, count),
        'S' => {
            let mut digits = String::new();
            push_padded(&mut digits, time.micros, 6);
            digits.push_str("000");
            out.push_str(&digits[..count]);
        }
        'z' if count == 4 => out.push_str(&moment.zone.long_name(moment.micros)),
        'z' => out.push_str(&moment.zone.short_name(moment.micros)),
        'V' => out.push_str(moment.zone.name()),
        _ => format_offset(letter, count, moment.offset_seconds, out),
    }
}

fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to a string cannot fail");
}

fn format_year(year: i64, count: usize, out: &mut String) {
    let positive = year.unsigned_abs();
    if count == 2 {
        return push_padded(out, u32::try_from(positive % 100).expect("two digits"), 2);
    }
    if year < 0 {
        out.push('-');
    } else if count >= 4 && positive >= 10u64.pow(u32::try_from(count).expect("at most six")) {
        out.push('+');
    }
    write_to(out, format_args!("{positive:0count$}"));
}

fn format_name_or_number(value: u32, names: &[&str], count: usize, out: &mut String) {
    let name = names[usize::try_from(value - 1).expect("months count from 1")];
    match count {
        1 | 2 => push_padded(out, value, count),
        3 => out.push_str(&name[..3]),
        _ => out.push_str(name),
    }
}

/// The letters of offsets: how minutes and seconds stand, and what no offset is.
fn format_offset(letter: char, count: usize, seconds: i32, out: &mut String) {
    let (hours, minutes, rest) = (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
    let sign = if seconds < 0 { '-' } else { '+' };
    if letter == 'O' || (letter == 'Z' && count == 4) {
        out.push_str("GMT");
        if seconds == 0 {
            return;
        }
        if count == 4 {
            return write_to(out, format_args!("{sign}{hours:02}:{minutes:02}"));
        }
        write_to(out, format_args!("{sign}{hours}"));
        if minutes != 0 {
            write_to(out, format_args!(":{minutes:02}"));
        }
        return;
    }
    if seconds == 0 && (letter == 'X' || (letter == 'Z' && count == 5)) {
        return out.push('Z');
    }
    write_to(out, format_args!("{sign}{hours:02}"));
    let colon = if matches!((letter, count), ('X' | 'x', 3 | 5) | ('Z', 5)) { ":" } else { "" };
    if count > 1 || letter == 'Z' || minutes != 0 {
        write_to(out, format_args!("{colon}{minutes:02}"));
    }
    if rest != 0 && count >= 4 {
        write_to(out, format_args!("{colon}{rest:02}"));
    }
}
