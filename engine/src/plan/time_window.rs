//! Event-time windows: the windows that hold a time, and the rows they make.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Windows of `size_us`, one every `slide_us`, aligned to `start_us`; microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpec {
    pub size_us: i64,
    pub slide_us: i64,
    pub start_us: i64,
}

impl WindowSpec {
    /// The most windows that hold one time.
    pub fn windows_max(&self) -> usize {
        let slide = self.slide_us.max(1);
        usize::try_from(self.size_us.saturating_add(slide - 1) / slide).unwrap_or(1).max(1)
    }

    /// The starts of the windows that hold `time`, latest first; a window holds its start and not its end.
    ///
    /// As Spark: the remainder is taken towards minus infinity, so times before the epoch are right too.
    pub fn starts(&self, time: i64) -> impl Iterator<Item = i64> + use<> {
        let last = time - (time - self.start_us).rem_euclid(self.slide_us);
        let (size, slide) = (self.size_us, self.slide_us);
        (0..).map(move |index| last - index * slide).take_while(move |start| time - *start < size)
    }
}

/// The fields of a window column whose times have type `time`.
pub fn window_fields(time: &DataType) -> Fields {
    Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time.clone(), true)])
}

/// Appends a window column called `output`: a row for each window that holds the row's time; rows without a time
/// vanish.
pub fn expand_windows(
    batch: &RecordBatch,
    time_column: usize,
    spec: WindowSpec,
    output: &str,
) -> Result<RecordBatch, ArrowError> {
    let times = batch.column(time_column).as_primitive::<TimestampMicrosecondType>();
    let mut rows = Vec::with_capacity(times.len());
    let mut starts = Vec::with_capacity(times.len());
    for row in 0..times.len() {
        if times.is_null(row) {
            continue;
        }
        for start in spec.starts(times.value(row)) {
            rows.push(row as u32);
            starts.push(start);
        }
    }
    let unchanged = rows.len() == times.len() && rows.iter().enumerate().all(|(index, row)| index == *row as usize);
    let repeated = if unchanged { batch.clone() } else { take_record_batch(batch, &UInt32Array::from(rows))? };
    append_column(&repeated, window_column(starts, spec, times.data_type()), output)
}

fn window_column(starts: Vec<i64>, spec: WindowSpec, time: &DataType) -> ArrayRef {
    let ends: Vec<i64> = starts.iter().map(|start| start + spec.size_us).collect();
    let typed = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_data_type(time.clone()))
    };
    Arc::new(StructArray::new(window_fields(time), vec![typed(starts), typed(ends)], None))
}

fn append_column(batch: &RecordBatch, column: ArrayRef, name: &str) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(name, column.data_type().clone(), false)));
    let mut columns = batch.columns().to_vec();
    columns.push(column);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tumbling_window_holds_its_start_and_not_its_end() {
        let spec = WindowSpec { size_us: 10, slide_us: 10, start_us: 0 };
        assert_eq!(spec.starts(10).collect::<Vec<_>>(), [10]);
        assert_eq!(spec.starts(9).collect::<Vec<_>>(), [0]);
        assert_eq!(spec.starts(-1).collect::<Vec<_>>(), [-10]);
    }

    #[test]
    fn a_window_smaller_than_its_slide_leaves_gaps() {
        let spec = WindowSpec { size_us: 4, slide_us: 10, start_us: 1 };
        assert_eq!(spec.starts(4).collect::<Vec<_>>(), [1]);
        assert_eq!(spec.starts(5).count(), 0);
    }

    #[test]
    fn rows_without_a_time_vanish_and_others_repeat() {
        let times = TimestampMicrosecondArray::from(vec![Some(12), None, Some(3)]);
        let schema = Schema::new(vec![Field::new("t", times.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(times)]).expect("valid");
        let spec = WindowSpec { size_us: 10, slide_us: 5, start_us: 0 };
        let expanded = expand_windows(&batch, 0, spec, "window").expect("expands");
        let windows = expanded.column(1).as_struct();
        let starts = windows.column(0).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(starts.values().as_ref(), [10, 5, 0, -5]);
    }

    proptest! {
        #[test]
        fn every_window_of_a_time_holds_it(time in -1_000_000i64..1_000_000, size in 1i64..5_000, slide in 1i64..5_000, start in 0i64..5_000) {
            let spec = WindowSpec { size_us: size, slide_us: slide, start_us: start };
            let starts: Vec<i64> = spec.starts(time).collect();
            for window in &starts {
                prop_assert!(*window <= time && time < window + size);
                prop_assert_eq!((window - start).rem_euclid(slide), 0);
            }
            let most = spec.windows_max() as i64;
            prop_assert!(starts.len() as i64 == most || starts.len() as i64 == most - 1);
        }
    }
}
