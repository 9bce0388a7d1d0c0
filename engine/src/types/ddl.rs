//! Reads Spark's DDL: `user_id STRING, a STRUCT<x: INT NOT NULL, y: ARRAY<STRING>> COMMENT 'c'`, or one type alone.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalUnit};

use super::{COMMENT_KEY, DECIMAL_PRECISION_MAX, array_of, day_time_interval, map_of, timestamp, timestamp_ntz};
use crate::error::{ExceptionKind, SparkError};

/// Types nest at most this deep, so that hostile text cannot exhaust the stack.
const DEPTH_MAX: usize = 100;

/// Reads a list of fields: `a INT, b STRING NOT NULL`. A single `struct<..>` gives its fields.
pub fn parse_fields(text: &str) -> Result<Fields, SparkError> {
    // As PySpark: names and types may stand around colons here, as they do inside of a struct.
    let parsed = parse_type(text).or_else(|error| parse_type(&format!("struct<{text}>")).map_err(|_| error));
    match parsed? {
        DataType::Struct(fields) => Ok(fields),
        other => Err(SparkError::analysis(
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            "42K07",
            format!(
                "The input schema \"{text}\" is not a valid schema string. The input expression should be evaluated to \
                 struct type, but got {}.",
                super::quoted_sql_name(&other)
            ),
        )),
    }
}

/// Reads one type (`int`, `array<string>`), or a list of fields, which is a struct. As Spark's `DataType.fromDDL`.
pub fn parse_type(text: &str) -> Result<DataType, SparkError> {
    parse(text).map(|parsed| parsed.data_type)
}

/// Reads a schema, which cannot have fields of a type `CHAR` or `VARCHAR`: of these Spark makes a string only in casts.
pub fn parse_schema_ddl(text: &str) -> Result<DataType, SparkError> {
    let parsed = parse(text)?;
    if !parsed.bounded_text {
        return Ok(parsed.data_type);
    }
    Err(SparkError::analysis(
        "UNSUPPORTED_CHAR_OR_VARCHAR_AS_STRING",
        "0A000",
        "The char/varchar type can't be used in the table schema. Use the type STRING for it.",
    ))
}

/// A type as it was read.
struct Parsed {
    data_type: DataType,
    /// Whether a `CHAR` or `VARCHAR` is in it, which has become a string.
    bounded_text: bool,
}

fn parse(text: &str) -> Result<Parsed, SparkError> {
    let tokens = tokenize(text)?;
    if tokens.is_empty() {
        return Err(SparkError::new(
            ExceptionKind::Parse,
            "PARSE_EMPTY_STATEMENT",
            "42617",
            "Syntax error, unexpected empty statement.",
        ));
    }
    // What is wrong with the text as one type is what Spark says, even where it looks like a list of fields.
    Parser::new(&tokens).whole(Parser::data_type).or_else(|error| {
        let fields = |parser: &mut Parser<'_>| parser.fields(None).map(DataType::Struct);
        Parser::new(&tokens).whole(fields).map_err(|_| error)
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word; `true` when it was quoted by backticks and so is never a keyword.
    Word(String, bool),
    Text(String),
    Symbol(char),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Token::Word(word, true) => format!("`{word}`"),
            Token::Word(word, false) => word.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => symbol.to_string(),
        }
    }
}

fn syntax_error(near: &str) -> SparkError {
    SparkError::new(ExceptionKind::Parse, "PARSE_SYNTAX_ERROR", "42601", format!("Syntax error at or near {near}."))
        .with("error", near)
        .with("hint", "")
}

