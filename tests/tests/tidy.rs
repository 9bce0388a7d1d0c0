//! The house rules that a machine can check, as one test over the text of the repository. It reads lines and counts
//! brackets, no more: comments and literals are blanked first, so that what they say breaks no rule. What the compiler
//! or clippy can see is left to them.
//!
//! A rule that cannot be kept today has an entry in [`EXCEPTIONS`]; an entry that is no longer needed fails the test
//! too.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What cannot be mended today: the file, the rule that it may break, and why.
const EXCEPTIONS: &[(&str, Rule, &str)] = &[
    (
        "cli/tests/binary.rs",
        Rule::SleepInTest,
        "it waits for other processes to come and go, of which nothing tells a test; it looks on until a deadline",
    ),
    (
        "deploy/demo-broker/src/main.rs",
        Rule::BareSpawn,
        "the demo's broker stands alone: it depends on none of our crates, so `common::lifecycle` is out of its reach",
    ),
];

/// Which of our crates each crate may name; `workspace-hack` is open to all. `cli` and `tests` put everything together.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("workspace-hack", &[]),
    ("proto", &[]),
    ("common", &["proto"]),
    ("engine", &["common", "proto"]),
    ("master", &["common", "proto"]),
    ("worker", &["common", "proto", "engine"]),
    ("driver", &["common", "proto", "engine"]),
    ("connect", &["common", "proto", "engine", "driver"]),
    ("cli", &["common", "proto", "engine", "master", "worker", "driver", "connect"]),
    ("tests", &["common", "proto", "engine", "master", "worker", "driver", "connect"]),
    ("deploy/demo-broker", &[]),
];

/// What stands before an item that only tests have.
const TEST_ATTRIBUTES: [&str; 4] = ["#[cfg(test)]", "#[cfg(all(test", "#[test]", "#[tokio::test"];
/// What stands before the word `fn`, besides `pub(...)`.
const QUALIFIERS: [&str; 6] = ["pub ", "default ", "const ", "async ", "unsafe ", "extern "];
/// What only tests may call.
const BANNED_CALLS: [&str; 4] = ["todo!(", "unimplemented!(", "dbg!(", ".unwrap()"];

/// The one file that starts tasks for all others.
const LIFECYCLE: &str = "common/src/lifecycle.rs";

/// Folders that hold nothing written by hand; hidden ones are passed over too.
const SKIPPED_FOLDERS: &[&str] = &["target", "generated", "__pycache__"];

/// Where this project was or may be written. Assembled, so that this file does not hold them.
const PRIVATE_FOLDERS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/")];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Header,
    FileLength,
    FunctionLength,
    Dependency,
    BannedCall,
    IgnoredTest,
    Unsafe,
    BareSpawn,
    SleepInTest,
    PrivatePath,
}

impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "a file opens with `//!`",
            Self::FileLength => "a file has 500 lines at most",
            Self::FunctionLength => "a function has 70 lines at most",
            Self::Dependency => "dependencies point down",
            Self::BannedCall => "no `todo!`, `unimplemented!`, `dbg!` or `.unwrap()` outside tests",
            Self::IgnoredTest => "no `#[ignore]`",
            Self::Unsafe => "`unsafe` only in a file that opens with `#![allow(unsafe_code, reason = ...)]`",
            Self::BareSpawn => "tasks start through `common::lifecycle`",
            Self::SleepInTest => "tests do not sleep",
            Self::PrivatePath => "no path of a home or work folder",
        })
    }
}

/// One broken rule. Lines count from 1.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: Rule,
    detail: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, detail } = self;
        write!(f, "{path}:{line}: {rule}: {detail}")
    }
}

#[test]
fn the_repository_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository");
    let mut paths = Vec::new();
    collect_files(root, &mut paths);
    assert!(paths.iter().any(|path| path.ends_with("tests/tests/tidy.rs")), "{} is not the repository", root.display());

    let mut found = BTreeSet::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let path = path.strip_prefix(root).expect("it was found there").to_str().expect("names are UTF-8");
        found.extend(check(path, &text));
    }
    let complaints = judge(found, EXCEPTIONS);
    assert!(complaints.is_empty(), "{} found:\n{}\n", complaints.len(), complaints.join("\n"));
}

