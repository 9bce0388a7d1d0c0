//! All aggregates of one operator: what their partials look like, and fresh accumulators for a batch.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, new_null_array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;

use super::aggregate_udf;
use crate::functions::AggregateKind;

/// One aggregate over columns of its input.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    pub kind: AggregateKind,
    /// The argument's column in the input; `None` counts every row.
    pub column: Option<usize>,
}

/// The aggregates of one operator. Shared by all tasks of a query.
#[derive(Debug)]
pub struct AggregateSet {
    members: Vec<Member>,
    state_types: Vec<DataType>,
}

#[derive(Debug)]
struct Member {
    function: Arc<AggregateFunctionExpr>,
    column: Option<usize>,
    state_width: usize,
}

impl AggregateSet {
    /// The aggregates `specs` over rows of `input`.
    pub fn new(specs: &[AggregateSpec], input: &SchemaRef) -> Result<Self> {
        let mut members = Vec::with_capacity(specs.len());
        let mut state_types = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let function = function_expr(spec, index, input)?;
            let state = function.state_fields()?;
            state_types.extend(state.iter().map(|field| field.data_type().clone()));
            members.push(Member { function: Arc::new(function), column: spec.column, state_width: state.len() });
        }
        Ok(AggregateSet { members, state_types })
    }

    /// The types of all partials' columns, aggregate after aggregate.
    pub fn state_types(&self) -> &[DataType] {
        &self.state_types
    }

    /// The types of the results.
    pub fn result_fields(&self) -> Vec<Arc<Field>> {
        self.members.iter().map(|member| member.function.field()).collect()
    }

    /// Empty accumulators.
    pub fn accumulators(self: &Arc<Self>) -> Result<Accumulators> {
        let mut accumulators = Vec::with_capacity(self.members.len());
        for member in &self.members {
            accumulators.push(member.function.create_groups_accumulator()?);
        }
        Ok(Accumulators { set: Arc::clone(self), accumulators, groups: 0 })
    }
}

fn function_expr(spec: &AggregateSpec, index: usize, input: &SchemaRef) -> Result<AggregateFunctionExpr> {
    // An aggregate that counts every row takes a column that is never null; see `all_rows`.
    let (argument, schema): (Arc<dyn PhysicalExpr>, SchemaRef) = match spec.column {
        Some(column) => (Arc::new(Column::new(input.field(column).name(), column)), Arc::clone(input)),
        None => {
            let schema = Schema::new(vec![Field::new("row", DataType::Boolean, false)]);
            (Arc::new(Column::new("row", 0)), Arc::new(schema))
        }
    };
    AggregateExprBuilder::new(aggregate_udf(spec.kind), vec![argument])
        .schema(schema)
        .alias(format!("aggregate_{index}"))
        .build()
}

/// The partial of a group without rows: no count, and no value. DataFusion's accumulators must see it, since they take
/// every group for seen as long as no null has come by.
fn nothing(state: &Field) -> ArrayRef {
    match state.data_type() {
        DataType::Int64 if !state.is_nullable() => Arc::new(Int64Array::from(vec![0])),
        data_type => new_null_array(data_type, 1),
    }
}

/// A column that is never null, as the argument of an aggregate that counts rows.
fn all_rows(rows: usize) -> ArrayRef {
    Arc::new(BooleanArray::new(BooleanBuffer::new_unset(rows), None))
}

/// The accumulators of one task, all with the same groups.
pub struct Accumulators {
    set: Arc<AggregateSet>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    groups: usize,
}

impl Accumulators {
    /// Makes room for `groups` groups, so that groups without rows exist too.
    pub fn ensure_groups(&mut self, groups: usize) -> Result<()> {
        self.groups = self.groups.max(groups);
        let Some(last) = self.groups.checked_sub(1) else { return Ok(()) };
        for (member, accumulator) in self.set.members.iter().zip(&mut self.accumulators) {
            let state = member.function.state_fields()?;
            let nothing: Vec<ArrayRef> = state.iter().map(|field| nothing(field)).collect();
            accumulator.merge_batch(&nothing, &[last], self.groups)?;
        }
        Ok(())
    }

    /// Adds input rows to their groups.
    pub fn update(&mut self, columns: &[ArrayRef], group_of_row: &[usize], groups: usize) -> Result<()> {
        self.groups = self.groups.max(groups);
        for (member, accumulator) in self.set.members.iter().zip(&mut self.accumulators) {
            let argument = match member.column {
                Some(column) => Arc::clone(&columns[column]),
                None => all_rows(group_of_row.len()),
            };
            accumulator.update_batch(&[argument], group_of_row, None, self.groups)?;
        }
        Ok(())
    }

    /// Merges partials, laid out as [`AggregateSet::state_types`], into their groups.
    pub fn merge(&mut self, partials: &[ArrayRef], group_of_row: &[usize], groups: usize) -> Result<()> {
        self.groups = self.groups.max(groups);
        let mut rest = partials;
        for (member, accumulator) in self.set.members.iter().zip(&mut self.accumulators) {
            let (state, tail) = rest.split_at(member.state_width);
            rest = tail;
            accumulator.merge_batch(state, group_of_row, self.groups)?;
        }
        Ok(())
    }

    /// Takes the partials of all groups; the accumulators are empty afterwards.
    pub fn take_partials(&mut self) -> Result<Vec<ArrayRef>> {
        self.groups = 0;
        let mut partials = Vec::with_capacity(self.set.state_types.len());
        for accumulator in &mut self.accumulators {
            partials.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(partials)
    }

    /// Takes the results of all groups; the accumulators are empty afterwards.
    pub fn take_results(&mut self) -> Result<Vec<ArrayRef>> {
        self.groups = 0;
        self.accumulators.iter_mut().map(|accumulator| accumulator.evaluate(EmitTo::All)).collect()
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.accumulators.iter().map(|accumulator| accumulator.size()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::timestamp;
    use datafusion::arrow::array::Array;

    #[test]
    fn a_group_without_rows_counts_nothing_and_has_no_value() {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("t", timestamp(), true)];
        let input = Arc::new(Schema::new(fields));
        let specs = [
            (AggregateKind::Count, None),
            (AggregateKind::Sum, Some(0)),
            (AggregateKind::Max, Some(1)),
            (AggregateKind::Min, Some(0)),
        ];
        let specs = specs.map(|(kind, column)| AggregateSpec { kind, column });
        let set = Arc::new(AggregateSet::new(&specs, &input).expect("a set"));
        let mut accumulators = set.accumulators().expect("accumulators");
        accumulators.ensure_groups(1).expect("makes room");
        let results = accumulators.take_results().expect("results");
        assert_eq!(results[0].as_ref(), &Int64Array::from(vec![0]) as &dyn Array);
        assert!(results[1..].iter().all(|result| result.len() == 1 && result.is_null(0)));
    }
}