fn tokenize(text: &str) -> Result<Vec<Token>, SparkError> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((start, next)) = rest.next() {
        if next.is_whitespace() {
            continue;
        }
        match next {
            '<' | '>' | '(' | ')' | ',' | ':' => tokens.push(Token::Symbol(next)),
            '`' | '\'' | '"' => {
                let mut word = String::new();
                loop {
                    match rest.next() {
                        Some((_, end)) if end == next => {
                            // A doubled backtick is one of the name's own.
                            if next == '`' && rest.peek().is_some_and(|(_, after)| *after == '`') {
                                rest.next();
                                word.push('`');
                                continue;
                            }
                            break;
                        }
                        Some((_, '\\')) if next != '`' => {
                            if let Some((_, escaped)) = rest.next() {
                                word.push(escaped);
                            }
                        }
                        Some((_, inner)) => word.push(inner),
                        None => return Err(syntax_error(&format!("'{next}'"))),
                    }
                }
                tokens.push(if next == '`' { Token::Word(word, true) } else { Token::Text(word) });
            }
            _ if next.is_alphanumeric() || next == '_' => {
                let mut end = start + next.len_utf8();
                while let Some((at, inner)) = rest.peek() {
                    if !(inner.is_alphanumeric() || *inner == '_') {
                        break;
                    }
                    end = at + inner.len_utf8();
                    rest.next();
                }
                tokens.push(Token::Word(text[start..end].to_owned(), false));
            }
            other => return Err(syntax_error(&format!("'{other}'"))),
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: &'a [Token],
    position: usize,
    depth: usize,
    bounded_text: bool,
    /// The first type that is well formed but does not exist. Said only if the rest of the text is well formed too.
    unknown: Option<SparkError>,
}

impl<'a> Parser<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        Parser { tokens, position: 0, depth: 0, bounded_text: false, unknown: None }
    }

    /// Reads all tokens.
    fn whole(mut self, read: impl FnOnce(&mut Self) -> Result<DataType, SparkError>) -> Result<Parsed, SparkError> {
        let data_type = read(&mut self)?;
        self.end()?;
        match self.unknown {
            Some(error) => Err(error),
            None => Ok(Parsed { data_type, bounded_text: self.bounded_text }),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    fn error(&self) -> SparkError {
        match self.peek() {
            Some(token) => syntax_error(&format!("'{}'", token.text().trim_matches('\''))),
            None => syntax_error("end of input"),
        }
    }

    fn end(&self) -> Result<(), SparkError> {
        if self.position == self.tokens.len() { Ok(()) } else { Err(self.error()) }
    }

    fn symbol(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(&Token::Symbol(wanted));
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), SparkError> {
        if self.symbol(wanted) { Ok(()) } else { Err(self.error()) }
    }

    fn keyword(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word, false)) if word.eq_ignore_ascii_case(wanted));
        self.position += usize::from(found);
        found
    }

    fn word(&mut self) -> Result<String, SparkError> {
        match self.peek() {
            Some(Token::Word(word, _)) => {
                let word = word.clone();
                self.position += 1;
                Ok(word)
            }
            _ => Err(self.error()),
        }
    }

    fn number(&mut self) -> Result<i64, SparkError> {
        match self.peek() {
            Some(Token::Word(word, false)) => {
                let number = word.parse().map_err(|_| self.error())?;
                self.position += 1;
                Ok(number)
            }
            _ => Err(self.error()),
        }
    }

    /// Fields up to the `close` symbol, or to the end of the text.
    fn fields(&mut self, close: Option<char>) -> Result<Fields, SparkError> {
        let mut fields = Vec::new();
        loop {
            if let (Some(close), true) = (close, fields.is_empty())
                && self.symbol(close)
            {
                return Ok(Fields::empty());
            }
            fields.push(Arc::new(self.field(close.is_some())?));
            if self.symbol(',') {
                continue;
            }
            if let Some(close) = close {
                self.expect(close)?;
            }
            return Ok(fields.into());
        }
    }

    /// A field; only inside of a struct a colon may follow the name.
    fn field(&mut self, inside: bool) -> Result<Field, SparkError> {
        let name = self.word()?;
        if inside {
            self.symbol(':');
        }
        let data_type = self.data_type()?;
        let mut nullable = true;
        if self.keyword("not") {
            if !self.keyword("null") {
                return Err(self.error());
            }
            nullable = false;
        }
        let mut field = Field::new(name, data_type, nullable);
        if self.keyword("comment") {
            match self.peek() {
                Some(Token::Text(comment)) => {
                    field = field.with_metadata(HashMap::from([(COMMENT_KEY.to_owned(), comment.clone())]));
                    self.position += 1;
                }
                _ => return Err(self.error()),
            }
        }
        Ok(field)
    }

    fn data_type(&mut self) -> Result<DataType, SparkError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error());
        }
        let data_type = self.data_type_here();
        self.depth -= 1;
        data_type
    }

    fn data_type_here(&mut self) -> Result<DataType, SparkError> {
        let name = self.word()?;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "array" => {
                self.expect('<')?;
                let element = self.data_type()?;
                self.expect('>')?;
                Ok(array_of(element, true))
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                Ok(map_of(key, value, true))
            }
            "struct" => {
                self.expect('<')?;
                Ok(DataType::Struct(self.fields(Some('>'))?))
            }
            "decimal" | "dec" | "numeric" => self.decimal(),
            "char" | "character" | "varchar" => {
                self.expect('(')?;
                self.number()?;
                self.expect(')')?;
                self.bounded_text = true;
                Ok(DataType::Utf8)
            }
            "interval" => self.interval(),
            _ => match simple_type(&lower) {
                Some(data_type) => Ok(data_type),
                None => self.unknown_type(&name),
            },
        }
    }

    fn decimal(&mut self) -> Result<DataType, SparkError> {
        if !self.symbol('(') {
            return Ok(DataType::Decimal128(10, 0));
        }
        let precision = self.number()?;
        let scale = if self.symbol(',') { self.number()? } else { 0 };
        self.expect(')')?;
        checked_decimal(precision, scale).or_else(|error| self.put_aside(error))
    }

    /// A name that is no type's, with the parameters that types may have.
    fn unknown_type(&mut self, name: &str) -> Result<DataType, SparkError> {
        if self.symbol('(') {
            self.number()?;
            while self.symbol(',') {
                self.number()?;
            }
            self.expect(')')?;
        }
        self.put_aside(unsupported_type(name))
    }

    fn put_aside(&mut self, error: SparkError) -> Result<DataType, SparkError> {
        self.unknown.get_or_insert(error);
        Ok(DataType::Null)
    }

    fn interval(&mut self) -> Result<DataType, SparkError> {
        const YEAR_MONTH: [&str; 2] = ["year", "month"];
        const DAY_TIME: [&str; 4] = ["day", "hour", "minute", "second"];
        let units = |parser: &mut Self, units: &[&str]| units.iter().any(|unit| parser.keyword(unit));
        for (family, data_type) in
            [(&YEAR_MONTH[..], DataType::Interval(IntervalUnit::YearMonth)), (&DAY_TIME[..], day_time_interval())]
        {
            if units(self, family) {
                if self.keyword("to") && !units(self, family) {
                    return Err(self.error());
                }
                return Ok(data_type);
            }
        }
        Ok(DataType::Interval(IntervalUnit::MonthDayNano))
    }
}

