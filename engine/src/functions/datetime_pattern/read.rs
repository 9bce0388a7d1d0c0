//! Reads text by a compiled pattern, as strictly as `java.time` does in Spark.

use super::{DAYS, Item, MONTHS, ParseFailure};
use crate::types::{Date, Time, Zone, join_local};

/// The fields read so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Fields {
    year: Option<i64>,
    before_era: bool,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    day_of_week: Option<u32>,
    hour: Option<u32>,
    /// 0 to 11.
    hour_of_half: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    micros: Option<u32>,
    pub(super) zone: Option<Zone>,
}

/// A place in the text that is read.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn failure(&self) -> ParseFailure {
        ParseFailure { index: Some(self.at) }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn items(&mut self, items: &[Item], fields: &mut Fields) -> Result<(), ParseFailure> {
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::Literal(text) => self.literal(text)?,
                Item::Optional(inside) => {
                    let (at, before) = (self.at, fields.clone());
                    if self.items(inside, fields).is_err() {
                        self.at = at;
                        *fields = before;
                    }
                }
                Item::Field(letter, count) => {
                    let reserved = reserved_digits(&items[index + 1..]);
                    self.field(*letter, *count, reserved, fields)?;
                }
            }
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) -> Result<(), ParseFailure> {
        let found = self.rest().get(..text.len()).is_some_and(|found| found.eq_ignore_ascii_case(text));
        if !found {
            return Err(self.failure());
        }
        self.at += text.len();
        Ok(())
    }

    /// Between `min` and `max` digits, as many as there are.
    fn digits(&mut self, min: usize, max: usize) -> Result<i64, ParseFailure> {
        let count = self.rest().bytes().take(max).take_while(u8::is_ascii_digit).count();
        if count < min || count == 0 {
            return Err(self.failure());
        }
        let value = self.rest()[..count].parse().map_err(|_| self.failure())?;
        self.at += count;
        Ok(value)
    }

    fn small(&mut self, min: usize, max: usize) -> Result<u32, ParseFailure> {
        let before = self.at;
        let value = self.digits(min, max)?;
        u32::try_from(value).map_err(|_| ParseFailure { index: Some(before) })
    }

    /// One of the names, whole or cut to three letters; its place from 1.
    fn name(&mut self, names: &[&str], whole: bool) -> Result<u32, ParseFailure> {
        for (place, name) in (1..).zip(names) {
            let name = if whole { name } else { &name[..3] };
            if self.rest().get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                self.at += name.len();
                return Ok(place);
            }
        }
        Err(self.failure())
    }

    fn field(&mut self, letter: char, count: usize, reserved: usize, fields: &mut Fields) -> Result<(), ParseFailure> {
        // A number of one letter takes what it finds, but leaves the digits of the fixed numbers right behind it.
        let free = |reader: &Self| {
            let found = reader.rest().bytes().take_while(u8::is_ascii_digit).count();
            if reserved == 0 { 19 } else { found.saturating_sub(reserved).clamp(1, 19) }
        };
        let width = |reader: &Self| if count == 1 { (1, free(reader)) } else { (count, count) };
        match letter {
            'y' | 'u' => fields.year = Some(self.year(count, free(self))?),
            'M' | 'L' if count >= 3 => fields.month = Some(self.name(&MONTHS, count == 4)?),
            'E' => fields.day_of_week = Some(self.name(&DAYS, count == 4)?),
            'G' => fields.before_era = self.name(&["AD", "BC"], true)? == 2,
            'a' => fields.afternoon = Some(self.half()?),
            'S' => {
                let start = self.at;
                let value = self.digits(1, count)?;
                let read = u32::try_from(self.at - start).map_err(|_| self.failure())?;
                let nanos = value * 10i64.pow(9u32.saturating_sub(read));
                fields.micros = u32::try_from(nanos / 1000).ok();
            }
            'z' | 'V' | 'O' | 'X' | 'x' | 'Z' => fields.zone = Some(self.zone(letter)?),
            _ => {
                let (min, max) = width(self);
                let before = self.at;
                let max = if letter == 'D' { if count == 1 { max } else { 3 } } else { max };
                let value = self.small(min, max)?;
                let known = fields.set(letter, value);
                if !known {
                    return Err(ParseFailure { index: Some(before) });
                }
            }
        }
        Ok(())
    }

    fn year(&mut self, count: usize, free: usize) -> Result<i64, ParseFailure> {
        let negative = self.rest().starts_with('-');
        let signed = negative || self.rest().starts_with('+');
        if count == 2 {
            return Ok(2000 + self.digits(2, 2)?);
        }
        let start = self.at;
        self.at += usize::from(signed);
        let digits_start = self.at;
        let value = self.digits(count.min(4), free.max(count.min(4)))?;
        let read = self.at - digits_start;
        // More digits than the pattern has need a sign, and a plus sign needs them.
        let strict = match count {
            1..=3 => !signed || negative,
            _ => (read > count) == (signed && !negative) || negative,
        };
        if !strict {
            self.at = start;
            return Err(self.failure());
        }
        Ok(if negative { -value } else { value })
    }

    fn half(&mut self) -> Result<bool, ParseFailure> {
        let afternoon = match self.rest().get(..2) {
            Some(half) if half.eq_ignore_ascii_case("am") => false,
            Some(half) if half.eq_ignore_ascii_case("pm") => true,
            _ => return Err(self.failure()),
        };
        self.at += 2;
        Ok(afternoon)
    }

    fn zone(&mut self, letter: char) -> Result<Zone, ParseFailure> {
        let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':' | '/' | '_');
        let length: usize = self.rest().chars().take_while(allowed).map(char::len_utf8).sum();
        let name = &self.rest()[..length];
        let offset = name.starts_with(['+', '-', 'Z']);
        let fits = match letter {
            'X' => offset,
            'x' | 'Z' => name.starts_with(['+', '-']) || name.starts_with("GMT") || name == "Z",
            _ => true,
        };
        match Zone::parse(name) {
            Some(zone) if fits && length > 0 => {
                self.at += length;
                Ok(zone)
            }
            _ => Err(self.failure()),
        }
    }
}

