//! The accumulator of a plan without keys: the grouped one with its one group.

use std::fmt;

use datafusion::arrow::array::{ArrayRef, new_empty_array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// An accumulator of groups that several threads may look at, which DataFusion wants of those without groups only.
pub(super) type SharedGroups = Box<dyn GroupsAccumulator + Sync>;

pub(super) struct SingleGroup {
    groups: SharedGroups,
    /// The type of the aggregate's argument.
    argument: DataType,
}

impl SingleGroup {
    pub(super) fn new(groups: SharedGroups, argument: DataType) -> Self {
        SingleGroup { groups, argument }
    }

    /// Makes the group, which is there without any rows too.
    fn make_group(&mut self) -> Result<()> {
        self.groups.update_batch(&[new_empty_array(&self.argument)], &[], None, 1)
    }
}

impl fmt::Debug for SingleGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleGroup").field("argument", &self.argument).finish_non_exhaustive()
    }
}

impl Accumulator for SingleGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.make_group()?;
        ScalarValue::try_from_array(&self.groups.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.make_group()?;
        let state = self.groups.state(EmitTo::All)?;
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.merge_batch(states, &vec![0; states[0].len()], 1)
    }
}