/// A decimal type with Spark's refusals of what it cannot hold.
pub(super) fn checked_decimal(precision: i64, scale: i64) -> Result<DataType, SparkError> {
    if precision > i64::from(DECIMAL_PRECISION_MAX) {
        return Err(SparkError::analysis(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            "22003",
            format!("Decimal precision {precision} exceeds max precision {DECIMAL_PRECISION_MAX}."),
        ));
    }
    if scale > precision || scale < 0 || precision < 1 {
        return Err(SparkError::analysis(
            "INVALID_DECIMAL_TYPE",
            "42K0G",
            format!("Decimal scale ({scale}) cannot be greater than precision ({precision})."),
        ));
    }
    let narrow = u8::try_from(precision).ok().zip(i8::try_from(scale).ok());
    let (precision, scale) = narrow.expect("both are at most 38");
    Ok(DataType::Decimal128(precision, scale))
}

pub(super) fn unsupported_type(name: &str) -> SparkError {
    let shown = format!("\"{}\"", name.to_uppercase());
    SparkError::new(ExceptionKind::Parse, "UNSUPPORTED_DATATYPE", "0A000", format!("Unsupported data type {shown}."))
        .with("typeName", shown)
}

/// The types that are one word, by every name that DDL has for them.
pub(super) fn simple_type(lower: &str) -> Option<DataType> {
    Some(match lower {
        "boolean" => DataType::Boolean,
        "tinyint" | "byte" => DataType::Int8,
        "smallint" | "short" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" | "timestamp_ltz" => timestamp(),
        "timestamp_ntz" => timestamp_ntz(),
        "void" => DataType::Null,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::simple_string;

    #[test]
    fn reads_the_fields_of_a_table() {
        let fields = parse_fields("user_id STRING, severity string, at TIMESTAMP NOT NULL COMMENT 'when'").unwrap();
        assert_eq!(fields.len(), 3);
        assert_eq!(fields[0].data_type(), &DataType::Utf8);
        assert_eq!(fields[2].data_type(), &timestamp());
        assert!(!fields[2].is_nullable());
        assert_eq!(fields[2].metadata()[COMMENT_KEY], "when");
    }

    #[test]
    fn reads_nested_types_with_and_without_colons() {
        let text =
            "a STRUCT<x: INT, y ARRAY<STRING>>, m MAP<STRING,INT>, d DECIMAL(10,2), `odd name` bigint, e struct<>";
        let parsed = parse_type(text).unwrap();
        assert_eq!(
            simple_string(&parsed),
            "struct<a:struct<x:int,y:array<string>>,m:map<string,int>,d:decimal(10,2),odd name:bigint,e:struct<>>"
        );
    }

    #[test]
    fn reads_one_type_alone() {
        assert_eq!(parse_type("int").unwrap(), DataType::Int32);
        assert_eq!(parse_type(" Decimal ").unwrap(), DataType::Decimal128(10, 0));
        assert_eq!(parse_type("interval day to second").unwrap(), day_time_interval());
        assert_eq!(simple_string(&parse_type("array<struct<a:int>>").unwrap()), "array<struct<a:int>>");
    }

    #[test]
    fn a_field_may_be_called_as_a_type_is() {
        let fields = parse_fields("timestamp TIMESTAMP, array ARRAY<INT>").unwrap();
        assert_eq!(fields[0].name(), "timestamp");
        assert_eq!(fields[1].name(), "array");
    }

    #[test]
    fn colons_stand_in_structs_only() {
        assert!(parse_type("a: int, b: string").is_err());
        assert_eq!(simple_string(&parse_type("struct<a: int, b string>").unwrap()), "struct<a:int,b:string>");
        assert_eq!(parse_fields("a: int, b: string").unwrap().len(), 2);
    }

    #[test]
    fn schemas_have_no_bounded_text() {
        assert_eq!(parse_type("varchar(5)").unwrap(), DataType::Utf8);
        assert!(parse_schema_ddl("a STRING").is_ok());
        let error = parse_schema_ddl("a ARRAY<CHAR(3)>").unwrap_err();
        assert_eq!(error.class, "UNSUPPORTED_CHAR_OR_VARCHAR_AS_STRING");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(parse_type("foo").unwrap_err().class, "UNSUPPORTED_DATATYPE");
        assert_eq!(parse_type("a foo").unwrap_err().class, "PARSE_SYNTAX_ERROR");
        assert_eq!(parse_type("struct<a: foo(3)>").unwrap_err().class, "UNSUPPORTED_DATATYPE");
        assert_eq!(parse_type("a int b").unwrap_err().class, "PARSE_SYNTAX_ERROR");
        assert_eq!(parse_type("a int,").unwrap_err().class, "PARSE_SYNTAX_ERROR");
        assert_eq!(parse_type("struct<a int,").unwrap_err().message, "Syntax error at or near end of input.");
        assert_eq!(parse_type("  ").unwrap_err().class, "PARSE_EMPTY_STATEMENT");
        assert_eq!(parse_type("decimal(50,2)").unwrap_err().class, "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION");
        assert!(parse_type(&"array<".repeat(500)).is_err());
    }
}
