//! Structs, arrays and maps by their Spark names, and the ways to reach into them: `a.b`, `v[0]`, `m['k']`.

use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use super::arguments::{mismatch, scalar};
use super::coercion::common_type_of;
use super::kernel::call as kernel_call;
use super::nested::{ArrayItem, Container, GetArrayField, GetField, Indexing, Make, MapValue, Size};
use super::registry::{Build, Built, Call, ExprSettings, Function, Typed};
use super::typed::implicit_cast;
use crate::error::SparkError;
use crate::types::{array_of, is_integral, map_fields, map_of, quote_identifier, quoted_sql_name, simple_string};

const fn row(name: &'static str, build: Build) -> Function {
    Function { name, build }
}

/// The rows of this family.
pub(super) static TABLE: &[Function] = &[
    row("struct", make_struct),
    row("named_struct", named_struct),
    row("array", make_array),
    row("map", make_map),
    row("create_map", make_map),
    row("get", |call| element(call, Indexing::Lenient)),
    row("element_at", |call| element(call, Indexing::OneBased)),
    row("try_element_at", |call| element(call, Indexing::OneBasedLenient)),
    row("size", |call| size(call, !call.settings.ansi)),
    row("cardinality", |call| size(call, !call.settings.ansi)),
    row("array_size", |call| size(call, false)),
    row("typeof", type_of),
];

/// The name that a struct gives a field made of this expression.
fn field_name(argument: &Typed, index: usize) -> String {
    match &argument.expr {
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Column(_) => argument.name.clone(),
        other => GetField::of(other).map_or_else(|| format!("col{}", index + 1), |(name, _)| name.to_owned()),
    }
}

fn make_struct(call: &Call<'_>) -> Result<Built, SparkError> {
    let fields: Vec<(String, Typed)> =
        call.args.iter().enumerate().map(|(index, argument)| (field_name(argument, index), argument.clone())).collect();
    struct_of(fields, call.pretty())
}

fn named_struct(call: &Call<'_>) -> Result<Built, SparkError> {
    if call.args.is_empty() || call.args.len() % 2 == 1 {
        return call.arity(2..=2).and(Err(SparkError::unsupported("`named_struct` of an odd number of arguments")));
    }
    let mut fields = Vec::with_capacity(call.args.len() / 2);
    for pair in call.args.chunks(2) {
        let Some(name) = pair[0].literal_text() else {
            return Err(call.mismatch(
                "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                format!(
                    "Only foldable `STRING` expressions are allowed to appear at odd position, but they are [\"{}\"].",
                    pair[0].name
                ),
            ));
        };
        fields.push((name.to_owned(), pair[1].clone()));
    }
    struct_of(fields, call.pretty())
}

fn struct_of(fields: Vec<(String, Typed)>, name: String) -> Result<Built, SparkError> {
    let types: Fields =
        fields.iter().map(|(name, value)| Field::new(name.clone(), value.data_type.clone(), value.nullable)).collect();
    let to = DataType::Struct(types);
    let values = fields.into_iter().map(|(_, value)| value).collect();
    scalar(Make { container: Container::Struct, to: to.clone() }, values, to, false, name)
}

/// All arguments of some positions in their common type.
fn alike(call: &Call<'_>, indices: Vec<usize>) -> Result<(Vec<Typed>, DataType), SparkError> {
    let types = indices.iter().map(|index| &call.args[*index].data_type);
    let Some(common) = common_type_of(types.clone()) else {
        let types: Vec<String> = types.map(quoted_sql_name).collect();
        return Err(call.mismatch(
            "DATA_DIFF_TYPES",
            format!("Input to `{}` should all be the same type, but it's ({}).", call.lower_name(), types.join(" or ")),
        ));
    };
    let mut values = Vec::with_capacity(indices.len());
    for index in indices {
        values.push(call.coerced(index, &common)?);
    }
    Ok((values, common))
}

fn make_array(call: &Call<'_>) -> Result<Built, SparkError> {
    let (values, element) = alike(call, (0..call.args.len()).collect())?;
    let to = array_of(element, values.iter().any(|value| value.nullable));
    scalar(Make { container: Container::Array, to: to.clone() }, values, to, false, call.pretty())
}

