//! SQL text to the unresolved form: `selectExpr`, `expr`, string filters and `spark.sql`.
//!
//! Text is tokenised by sqlparser, the tokens are put into a form its parser understands where Spark's grammar is wider
//! ([`tokens`]), and its tree is lowered ([`lower`], [`query`]) into the same unresolved form that Spark Connect
//! messages become. Names and types are the analyzer's business.

mod dialect;
mod errors;
mod interval;
mod literals;
mod lower;
mod query;
mod tokens;

pub use interval::{IntervalValue, parse_interval};

use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use pyrite_engine::error::SparkError;

use crate::analysis::unresolved::{Relation, UnresolvedExpr};
use dialect::PyriteDialect;

/// The deepest nesting of one text; deeper ones are refused instead of overflowing the stack.
const DEPTH_MAX: usize = 50;
/// The most tokens of one text. A chain of operators (`a + a + ..`) is not nested for the parser, but its tree is as
/// deep as the chain is long, and all that walks it recurses.
const TOKENS_MAX: usize = 50_000;

/// One named expression: `CAST(value AS STRING) as json`, `*`, `data.*`, `count(*) n`.
///
/// # Errors
/// `PARSE_SYNTAX_ERROR` where the text is not an expression, `UNSUPPORTED_FEATURE` where Pyrite lacks a construct.
pub fn parse_expression(text: &str) -> Result<UnresolvedExpr, SparkError> {
    let dialect = PyriteDialect;
    let mut parser = parser(&dialect, text)?;
    let item = parser.parse_select_item().map_err(|error| errors::syntax(text, &error))?;
    end_of_text(&mut parser, text)?;
    lower::select_item(item)
}

/// One query without joins.
///
/// # Errors
/// `PARSE_SYNTAX_ERROR` where the text is not SQL, `UNSUPPORTED_FEATURE` naming what Pyrite lacks.
pub fn parse_query(text: &str) -> Result<Relation, SparkError> {
    let dialect = PyriteDialect;
    let mut parser = parser(&dialect, text)?;
    query::refuse_other_statements(&parser.peek_token().token)?;
    let query = parser.parse_query().map_err(|error| errors::syntax(text, &error))?;
    while parser.consume_token(&Token::SemiColon) {}
    end_of_text(&mut parser, text)?;
    query::lower_statement(*query)
}

fn parser<'a>(dialect: &'a PyriteDialect, text: &str) -> Result<Parser<'a>, SparkError> {
    let tokens = tokens::tokenize(dialect, text)?;
    if tokens.len() > TOKENS_MAX {
        return Err(errors::too_complex());
    }
    Ok(Parser::new(dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens))
}

fn end_of_text(parser: &mut Parser<'_>, text: &str) -> Result<(), SparkError> {
    let next = parser.peek_token();
    if next.token == Token::EOF {
        return Ok(());
    }
    let error = ParserError::ParserError(format!("Expected: end of text, found: {next}"));
    Err(errors::syntax(text, &error))
}

#[cfg(test)]
mod tests;
