//! Time zones as Java names and resolves them: regions, fixed offsets, `UTC+1`, and the old three-letter names.

use std::fmt;
use std::hash::{Hash, Hasher};

use chrono::{LocalResult, NaiveDateTime, Offset, TimeZone};

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};
use super::zone_names::english;

/// Offsets go to 18 hours, as in Java.
const OFFSET_SECONDS_MAX: i32 = 18 * 3600;

/// A time zone. Equal when the names are.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    rules: Rules,
}

#[derive(Debug, Clone, Copy)]
enum Rules {
    /// Seconds east of UTC.
    Fixed(i32),
    Region(chrono_tz::Tz),
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Zone {
    /// The zone `UTC`.
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), rules: Rules::Fixed(0) }
    }

    /// The zone of a name, as `java.time.ZoneId.of` with Spark's short names; none if there is no such zone.
    pub fn parse(name: &str) -> Option<Zone> {
        let name = name.trim();
        let rules = match name {
            "Z" | "UTC" | "GMT" | "UT" => Rules::Fixed(0),
            _ if name.starts_with(['+', '-']) => Rules::Fixed(parse_offset(name)?),
            _ => match ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)) {
                Some(offset) if offset.starts_with(['+', '-']) => Rules::Fixed(parse_offset(offset)?),
                _ => short_name(name).map_or_else(|| region(name), |id| Zone::parse(id).map(|zone| zone.rules))?,
            },
        };
        let rules = match rules {
            Rules::Region(chrono_tz::Tz::UTC | chrono_tz::Tz::Etc__UTC) => Rules::Fixed(0),
            other => other,
        };
        Some(Zone { name: name.to_owned(), rules })
    }

    /// The name as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The offset from UTC at an instant, seconds east.
    pub fn offset_seconds(&self, micros: i64) -> i32 {
        match self.rules {
            Rules::Fixed(seconds) => seconds,
            Rules::Region(zone) => match naive(micros) {
                Some(time) => zone.offset_from_utc_datetime(&time).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// What a wall clock in the zone shows at an instant, both in microseconds.
    pub fn to_local(&self, micros: i64) -> i64 {
        match self.rules {
            Rules::Fixed(0) => micros,
            _ => micros.saturating_add(i64::from(self.offset_seconds(micros)) * MICROS_PER_SECOND),
        }
    }

    /// The instant at which a wall clock in the zone shows `local`. As Java: a time that occurs twice is the first of
    /// the two, and a time that is skipped is as much later as the gap is long.
    pub fn to_utc(&self, local: i64) -> i64 {
        let offset = match self.rules {
            Rules::Fixed(seconds) => seconds,
            Rules::Region(zone) => match naive(local).map(|time| zone.offset_from_local_datetime(&time)) {
                Some(LocalResult::Single(offset)) => offset.fix().local_minus_utc(),
                Some(LocalResult::Ambiguous(first, second)) => {
                    first.fix().local_minus_utc().max(second.fix().local_minus_utc())
                }
                // A skipped time has the offset from before the gap.
                Some(LocalResult::None) => self.offset_seconds(local - MICROS_PER_DAY),
                None => 0,
            },
        };
        local.saturating_sub(i64::from(offset) * MICROS_PER_SECOND)
    }

    /// As [`Zone::to_utc`], for a time on the clock that was reckoned from the one at `instant`: of a time that occurs
    /// twice it is the one with the same offset. As Java's `ZonedDateTime`.
    pub fn to_utc_near(&self, local: i64, instant: i64) -> i64 {
        let offset = self.offset_seconds(instant);
        let same = local.saturating_sub(i64::from(offset) * MICROS_PER_SECOND);
        if self.offset_seconds(same) == offset { same } else { self.to_utc(local) }
    }

    /// The short name at an instant, as the pattern letter `z` prints it: `UTC`, `PST`, `+02:00`.
    pub fn short_name(&self, micros: i64) -> String {
        let short = self.database_name(micros);
        english(&self.name, &short).map_or(short, |(short, _)| short.to_owned())
    }

    /// The long name at an instant, as `zzzz` prints it: `Pacific Standard Time`. A zone that is not among the common
    /// ones has its id for a name, as zones without a name have in Java.
    pub fn long_name(&self, micros: i64) -> String {
        english(&self.name, &self.database_name(micros)).map_or_else(|| self.name.clone(), |(_, long)| long.to_owned())
    }

    fn database_name(&self, micros: i64) -> String {
        match self.rules {
            Rules::Fixed(_) => self.name.clone(),
            Rules::Region(zone) => match naive(micros) {
                Some(time) => zone.offset_from_utc_datetime(&time).to_string(),
                None => self.name.clone(),
            },
        }
    }
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

fn region(name: &str) -> Option<Rules> {
    name.parse::<chrono_tz::Tz>().ok().map(Rules::Region)
}

/// `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`; single digits are allowed between colons, as in Spark.
fn parse_offset(text: &str) -> Option<i32> {
    let negative = text.starts_with('-');
    let digits = text.get(1..).filter(|digits| digits.is_ascii())?;
    let parts: Vec<&str> = if digits.contains(':') {
        digits.split(':').collect()
    } else {
        match digits.len() {
            1 | 2 => vec![digits],
            4 => vec![&digits[..2], digits.get(2..)?],
            6 => vec![&digits[..2], digits.get(2..4)?, digits.get(4..)?],
            _ => return None,
        }
    };
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty() || part.len() > 2) {
        return None;
    }
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        if !part.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let value: i32 = part.parse().ok()?;
        if unit != 3600 && value > 59 {
            return None;
        }
        seconds += value * unit;
    }
    (seconds <= OFFSET_SECONDS_MAX).then_some(if negative { -seconds } else { seconds })
}

/// Java's `ZoneId.SHORT_IDS`, which Spark accepts.
fn short_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "ACT" => "Australia/Darwin",
        "AET" => "Australia/Sydney",
        "AGT" => "America/Argentina/Buenos_Aires",
        "ART" => "Africa/Cairo",
        "AST" => "America/Anchorage",
        "BET" => "America/Sao_Paulo",
        "BST" => "Asia/Dhaka",
        "CAT" => "Africa/Harare",
        "CNT" => "America/St_Johns",
        "CST" => "America/Chicago",
        "CTT" => "Asia/Shanghai",
        "EAT" => "Africa/Addis_Ababa",
        "ECT" => "Europe/Paris",
        "EST" => "-05:00",
        "HST" => "-10:00",
        "IET" => "America/Indiana/Indianapolis",
        "IST" => "Asia/Kolkata",
        "JST" => "Asia/Tokyo",
        "MIT" => "Pacific/Apia",
        "MST" => "-07:00",
        "NET" => "Asia/Yerevan",
        "NST" => "Pacific/Auckland",
        "PLT" => "Asia/Karachi",
        "PNT" => "America/Phoenix",
        "PRT" => "America/Puerto_Rico",
        "PST" => "America/Los_Angeles",
        "SST" => "Pacific/Guadalcanal",
        "VST" => "Asia/Ho_Chi_Minh",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds() {
        for (name, offset) in
            [("UTC", 0), ("Z", 0), ("+02:00", 7200), ("-0530", -19_800), ("UTC+1", 3600), ("+1:2", 3720)]
        {
            assert_eq!(Zone::parse(name).unwrap().offset_seconds(0), offset, "{name}");
        }
        assert_eq!(Zone::parse("PST").unwrap().offset_seconds(0), -8 * 3600);
        for name in ["", "Nowhere/City", "+19:00", "+1:99", "+", "UTC+", "-año", "+1€", "GMT-1…"] {
            assert!(Zone::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn gaps_and_overlaps_resolve_as_in_java() {
        let zone = Zone::parse("America/New_York").unwrap();
        let hour = 3_600 * MICROS_PER_SECOND;
        // 2024-03-10 02:30 does not exist: 03:30 EDT, which is 07:30 UTC.
        let midnight = crate::types::Date::new(2024, 3, 10).unwrap().days() * MICROS_PER_DAY;
        assert_eq!(zone.to_utc(midnight + 2 * hour + hour / 2), midnight + 7 * hour + hour / 2);
        // 2024-11-03 01:30 occurs twice: the first is EDT, which is 05:30 UTC.
        let midnight = crate::types::Date::new(2024, 11, 3).unwrap().days() * MICROS_PER_DAY;
        assert_eq!(zone.to_utc(midnight + hour + hour / 2), midnight + 5 * hour + hour / 2);
        assert_eq!(zone.to_local(midnight + 5 * hour), midnight + hour);
        // Reckoned from 01:45 EST it is the second one.
        let later = midnight + 6 * hour + 3 * hour / 4;
        assert_eq!(zone.to_utc_near(midnight + hour + hour / 2, later), midnight + 6 * hour + hour / 2);
    }
}