fn make_map(call: &Call<'_>) -> Result<Built, SparkError> {
    if call.args.len() % 2 == 1 {
        return call.arity(2..=2).and(Err(SparkError::unsupported("`map` of an odd number of arguments")));
    }
    let (keys, key) = alike(call, (0..call.args.len()).step_by(2).collect())?;
    let (values, value) = alike(call, (1..call.args.len()).step_by(2).collect())?;
    if matches!(key, DataType::Map(..)) {
        return Err(call.mismatch("INVALID_MAP_KEY_TYPE", "The key of map cannot be/contain \"MAP\"."));
    }
    let to = map_of(key, value, values.iter().any(|value| value.nullable));
    let arguments = keys.into_iter().zip(values).flat_map(|(key, value)| [key, value]).collect();
    scalar(Make { container: Container::Map, to: to.clone() }, arguments, to, false, call.pretty_as("map", &[]))
}

/// `a.name`: a field of a struct by its name in any case, of each struct in an array, or the value of a map's key.
pub fn get_field(parent: Typed, name: &str, settings: &ExprSettings) -> Result<Typed, SparkError> {
    match &parent.data_type {
        DataType::Struct(fields) => {
            let index = field_index(name, fields)?;
            let field = fields[index].clone();
            let text = format!("{}.{}", parent.name, quote_identifier(field.name()));
            let nullable = parent.nullable || field.is_nullable();
            Ok(Typed::new(
                kernel_call(GetField { name: field.name().clone() }, vec![parent.expr]),
                field.data_type().clone(),
                nullable,
                text,
            ))
        }
        DataType::Map(..) => extract_value(parent, Typed::literal(ScalarValue::from(name)), settings),
        DataType::List(element) if matches!(element.data_type(), DataType::Struct(_)) => {
            let DataType::Struct(fields) = element.data_type() else {
                return Err(SparkError::unsupported("a field of what is no struct"));
            };
            let index = field_index(name, fields)?;
            let field = &fields[index];
            let data_type = array_of(field.data_type().clone(), element.is_nullable() || field.is_nullable());
            let text = format!("{}.{}", parent.name, quote_identifier(field.name()));
            let nullable = parent.nullable;
            Ok(Typed::new(kernel_call(GetArrayField { index }, vec![parent.expr]), data_type, nullable, text))
        }
        other => Err(SparkError::analysis(
            "INVALID_EXTRACT_BASE_FIELD_TYPE",
            "42000",
            format!(
                "Can't extract a value from \"{}\". Need a complex type [STRUCT, ARRAY, MAP] but got {}.",
                parent.name,
                quoted_sql_name(other)
            ),
        )
        .with("base", format!("\"{}\"", parent.name))
        .with("other", quoted_sql_name(other))),
    }
}

/// The position of a field by its name in any case.
fn field_index(name: &str, fields: &Fields) -> Result<usize, SparkError> {
    let found: Vec<usize> =
        (0..fields.len()).filter(|at| fields[*at].name().to_lowercase() == name.to_lowercase()).collect();
    match found[..] {
        [index] => Ok(index),
        [] => Err(field_not_found(name, fields)),
        _ => Err(SparkError::analysis(
            "AMBIGUOUS_REFERENCE_TO_FIELDS",
            "42000",
            format!("Ambiguous reference to the field `{name}`. It appears {} times in the schema.", found.len()),
        )),
    }
}

fn field_not_found(name: &str, fields: &Fields) -> SparkError {
    let known: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
    SparkError::analysis("FIELD_NOT_FOUND", "42704", format!("No such struct field `{name}` in {}.", known.join(", ")))
        .with("fieldName", format!("`{name}`"))
        .with("fields", known.join(", "))
}

