//! "Did you mean ...": the valid name that an unknown one most likely stands for.

/// A name at least this similar (0 to 1) is worth suggesting.
const SIMILARITY_MIN: f64 = 0.7;

/// The candidate most like `name`, letter case aside; none when nothing is close.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let likeness = similarity(&wanted, &candidate.to_lowercase());
        if likeness >= SIMILARITY_MIN && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ``; did you mean `x`?`` for an error message, or nothing.
pub fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None => String::new(),
    }
}

/// The first of the names that is none of the known ones, letter case aside, but much like one of them: a slip.
pub fn slip<'a, 'k>(names: impl IntoIterator<Item = &'a str>, known: &'k [&'k str]) -> Option<(&'a str, &'k str)> {
    let is_known = |name: &str| known.iter().any(|one| one.eq_ignore_ascii_case(name));
    let mut unknown = names.into_iter().filter(|name| !is_known(name));
    unknown.find_map(|name| Some((name, nearest(name, known.iter().copied())?)))
}

/// Few edits count most (typing mistakes); a shared beginning helps (a cut-off name).
fn similarity(left: &str, right: &str) -> f64 {
    let edits = strsim::normalized_damerau_levenshtein(left, right);
    let beginning = if right.starts_with(left) && left.len() >= 3 { 0.75 } else { 0.0 };
    edits.max(beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_finds_its_name() {
        let flags = ["--executor-cores", "--executor-memory", "--master"];
        assert_eq!(nearest("--executor-core", flags), Some("--executor-cores"));
        assert_eq!(nearest("--executer-memory", flags), Some("--executor-memory"));
        assert_eq!(nearest("KAFAK", ["kafka", "rate"]), Some("kafka"));
    }

    #[test]
    fn a_slip_is_like_a_known_name_and_none() {
        let known = ["numRows", "truncate"];
        assert_eq!(slip(["NUMROWS", "foo", "truncat"], &known), Some(("truncat", "truncate")));
        assert_eq!(slip(["numrows", "foo"], &known), None);
    }

    #[test]
    fn what_is_like_nothing_gets_no_suggestion() {
        assert_eq!(nearest("--zzz", ["--master", "--name"]), None);
        assert_eq!(suggestion("zzz", ["kafka"]), "");
        assert_eq!(suggestion("kafk", ["kafka"]), "; did you mean `kafka`?");
    }
}
