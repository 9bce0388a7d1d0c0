//! The step between sqlparser's tokeniser and its parser: what Spark's grammar has and sqlparser's lacks.
//!
//! Adjacent strings join, backslash escapes mean what they mean in Spark, `1S` and `1.5BD` and every form of interval
//! literal become calls of a reserved function that the lowering turns into literals, and words that sqlparser treats
//! as syntax before a parenthesis (`array(`, `struct(`) become plain function names.

use sqlparser::dialect::Dialect;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

use pyrite_engine::error::SparkError;

use super::dialect::PyriteDialect;
use super::{errors, literals};

/// The reserved function that carries a number with a suffix: `__number__('1.5D')`.
pub(super) const NUMBER: &str = "__number__";
/// The reserved function that carries an interval: `__interval__('5 seconds')` or `__interval__('1-2', 'YEAR TO
/// MONTH')`.
pub(super) const INTERVAL: &str = "__interval__";

/// Words that are plain functions in Spark, but syntax for sqlparser when a parenthesis follows.
const PLAIN_FUNCTIONS: &[&str] = &[
    "array",
    "map",
    "left",
    "right",
    "insert",
    "replace",
    "if",
    "date",
    "timestamp",
    "first",
    "last",
    "char",
    "user",
    "any",
    "some",
    "all",
    "convert",
    "unnest",
    "listagg",
    "ceil",
    "floor",
    "ceiling",
];

/// The tokens of `text`, rewritten for sqlparser's parser, without white space.
pub(super) fn tokenize(dialect: &PyriteDialect, text: &str) -> Result<Vec<TokenWithSpan>, SparkError> {
    let raw = Tokenizer::new(dialect as &dyn Dialect, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| errors::syntax(text, &ParserError::TokenizerError(error.to_string())))?;
    let raw = literal_tokens(raw)?;
    let mut rewriter = Rewriter { tokens: raw, at: 0, out: Vec::new() };
    rewriter.run();
    Ok(rewriter.out)
}

/// Numbers with suffixes and strings, where adjacency matters; drops white space.
fn literal_tokens(raw: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SparkError> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let TokenWithSpan { token, span } = raw[at].clone();
        let next = raw.get(at + 1).map(|next| &next.token);
        at += 1;
        let put = |token| TokenWithSpan { token, span };
        match token {
            Token::Whitespace(_) => {}
            Token::Number(digits, long) => {
                let suffix = match (long, next) {
                    (true, _) => Some("L".to_owned()),
                    (false, Some(Token::Word(word))) if word.quote_style.is_none() => number_suffix(&word.value),
                    _ => None,
                };
                match suffix {
                    Some(suffix) => {
                        at += usize::from(!long);
                        out.extend(call(NUMBER, &[format!("{digits}{suffix}")]).into_iter().map(put));
                    }
                    None => out.push(put(Token::Number(digits, false))),
                }
            }
            Token::Word(word) if is_raw_prefix(&word, next) => {
                let string = raw[at].token.clone();
                at += 1;
                if let Some((body, _)) = string_body(&string) {
                    push_string(&mut out, body.to_owned(), put);
                }
            }
            Token::SingleQuotedRawStringLiteral(body) | Token::DoubleQuotedRawStringLiteral(body) => {
                push_string(&mut out, body, put)
            }
            other => match string_body(&other) {
                Some((body, quote)) => push_string(&mut out, literals::unescape(body, quote), put),
                None => out.push(put(other)),
            },
        }
    }
    Ok(out)
}

/// The text between the quotes, as written, and the quote.
fn string_body(token: &Token) -> Option<(&str, char)> {
    match token {
        Token::SingleQuotedString(body) => Some((body, '\'')),
        Token::DoubleQuotedString(body) => Some((body, '"')),
        _ => None,
    }
}

fn is_raw_prefix(word: &Word, next: Option<&Token>) -> bool {
    word.quote_style.is_none()
        && word.value.eq_ignore_ascii_case("r")
        && next.is_some_and(|next| string_body(next).is_some())
}

/// Adjacent string literals are one string, as Spark.
fn push_string(out: &mut Vec<TokenWithSpan>, body: String, put: impl Fn(Token) -> TokenWithSpan) {
    if let Some(TokenWithSpan { token: Token::SingleQuotedString(last), .. }) = out.last_mut() {
        last.push_str(&body);
        return;
    }
    out.push(put(Token::SingleQuotedString(body)));
}

fn number_suffix(word: &str) -> Option<String> {
    let upper = word.to_ascii_uppercase();
    matches!(upper.as_str(), "S" | "Y" | "L" | "F" | "D" | "BD").then_some(upper)
}

/// The tokens of `name('a', 'b')`.
fn call(name: &str, args: &[String]) -> Vec<Token> {
    let mut tokens = vec![plain_word(name), Token::LParen];
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            tokens.push(Token::Comma);
        }
        tokens.push(Token::SingleQuotedString(arg.clone()));
    }
    tokens.push(Token::RParen);
    tokens
}

