//! The function `spark_from_json` of plans: text in, the decoded column out.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF};
use serde_json::{Value, json};

use super::decoder::{DecodeError, JsonDecoder};
use super::options::{JsonOptions, ParseMode};
use super::times::OptionTimes;
use crate::clock::BatchClock;
use crate::error::SparkError;
use crate::functions::kernel::{Kernel, KernelUdf, bad_parameters, call, elementwise, text_parameter};
use crate::types;

/// `from_json(text, schema, options)`: all but the text are parameters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FromJson {
    /// The schema as written, made nullable.
    schema: DataType,
    /// The options as written.
    options: BTreeMap<String, String>,
    session_time_zone: String,
    /// Fields of the struct that the plan reads; `None` for all.
    projection: Option<Vec<usize>>,
    parsed: JsonOptions,
    idle: IdleDecoders,
}

/// Decoders that no batch uses at the moment. They are no part of what the function is.
#[derive(Debug, Default)]
struct IdleDecoders(Mutex<Vec<JsonDecoder>>);

impl Clone for IdleDecoders {
    fn clone(&self) -> Self {
        IdleDecoders::default()
    }
}

impl PartialEq for IdleDecoders {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for IdleDecoders {}

impl Hash for IdleDecoders {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl FromJson {
    /// The function for a schema (a struct, an array or a map) and options as a program gives them.
    ///
    /// Refuses what [`JsonDecoder::try_new`] and [`JsonOptions::parse`] refuse.
    pub fn try_new(
        schema: &DataType,
        options: BTreeMap<String, String>,
        session_time_zone: &str,
    ) -> Result<Self, SparkError> {
        Self::with_fields(types::as_nullable(schema), options, session_time_zone, None)
    }

    fn with_fields(
        schema: DataType,
        options: BTreeMap<String, String>,
        session_time_zone: &str,
        projection: Option<Vec<usize>>,
    ) -> Result<Self, SparkError> {
        let parsed = JsonOptions::parse(&options, session_time_zone)?;
        let session_time_zone = session_time_zone.to_owned();
        let made = FromJson { schema, options, session_time_zone, projection, parsed, idle: IdleDecoders::default() };
        let decoder = made.decoder()?;
        made.give_back(decoder);
        Ok(made)
    }

    /// The function behind a call, if it is one.
    pub fn of(function: &ScalarUDF) -> Option<&FromJson> {
        function.inner().as_ref().downcast_ref::<KernelUdf<FromJson>>().map(KernelUdf::kernel)
    }

    /// The whole schema, whatever is projected.
    pub fn schema(&self) -> &DataType {
        &self.schema
    }

    /// The type of a top-level field of the schema.
    pub fn field_type(&self, name: &str) -> Option<&DataType> {
        match &self.schema {
            DataType::Struct(fields) => fields.iter().find(|field| field.name() == name).map(|field| field.data_type()),
            _ => None,
        }
    }

    /// Whether documents may be dropped by a [`RawFilter`](super::RawFilter) for a condition on this field: it is a
    /// string, no malformed document must fail the query, and no option makes strings that the test does not foresee.
    pub fn raw_testable(&self, name: &str) -> bool {
        self.field_type(name) == Some(&DataType::Utf8)
            && self.parsed.mode == ParseMode::Permissive
            && !self.parsed.syntax.control_chars
    }

    /// The function that decodes only some fields of its struct, in the order given.
    ///
    /// Fails when the schema is no struct or has no such field.
    pub fn project(&self, names: &[&str]) -> Result<Self> {
        let DataType::Struct(fields) = &self.schema else {
            return Err(DataFusionError::Internal("fields of a JSON schema that is no struct".to_owned()));
        };
        let mut projection = Vec::with_capacity(names.len());
        for name in names {
            let index = fields.iter().position(|field| field.name() == name);
            projection.push(index.ok_or_else(|| DataFusionError::Internal(format!("no JSON field `{name}`")))?);
        }
        Self::with_fields(self.schema.clone(), self.options.clone(), &self.session_time_zone, Some(projection))
            .map_err(external)
    }

