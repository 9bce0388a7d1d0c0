//! Segments as the steps that executors run.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::Expr;
use indexmap::IndexMap;
use pyrite_engine::codec::{encode_expr, physical_expr};
use pyrite_engine::functions::kernels::raises;
use pyrite_engine::plan::window_fields;
use pyrite_proto::plan as wire;
use wire::step::Step;

use super::json;
use super::segment::{Barrier, Chain, column, columns_of};

/// Writes steps one after another, following the schema that each leaves.
pub(super) struct StepWriter {
    schema: SchemaRef,
    steps: Vec<wire::Step>,
}

impl StepWriter {
    /// No steps yet, over rows of `schema`.
    pub(super) fn new(schema: SchemaRef) -> Self {
        StepWriter { schema, steps: Vec::new() }
    }

    /// The steps, and the schema of the rows after them.
    pub(super) fn finish(self) -> (Vec<wire::Step>, SchemaRef) {
        (self.steps, self.schema)
    }

    /// Writes a whole chain.
    pub(super) fn chain(&mut self, chain: &Chain) -> Result<()> {
        for segment in &chain.segments {
            self.segment(&segment.filters, &segment.columns)?;
            if let Some(barrier) = &segment.barrier {
                self.barrier(barrier)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, filters: &[Expr], columns: &IndexMap<String, Expr>) -> Result<()> {
        let mut filters = filters.to_vec();
        let mut columns = columns.clone();
        for expression in filters.iter_mut().chain(columns.values_mut()) {
            json::read_bytes(expression, &self.schema)?;
        }
        self.raw_filter(&filters)?;
        let mut expressions: Vec<&mut Expr> = filters.iter_mut().chain(columns.values_mut()).collect();
        let hoisted = json::hoist(&mut expressions)?;
        if !hoisted.is_empty() {
            let mut kept: IndexMap<String, Expr> = IndexMap::new();
            for name in self.read_by(filters.iter().chain(columns.values()))? {
                kept.insert(name.clone(), column(&name));
            }
            kept.extend(hoisted.into_iter().map(|document| (document.name, document.call)));
            self.project(&kept)?;
        }
        for predicate in in_turn(filters) {
            let predicate = self.encode(&predicate)?.0;
            self.push(Step::Filter(wire::Filter { predicate: predicate.into() }));
        }
        if self.is_identity(&columns) { Ok(()) } else { self.project(&columns) }
    }

    /// The columns of the present schema that the expressions read.
    fn read_by<'a>(&self, expressions: impl Iterator<Item = &'a Expr>) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for expression in expressions {
            names.extend(columns_of(expression)?);
        }
        names.retain(|name| self.schema.index_of(name).is_ok());
        Ok(names)
    }

    fn is_identity(&self, columns: &IndexMap<String, Expr>) -> bool {
        columns.len() == self.schema.fields().len()
            && columns
                .iter()
                .zip(self.schema.fields())
                .all(|((name, expression), field)| name == field.name() && *expression == column(name))
    }

    fn raw_filter(&mut self, filters: &[Expr]) -> Result<()> {
        let mut by_column: IndexMap<u32, Vec<wire::Needle>> = IndexMap::new();
        for (document, needle) in json::needles(filters) {
            let alternatives = needle.alternatives.into_iter().map(Into::into).collect();
            let needle = wire::Needle { alternatives, fold_case: needle.fold_case };
            by_column.entry(self.index_of(&document)?).or_default().push(needle);
        }
        for (column, needles) in by_column {
            self.push(Step::RawFilter(wire::RawFilter { column, needles }));
        }
        Ok(())
    }

    fn project(&mut self, columns: &IndexMap<String, Expr>) -> Result<()> {
        let mut expressions = Vec::with_capacity(columns.len());
        let mut fields = Vec::with_capacity(columns.len());
        for (name, expression) in columns {
            let (expr, field) = self.encode(expression)?;
            fields.push(Field::new(name, field.data_type().clone(), true));
            expressions.push(wire::NamedExpr { name: name.clone(), expr: expr.into() });
        }
        self.push(Step::Project(wire::Project { expressions }));
        self.schema = Arc::new(Schema::new(fields));
        Ok(())
    }

    fn barrier(&mut self, barrier: &Barrier) -> Result<()> {
        match barrier {
            Barrier::Watermark { node, column, delay_us } => {
                let column = self.index_of(column)?;
                self.push(Step::Watermark(wire::Watermark { node: *node, column, delay_us: *delay_us }));
            }
            Barrier::TimeWindow { time, size_us, slide_us, start_us, output } => {
                let time_column = self.index_of(time)?;
                let window = window_fields(self.schema.field(time_column as usize).data_type());
                self.push(Step::TimeWindow(wire::TimeWindow {
                    time_column,
                    size_us: *size_us,
                    slide_us: *slide_us,
                    start_us: *start_us,
                    output: output.clone(),
                }));
                let window = Field::new_struct(output, window, false);
                let fields = self.schema.fields().iter().cloned().chain([Arc::new(window)]);
                self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            }
        }
        Ok(())
    }

    fn encode(&self, expression: &Expr) -> Result<(Vec<u8>, Field)> {
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let physical = physical_expr(expression, &schema)?;
        let field = Field::new("", physical.data_type(&self.schema)?, true);
        Ok((encode_expr(&physical)?, field))
    }

    fn index_of(&self, name: &str) -> Result<u32> {
        Ok(self.schema.index_of(name)? as u32)
    }

    fn push(&mut self, step: Step) {
        self.steps.push(wire::Step { step: Some(step) });
    }
}

/// Filters as few predicates, one after another: what can fail sees only the rows that the filters before it let
/// through.
fn in_turn(filters: Vec<Expr>) -> Vec<Expr> {
    let mut predicates: Vec<Expr> = Vec::new();
    for filter in filters {
        match predicates.pop() {
            Some(before) if !raises(&filter) => predicates.push(before.and(filter)),
            Some(before) => predicates.extend([before, filter]),
            None => predicates.push(filter),
        }
    }
    predicates
}