/// A word that is no keyword to the parser.
fn plain_word(name: &str) -> Token {
    Token::make_word(name, Some('`'))
}

/// Rewrites intervals and function names.
struct Rewriter {
    tokens: Vec<TokenWithSpan>,
    at: usize,
    out: Vec<TokenWithSpan>,
}

impl Rewriter {
    fn run(&mut self) {
        while self.at < self.tokens.len() {
            let start = self.tokens[self.at].span;
            let rewritten = self.interval().or_else(|| self.plain_function());
            match rewritten {
                Some(tokens) => self.out.extend(tokens.into_iter().map(|token| TokenWithSpan { token, span: start })),
                None => {
                    self.out.push(self.tokens[self.at].clone());
                    self.at += 1;
                }
            }
        }
    }

    fn token(&self, offset: usize) -> Option<&Token> {
        self.tokens.get(self.at + offset).map(|token| &token.token)
    }

    fn word(&self, offset: usize) -> Option<String> {
        match self.token(offset)? {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
            _ => None,
        }
    }

    fn plain_function(&mut self) -> Option<Vec<Token>> {
        let word = self.word(0)?;
        let called = self.token(1) == Some(&Token::LParen);
        let after_dot = matches!(self.out.last(), Some(TokenWithSpan { token: Token::Period, .. }));
        // `struct(a AS x)` is syntax of its own, but its parser knows no stars.
        let star_struct = word == "struct"
            && called
            && self.has_argument(|previous, token| {
                token == &Token::Mul && matches!(previous, Some(Token::LParen | Token::Comma | Token::Period))
            });
        // `trim(BOTH 'x' FROM v)` is syntax too, but `trim('x', v)` is a call.
        let trim_call = word == "trim" && called && self.has_argument(|_, token| token == &Token::Comma);
        // An interval literal would have been taken by now.
        let is_function = called && PLAIN_FUNCTIONS.contains(&word.as_str());
        if after_dot || star_struct || trim_call || word == "interval" || is_function {
            let Some(Token::Word(word)) = self.token(0) else { return None };
            let token = plain_word(&word.value);
            self.at += 1;
            return Some(vec![token]);
        }
        None
    }

    /// Whether the call at hand has, directly between its parentheses, such a token behind such another.
    fn has_argument(&self, wanted: impl Fn(Option<&Token>, &Token) -> bool) -> bool {
        let mut depth = 0_usize;
        for offset in 1.. {
            let previous = self.token(offset - 1);
            match self.token(offset) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => depth = depth.saturating_sub(1),
                Some(token) if depth == 1 && wanted(previous, token) => return true,
                Some(_) => {}
                None => return false,
            }
            if depth == 0 {
                return false;
            }
        }
        false
    }

    /// `INTERVAL 5 seconds`, `INTERVAL -'5' day 3 hours`, `INTERVAL '5 seconds'`, `INTERVAL '1-2' YEAR TO MONTH`.
    fn interval(&mut self) -> Option<Vec<Token>> {
        if self.word(0)? != "interval" {
            return None;
        }
        let mut offset = 1;
        let mut parts = Vec::new();
        while let Some((sign, value, width)) = self.interval_value(offset) {
            let Some(unit) = self.word(offset + width).filter(|unit| is_unit(unit)) else { break };
            offset += width + 1;
            if self.word(offset).as_deref() == Some("to") {
                let to = self.word(offset + 1).filter(|unit| is_unit(unit))?;
                self.at += offset + 2;
                return Some(call(INTERVAL, &[format!("{sign}{value}"), format!("{unit} to {to}")]));
            }
            parts.push(format!("{sign}{value} {unit}"));
        }
        if !parts.is_empty() {
            self.at += offset;
            return Some(call(INTERVAL, &[parts.join(" ")]));
        }
        let (sign, value, width) = self.interval_value(1)?;
        let Some(Token::SingleQuotedString(_)) = self.token(width) else { return None };
        self.at += 1 + width;
        let text = if sign.is_empty() { value } else { format!("{sign} {value}") };
        Some(call(INTERVAL, &[text]))
    }

    /// A signed number or string at `offset`: sign, text, and how many tokens it takes.
    fn interval_value(&self, offset: usize) -> Option<(&'static str, String, usize)> {
        let (sign, skip) = match self.token(offset)? {
            Token::Minus => ("-", 1),
            Token::Plus => ("", 1),
            _ => ("", 0),
        };
        match self.token(offset + skip)? {
            Token::Number(digits, false) => Some((sign, digits.clone(), skip + 1)),
            Token::SingleQuotedString(text) => Some((sign, text.trim().to_owned(), skip + 1)),
            _ => None,
        }
    }
}

fn is_unit(word: &str) -> bool {
    super::interval::unit(word).is_some()
}
