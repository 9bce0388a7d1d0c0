//! Function calls: what the registry makes of them, and aggregates and time windows put aside for a node of their own.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use pyrite_engine::error::SparkError;
use pyrite_engine::functions::{AggregateCall, AggregateKind, Built, Call, TimeWindow, Typed, lookup};

use super::errors;
use super::expressions::{Resolved, Resolver};
use super::known_functions::is_spark_function;
use super::pending::{PendingAggregate, PendingWindow};
use super::unresolved::UnresolvedExpr;

impl Resolver<'_> {
    /// A function that is always a scalar.
    pub(super) fn scalar(&self, name: &str, args: Vec<Typed>) -> Result<Typed, SparkError> {
        let function = lookup(name).ok_or_else(|| SparkError::unsupported(format!("`{name}`")))?;
        match (function.build)(&Call { name, args, distinct: false, settings: self.session.settings })? {
            Built::Scalar(typed) => Ok(typed),
            _ => Err(SparkError::unsupported(format!("`{name}` here"))),
        }
    }

    pub(super) fn function(
        &mut self,
        name: &str,
        args: &[UnresolvedExpr],
        distinct: bool,
    ) -> Result<Resolved, SparkError> {
        let lower = name.to_lowercase();
        let Some(function) = lookup(&lower) else {
            return Err(match is_spark_function(&lower) {
                true => SparkError::unsupported(format!("the function `{lower}`")),
                false => errors::unresolved_routine(name),
            });
        };
        let known = self.aggregates.len();
        let resolved = self.arguments(&lower, args)?;
        if lower == "struct" {
            return self.structure(resolved);
        }
        let typed = resolved.into_iter().map(|argument| argument.typed).collect();
        let call = Call { name, args: typed, distinct, settings: self.session.settings };
        let built = (function.build)(&call)?;
        if distinct {
            refuse_distinct(&lower, &built)?;
        }
        match built {
            Built::Scalar(typed) => Ok(Resolved::plain(typed)),
            Built::Aggregate(aggregate) if self.below.is_empty() => self.aggregate(aggregate),
            Built::Aggregate(_) => {
                // An aggregate in a `HAVING` is over the input, even where the output has a column of the same name.
                self.aggregates.truncate(known);
                let scopes = (self.scope, self.below);
                (self.scope, self.below) = (scopes.1, &[]);
                let resolved = self.function(name, args, distinct);
                (self.scope, self.below) = scopes;
                resolved
            }
            Built::TimeWindow(window) => self.window(window),
        }
    }

    /// `struct(a, b + 1 AS c, d + 1)` has fields `a`, `c` and, for want of a name, `col3`, as Spark.
    fn structure(&self, values: Vec<Resolved>) -> Result<Resolved, SparkError> {
        let text = |value: &Resolved| match &value.named {
            Some(alias) if value.aliased => format!("{} AS {alias}", value.typed.name),
            _ => value.typed.name.clone(),
        };
        let text = format!("struct({})", values.iter().map(text).collect::<Vec<_>>().join(", "));
        let mut args = Vec::with_capacity(values.len() * 2);
        for (index, value) in values.into_iter().enumerate() {
            let name = value.named.unwrap_or_else(|| format!("col{}", index + 1));
            args.extend([Typed::literal(ScalarValue::Utf8(Some(name))), value.typed]);
        }
        Ok(Resolved::plain(self.scalar("named_struct", args)?.named(text)))
    }

    /// The arguments, stars expanded. `count(*)` counts a literal, as Spark.
    fn arguments(&mut self, function: &str, args: &[UnresolvedExpr]) -> Result<Vec<Resolved>, SparkError> {
        if function == "count" && matches!(args, [UnresolvedExpr::Star { target: None }]) {
            return Ok(vec![Resolved::plain(Typed::literal(ScalarValue::Int32(Some(1))))]);
        }
        let mut resolved = Vec::with_capacity(args.len());
        for arg in args {
            resolved.extend(self.list_item(arg)?);
        }
        Ok(resolved)
    }

    fn aggregate(&mut self, call: AggregateCall) -> Result<Resolved, SparkError> {
        let nested = |expr: &Expr| {
            expr.column_refs().iter().any(|column| self.aggregates.iter().any(|pending| pending.column == column.name))
        };
        if call.args.iter().any(|arg| nested(&arg.expr)) {
            return Err(errors::nested_aggregate());
        }
        let same = |pending: &&PendingAggregate| {
            pending.call.kind == call.kind
                && pending.call.data_type == call.data_type
                && pending.call.args.iter().map(|arg| &arg.expr).eq(call.args.iter().map(|arg| &arg.expr))
        };
        let column = match self.aggregates.iter().find(same) {
            Some(pending) => pending.column.clone(),
            None => {
                let column = self.session.column(&call.name);
                self.aggregates.push(PendingAggregate { call: call.clone(), column: column.clone() });
                column
            }
        };
        Ok(Resolved::plain(Typed {
            expr: Expr::Column(Column::new_unqualified(column)),
            data_type: call.data_type,
            nullable: call.nullable,
            name: call.name,
            literal: None,
        }))
    }

    fn window(&mut self, window: TimeWindow) -> Result<Resolved, SparkError> {
        let same = |pending: &&PendingWindow| {
            let other = &pending.window;
            other.time.expr == window.time.expr
                && (other.size_us, other.slide_us, other.start_us) == (window.size_us, window.slide_us, window.start_us)
        };
        let pending = match self.windows.iter().find(same) {
            Some(pending) => pending.clone(),
            None => {
                let fields = pyrite_engine::plan::window_fields(&window.time.data_type);
                let pending = PendingWindow { column: self.session.column(&window.name), fields, window };
                self.windows.push(pending.clone());
                pending
            }
        };
        let typed = Typed {
            expr: Expr::Column(Column::new_unqualified(pending.column)),
            data_type: DataType::Struct(pending.fields),
            nullable: false,
            name: pending.window.name.clone(),
            literal: None,
        };
        Ok(Resolved::named(typed, pending.window.name))
    }
}

/// `DISTINCT` changes nothing in a minimum or maximum; elsewhere it is to come, or no syntax at all.
fn refuse_distinct(name: &str, built: &Built) -> Result<(), SparkError> {
    match built {
        Built::Aggregate(call) if matches!(call.kind, AggregateKind::Min | AggregateKind::Max) => Ok(()),
        Built::Aggregate(_) => Err(SparkError::unsupported(format!("DISTINCT in the aggregate `{name}`"))),
        _ => Err(SparkError::analysis(
            "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
            "42000",
            format!("Invalid SQL syntax: The function `{name}` does not support DISTINCT."),
        )),
    }
}
