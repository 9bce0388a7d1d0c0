//! What Java calls time zones in English: the common ones. The database of time zones has short names only, and numbers
//! for some zones that Java has names for.

/// The short and the long name of a zone, by its id and the database's short name; none for a zone that is not listed.
pub(super) fn english(zone: &str, short: &str) -> Option<(&'static str, &'static str)> {
    let means = |(id, of, ..): &&(&str, &str, &str, &str)| *id == zone && (of.is_empty() || *of == short);
    if let Some((.., short, long)) = OF_ZONE.iter().find(means) {
        return Some((*short, *long));
    }
    let american: &[(&str, &str)] = if is_american(zone) { &AMERICAN } else { &[] };
    OF_SHORT.iter().chain(american).find(|(known, _)| *known == short).copied()
}

/// Zones whose short name in the database is a number or means another zone elsewhere: the id, that name (or none,
/// where any will do), and Java's names.
const OF_ZONE: [(&str, &str, &str, &str); 11] = [
    ("America/Sao_Paulo", "-03", "BRT", "Brasilia Standard Time"),
    ("Asia/Calcutta", "IST", "IST", "India Standard Time"),
    ("Asia/Dubai", "", "GST", "Gulf Standard Time"),
    ("Asia/Jerusalem", "IST", "IST", "Israel Standard Time"),
    ("Asia/Kolkata", "IST", "IST", "India Standard Time"),
    ("Asia/Shanghai", "CST", "CST", "China Standard Time"),
    ("Asia/Singapore", "", "SGT", "Singapore Standard Time"),
    ("Etc/UTC", "", "UTC", "Coordinated Universal Time"),
    ("Europe/Dublin", "IST", "IST", "Irish Standard Time"),
    ("Europe/Istanbul", "+03", "TRT", "Turkey Time"),
    ("PRC", "CST", "CST", "China Standard Time"),
];

/// What all other zones mean by a short name.
const OF_SHORT: [(&str, &str); 19] = [
    ("AEDT", "Australian Eastern Daylight Time"),
    ("AEST", "Australian Eastern Standard Time"),
    ("BST", "British Summer Time"),
    ("CEST", "Central European Summer Time"),
    ("CET", "Central European Standard Time"),
    ("EEST", "Eastern European Summer Time"),
    ("EET", "Eastern European Standard Time"),
    ("GMT", "Greenwich Mean Time"),
    ("HKT", "Hong Kong Standard Time"),
    ("IDT", "Israel Daylight Time"),
    ("JST", "Japan Standard Time"),
    ("KST", "Korean Standard Time"),
    ("MSK", "Moscow Standard Time"),
    ("NZDT", "New Zealand Daylight Time"),
    ("NZST", "New Zealand Standard Time"),
    ("SAST", "South Africa Standard Time"),
    ("UTC", "Coordinated Universal Time"),
    ("WEST", "Western European Summer Time"),
    ("WET", "Western European Standard Time"),
];

/// What American zones mean by a short name, which other continents use for other zones. Cuba has names of its own.
const AMERICAN: [(&str, &str); 8] = [
    ("CDT", "Central Daylight Time"),
    ("CST", "Central Standard Time"),
    ("EDT", "Eastern Daylight Time"),
    ("EST", "Eastern Standard Time"),
    ("MDT", "Mountain Daylight Time"),
    ("MST", "Mountain Standard Time"),
    ("PDT", "Pacific Daylight Time"),
    ("PST", "Pacific Standard Time"),
];

fn is_american(zone: &str) -> bool {
    ["America/", "US/", "Canada/"].iter().any(|continent| zone.starts_with(continent)) && zone != "America/Havana"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_means_what_the_zone_means_by_it() {
        for (zone, short, names) in [
            ("America/Chicago", "CST", Some(("CST", "Central Standard Time"))),
            ("Asia/Shanghai", "CST", Some(("CST", "China Standard Time"))),
            ("Europe/Dublin", "GMT", Some(("GMT", "Greenwich Mean Time"))),
            ("Europe/Dublin", "IST", Some(("IST", "Irish Standard Time"))),
            ("Asia/Singapore", "+08", Some(("SGT", "Singapore Standard Time"))),
            ("Asia/Kathmandu", "+0545", None),
            ("Asia/Manila", "PST", None),
            ("+05:30", "+05:30", None),
        ] {
            assert_eq!(english(zone, short), names, "{zone} {short}");
        }
    }
}
