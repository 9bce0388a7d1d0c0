//! The text of a row in the error of a malformed record: Spark prints its internal row, `[1,null,abc]`.

use super::node::{Data, Node};
use super::text::{decimal, write_double};

/// The last row of a column.
pub(super) fn row_text(node: &Node) -> String {
    let Some(last) = node.len().checked_sub(1).filter(|&last| node.nulls.is_valid(last)) else {
        return "null".to_owned();
    };
    match &node.data {
        Data::Struct(fields) => {
            let fields: Vec<String> = fields.nodes.iter().map(row_text).collect();
            format!("[{}]", fields.join(","))
        }
        Data::Null => "null".to_owned(),
        Data::Boolean(values) => values.get_bit(last).to_string(),
        Data::Int8(values) => values[last].to_string(),
        Data::Int16(values) => values[last].to_string(),
        Data::Int32(values) | Data::Date(values) => values[last].to_string(),
        Data::Int64(values) | Data::Timestamp(values, _) | Data::TimestampNtz(values) => values[last].to_string(),
        Data::Float32(values) => double(f64::from(values[last])),
        Data::Float64(values) => double(values[last]),
        Data::Decimal { values, scale, .. } => decimal(values[last], *scale),
        Data::Text(bytes) => String::from_utf8_lossy(bytes.last_value()).into_owned(),
        // Spark prints the identity of a Java object here, which says nothing.
        Data::Binary(_) => "<binary>".to_owned(),
        Data::List(_) => "<array>".to_owned(),
        Data::Map(_) => "<map>".to_owned(),
    }
}

fn double(value: f64) -> String {
    let mut out = Vec::new();
    write_double(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
