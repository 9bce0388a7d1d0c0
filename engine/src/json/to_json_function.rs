//! The function `spark_to_json` of plans.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use serde_json::{Value, json};

use super::options::JsonOptions;
use super::times::OptionTimes;
use super::to_json::{JsonWriter, check_writable};
use crate::clock::BatchClock;
use crate::error::SparkError;
use crate::functions::kernel::{Kernel, bad_parameters, elementwise, text_parameter};

/// `to_json(value, options)`: the options are parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToJson {
    options: BTreeMap<String, String>,
    session_time_zone: String,
    parsed: JsonOptions,
}

impl ToJson {
    /// The function for options as a program gives them; refuses what [`JsonOptions::parse`] refuses, and `pretty`.
    pub fn try_new(options: BTreeMap<String, String>, session_time_zone: &str) -> Result<Self, SparkError> {
        let parsed = JsonOptions::parse(&options, session_time_zone)?;
        if parsed.pretty {
            return Err(SparkError::unsupported("the JSON option `pretty`"));
        }
        OptionTimes::new(&parsed)?;
        Ok(ToJson { options, session_time_zone: session_time_zone.to_owned(), parsed })
    }
}

impl Kernel for ToJson {
    const NAME: &'static str = "spark_to_json";

    fn result(&self, arguments: &[FieldRef]) -> Result<(DataType, bool)> {
        Ok((DataType::Utf8, arguments.first().is_none_or(|argument| argument.is_nullable())))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let external = |error| DataFusionError::External(Box::new(error));
        let times = OptionTimes::new(&self.parsed).map_err(external)?;
        let writer = JsonWriter { times: &times, ignore_null_fields: self.parsed.ignore_null_fields };
        elementwise(arguments, |columns, _| match columns {
            [values] => {
                check_writable(values.data_type()).map_err(external)?;
                Ok(Arc::new(writer.write_column(values)) as _)
            }
            _ => Err(DataFusionError::Internal("`to_json` takes one column".to_owned())),
        })
    }

    fn encode(&self) -> Value {
        json!({"options": self.options, "time_zone": self.session_time_zone})
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let options = parameters.get("options").and_then(Value::as_object).ok_or_else(|| bad_parameters("options"))?;
        let options = options
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| bad_parameters("options"))?;
        Self::try_new(options, text_parameter(parameters, "time_zone")?)
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
