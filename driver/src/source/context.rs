//! What librdkafka says beside its answers: log lines, and why connections fail. An answer that does not come has the
//! reason only here.

use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Hands librdkafka's log lines to ours and keeps its last complaint.
#[derive(Default)]
pub(super) struct Context {
    complaint: Mutex<Complaint>,
}

/// What is wrong with the connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaint {
    /// In words; empty when nothing is.
    pub(super) text: String,
    /// Since when brokers refuse the credentials or certificates, and nothing else is wrong.
    pub(super) refused_since: Option<Instant>,
}

impl Context {
    /// What is wrong now.
    pub(super) fn complaint(&self) -> Complaint {
        self.complaint.lock().clone()
    }

    /// A question was answered: whatever was wrong is over.
    pub(super) fn well(&self) {
        *self.complaint.lock() = Complaint::default();
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(facility, "kafka client: {message}");
            }
            _ => tracing::debug!(facility, "kafka client: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("kafka client: {error}: {reason}");
        let mut complaint = self.complaint.lock();
        match error.rdkafka_error_code() {
            // Follows on whatever is wrong with the last of them and says less.
            Some(RDKafkaErrorCode::AllBrokersDown) if !complaint.text.is_empty() => return,
            Some(
                RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::SaslAuthenticationFailed,
            ) => {
                complaint.refused_since.get_or_insert_with(Instant::now);
            }
            _ => complaint.refused_since = None,
        }
        // How long each try took makes no news of the same complaint.
        complaint.text = reason.split(" (after ").next().unwrap_or_default().to_string();
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_kept_and_a_refusal_lasts_until_something_else_is_wrong() {
        let context = Context::default();
        context.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "b:1: wrong password");
        let refused = context.complaint();
        assert!(refused.refused_since.is_some());
        context.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        context.error(
            KafkaError::Global(RDKafkaErrorCode::Authentication),
            "b:1: wrong password (after 5ms in state AUTH)",
        );
        assert_eq!(context.complaint().refused_since, refused.refused_since, "it counts from the first");
        assert_eq!(context.complaint().text, "b:1: wrong password");
        context.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "b:1: connection refused");
        assert_eq!(context.complaint().refused_since, None);
        assert_eq!(context.complaint().text, "b:1: connection refused");
        context.well();
        assert!(context.complaint().text.is_empty());
    }
}
