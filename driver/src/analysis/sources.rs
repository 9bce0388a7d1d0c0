//! The leaves: streaming sources, tables in memory, local rows, ranges.

use std::sync::Arc;

use datafusion::arrow::array::Int64Array;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::catalog::MemTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use pyrite_engine::error::SparkError;
use pyrite_engine::types::{array_of, map_fields, map_of, parse_schema_text, timestamp};

use super::attribute::Attribute;
use super::names::parse_name;
use super::node::Node;
use super::nodes::{StreamSource, extension, projection};
use super::unresolved::Read;
use super::{Session, errors};

/// The table name of rows that came with the plan.
const LOCAL: &str = "local";
/// The most rows of a `range`, which is held in memory.
const RANGE_ROWS_MAX: i64 = 10_000_000;
/// Streaming formats of Spark that Pyrite does not read yet.
const FORMATS_TO_COME: &[&str] = &["rate", "rate-micro-batch", "socket", "json", "csv", "text", "parquet", "orc"];
/// How much two names may differ to count as a slip.
const SLIP_MAX: usize = 2;

/// The columns of Spark's Kafka source.
pub fn kafka_fields(include_headers: bool) -> Fields {
    let mut fields = vec![
        Field::new("key", DataType::Binary, true),
        Field::new("value", DataType::Binary, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("timestamp", timestamp(), true),
        Field::new("timestampType", DataType::Int32, true),
    ];
    if include_headers {
        let header =
            Fields::from(vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)]);
        fields.push(Field::new("headers", array_of(DataType::Struct(header), true), true));
    }
    Fields::from(fields)
}

