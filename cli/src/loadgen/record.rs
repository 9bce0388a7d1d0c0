//! What a record holds: a pure function of the settings and the record's number, written without allocating.
//!
//! Contents and severities are even: a quarter of the records speak of a crash, half are of severity High or Critical,
//! so an eighth passes a filter for both. `tests/python/log_records.py` makes the same records in Python, for tests
//! that must know the answer: change both together.

use clap::ValueEnum;

/// The four contents, each with the status that goes with it; the number of a part follows.
const CONTENTS: [(&[u8], &[u8]); 4] = [
    (b"OK", b"Request ok for x"),
    (b"WARN", b"Slow answer from x"),
    (b"ERROR", b"Timeout calling x"),
    (b"FAILED", b"App Crash in x"),
];
const SEVERITIES: [&[u8]; 4] = [b"Low", b"Medium", b"High", b"Critical"];
/// Different parts that contents name.
const PARTS: u64 = 1_000;
/// Set apart from the seed's own sequence: whether a record is late or holds the additional term.
const EXTRAS: u64 = 0x5bf0_3635_d1b4_6a2f;

/// Form of the field `timestamp`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    /// Text such as `2026-02-02T02:40:02.171Z`.
    Iso,
    /// A JSON number: milliseconds since 1970.
    Millis,
}

/// Where event times come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventClock {
    /// The time at which the record is written.
    Wall,
    /// A start and a fixed step from record to record.
    Steps {
        /// Event time of record 0, in milliseconds since 1970.
        start_millis: i64,
        /// Microseconds from one record to the next.
        step_micros: u64,
    },
}

/// What the records hold.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// Same seed, same records.
    pub seed: u64,
    /// Number of different users, at least 1.
    pub users: u32,
    /// Form of the field `timestamp`.
    pub time_form: TimeForm,
    /// Where event times come from.
    pub event_clock: EventClock,
    /// Event times lie up to so many milliseconds before the clock's.
    pub jitter_millis: u64,
    /// Share of late records, 0 to 1.
    pub late_share: f64,
    /// Milliseconds by which late records are late.
    pub late_millis: u64,
    /// Word added to some contents; none when empty.
    pub additional_term: String,
    /// Share of the records with the additional term, 0 to 1.
    pub additional_term_share: f64,
}

/// Writes records, each as one JSON object.
#[derive(Debug, Clone)]
pub struct Generator {
    settings: RecordSettings,
    late_below: u64,
    term_below: u64,
    /// The additional term as it stands inside a JSON text, with a space before it.
    term: Vec<u8>,
}

impl Generator {
    /// A generator of the settings' records.
    pub fn new(settings: RecordSettings) -> Self {
        let term = if settings.additional_term.is_empty() {
            Vec::new()
        } else {
            let quoted = serde_json::Value::String(format!(" {}", settings.additional_term)).to_string();
            quoted.as_bytes()[1..quoted.len() - 1].to_vec()
        };
        let term_below = if term.is_empty() { 0 } else { below(settings.additional_term_share) };
        Generator { late_below: below(settings.late_share), term_below, term, settings }
    }