/// How many digits the fixed numbers directly behind a field take.
fn reserved_digits(following: &[Item]) -> usize {
    let mut digits = 0;
    for item in following {
        match item {
            Item::Field('M' | 'L' | 'd' | 'H' | 'h' | 'K' | 'k' | 'm' | 's', 2) => digits += 2,
            Item::Field('S', count) => return digits + count,
            _ => return digits,
        }
    }
    digits
}

impl Fields {
    /// Takes a number for a letter; false if it is out of the letter's range.
    fn set(&mut self, letter: char, value: u32) -> bool {
        let (slot, range) = match letter {
            'M' | 'L' => (&mut self.month, 1..=12),
            'd' => (&mut self.day, 1..=31),
            'D' => (&mut self.day_of_year, 1..=366),
            'H' => (&mut self.hour, 0..=23),
            'k' => (&mut self.hour, 1..=24),
            'K' => (&mut self.hour_of_half, 0..=11),
            'h' => (&mut self.hour_of_half, 1..=12),
            'm' => (&mut self.minute, 0..=59),
            's' => (&mut self.second, 0..=59),
            'Q' | 'q' => return (1..=4).contains(&value),
            'F' => return (1..=5).contains(&value),
            _ => return false,
        };
        let modulus = match letter {
            'k' => 24,
            'h' => 12,
            _ => u32::MAX,
        };
        *slot = Some(value % modulus);
        range.contains(&value)
    }

    /// The wall-clock time of the fields, those that are missing as in Spark: 1970, January, the first, midnight.
    pub(super) fn local(&self) -> Option<i64> {
        let year = match self.year.unwrap_or(1970) {
            year if self.before_era => 1 - year,
            year => year,
        };
        let date = match self.day_of_year {
            Some(day) if self.month.is_none() && self.day.is_none() => {
                let date = Date::from_days(Date::new(year, 1, 1)?.days() + i64::from(day) - 1);
                (date.year == year).then_some(date)?
            }
            _ => Date::new(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        if self.day_of_week.is_some_and(|day| day != date.day_of_week()) {
            return None;
        }
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let time = Time::new(hour, self.minute.unwrap_or(0), self.second.unwrap_or(0), self.micros.unwrap_or(0))?;
        join_local(date, time)
    }
}
