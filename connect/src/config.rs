//! The Config RPC: reads and writes a session's settings.

use pyrite_common::telemetry;
use pyrite_engine::error::SparkError;

use crate::error::invalid_plan;
use crate::session::{Session, SetMode};
use crate::wire::{ConfigRequest, ConfigResponse, KeyValue, config_request::operation::OpType};

/// How `sparkContext.setLogLevel` reaches the driver: there is no message for it.
const LOG_LEVEL: &str = "spark.pyrite.log.level";

/// What a setting changes at once.
fn heed(key: &str, value: &str) {
    if key == LOG_LEVEL
        && let Err(error) = telemetry::set_level(value)
    {
        // From the shim only checked ones come.
        tracing::warn!("{error}");
    }
}

/// The name that a request gives the application.
pub fn name_given(request: &ConfigRequest) -> Option<String> {
    let Some(OpType::Set(set)) = request.operation.as_ref()?.op_type.as_ref() else { return None };
    set.pairs.iter().find(|pair| pair.key == "spark.app.name")?.value.clone()
}

/// Answers one Config request.
pub fn handle(session: &Session, request: ConfigRequest) -> Result<ConfigResponse, SparkError> {
    let operation = request
        .operation
        .and_then(|operation| operation.op_type)
        .ok_or_else(|| invalid_plan("the Config request has no operation"))?;
    let mut pairs = Vec::new();
    let mut warnings = Vec::new();
    let mut conf = session.conf.lock();
    match operation {
        OpType::Set(set) => {
            let mode = if set.silent() { SetMode::Silent } else { SetMode::Strict };
            for pair in set.pairs {
                let value = pair.value.unwrap_or_default();
                match conf.set(&pair.key, &value, mode) {
                    Ok(()) => heed(&pair.key, &value),
                    Err(error) if mode == SetMode::Silent => {
                        warnings.push(format!("Failed to set {} to {value} due to {error}", pair.key));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        OpType::Get(get) => {
            for key in get.keys {
                let value = conf.get(&key)?.map(str::to_owned);
                pairs.push(KeyValue { key, value });
            }
        }
        OpType::GetWithDefault(get) => {
            for pair in get.pairs {
                let value = conf.get_set(&pair.key).map(str::to_owned).or(pair.value);
                pairs.push(KeyValue { key: pair.key, value });
            }
        }
        OpType::GetOption(get) => {
            for key in get.keys {
                let value = conf.get(&key).ok().flatten().map(str::to_owned);
                pairs.push(KeyValue { key, value });
            }
        }
        OpType::GetAll(get) => {
            // As Spark: with a prefix the keys come back without it.
            let prefix = get.prefix.unwrap_or_default();
            for (key, value) in conf.iter().filter(|(key, _)| key.starts_with(&prefix)) {
                pairs.push(KeyValue { key: key[prefix.len()..].to_owned(), value: Some(value.to_owned()) });
            }
        }
        OpType::Unset(unset) => {
            for key in unset.keys {
                conf.unset(&key)?;
                pairs.push(KeyValue { key, value: None });
            }
        }
        OpType::IsModifiable(ask) => {
            for key in ask.keys {
                let value = Some(conf.is_modifiable(&key).to_string());
                pairs.push(KeyValue { key, value });
            }
        }
    }
    Ok(ConfigResponse {
        session_id: session.key.session_id.clone(),
        server_side_session_id: session.server_side_id.to_string(),
        pairs,
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Conf, SessionKey};
    use crate::wire::config_request::{Get, GetAll, GetWithDefault, Operation, Set};

    fn session() -> Session {
        Session::new(SessionKey { user_id: String::new(), session_id: "s".to_owned() }, Conf::default())
    }

    fn ask(session: &Session, op_type: OpType) -> Result<ConfigResponse, SparkError> {
        handle(session, ConfigRequest { operation: Some(Operation { op_type: Some(op_type) }), ..Default::default() })
    }

    fn pair(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(value.to_owned()) }
    }

    #[test]
    fn the_builder_sets_silently_and_bad_values_only_warn() {
        let session = session();
        let pairs = vec![pair("spark.executor.memory", "1g"), pair("spark.sql.shuffle.partitions", "x")];
        let answer = ask(&session, OpType::Set(Set { pairs, silent: Some(true) })).unwrap();
        assert_eq!(answer.warnings.len(), 1);
        let read = ask(&session, OpType::Get(Get { keys: vec!["spark.executor.memory".to_owned()] })).unwrap();
        assert_eq!(read.pairs, vec![pair("spark.executor.memory", "1g")]);
        let all = ask(&session, OpType::GetAll(GetAll { prefix: Some("spark.".to_owned()) })).unwrap();
        assert_eq!(all.pairs, vec![pair("executor.memory", "1g")]);
    }

    #[test]
    fn a_default_given_by_the_caller_wins_over_the_settings_own() {
        let pairs = vec![pair("spark.sql.shuffle.partitions", "7")];
        let answer = ask(&session(), OpType::GetWithDefault(GetWithDefault { pairs })).unwrap();
        assert_eq!(answer.pairs[0].value.as_deref(), Some("7"));
    }
}
