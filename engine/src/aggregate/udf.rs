//! The aggregate functions of Spark as DataFusion's planner and our state both see them.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Float32Type, Float64Type, Int64Type,
};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use super::checked_sum::{Finish, SumGroups};
use super::float_extreme::FloatGroups;
use super::nested_extreme::{ExtremeGroups, is_nested};
use super::single::{SharedGroups, SingleGroup};
use crate::functions::AggregateKind;
use crate::types::average_of_decimals;

/// The function that computes `kind`; its arguments must have been coerced as the registry does.
pub fn aggregate_udf(kind: AggregateKind) -> Arc<AggregateUDF> {
    match kind {
        AggregateKind::Count => count_udaf(),
        AggregateKind::Min => Arc::new(AggregateUDF::from(SparkExtreme::new(min_udaf(), Ordering::Less))),
        AggregateKind::Max => Arc::new(AggregateUDF::from(SparkExtreme::new(max_udaf(), Ordering::Greater))),
        AggregateKind::Sum => Arc::new(AggregateUDF::from(SparkSum::new(Finish::Sum))),
        AggregateKind::Avg => Arc::new(AggregateUDF::from(SparkSum::new(Finish::Average))),
    }
}

/// `sum` and `avg` over bigint, double and decimal, as Spark with ANSI on: overflow is an error.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SparkSum {
    finish: Finish,
    signature: Signature,
}

impl SparkSum {
    fn new(finish: Finish) -> Self {
        SparkSum { finish, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The type of the running sum. As Spark: decimals get ten digits more, at most 38.
    fn sum_type(argument: &DataType) -> Result<DataType> {
        match argument {
            DataType::Int64 | DataType::Float64 => Ok(argument.clone()),
            DataType::Decimal128(precision, scale) => {
                Ok(DataType::Decimal128((precision + 10).min(DECIMAL128_MAX_PRECISION), *scale))
            }
            other => exec_err!("sum and avg take bigint, double or decimal, not {other}"),
        }
    }

    /// One sum and count for each group, in the type the argument is summed in.
    fn groups(&self, args: &AccumulatorArgs) -> Result<SharedGroups> {
        let sum_type = Self::sum_type(args.expr_fields[0].data_type())?;
        let result_type = args.return_field.data_type().clone();
        Ok(match sum_type {
            DataType::Int64 => Box::new(SumGroups::<Int64Type>::new(self.finish, sum_type, result_type)),
            DataType::Float64 => Box::new(SumGroups::<Float64Type>::new(self.finish, sum_type, result_type)),
            _ => Box::new(SumGroups::<Decimal128Type>::new(self.finish, sum_type, result_type)),
        })
    }
}

impl AggregateUDFImpl for SparkSum {
    fn name(&self) -> &str {
        match self.finish {
            Finish::Sum => "spark_sum",
            Finish::Average => "spark_avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let sum = Self::sum_type(&arguments[0])?;
        Ok(match (self.finish, &arguments[0]) {
            (Finish::Sum, _) => sum,
            (Finish::Average, DataType::Decimal128(precision, scale)) => average_of_decimals(*precision, *scale),
            (Finish::Average, _) => DataType::Float64,
        })
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let argument = args.expr_fields[0].data_type().clone();
        Ok(Box::new(SingleGroup::new(self.groups(&args)?, argument)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let sum = Self::sum_type(args.input_fields[0].data_type())?;
        let mut fields = vec![Arc::new(Field::new(format!("{}[sum]", args.name), sum, true))];
        if self.finish == Finish::Average {
            fields.push(Arc::new(Field::new(format!("{}[count]", args.name), DataType::Int64, false)));
        }
        Ok(fields)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(self.groups(&args)?)
    }
}

/// `min` and `max`: DataFusion's where it has an accumulator of groups for the type, ours for floats and nested values,
/// whose NaN and nulls Spark orders otherwise, and for booleans, since DataFusion's adapter has no state without
/// groups.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SparkExtreme {
    /// How a value compares with the best so far when it is better.
    better: Ordering,
    of_plain: Arc<AggregateUDF>,
    signature: Signature,
}

impl SparkExtreme {
    fn new(of_plain: Arc<AggregateUDF>, better: Ordering) -> Self {
        SparkExtreme { better, of_plain, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// Our own accumulator; none where DataFusion's is used.
    fn own_groups(&self, args: &AccumulatorArgs) -> Result<Option<SharedGroups>> {
        let argument = args.expr_fields[0].data_type();
        Ok(match argument {
            DataType::Float32 => Some(Box::new(FloatGroups::<Float32Type>::new(self.better))),
            DataType::Float64 => Some(Box::new(FloatGroups::<Float64Type>::new(self.better))),
            _ if is_nested(argument) || !self.of_plain.groups_accumulator_supported(args.clone()) => {
                Some(Box::new(ExtremeGroups::new(self.better, argument)?))
            }
            _ => None,
        })
    }
}

impl AggregateUDFImpl for SparkExtreme {
    fn name(&self) -> &str {
        if self.better == Ordering::Less { "spark_min" } else { "spark_max" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.own_groups(&args)? {
            Some(groups) => Ok(Box::new(SingleGroup::new(groups, args.expr_fields[0].data_type().clone()))),
            None => self.of_plain.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.of_plain.state_fields(args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.own_groups(&args)? {
            Some(groups) => Ok(groups),
            None => self.of_plain.create_groups_accumulator(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::logical_expr::EmitTo;
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::Column;

    #[test]
    fn every_min_and_max_has_groups_of_its_own() {
        for data_type in [DataType::Boolean, DataType::Utf8, DataType::Float64, DataType::Null, DataType::Binary] {
            let schema = Arc::new(Schema::new(vec![Field::new("v", data_type.clone(), true)]));
            let column = Arc::new(Column::new("v", 0));
            let least = AggregateExprBuilder::new(aggregate_udf(AggregateKind::Min), vec![column])
                .schema(schema)
                .alias("least")
                .build()
                .expect("a type with an order");
            let mut groups = least.create_groups_accumulator().expect("has one");
            assert_eq!(groups.state(EmitTo::All).expect("drains").len(), 1, "{data_type}");
        }
    }
}