    /// Appends record `number`. `now_millis` counts only where the event times are the clock's.
    pub fn write(&mut self, number: u64, now_millis: i64, out: &mut Vec<u8>) {
        let settings = &self.settings;
        let a = draw(settings.seed, number.wrapping_mul(2));
        let b = draw(settings.seed, number.wrapping_mul(2).wrapping_add(1));
        let (mut late, mut with_term) = (false, false);
        if self.late_below > 0 || self.term_below > 0 {
            let c = draw(settings.seed ^ EXTRAS, number);
            late = (c >> 32) < self.late_below;
            with_term = (c & 0xffff_ffff) < self.term_below;
        }
        let base_millis = match settings.event_clock {
            EventClock::Wall => now_millis,
            EventClock::Steps { start_millis, step_micros } => {
                start_millis.wrapping_add((number.wrapping_mul(step_micros) / 1_000) as i64)
            }
        };
        let jitter = ((b & 0xf_ffff) * settings.jitter_millis.saturating_add(1)) >> 20;
        let lateness = if late { settings.late_millis } else { 0 };
        let event_millis = base_millis - (jitter + lateness) as i64;
        let (status, content) = CONTENTS[(a & 3) as usize];

        out.extend_from_slice(b"{\"timestamp\": ");
        match settings.time_form {
            TimeForm::Millis => push_signed(event_millis, out),
            TimeForm::Iso => push_iso(event_millis, out),
        }
        out.extend_from_slice(b", \"status\": \"");
        out.extend_from_slice(status);
        out.extend_from_slice(b"\", \"severity\": \"");
        out.extend_from_slice(SEVERITIES[((a >> 2) & 3) as usize]);
        out.extend_from_slice(b"\", \"source_ip\": \"10");
        for shift in [56, 48, 40] {
            out.push(b'.');
            push_number((b >> shift) & 0xff, out);
        }
        out.extend_from_slice(b"\", \"user_id\": \"user_");
        push_number(((a >> 32) * u64::from(settings.users)) >> 32, out);
        out.extend_from_slice(b"\", \"content\": \"");
        out.extend_from_slice(content);
        push_number((((a >> 4) & 0xffff) * PARTS) >> 16, out);
        if with_term {
            out.extend_from_slice(&self.term);
        }
        out.extend_from_slice(b"\"}");
    }
}

/// The bound below which 32 random bits fall with the given probability.
fn below(share: f64) -> u64 {
    (share * 4_294_967_296.0) as u64
}

/// The `index`-th 64 random bits of a seed (the finaliser of SplitMix64 over a Weyl sequence).
fn draw(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn push_signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    push_number(value.unsigned_abs(), out);
}

fn push_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `"2026-02-02T02:40:02.171Z"` with its quotes. Years outside 0000 to 9999 are written with as many digits as they
/// have.
fn push_iso(millis: i64, out: &mut Vec<u8>) {
    let days = millis.div_euclid(86_400_000);
    let of_day = millis.rem_euclid(86_400_000) as u64;
    let (year, month, day) = civil_date(days);
    out.push(b'"');
    if year < 0 {
        out.push(b'-');
    }
    push_padded(year.unsigned_abs(), 4, out);
    out.push(b'-');
    push_padded(month, 2, out);
    out.push(b'-');
    push_padded(day, 2, out);
    out.push(b'T');
    push_padded(of_day / 3_600_000, 2, out);
    out.push(b':');
    push_padded(of_day / 60_000 % 60, 2, out);
    out.push(b':');
    push_padded(of_day / 1_000 % 60, 2, out);
    out.push(b'.');
    push_padded(of_day % 1_000, 3, out);
    out.extend_from_slice(b"Z\"");
}

fn push_padded(value: u64, width: u32, out: &mut Vec<u8>) {
    for place in (1..width).rev() {
        if value >= 10_u64.pow(place) {
            break;
        }
        out.push(b'0');
    }
    push_number(value, out);
}

