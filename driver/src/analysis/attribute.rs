//! A column as Spark sees it, beside the internal name the plan uses.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Column;
use datafusion::logical_expr::Expr;

/// A column of a relation's output.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Spark's name; several columns may share it.
    pub name: String,
    /// The unique name in the plan, for example `value#12`.
    pub column: String,
    /// Columns that a plan has twice under two internal names are one to Spark, and so is a name that means both.
    pub identity: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// The table or alias it can be qualified with, its own name last; empty: none.
    pub qualifiers: Vec<String>,
    /// Set on event-time columns, and on windows over them: the watermark's delay in microseconds.
    pub watermark_us: Option<i64>,
}

impl Attribute {
    /// A column without qualifier or watermark.
    pub fn new(name: impl Into<String>, column: String, data_type: DataType, nullable: bool) -> Self {
        Attribute {
            name: name.into(),
            identity: column.clone(),
            column,
            data_type,
            nullable,
            qualifiers: Vec::new(),
            watermark_us: None,
        }
    }

    /// The column as an expression of the plan.
    pub fn expr(&self) -> Expr {
        Expr::Column(Column::new_unqualified(&self.column))
    }

    /// The Arrow field under Spark's name.
    pub fn spark_field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.nullable)
    }

    /// The Arrow field under the internal name.
    pub fn plan_field(&self) -> Field {
        Field::new(&self.column, self.data_type.clone(), self.nullable)
    }

    /// The name with its qualifier in backticks, as Spark's messages have it: `` `t`.`a` ``.
    pub fn quoted(&self) -> String {
        let parts = self.qualifiers.iter().chain([&self.name]);
        parts.map(|part| format!("`{}`", part.replace('`', "``"))).collect::<Vec<_>>().join(".")
    }
}

/// The attribute that an expression is, when it is a plain column of `attributes`.
pub(super) fn attribute_of<'a>(expr: &Expr, attributes: &'a [Attribute]) -> Option<&'a Attribute> {
    match expr {
        Expr::Column(column) => attributes.iter().find(|attribute| attribute.column == column.name),
        _ => None,
    }
}
