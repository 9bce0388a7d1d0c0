//! The aggregate functions of Spark as DataFusion's planner and our state both see them.

use std::sync::Arc;

use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type,
};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::{count::count_udaf, min_max::max_udaf, min_max::min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};

use super::checked_sum::{SingleGroup, SumGroups};
use crate::functions::AggregateKind;

/// The function that computes `kind`; its arguments must have been coerced as the registry does.
pub fn aggregate_udf(kind: AggregateKind) -> Arc<AggregateUDF> {
    match kind {
        AggregateKind::Count => count_udaf(),
        AggregateKind::Min => min_udaf(),
        AggregateKind::Max => max_udaf(),
        AggregateKind::Sum => Arc::new(AggregateUDF::from(SparkSum::new(Finish::Sum))),
        AggregateKind::Avg => Arc::new(AggregateUDF::from(SparkSum::new(Finish::Average))),
    }
}

/// What becomes of the sum at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Finish {
    Sum,
    Average,
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

    fn groups<T: ArrowPrimitiveType>(&self, args: &AccumulatorArgs) -> Result<SumGroups<T>> {
        let sum_type = Self::sum_type(args.expr_fields[0].data_type())?;
        Ok(SumGroups::new(self.finish, sum_type, args.return_field.data_type().clone()))
    }
}

/// As Spark: four more digits in all and after the point; beyond 38 the whole digits stay and the scale gives way, down to 6.
fn average_of_decimals(precision: u8, scale: i8) -> DataType {
    let (wide, wide_scale) = (precision + 4, scale + 4);
    if wide <= DECIMAL128_MAX_PRECISION {
        return DataType::Decimal128(wide, wide_scale);
    }
    let whole_digits = wide as i8 - wide_scale;
    let scale = (DECIMAL128_MAX_PRECISION as i8 - whole_digits).max(wide_scale.min(6));
    DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)
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
        Ok(match args.expr_fields[0].data_type() {
            DataType::Int64 => Box::new(SingleGroup::new(self.groups::<Int64Type>(&args)?)),
            DataType::Float64 => Box::new(SingleGroup::new(self.groups::<Float64Type>(&args)?)),
            _ => Box::new(SingleGroup::new(self.groups::<Decimal128Type>(&args)?)),
        })
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
        Ok(match args.expr_fields[0].data_type() {
            DataType::Int64 => Box::new(self.groups::<Int64Type>(&args)?),
            DataType::Float64 => Box::new(self.groups::<Float64Type>(&args)?),
            _ => Box::new(self.groups::<Decimal128Type>(&args)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_of_wide_decimals_keeps_its_whole_digits() {
        assert_eq!(average_of_decimals(10, 2), DataType::Decimal128(14, 6));
        assert_eq!(average_of_decimals(38, 10), DataType::Decimal128(38, 10));
        assert_eq!(average_of_decimals(38, 0), DataType::Decimal128(38, 4));
    }
}