impl Session<'_> {
    /// `spark.read` and `spark.readStream`.
    pub fn read(&self, read: &Read) -> Result<Node, SparkError> {
        if !read.streaming {
            return Err(SparkError::unsupported(format!("reading the format `{}` without streaming", read.format)));
        }
        match read.format.to_lowercase().as_str() {
            "kafka" => self.kafka(read),
            known if FORMATS_TO_COME.contains(&known) => {
                Err(SparkError::unsupported(format!("the streaming source `{known}`; use `kafka`: it")))
            }
            unknown => Err(unknown_format(unknown)),
        }
    }

    fn kafka(&self, read: &Read) -> Result<Node, SparkError> {
        if read.schema.is_some() {
            return Err(errors::illegal_argument(
                "Kafka source has a fixed schema and cannot be set with a custom one",
            ));
        }
        check_kafka_options(read)?;
        let include_headers = option(read, "includeHeaders").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let fields = kafka_fields(include_headers);
        let output: Vec<Attribute> = fields.iter().map(|field| self.attribute_of_field(field)).collect();
        let columns: Vec<String> = output.iter().map(|attribute| attribute.column.clone()).collect();
        let source = StreamSource::new(self.node_id(), read, &fields, &columns).map_err(errors::internal)?;
        Ok(Node::whole(extension(source), output, true))
    }

    /// A temporary view, or a table in memory.
    pub fn named_table(&self, name: &str, streaming: bool) -> Result<Node, SparkError> {
        let parts = parse_name(name)?;
        let Some((table, schema)) = parts.split_last() else { return Err(errors::table_not_found(name)) };
        // There is one catalog with one schema, as in a fresh Spark.
        if !matches!(schema.join(".").to_lowercase().as_str(), "" | "default" | "spark_catalog.default" | "global_temp")
        {
            return Err(errors::table_not_found(&parts.join("`.`")));
        }
        let scope = self.scopes.borrow().last().cloned();
        let view = match scope {
            Some(scope) => scope.get(&table.to_lowercase()).cloned(),
            None => self.catalog.view(table),
        };
        let mut node = if let Some(view) = view {
            self.relation(&view)?
        } else if let Some(found) = self.catalog.table(table).filter(|_| !streaming) {
            self.in_memory(&found.batches, found.schema.fields())?
        } else {
            return Err(errors::table_not_found(table));
        };
        node.output.iter_mut().for_each(|attribute| attribute.qualifiers = vec![table.clone()]);
        Ok(node)
    }

    /// Rows that came with the plan; `schema` renames and casts them.
    pub fn local(&self, batches: &[RecordBatch], schema: Option<&str>) -> Result<Node, SparkError> {
        let declared = schema.map(parse_schema_text).transpose()?;
        let fields = match (declared, batches.first()) {
            (Some(DataType::Struct(fields)), _) => fields,
            (Some(other), _) => Fields::from(vec![Field::new("value", other, true)]),
            (None, Some(first)) => first.schema().fields().clone(),
            (None, None) => Fields::empty(),
        };
        self.in_memory(batches, &fields)
    }

    /// `spark.range`.
    pub fn range(&self, start: i64, end: i64, step: i64) -> Result<Node, SparkError> {
        if step == 0 {
            return Err(errors::illegal_argument("step must not be 0"));
        }
        let rows = (i128::from(end) - i128::from(start)).abs() / i128::from(step).abs();
        if rows > i128::from(RANGE_ROWS_MAX) {
            return Err(SparkError::unsupported(format!("a range of more than {RANGE_ROWS_MAX} rows")));
        }
        let mut values = Vec::new();
        let mut next = Some(start);
        while let Some(value) = next.filter(|value| if step > 0 { *value < end } else { *value > end }) {
            values.push(value);
            next = value.checked_add(step);
        }
        let fields = Fields::from(vec![Field::new("id", DataType::Int64, false)]);
        let batch =
            RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), vec![Arc::new(Int64Array::from(values))]);
        self.in_memory(&[batch.map_err(|error| errors::internal(error.into()))?], &fields)
    }

    /// The input of a `SELECT` without `FROM`.
    pub fn one_row(&self) -> Result<Node, SparkError> {
        let plan = LogicalPlanBuilder::empty(true).build().map_err(errors::internal)?;
        Ok(Node::whole(plan, Vec::new(), false))
    }

    fn attribute_of_field(&self, field: &Field) -> Attribute {
        Attribute::new(field.name(), self.column(field.name()), field.data_type().clone(), field.is_nullable())
    }

    /// A scan of batches as `fields` have them, columns by position.
    fn in_memory(&self, batches: &[RecordBatch], fields: &Fields) -> Result<Node, SparkError> {
        let output: Vec<Attribute> = fields
            .iter()
            .map(|field| self.attribute_of_field(&field.as_ref().clone().with_data_type(spark_type(field.data_type()))))
            .collect();
        // The scan's own names are others than the plan's, which DataFusion would take for ambiguous otherwise.
        let scanned =
            output.iter().enumerate().map(|(index, attribute)| attribute.plan_field().with_name(format!("c{index}")));
        let schema = Arc::new(Schema::new(scanned.collect::<Vec<_>>()));
        let mut converted = Vec::with_capacity(batches.len());
        for batch in batches {
            converted.push(convert(batch, &schema)?);
        }
        let table = MemTable::try_new(schema, vec![converted]).map_err(errors::internal)?;
        let scan = LogicalPlanBuilder::scan(LOCAL, provider_as_source(Arc::new(table)), None);
        let scan = scan.and_then(LogicalPlanBuilder::build).map_err(errors::internal)?;
        let columns = scan.schema().columns().into_iter().zip(&output);
        let expressions = columns.map(|(column, attribute)| Expr::Column(column).alias(&attribute.column));
        let plan = projection(scan.clone(), expressions.collect())?;
        Ok(Node::whole(plan, output, false))
    }
}

