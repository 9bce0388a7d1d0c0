//! The proleptic Gregorian calendar on plain integers: days since 1970-01-01 and microseconds, any year.

/// Microseconds of a second, a minute, an hour, a day.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
pub const MICROS_PER_HOUR: i64 = 60 * MICROS_PER_MINUTE;
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// A date: the year may be zero or negative, month and day count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    pub year: i64,
    pub month: u32,
    pub day: u32,
}

/// A wall-clock time of a day, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    pub micros: u32,
}

/// Whether February of the year has 29 days.
pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The number of days of a month, 1 to 12.
pub fn days_of_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `java.time.Year.MAX_VALUE`.
const YEAR_MAX: u64 = 999_999_999;

impl Date {
    /// A date that exists in the calendar, within the years that Java has.
    pub fn new(year: i64, month: u32, day: u32) -> Option<Date> {
        let valid = year.unsigned_abs() <= YEAR_MAX
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_of_month(year, month);
        valid.then_some(Date { year, month, day })
    }

    /// The days from 1970-01-01, by counting years from March so that the leap day comes last.
    pub fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = i64::from((self.month + 9) % 12);
        let day_of_year = (153 * month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date of a count of days from 1970-01-01.
    pub fn from_days(days: i64) -> Date {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = u32::try_from(day_of_year - (153 * month + 2) / 5 + 1).expect("a day of a month");
        let month = u32::try_from(if month < 10 { month + 3 } else { month - 9 }).expect("a month");
        Date { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// The day of the year, from 1.
    pub fn day_of_year(self) -> u32 {
        u32::try_from(self.days() - Date { month: 1, day: 1, ..self }.days() + 1).expect("at most 366")
    }

    /// The day of the week, Monday 1 to Sunday 7.
    pub fn day_of_week(self) -> u32 {
        u32::try_from((self.days() + 3).rem_euclid(7) + 1).expect("at most 7")
    }

    /// The same day some months later, or the last of that month if it is shorter.
    pub fn plus_months(self, months: i64) -> Date {
        let total = self.year * 12 + i64::from(self.month) - 1 + months;
        let year = total.div_euclid(12);
        let month = u32::try_from(total.rem_euclid(12) + 1).expect("at most 12");
        Date { year, month, day: self.day.min(days_of_month(year, month)) }
    }
}

impl Time {
    /// A time that exists on a clock without leap seconds.
    pub fn new(hour: u32, minute: u32, second: u32, micros: u32) -> Option<Time> {
        let valid = hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
        valid.then_some(Time { hour, minute, second, micros })
    }

    /// The microseconds from midnight.
    pub fn micros_of_day(self) -> i64 {
        i64::from(self.hour) * MICROS_PER_HOUR
            + i64::from(self.minute) * MICROS_PER_MINUTE
            + i64::from(self.second) * MICROS_PER_SECOND
            + i64::from(self.micros)
    }
}

/// The date and time of a wall clock that shows `micros` since 1970-01-01 00:00.
pub fn split_local(micros: i64) -> (Date, Time) {
    let day = micros.rem_euclid(MICROS_PER_DAY);
    let part = |unit: i64, range: i64| u32::try_from(day / unit % range).expect("less than its range");
    let time = Time {
        hour: part(MICROS_PER_HOUR, 24),
        minute: part(MICROS_PER_MINUTE, 60),
        second: part(MICROS_PER_SECOND, 60),
        micros: part(1, 1_000_000),
    };
    (Date::from_days(micros.div_euclid(MICROS_PER_DAY)), time)
}

/// The microseconds since 1970-01-01 00:00 of a wall clock, unless they are out of range.
pub fn join_local(date: Date, time: Time) -> Option<i64> {
    date.days().checked_mul(MICROS_PER_DAY)?.checked_add(time.micros_of_day())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in (-1_000_000..1_000_000).step_by(997) {
            assert_eq!(Date::from_days(days).days(), days);
        }
        assert_eq!(Date::new(1970, 1, 1).unwrap().days(), 0);
        assert_eq!(Date::new(2024, 2, 29).unwrap().days(), 19_782);
        assert_eq!(Date::from_days(-1), Date::new(1969, 12, 31).unwrap());
        assert_eq!(Date::new(2023, 2, 29), None);
    }

    #[test]
    fn weeks_and_months() {
        assert_eq!(Date::new(1970, 1, 1).unwrap().day_of_week(), 4);
        assert_eq!(Date::new(2024, 12, 31).unwrap().day_of_year(), 366);
        assert_eq!(Date::new(2024, 1, 31).unwrap().plus_months(1), Date::new(2024, 2, 29).unwrap());
        assert_eq!(Date::new(2024, 1, 31).unwrap().plus_months(-2), Date::new(2023, 11, 30).unwrap());
    }

    #[test]
    fn splits_times_before_the_epoch() {
        let (date, time) = split_local(-1);
        assert_eq!(date, Date::new(1969, 12, 31).unwrap());
        assert_eq!(time, Time::new(23, 59, 59, 999_999).unwrap());
        assert_eq!(join_local(date, time), Some(-1));
    }
}