/// Year, month and day of a day number since 1970-01-01 in the proleptic Gregorian calendar, reckoned in years that
/// start in March, so that the leap day is a year's last.
fn civil_date(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> RecordSettings {
        RecordSettings {
            seed: 1,
            users: 10_000,
            time_form: TimeForm::Millis,
            event_clock: EventClock::Steps { start_millis: 1_770_000_000_000, step_micros: 100 },
            jitter_millis: 4_999,
            late_share: 0.0,
            late_millis: 120_000,
            additional_term: String::new(),
            additional_term_share: 0.0,
        }
    }

    fn records(settings: RecordSettings, count: u64) -> Vec<serde_json::Value> {
        let mut generator = Generator::new(settings);
        let mut text = Vec::new();
        (0..count)
            .map(|number| {
                text.clear();
                generator.write(number, 1_770_000_000_000, &mut text);
                serde_json::from_slice(&text).expect("a JSON object")
            })
            .collect()
    }

    fn text_of(record: &serde_json::Value, field: &str) -> String {
        record[field].as_str().expect("a text").to_owned()
    }

    #[test]
    fn fields_and_their_order() {
        let record = &records(settings(), 1)[0];
        let fields: Vec<_> = record.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(fields, ["timestamp", "status", "severity", "source_ip", "user_id", "content"]);
    }

    #[test]
    fn an_eighth_passes_the_filter_and_a_quarter_holds_crash() {
        let all = records(settings(), 80_000);
        let crash = |record: &&serde_json::Value| text_of(record, "content").to_lowercase().contains("crash");
        let crashes = all.iter().filter(crash).count();
        let alerts = all
            .iter()
            .filter(crash)
            .filter(|record| ["High", "Critical"].contains(&text_of(record, "severity").as_str()));
        assert!(crashes.abs_diff(20_000) < 500, "{crashes}");
        assert!(alerts.count().abs_diff(10_000) < 400);
    }

    #[test]
    fn event_time_advances_with_jitter_and_users_stay_in_range() {
        for (number, record) in records(settings(), 20_000).iter().enumerate() {
            let due = 1_770_000_000_000 + number as i64 / 10;
            let millis = record["timestamp"].as_i64().expect("a number");
            assert!(millis <= due && due - millis < 5_000);
            let user: u32 = text_of(record, "user_id")["user_".len()..].parse().expect("a number");
            assert!(user < 10_000);
        }
    }

    #[test]
    fn a_share_is_late() {
        let late_settings = RecordSettings { late_share: 0.1, jitter_millis: 0, ..settings() };
        let late = records(late_settings, 10_000)
            .iter()
            .enumerate()
            .filter(|(number, record)| record["timestamp"].as_i64() == Some(1_769_999_880_000 + *number as i64 / 10))
            .count();
        assert!(late.abs_diff(1_000) < 150, "{late}");
    }

    #[test]
    fn additional_term_is_escaped_and_added_to_its_share() {
        let with_term =
            RecordSettings { additional_term: "cr\"ash".to_owned(), additional_term_share: 0.5, ..settings() };
        let count =
            records(with_term, 10_000).iter().filter(|record| text_of(record, "content").ends_with(" cr\"ash")).count();
        assert!(count.abs_diff(5_000) < 300, "{count}");
    }

    #[test]
    fn iso_times() {
        let iso = |millis| {
            let mut text = Vec::new();
            push_iso(millis, &mut text);
            String::from_utf8(text).expect("text")
        };
        assert_eq!(iso(0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(iso(1_770_000_002_171), "\"2026-02-02T02:40:02.171Z\"");
        assert_eq!(iso(-1), "\"1969-12-31T23:59:59.999Z\"");
        assert_eq!(iso(951_782_400_000), "\"2000-02-29T00:00:00.000Z\"");
        assert_eq!(iso(1_709_251_199_999), "\"2024-02-29T23:59:59.999Z\"");
    }

    #[test]
    fn first_records_of_seed_one_stay_as_they_are() {
        let mut generator = Generator::new(settings());
        for (number, expected) in FIRST_RECORDS.iter().enumerate() {
            let mut text = Vec::new();
            generator.write(number as u64, 0, &mut text);
            assert_eq!(String::from_utf8(text).as_deref(), Ok(*expected));
        }
    }

    /// Also what `tests/python/log_records.py` gives.
    const FIRST_RECORDS: [&str; 2] = [
        r#"{"timestamp": 1769999995337, "status": "WARN", "severity": "Low", "source_ip": "10.190.235.141", "user_id": "user_5665", "content": "Slow answer from x147"}"#,
        r#"{"timestamp": 1769999999130, "status": "ERROR", "severity": "Critical", "source_ip": "10.113.193.134", "user_id": "user_9710", "content": "Timeout calling x145"}"#,
    ];
}
