//! Regular expressions as Java writes them, in the syntax of Rust's engine, where the two mean different things by the
//! same text. What Rust's engine lacks (look-around, back-references) stays as it is and is refused there.

use std::iter::Peekable;
use std::str::Chars;

/// What `$` is to match, where the end of the text follows a line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Before that line's end too, as in Java: for whoever asks only whether there is a match, for it is part of it.
    OfLastLine,
    /// Only the end of the text: for whoever uses what was matched.
    OfText,
}

/// Java's line ends but for `\r\n`.
const LINE_ENDS: &str = r"\n\r\u{85}\u{2028}\u{2029}";
/// White space is ASCII's in Java, digits and letters of words too.
const SPACE: &str = r"\x20\t\n\x0B\f\r";
const DIGIT: &str = "0-9";
const WORD: &str = "a-zA-Z0-9_";
const HORIZONTAL: &str = r"\x20\t\u{A0}\u{1680}\u{180E}\u{2000}-\u{200A}\u{202F}\u{205F}\u{3000}";
const VERTICAL: &str = r"\n\x0B\f\r\u{85}\u{2028}\u{2029}";

/// The expression in Rust's syntax.
pub(super) fn java_regex(pattern: &str, end: End) -> String {
    let flags = inline_flags(pattern);
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    // How many brackets are open: in a class most characters stand for themselves.
    let mut classes = 0usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => quoted(&mut chars, &mut out),
                Some(kind @ ('p' | 'P')) if chars.peek() == Some(&'{') => {
                    let name: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    out.push_str(&property(&name, kind == 'P'));
                }
                Some('Z') if classes == 0 => out.push_str(&end_of(end)),
                Some(escaped) => out.push_str(&escape(escaped)),
                None => out.push('\\'),
            },
            '.' if classes == 0 && !flags.contains('s') => out.push_str(&class(LINE_ENDS, true)),
            '$' if classes == 0 && !flags.contains('m') => out.push_str(&end_of(end)),
            other => {
                match other {
                    '[' => classes += 1,
                    ']' => classes = classes.saturating_sub(1),
                    _ => {}
                }
                out.push(other);
            }
        }
    }
    out
}

fn end_of(end: End) -> String {
    match end {
        End::OfLastLine => format!(r"(?:\r\n|[{LINE_ENDS}])?\z"),
        End::OfText => r"\z".to_owned(),
    }
}

/// One character of a set, or one that is not.
fn class(set: &str, negated: bool) -> String {
    if negated { format!("[^{set}]") } else { format!("[{set}]") }
}

/// The letters of all `(?s)` and `(?im:...)`; what one switches off again is not looked at.
fn inline_flags(pattern: &str) -> String {
    let groups = pattern.split("(?").skip(1);
    groups.flat_map(|group| group.chars().take_while(char::is_ascii_lowercase)).collect()
}

/// `\Q...\E`: the text between stands for itself.
fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek() == Some(&'E') {
            chars.next();
            return;
        }
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// What a backslash and this character mean.
fn escape(c: char) -> String {
    let negated = c.is_ascii_uppercase();
    match c {
        'd' | 'D' => class(DIGIT, negated),
        'w' | 'W' => class(WORD, negated),
        's' | 'S' => class(SPACE, negated),
        'h' | 'H' => class(HORIZONTAL, negated),
        'v' | 'V' => class(VERTICAL, negated),
        'R' => format!(r"(?:\r\n|[{VERTICAL}])"),
        'e' => r"\x1B".to_owned(),
        // For Rust the ends of a word.
        '<' | '>' => c.to_string(),
        _ if c.is_ascii_alphanumeric() => format!("\\{c}"),
        _ => regex::escape(c.encode_utf8(&mut [0; 4])),
    }
}

/// `\p{name}` or `\P{name}`: POSIX names are ASCII's in Java, and have no meaning or another one in Rust.
fn property(name: &str, negated: bool) -> String {
    let set = match name {
        "Lower" => "a-z",
        "Upper" => "A-Z",
        "ASCII" => r"\x00-\x7F",
        "Alpha" => "a-zA-Z",
        "Digit" => DIGIT,
        "Alnum" => "a-zA-Z0-9",
        "Punct" => r"!-/:-@\[-`\{-~",
        "Graph" => "!-~",
        "Print" => r"\x20-~",
        "Blank" => r"\x20\t",
        "Cntrl" => r"\x00-\x1F\x7F",
        "XDigit" => "0-9a-fA-F",
        "Space" => SPACE,
        other => {
            let letter = if negated { 'P' } else { 'p' };
            return format!("\\{letter}{{{}}}", other.strip_prefix("Is").unwrap_or(other));
        }
    };
    class(set, negated)
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        Regex::new(&java_regex(pattern, End::OfLastLine)).expect("valid").is_match(text)
    }

    fn replace(pattern: &str, text: &str) -> String {
        Regex::new(&java_regex(pattern, End::OfText)).expect("valid").replace_all(text, "_").into_owned()
    }

    #[test]
    fn classes_are_asciis() {
        assert_eq!(replace(r"[^\w\s]", "café! ok"), "caf__ ok");
        assert_eq!(replace(r"\d+", "12 ١٢"), "_ ١٢");
        assert_eq!(replace(r"\p{Punct}", "$5+1=6!"), "_5_1_6_");
        assert_eq!(replace(r"\P{Alpha}", "a1é"), "a__");
        assert_eq!(replace(r"\p{IsAlphabetic}|\p{L}", "é1"), "_1");
        assert_eq!(replace(r"[\S&&[^a]]", "ab c"), "a_ _");
    }

    #[test]
    fn dots_and_ends_know_javas_lines() {
        assert!(is_match("ERROR$", "x ERROR\n") && is_match(r"ERROR\Z", "x ERROR\r\n"));
        assert!(!is_match("ERROR$", "x ERROR\n\n") && !is_match(r"ERROR\z", "x ERROR\n"));
        assert!(!is_match("a.b", "a\rb") && is_match("(?s)a.b", "a\rb"));
        assert!(is_match("(?m)^b$", "a\nb\nc"));
        assert!(is_match("[.$]", "$") && !is_match("[.$]", "x"));
        assert_eq!(replace("c$", "abc"), "ab_");
    }

    #[test]
    fn what_is_escaped_stands_for_itself() {
        assert_eq!(replace(r"\<[^>]+\>", "<b>x</b>"), "_x_");
        assert_eq!(replace(r"\Qa.b\E+", "a.bb axb"), "_ axb");
        assert_eq!(replace(r"\é|\-|\/", "é-/"), "___");
        assert_eq!(replace(r"a\.b|\u0041", "a.b A"), "_ _");
    }
}