/// The findings that no exception covers, and the exceptions that cover none.
fn judge(found: BTreeSet<Finding>, exceptions: &[(&str, Rule, &str)]) -> Vec<String> {
    let covers =
        |(path, rule, _): &(&str, Rule, &str), finding: &Finding| finding.path == *path && finding.rule == *rule;
    let uncovered = found.iter().filter(|finding| !exceptions.iter().any(|exception| covers(exception, finding)));
    let unneeded = exceptions.iter().filter(|exception| !found.iter().any(|finding| covers(exception, finding)));
    uncovered
        .map(Finding::to_string)
        .chain(unneeded.map(|(path, rule, _)| format!("{path}:0: the exception is no longer needed: {rule}")))
        .collect()
}

fn collect_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("a folder can be listed");
        let name = entry.file_name();
        let name = name.to_str().expect("names are UTF-8");
        let kind = entry.file_type().expect("an entry has a kind");
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED_FOLDERS.contains(&name) {
            collect_files(&entry.path(), paths);
        } else if kind.is_file() && is_checked(name) {
            paths.push(entry.path());
        }
    }
}

fn is_checked(name: &str) -> bool {
    name == "Makefile" || [".rs", ".py", ".sh", ".md", ".toml"].iter().any(|end| name.ends_with(end))
}

/// All that one file breaks; `path` is relative to the repository, with `/`.
fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut report = Report { path, found: Vec::new() };
    check_private_paths(text, &mut report);
    if let Some(folder) = path.strip_suffix("/Cargo.toml") {
        check_dependencies(folder, text, &mut report);
    }
    if path.ends_with(".rs") {
        check_source(path, text, &mut report);
    }
    report.found
}

struct Report<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl Report<'_> {
    /// `index` counts from 0.
    fn add(&mut self, index: usize, rule: Rule, detail: impl Display) {
        let (path, detail) = (self.path.to_owned(), detail.to_string());
        self.found.push(Finding { path, line: index + 1, rule, detail });
    }
}

fn check_private_paths(text: &str, report: &mut Report<'_>) {
    for (index, line) in text.lines().enumerate() {
        for folder in PRIVATE_FOLDERS.iter().filter(|folder| line.contains(**folder)) {
            report.add(index, Rule::PrivatePath, folder);
        }
    }
}

fn check_dependencies(folder: &str, text: &str, report: &mut Report<'_>) {
    let Some((_, allowed)) = DEPENDENCIES.iter().find(|(name, _)| *name == folder) else {
        return report.add(0, Rule::Dependency, format!("`{folder}` has no line in DEPENDENCIES"));
    };
    let mut in_dependencies = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            in_dependencies = table.contains("dependencies");
        }
        if !in_dependencies || line.starts_with('#') {
            continue;
        }
        // The key, the last name of a table, or what `package = ` says: each stands between characters no name has.
        let names = line.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_');
        for name in names.filter_map(|name| name.strip_prefix("pyrite-")).filter(|name| !allowed.contains(name)) {
            report.add(index, Rule::Dependency, format!("`{folder}` on `{name}`"));
        }
    }
}

fn check_source(path: &str, text: &str, report: &mut Report<'_>) {
    if !text.starts_with("//!") {
        report.add(0, Rule::Header, "it does not");
    }
    let length = text.lines().count();
    if length > FILE_LINES_MAX {
        report.add(0, Rule::FileLength, format!("{length} lines"));
    }
    let code = blank(text);
    let code: Vec<&str> = code.lines().collect();
    let of_tests = if is_test_file(path) { vec![true; code.len()] } else { marked(&code, &TEST_ATTRIBUTES) };
    let of_macros = marked(&code, &["macro_rules!"]);
    let may_be_unsafe = code
        .iter()
        .take_while(|line| line.trim().is_empty() || line.starts_with("#!["))
        .any(|line| line.starts_with("#![allow(unsafe_code, reason"));

    for (index, line) in code.iter().enumerate() {
        if of_tests[index] {
            if has_word(line, "sleep(") || has_word(line, "sleep_until(") {
                report.add(index, Rule::SleepInTest, line.trim());
            }
        } else {
            for call in BANNED_CALLS.iter().filter(|call| line.contains(**call)) {
                report.add(index, Rule::BannedCall, call);
            }
            if !of_macros[index] && is_function(line) {
                let length = item_end(&code, index) - index + 1;
                if length > FUNCTION_LINES_MAX {
                    report.add(index, Rule::FunctionLength, format!("{length} lines: {}", line.trim()));
                }
            }
        }
        if line.contains("#[ignore") {
            report.add(index, Rule::IgnoredTest, line.trim());
        }
        if has_word(line, "unsafe") && !may_be_unsafe {
            report.add(index, Rule::Unsafe, line.trim());
        }
        if path != LIFECYCLE && (line.contains("tokio::spawn") || line.contains("task::spawn(")) {
            report.add(index, Rule::BareSpawn, line.trim());
        }
    }
}

