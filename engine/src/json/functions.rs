//! What the names `from_json` and `to_json` become.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;

use super::from_json::FromJson;
use super::to_json::check_writable;
use super::to_json_function::ToJson;
use crate::error::SparkError;
use crate::functions::kernel;
use crate::functions::{Built, Call, Typed};
use crate::types;

/// `from_json(text, schema[, options])`; the schema is DDL text or the JSON that `StructType.json()` writes.
pub fn build_from_json(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(2..=3)?;
    let (text, schema, options) = (&call.args[0], &call.args[1], call.args.get(2));
    if !matches!(text.data_type, DataType::Utf8 | DataType::Null) {
        return Err(call.unexpected(0, "\"STRING\""));
    }
    let schema = types::parse_schema_text(literal_text(schema).ok_or_else(|| no_literal_schema(schema))?)?;
    let function = FromJson::try_new(&schema, option_map(options)?, &call.settings.time_zone)?;
    let argument = match text.data_type {
        DataType::Null => Expr::Literal(ScalarValue::Utf8(None), None),
        _ => text.expr.clone(),
    };
    let name = match function.schema() {
        // As Spark.
        DataType::Map(..) => "entries".to_owned(),
        _ => format!("from_json({})", text.name),
    };
    Ok(Built::Scalar(Typed {
        data_type: function.schema().clone(),
        expr: kernel::call(function, vec![argument]),
        nullable: true,
        name,
        literal: None,
    }))
}

/// `to_json(value[, options])` of a struct, an array or a map.
pub fn build_to_json(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=2)?;
    let (value, options) = (&call.args[0], call.args.get(1));
    if value.data_type == DataType::Null {
        return Ok(Built::Scalar(Typed::literal(ScalarValue::Utf8(None)).named(format!("to_json({})", value.name))));
    }
    if !matches!(value.data_type, DataType::Struct(_) | DataType::List(_) | DataType::Map(..)) {
        let given = types::quoted_sql_name(&value.data_type);
        let message = format!("Input schema {given} must be a struct, an array, a map or a variant.");
        return Err(call.mismatch("INVALID_JSON_SCHEMA", message).with("schema", given));
    }
    check_writable(&value.data_type)?;
    let function = ToJson::try_new(option_map(options)?, &call.settings.time_zone)?;
    Ok(Built::Scalar(Typed {
        expr: kernel::call(function, vec![value.expr.clone()]),
        data_type: DataType::Utf8,
        nullable: value.nullable,
        name: format!("to_json({})", value.name),
        literal: None,
    }))
}

/// The text of an argument that is a string literal.
fn literal_text(argument: &Typed) -> Option<&str> {
    match (&argument.literal, &argument.expr) {
        (Some(ScalarValue::Utf8(Some(text))), _) => Some(text),
        (_, Expr::Literal(ScalarValue::Utf8(Some(text)), _)) => Some(text),
        _ => None,
    }
}

