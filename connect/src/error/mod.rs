//! How an error reaches the client: a gRPC status with `google.rpc.ErrorInfo`, from which PySpark builds the exception,
//! and the same again in full when the client asks for details.
//!
//! As Spark, every error has the gRPC code INTERNAL; what it is stands in the metadata. Header space is small, so long
//! texts are cut there and sent whole by `FetchErrorDetails`.

mod class;

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use pyrite_engine::error::{ExceptionKind, SparkError};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::wire::{FetchErrorDetailsResponse, fetch_error_details_response as details};

/// Errors per session whose details can still be asked for.
const ERRORS_KEPT: usize = 64;

/// The longest text in a header; gRPC implementations refuse headers of 8 KiB in total.
const HEADER_TEXT_MAX: usize = 1024;

/// `ErrorInfo.domain`, as Spark.
const DOMAIN: &str = "org.apache.spark";

/// Recent errors of a session by id.
#[derive(Default)]
pub struct ErrorLog {
    kept: Mutex<VecDeque<(String, SparkError)>>,
}

impl ErrorLog {
    /// The status for an error, which is remembered for `FetchErrorDetails`.
    pub fn status(&self, error: SparkError) -> Status {
        let id = Uuid::new_v4().to_string();
        let status = to_status(&error, Some(&id));
        let mut kept = self.kept.lock();
        if kept.len() >= ERRORS_KEPT {
            kept.pop_front();
        }
        kept.push_back((id, error));
        status
    }

    /// The error of this id in full.
    pub fn details(&self, id: &str) -> Option<FetchErrorDetailsResponse> {
        let kept = self.kept.lock();
        let (_, error) = kept.iter().find(|(kept_id, _)| kept_id == id)?;
        Some(details_of(error))
    }
}

/// The message as Spark prints it: the class in front and the SQL state behind, except for errors that have no class of
/// their own.
pub fn display_message(error: &SparkError) -> String {
    let legacy = error.class.is_empty() || error.class.starts_with("_LEGACY_ERROR_TEMP");
    if legacy {
        return error.message.clone();
    }
    // As Spark: of a parse error, the place and the text stand behind the SQL state.
    match error.message.find(" (line ") {
        Some(place) if error.kind == ExceptionKind::Parse => {
            let (what, place) = error.message.split_at(place);
            format!("\n[{}] {what} SQLSTATE: {}{place}", error.class, error.sql_state)
        }
        _ => error.to_string(),
    }
}

/// The status for an error that has no session to be remembered in.
pub fn to_status(error: &SparkError, id: Option<&str>) -> Status {
    let message = display_message(error);
    let classes = class::class_names(error);
    let mut metadata = HashMap::from([("classes".to_owned(), json_text(&classes))]);
    if !error.class.is_empty() {
        metadata.insert("errorClass".to_owned(), error.class.clone());
        let parameters = json_text(&error.parameters);
        if parameters.len() <= HEADER_TEXT_MAX {
            metadata.insert("messageParameters".to_owned(), parameters);
        }
    }
    if !error.sql_state.is_empty() {
        metadata.insert("sqlState".to_owned(), error.sql_state.clone());
    }
    if let Some(id) = id {
        metadata.insert("errorId".to_owned(), id.to_owned());
    }
    let info = ErrorDetails::with_error_info(classes[0], DOMAIN, metadata);
    Status::with_error_details(Code::Internal, cut(&message), info)
}

/// A mistake of ours: what the client sent cannot be served because an invariant broke.
pub fn internal(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::Runtime, "INTERNAL_ERROR", "XX000", message)
}

/// A message that lacks what its protocol requires.
pub fn invalid_plan(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::Runtime, "CONNECT_INVALID_PLAN.ASSERTION_FAILURE", "56K00", message)
}

/// Why an id is refused that is no UUID.
pub const NOT_A_UUID: &str = "handle must be an UUID string of the format '00112233-4455-6677-8899-aabbccddeeff'";

/// Spark's `INVALID_HANDLE.<sub>`, which the client's reattach logic looks for by name.
pub fn handle_error(sub_class: &str, handle: &str, why: &str) -> SparkError {
    let message = format!("The handle {handle} is invalid: {why}.");
    SparkError::new(ExceptionKind::Runtime, &format!("INVALID_HANDLE.{sub_class}"), "HY000", message)
        .with("handle", handle)
}

/// An argument out of its domain that has no error class in Spark.
pub fn illegal_argument(message: impl Into<String>) -> SparkError {
    SparkError::new(ExceptionKind::IllegalArgument, "", "", message)
}

fn details_of(error: &SparkError) -> FetchErrorDetailsResponse {
    let throwable = details::SparkThrowable {
        error_class: (!error.class.is_empty()).then(|| error.class.clone()),
        message_parameters: error.parameters.clone().into_iter().collect(),
        sql_state: (!error.sql_state.is_empty()).then(|| error.sql_state.clone()),
        ..Default::default()
    };
    let root = details::Error {
        error_type_hierarchy: class::class_names(error).into_iter().map(str::to_owned).collect(),
        message: display_message(error),
        spark_throwable: Some(throwable),
        ..Default::default()
    };
    FetchErrorDetailsResponse { root_error_idx: Some(0), errors: vec![root], ..Default::default() }
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists and maps of strings serialize")
}

fn cut(text: &str) -> String {
    if text.len() <= HEADER_TEXT_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(HEADER_TEXT_MAX);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_is_what_the_client_reads() {
        let error = SparkError::analysis("TABLE_OR_VIEW_NOT_FOUND", "42P01", "The table or view `t` cannot be found.")
            .with("relationName", "`t`");
        let status = ErrorLog::default().status(error);
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(
            status.message(),
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `t` cannot be found. SQLSTATE: 42P01"
        );
        let info = status.get_details_error_info().expect("an error info");
        assert_eq!(info.metadata["errorClass"], "TABLE_OR_VIEW_NOT_FOUND");
        assert_eq!(info.metadata["sqlState"], "42P01");
        assert_eq!(info.metadata["messageParameters"], r#"{"relationName":"`t`"}"#);
        assert!(info.metadata["classes"].contains("org.apache.spark.sql.AnalysisException"));
        assert!(info.metadata.contains_key("errorId"));
    }

    #[test]
    fn errors_without_a_class_of_their_own_show_the_message_alone() {
        let legacy = SparkError::analysis("_LEGACY_ERROR_TEMP_1321", "", "Invalid view name: a b.");
        assert_eq!(display_message(&legacy), "Invalid view name: a b.");
    }

    #[test]
    fn a_parse_error_is_laid_out_as_sparks() {
        let message = "Syntax error at or near 'selec'. (line 1, pos 0)\n\n== SQL ==\nselec 1\n^^^\n";
        let parse = SparkError::new(ExceptionKind::Parse, "PARSE_SYNTAX_ERROR", "42601", message);
        assert_eq!(
            display_message(&parse),
            "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'selec'. SQLSTATE: 42601 (line 1, pos 0)\n\n== SQL ==\nselec 1\n^^^\n"
        );
    }

    #[test]
    fn a_long_message_is_cut_in_the_header_and_whole_in_the_details() {
        let log = ErrorLog::default();
        let status = log.status(SparkError::analysis("C", "42000", "ä".repeat(3000)));
        assert!(status.message().len() < 1100);
        let id = status.get_details_error_info().unwrap().metadata["errorId"].clone();
        let details = log.details(&id).expect("kept");
        assert!(details.errors[0].message.len() > 6000);
        assert!(log.details("other").is_none());
    }
}