/// Whether the whole file is there for tests, examples, measurements or the build.
fn is_test_file(path: &str) -> bool {
    let mut folders = path.split('/');
    let name = folders.next_back().unwrap_or(path);
    folders.any(|folder| ["tests", "benches", "examples"].contains(&folder))
        || ["build.rs", "tests.rs"].contains(&name)
        || name.ends_with("_tests.rs")
}

/// Which lines belong to an item whose first line begins with one of `starts`.
fn marked(code: &[&str], starts: &[&str]) -> Vec<bool> {
    let mut marks = vec![false; code.len()];
    for (index, line) in code.iter().enumerate() {
        if !marks[index] && starts.iter().any(|start| line.trim_start().starts_with(start)) {
            marks[index..=item_end(code, index)].fill(true);
        }
    }
    marks
}

/// The line on which the item that begins on line `start` ends: with its closing brace, or with a `;` before any.
/// Attributes are passed over, being in brackets.
fn item_end(code: &[&str], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, line) in code.iter().enumerate().skip(start) {
        for c in line.chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                return index;
            }
        }
    }
    code.len() - 1
}

/// Whether a function begins on this line.
fn is_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    if let Some(scope) = rest.strip_prefix("pub(") {
        rest = scope.split_once(')').map_or("", |(_, rest)| rest).trim_start();
    }
    while let Some(after) = QUALIFIERS.iter().find_map(|word| rest.strip_prefix(word)) {
        rest = after.trim_start();
    }
    rest.starts_with("fn ")
}

