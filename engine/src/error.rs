//! The errors a user's expression can raise: at analysis, with Spark's error class, and at run time.
//!
//! Both carry what Spark's clients show: the class in brackets, the SQL state and the named parameters. The
//! front end turns them into Spark's exceptions; nothing here knows about a wire.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

/// Which of Spark's exceptions an error becomes on the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceptionKind {
    /// `AnalysisException`: the query cannot mean anything.
    Analysis,
    /// `ParseException`: text that is not SQL.
    Parse,
    /// `IllegalArgumentException`: an option or argument out of its domain.
    IllegalArgument,
    /// `SparkUnsupportedOperationException`: valid in Spark, not (yet) here.
    Unsupported,
    /// `SparkRuntimeException`, `SparkArithmeticException` and kin: raised by a row.
    Runtime,
}

/// An error with Spark's error class, as its clients expect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkError {
    pub kind: ExceptionKind,
    /// Spark's error class with its sub-class, for example `UNRESOLVED_COLUMN.WITH_SUGGESTION`.
    pub class: String,
    /// The five-character SQL state of the class, for example `42703`.
    pub sql_state: String,
    /// The message without the class in brackets.
    pub message: String,
    /// Spark's message parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

impl SparkError {
    /// An analysis error; the class and the SQL state are Spark's.
    pub fn analysis(class: &str, sql_state: &str, message: impl Into<String>) -> Self {
        Self::new(ExceptionKind::Analysis, class, sql_state, message)
    }

    /// Any kind of error; the class and the SQL state are Spark's.
    pub fn new(kind: ExceptionKind, class: &str, sql_state: &str, message: impl Into<String>) -> Self {
        SparkError {
            kind,
            class: class.to_owned(),
            sql_state: sql_state.to_owned(),
            message: message.into(),
            parameters: BTreeMap::new(),
        }
    }

    /// Something Spark has and Pyrite does not have yet; `what` names it.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::analysis("UNSUPPORTED_FEATURE", "0A000", format!("{what} is not supported by Pyrite yet"))
    }

    /// The same error with one message parameter more.
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.parameters.insert(name.to_owned(), value.to_string());
        self
    }
}

impl fmt::Display for SparkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.class, self.message)?;
        if !self.sql_state.is_empty() {
            write!(f, " SQLSTATE: {}", self.sql_state)?;
        }
        Ok(())
    }
}

impl std::error::Error for SparkError {}

/// A kernel fails with Spark's error inside DataFusion's.
impl From<SparkError> for DataFusionError {
    fn from(error: SparkError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl SparkError {
    /// Spark's error inside one of DataFusion's, however deep, if there is one.
    pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SparkError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<SparkError>() {
                return Some(found);
            }
            next = match error.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
                Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
                Some(DataFusionError::Collection(errors)) => {
                    return errors.iter().find_map(|error| SparkError::find(error));
                }
                _ => match error.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    _ => error.source(),
                },
            };
        }
        None
    }
}