    /// A new decoder of what the function decodes.
    pub fn decoder(&self) -> Result<JsonDecoder, SparkError> {
        let times = Arc::new(OptionTimes::new(&self.parsed)?);
        JsonDecoder::try_new(&self.schema, &self.parsed, self.projection.as_deref(), times)
    }

    /// Decodes a column with a decoder that knows the documents' shape, if one is idle.
    fn decode(&self, documents: &ArrayRef) -> Result<ArrayRef> {
        let idle = self.idle.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
        let mut decoder = match idle {
            Some(decoder) => decoder,
            None => self.decoder().map_err(external)?,
        };
        let decoded = decoder.decode(documents.as_ref());
        self.give_back(decoder);
        decoded.map_err(|error| match error {
            DecodeError::Malformed(error) => external(error),
            DecodeError::Arrow(error) => DataFusionError::ArrowError(Box::new(error), None),
        })
    }

    fn give_back(&self, decoder: JsonDecoder) {
        self.idle.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(decoder);
    }
}

fn external(error: SparkError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A call of `from_json` that decodes only some fields of its struct.
///
/// Fails when the expression is no such call, or the schema has no such field.
pub fn with_projection(expression: &Expr, names: &[&str]) -> Result<Expr> {
    if let Expr::ScalarFunction(function) = expression
        && let Some(from_json) = FromJson::of(&function.func)
    {
        return Ok(call(from_json.project(names)?, function.args.clone()));
    }
    Err(DataFusionError::Internal("a projection of what is no call of `from_json`".to_owned()))
}

impl Kernel for FromJson {
    const NAME: &'static str = "spark_from_json";

    fn raises(&self) -> bool {
        self.parsed.mode == ParseMode::FailFast
    }

    fn result(&self, _: &[FieldRef]) -> Result<(DataType, bool)> {
        let data_type = match (&self.schema, &self.projection) {
            (DataType::Struct(fields), Some(projection)) => {
                DataType::Struct(projection.iter().map(|&index| fields[index].clone()).collect())
            }
            (schema, _) => schema.clone(),
        };
        Ok((data_type, true))
    }

    fn invoke(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        elementwise(arguments, |columns, _| match columns {
            [documents] => self.decode(documents),
            _ => Err(DataFusionError::Internal("`from_json` takes one column".to_owned())),
        })
    }

    fn encode(&self) -> Value {
        json!({
            "schema": types::to_json_value(&self.schema),
            "options": self.options,
            "time_zone": self.session_time_zone,
            "projection": self.projection,
        })
    }

    fn decode(parameters: &Value, _: &BatchClock) -> Result<Self> {
        let schema = parameters.get("schema").ok_or_else(|| bad_parameters("schema"))?;
        let schema = types::parse_json_type(&schema.to_string()).map_err(external)?;
        let options = parameters.get("options").and_then(Value::as_object).ok_or_else(|| bad_parameters("options"))?;
        let options = options
            .iter()
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| bad_parameters("options"))?;
        let projection = match parameters.get("projection") {
            None | Some(Value::Null) => None,
            Some(value) => Some(indexes(value).ok_or_else(|| bad_parameters("projection"))?),
        };
        Self::with_fields(schema, options, text_parameter(parameters, "time_zone")?, projection).map_err(external)
    }
}

fn indexes(value: &Value) -> Option<Vec<usize>> {
    value.as_array()?.iter().map(|index| usize::try_from(index.as_u64()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_carries_all_parameters() {
        let schema = types::parse_schema_text(
            "a INT, b ARRAY<STRUCT<x: DECIMAL(10,2), y: MAP<STRING, BINARY>>>, c TIMESTAMP, d TIMESTAMP_NTZ, e DATE",
        )
        .expect("a schema");
        let options = [("allowComments".to_owned(), "true".to_owned())].into();
        let function = FromJson::try_new(&schema, options, "+02:00").expect("valid");
        for function in [function.project(&["e", "a"]).expect("fields"), function] {
            let back = <FromJson as Kernel>::decode(&function.encode(), &BatchClock::default()).expect("readable");
            assert_eq!(back, function);
            assert_eq!(back.result(&[]).expect("a type"), function.result(&[]).expect("a type"));
        }
        assert!(<FromJson as Kernel>::decode(&Value::Null, &BatchClock::default()).is_err());
    }
}