/// `parent[key]`: a struct's field by a string literal, an array's element from 0, a map's value.
pub fn extract_value(parent: Typed, key: Typed, settings: &ExprSettings) -> Result<Typed, SparkError> {
    let name = format!("{}[{}]", parent.name, key.name);
    match &parent.data_type {
        DataType::List(element) if is_field_of_structs(element, &key) => {
            get_field(parent, key.literal_text().unwrap_or_default(), settings)
        }
        DataType::Struct(_) => match key.literal_text() {
            Some(field) => get_field(parent, field, settings),
            None => Err(SparkError::analysis(
                "INVALID_EXTRACT_FIELD_TYPE",
                "42000",
                format!("Field name should be a non-null string literal, but it's \"{}\".", key.name),
            )),
        },
        DataType::List(_) => {
            let indexing = if settings.ansi { Indexing::Checked } else { Indexing::Lenient };
            array_item(parent, key, indexing, name, settings)
        }
        DataType::Map(..) => map_value(parent, key, name, settings),
        _ => get_field(parent, &key.name, settings),
    }
}

/// `structs.name`, with the name as a literal.
fn is_field_of_structs(element: &Field, key: &Typed) -> bool {
    matches!(element.data_type(), DataType::Struct(_)) && key.literal_text().is_some()
}

fn array_item(
    parent: Typed,
    index: Typed,
    indexing: Indexing,
    name: String,
    settings: &ExprSettings,
) -> Result<Typed, SparkError> {
    let DataType::List(element) = &parent.data_type else {
        return Err(mismatch(&name, "UNEXPECTED_INPUT_TYPE", "The first parameter requires the \"ARRAY\" type."));
    };
    if !is_integral(&index.data_type) && !matches!(index.data_type, DataType::Utf8 | DataType::Null) {
        return Err(mismatch(
            &name,
            "UNEXPECTED_INPUT_TYPE",
            format!(
                "The second parameter requires the \"INTEGRAL\" type, however \"{}\" has the type {}.",
                index.name,
                quoted_sql_name(&index.data_type)
            ),
        ));
    }
    let data_type = element.data_type().clone();
    let index = implicit_cast(index, &DataType::Int64, settings)?;
    Ok(Typed::new(kernel_call(ArrayItem { indexing }, vec![parent.expr, index.expr]), data_type, true, name))
}

fn map_value(parent: Typed, key: Typed, name: String, settings: &ExprSettings) -> Result<Typed, SparkError> {
    let DataType::Map(entries, _) = &parent.data_type else {
        return Err(mismatch(&name, "UNEXPECTED_INPUT_TYPE", "The first parameter requires the \"MAP\" type."));
    };
    let (map_key, value) = map_fields(entries).ok_or_else(|| SparkError::unsupported("a map of this layout"))?;
    let data_type = value.data_type().clone();
    let key = implicit_cast(key, &map_key.data_type().clone(), settings)?;
    Ok(Typed::new(kernel_call(MapValue, vec![parent.expr, key.expr]), data_type, true, name))
}

/// `get`, `element_at` and kin.
fn element(call: &Call<'_>, indexing: Indexing) -> Result<Built, SparkError> {
    call.arity(2..=2)?;
    let (parent, key) = (call.args[0].clone(), call.args[1].clone());
    // Without ANSI an index beyond the end is no error.
    let indexing =
        if indexing == Indexing::OneBased && !call.settings.ansi { Indexing::OneBasedLenient } else { indexing };
    let typed = match &parent.data_type {
        DataType::List(_) => array_item(parent, key, indexing, call.pretty(), call.settings)?,
        DataType::Map(..) if indexing != Indexing::Lenient => map_value(parent, key, call.pretty(), call.settings)?,
        _ => return Err(call.unexpected(0, "(\"ARRAY\" or \"MAP\")")),
    };
    Ok(Built::Scalar(typed))
}

fn size(call: &Call<'_>, null_is_minus_one: bool) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    if !matches!(call.args[0].data_type, DataType::List(_) | DataType::Map(..)) {
        return Err(call.unexpected(0, "(\"ARRAY\" or \"MAP\")"));
    }
    let nullable = call.any_nullable() && !null_is_minus_one;
    scalar(Size { null_is_minus_one }, call.args.clone(), DataType::Int32, nullable, call.pretty())
}

fn type_of(call: &Call<'_>) -> Result<Built, SparkError> {
    call.arity(1..=1)?;
    let name = simple_string(&call.args[0].data_type);
    Ok(Built::Scalar(Typed::literal(ScalarValue::from(name)).named(call.pretty())))
}