fn convert(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, SparkError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(errors::illegal_argument(format!(
            "local rows have {} columns, their schema {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        columns.push(cast(column, field.data_type()).map_err(|error| errors::internal(error.into()))?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| errors::internal(error.into()))
}

/// The Arrow type that the engine uses for what a client sent.
fn spark_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => timestamp(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        DataType::Date64 => DataType::Date32,
        DataType::List(element) | DataType::LargeList(element) => {
            array_of(spark_type(element.data_type()), element.is_nullable())
        }
        DataType::Struct(fields) => {
            let field = |field: &Arc<Field>| field.as_ref().clone().with_data_type(spark_type(field.data_type()));
            DataType::Struct(fields.iter().map(field).collect())
        }
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => {
                map_of(spark_type(key.data_type()), spark_type(value.data_type()), value.is_nullable())
            }
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

fn option<'a>(read: &'a Read, name: &str) -> Option<&'a str> {
    read.options.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Spark's own checks of the Kafka source's options, in its words. Unknown options are ignored, as Spark does.
fn check_kafka_options(read: &Read) -> Result<(), SparkError> {
    let strategies = ["subscribe", "subscribePattern", "assign"];
    let given: Vec<_> = strategies.iter().filter_map(|name| option(read, name).map(|value| (*name, value))).collect();
    match given.as_slice() {
        [] => {
            return Err(errors::illegal_argument(
                "One of the following options must be specified for Kafka source: \
                subscribe, subscribePattern, assign. See the docs for more details.",
            ));
        }
        [(name, value)] if value.trim().is_empty() => {
            return Err(errors::illegal_argument(format!(
                "No topics to {name}. Specified value for option '{name}' is '{value}'"
            )));
        }
        [_] => {}
        _ => {
            return Err(errors::illegal_argument(
                "Only one of the following options can be specified for Kafka source: \
                subscribe, subscribePattern, assign. See the docs for more details.",
            ));
        }
    }
    if option(read, "kafka.bootstrap.servers").is_none() {
        return Err(errors::illegal_argument(
            "Option 'kafka.bootstrap.servers' must be specified for configuring Kafka \
            consumer",
        ));
    }
    for refused in [
        "kafka.auto.offset.reset",
        "kafka.key.deserializer",
        "kafka.value.deserializer",
        "kafka.enable.auto.commit",
        "kafka.interceptor.classes",
    ] {
        if option(read, refused).is_some() {
            let name = refused.trim_start_matches("kafka.");
            return Err(errors::illegal_argument(format!("Kafka option '{name}' is not supported")));
        }
    }
    for name in ["maxOffsetsPerTrigger", "minOffsetsPerTrigger", "minPartitions"] {
        if let Some(value) =
            option(read, name).filter(|value| !value.trim().parse::<i64>().is_ok_and(|number| number > 0))
        {
            return Err(errors::illegal_argument(format!("Option '{name}' must be a positive number, not '{value}'")));
        }
    }
    for name in ["failOnDataLoss", "includeHeaders"] {
        if let Some(value) =
            option(read, name).filter(|value| !["true", "false"].contains(&value.trim().to_lowercase().as_str()))
        {
            return Err(errors::illegal_argument(format!("Option '{name}' must be true or false, not '{value}'")));
        }
    }
    if option(read, "endingOffsets")
        .or(option(read, "endingOffsetsByTimestamp"))
        .or(option(read, "endingTimestamp"))
        .is_some()
    {
        return Err(errors::illegal_argument("ending offset not valid in streaming queries"));
    }
    Ok(())
}

fn unknown_format(format: &str) -> SparkError {
    let nearest = std::iter::once("kafka")
        .chain(FORMATS_TO_COME.iter().copied())
        .min_by_key(|known| strsim::levenshtein(known, format));
    let hint = nearest
        .filter(|known| strsim::levenshtein(known, format) <= SLIP_MAX)
        .map_or(String::new(), |known| format!(" Did you mean `{known}`?"));
    let message = format!(
        "Failed to find the data source: {format}. Make sure the provider name is correct and the \
        package is properly registered and compatible with your Spark version.{hint}"
    );
    SparkError::analysis("DATA_SOURCE_NOT_FOUND", "42K02", message).with("provider", format)
}