/// Whether `line` has `word` where no longer name has it.
fn has_word(line: &str, word: &str) -> bool {
    let open = |c: Option<char>| !c.is_some_and(is_name);
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        open(line[..at].chars().next_back()) && (word.ends_with('(') || open(after))
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The source with spaces for all characters of comments and literals; lines stay where they are.
fn blank(text: &str) -> String {
    let text: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let after_name = at > 0 && is_name(text[at - 1]);
        let end = at + literal_length(&text[at..], after_name);
        if end == at {
            code.push(text[at]);
            at += 1;
        } else {
            code.extend(text[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// How many characters of a comment or a literal stand at the start of `text`; none where code stands.
fn literal_length(text: &[char], after_name: bool) -> usize {
    match text {
        ['/', '/', ..] => text.iter().position(|c| *c == '\n').unwrap_or(text.len()),
        ['/', '*', ..] => block_comment_length(text),
        ['"', ..] => quoted_length(text, '"'),
        ['r', '"' | '#', ..] if !after_name => raw_length(text, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !after_name => raw_length(text, 2),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted_length(text, '\''),
        _ => 0,
    }
}

fn block_comment_length(text: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text[at..] {
            ['/', '*', ..] => depth += 1,
            ['*', '/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// `start` is where the hashes begin. A raw name (`r#type`) is no literal.
fn raw_length(text: &[char], start: usize) -> usize {
    let hashes = text[start..].iter().take_while(|c| **c == '#').count();
    let open = start + hashes;
    if text.get(open) != Some(&'"') {
        return 0;
    }
    let closes = |at: &usize| text[*at] == '"' && text[*at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (open + 1..text.len()).find(closes).map_or(text.len(), |at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(usize, Rule)> {
        check(path, text).into_iter().map(|finding| (finding.line, finding.rule)).collect()
    }

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_kept() {
        let source = "a /* { /* } */ \n */ b \"\\\"{\" c r#\"\"{\"# d '{' e '\\'' f<'a> r#fn b\"x\" // {";
        let code = blank(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d", "e", "f<'a>", "r#fn", "b"]);
    }

    #[test]
    fn each_rule_on_source_finds_what_breaks_it() {
        let long = format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_LINES_MAX));
        let file = format!("//! x\n{}", "g!();\n".repeat(FILE_LINES_MAX));
        type Case<'a> = (&'a str, &'a str, &'a [(usize, Rule)]);
        let cases: &[Case] = &[
            ("a/src/x.rs", "use a;\n", &[(1, Rule::Header)]),
            ("a/src/x.rs", &file, &[(1, Rule::FileLength)]),
            ("a/src/x.rs", &long, &[(2, Rule::FunctionLength)]),
            ("a/tests/x.rs", &long, &[]),
            ("a/src/x.rs", "//! x\nlet a = b\n    .unwrap();\n", &[(3, Rule::BannedCall)]),
            (
                "a/src/x.rs",
                "//! x\n/// a.unwrap()\n#[cfg(test)]\nmod t {\n a.unwrap()\n}\nb.unwrap()\n",
                &[(7, Rule::BannedCall)],
            ),
            ("a/src/x.rs", "//! x\n#[cfg(test)]\nmod t;\ntodo!()\n", &[(4, Rule::BannedCall)]),
            ("a/src/x.rs", "//! x\n#[ignore = \"slow\"]\n", &[(2, Rule::IgnoredTest)]),
            ("a/src/x.rs", "//! x\nunsafe { f() }\n", &[(2, Rule::Unsafe)]),
            ("a/src/x.rs", "//! x\n\n#![allow(unsafe_code, reason = \"why\")]\n\nunsafe { f() }\n", &[]),
            ("a/src/x.rs", "//! x\ntokio::spawn(f());\n", &[(2, Rule::BareSpawn)]),
            (LIFECYCLE, "//! x\ntokio::spawn(f());\n", &[]),
            ("a/src/tests.rs", "//! x\nthread::sleep(t);\n", &[(2, Rule::SleepInTest)]),
            ("a/src/x.rs", "//! x\nthread::sleep(t);\n", &[]),
        ];
        for (path, text, expected) in cases {
            assert_eq!(rules(path, text), *expected, "{path}: {text}");
        }
    }

    #[test]
    fn private_paths_are_found_in_comments_too() {
        let text = format!("# see {}x\n", PRIVATE_FOLDERS[0]);
        assert_eq!(rules("scripts/x.sh", &text), [(1, Rule::PrivatePath)]);
    }

    #[test]
    fn a_crate_names_only_what_lies_below_it() {
        let upward = "[dependencies]\npyrite-common = { workspace = true }\npyrite-driver.workspace = true\n";
        assert_eq!(rules("engine/Cargo.toml", upward), [(3, Rule::Dependency)]);
        assert_eq!(rules("connect/Cargo.toml", upward), []);
        let renamed = "[dev-dependencies]\nx = { package = \"pyrite-worker\", path = \"../worker\" }\n[dependencies.pyrite-master]\n";
        assert_eq!(rules("driver/Cargo.toml", renamed), [(2, Rule::Dependency), (3, Rule::Dependency)]);
        assert_eq!(rules("new/Cargo.toml", "[package]\n"), [(1, Rule::Dependency)]);
    }

    #[test]
    fn an_exception_covers_its_rule_in_its_file_and_must_be_needed() {
        let found: BTreeSet<_> = check("a/src/x.rs", "dbg!(x)\n").into_iter().collect();
        let complaints = judge(found, &[("a/src/x.rs", Rule::Header, "why"), ("a/src/y.rs", Rule::Header, "why")]);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("a/src/x.rs:1: no `todo!`"), "{complaints:?}");
        assert!(complaints[1].starts_with("a/src/y.rs:0: the exception is no longer needed"), "{complaints:?}");
    }
}