/// The options of a call: a map of strings that are literals.
fn option_map(argument: Option<&Typed>) -> Result<BTreeMap<String, String>, SparkError> {
    let Some(argument) = argument else {
        return Ok(BTreeMap::new());
    };
    let found = match (&argument.literal, &argument.expr) {
        (Some(ScalarValue::Map(map)), _) | (_, Expr::Literal(ScalarValue::Map(map), _)) => {
            let entries = map.value(0);
            match (entries.column(0).as_string_opt(), entries.column(1).as_string_opt()) {
                (Some(keys), Some(values)) => Some(pairs(keys, values)),
                _ => None,
            }
        }
        // `map('mode', 'FAILFAST')` before anything is folded.
        (_, Expr::ScalarFunction(function)) if argument.name.starts_with("map(") => {
            let texts: Option<Vec<String>> = function.args.iter().map(text_of).collect();
            texts.map(|texts| texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        _ => None,
    };
    found.ok_or_else(|| {
        let of_texts = match &argument.data_type {
            DataType::Map(entries, _) => types::map_fields(entries)
                .is_some_and(|(key, value)| key.data_type() == &DataType::Utf8 && value.data_type() == &DataType::Utf8),
            _ => true,
        };
        if of_texts {
            let message = "Must use the `map()` function for options: a map of string literals, for example \
                           `map('mode', 'FAILFAST')`.";
            SparkError::analysis("INVALID_OPTIONS.NON_MAP_FUNCTION", "42K06", message)
        } else {
            let given = types::quoted_sql_name(&argument.data_type);
            let message = format!("A type of keys and values in `map()` must be string, but got {given}.");
            SparkError::analysis("INVALID_OPTIONS.NON_STRING_TYPE", "42K06", message).with("mapType", given)
        }
    })
}

fn pairs(keys: &StringArray, values: &StringArray) -> BTreeMap<String, String> {
    (0..keys.len())
        .filter(|&index| !values.is_null(index))
        .map(|index| (keys.value(index).to_owned(), values.value(index).to_owned()))
        .collect()
}

fn text_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Some(text.clone()),
        Expr::Alias(alias) => text_of(&alias.expr),
        _ => None,
    }
}

fn no_literal_schema(schema: &Typed) -> SparkError {
    let message = format!(
        "The input schema \"{}\" must be a foldable STRING expression and not NULL: DDL text, the JSON of a schema.",
        schema.name
    );
    SparkError::analysis("INVALID_SCHEMA.NON_STRING_LITERAL", "42K07", message).with("inputSchema", &schema.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::{ExprSettings, lookup};

    fn text(value: &str) -> Typed {
        Typed {
            expr: Expr::Literal(ScalarValue::Utf8(Some(value.to_owned())), None),
            data_type: DataType::Utf8,
            nullable: false,
            name: value.to_owned(),
            literal: Some(ScalarValue::Utf8(Some(value.to_owned()))),
        }
    }

    fn column(data_type: DataType) -> Typed {
        Typed {
            expr: datafusion::logical_expr::col("v"),
            data_type,
            nullable: true,
            name: "v".to_owned(),
            literal: None,
        }
    }

    fn build(name: &str, args: Vec<Typed>) -> Result<Typed, SparkError> {
        let settings = ExprSettings::default();
        let function = lookup(name).expect("registered");
        match (function.build)(&Call { name, args, distinct: false, settings: &settings })? {
            Built::Scalar(typed) => Ok(typed),
            _ => panic!("no scalar"),
        }
    }

    #[test]
    fn from_json_takes_ddl_or_json_schemas_and_options() {
        let built = build("from_json", vec![column(DataType::Utf8), text("a INT")]).expect("valid");
        assert_eq!(built.name, "from_json(v)");
        let json = types::to_json(&built.data_type);
        let again = build("from_json", vec![column(DataType::Utf8), text(&json)]).expect("valid");
        assert_eq!(again.data_type, built.data_type);
        let options = build("map", vec![text("mode"), text("FAILFAST")]).expect("a map");
        let failfast = build("from_json", vec![column(DataType::Utf8), text("a INT"), options]).expect("valid");
        let Expr::ScalarFunction(call) = &failfast.expr else { panic!("no function") };
        assert!(FromJson::of(&call.func).is_some_and(kernel::Kernel::raises));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(build("from_json", vec![column(DataType::Int32), text("a INT")]).is_err());
        assert!(build("from_json", vec![column(DataType::Utf8), column(DataType::Utf8)]).is_err());
        assert!(build("from_json", vec![column(DataType::Utf8), text("INT")]).is_err());
        assert!(build("from_json", vec![column(DataType::Utf8), text("a MAP<INT, INT>")]).is_err());
        assert!(build("to_json", vec![column(DataType::Utf8)]).is_err());
    }

    #[test]
    fn to_json_takes_nested_values() {
        let list = types::array_of(DataType::Int32, true);
        assert_eq!(build("to_json", vec![column(list)]).expect("valid").name, "to_json(v)");
    }
}
