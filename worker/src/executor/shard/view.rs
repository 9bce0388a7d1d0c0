//! The committed state of one shard as a batch reads it: the database, below overlays that are committed but not
//! folded yet.
//!
//! A fold may run while a view is read: it writes to the database exactly what the overlay above it says, so either
//! order gives the same.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use pyrite_engine::state::{StateError, StateView, Step};
use rocksdb::ReadOptions;

use super::database::Database;
use super::overlay::Overlay;

/// A shard at its committed version.
#[derive(Clone)]
pub struct ShardView {
    database: Option<Arc<Database>>,
    /// Oldest first.
    overlays: Vec<Arc<Overlay>>,
}

impl ShardView {
    /// A view of `database` (none: empty) under `overlays`, the oldest first.
    pub fn new(database: Option<Arc<Database>>, overlays: Vec<Arc<Overlay>>) -> Self {
        Self { database, overlays }
    }
}

impl StateView for ShardView {
    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        let mut values: Vec<Option<Vec<u8>>> = vec![None; keys.len()];
        let mut known = vec![false; keys.len()];
        for overlay in self.overlays.iter().rev() {
            overlay.find_sorted(keys, |index, value| {
                if !std::mem::replace(&mut known[index], true) {
                    values[index] = value.map(<[u8]>::to_vec);
                }
            });
        }
        let Some(database) = &self.database else { return Ok(values) };
        let missing: Vec<usize> = (0..keys.len()).filter(|index| !known[*index]).collect();
        if missing.is_empty() {
            return Ok(values);
        }
        let column = database
            .db()
            .cf_handle(rocksdb::DEFAULT_COLUMN_FAMILY_NAME)
            .ok_or_else(|| broken("the database has no column"))?;
        let found = database.db().batched_multi_get_cf(column, missing.iter().map(|index| keys[*index]), true);
        for (index, value) in missing.into_iter().zip(found) {
            values[index] = value.map_err(broken)?.map(|bytes| bytes.to_vec());
        }
        Ok(values)
    }

    fn scan(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Step) -> Result<(), StateError> {
        let mut above = Above::new(&self.overlays, from, to);
        let Some(database) = &self.database else {
            while let Some((key, value)) = above.next() {
                if let Some(value) = value
                    && each(key, value)?.is_break()
                {
                    break;
                }
            }
            return Ok(());
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut below = database.db().raw_iterator_opt(options);
        below.seek(from);
        merge(&mut below, &mut above, each)?;
        below.status().map_err(broken)
    }
}

/// Both in the order of keys; where a key is in both, the overlay's value counts.
fn merge(
    below: &mut rocksdb::DBRawIterator<'_>,
    above: &mut Above<'_>,
    each: &mut dyn FnMut(&[u8], &[u8]) -> Step,
) -> Result<(), StateError> {
    loop {
        let order = match (below.item(), above.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((key, _)), Some(other)) => key.cmp(other),
        };
        let step = match order {
            Ordering::Less => {
                let step = below.item().map_or(Ok(ControlFlow::Continue(())), |(key, value)| each(key, value));
                below.next();
                step
            }
            Ordering::Equal | Ordering::Greater => {
                if order == Ordering::Equal {
                    below.next();
                }
                match above.next() {
                    Some((key, Some(value))) => each(key, value),
                    Some((_, None)) | None => Ok(ControlFlow::Continue(())),
                }
            }
        };
        if step?.is_break() {
            return Ok(());
        }
    }
}

/// The overlays' entries in `[from, to)`, each key once with its newest value.
struct Above<'a> {
    /// Newest first: position, end.
    cursors: Vec<(&'a Overlay, usize, usize)>,
}

impl<'a> Above<'a> {
    fn new(overlays: &'a [Arc<Overlay>], from: &[u8], to: &[u8]) -> Self {
        let cursors =
            overlays.iter().rev().map(|overlay| (overlay.as_ref(), overlay.lower_bound(from), overlay.lower_bound(to)));
        Self { cursors: cursors.filter(|(_, start, end)| start < end).collect() }
    }

    fn peek(&self) -> Option<&'a [u8]> {
        self.cursors.iter().filter(|(_, at, end)| at < end).map(|(overlay, at, _)| overlay.key(*at)).min()
    }

    fn next(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let key = self.peek()?;
        let mut newest = None;
        for (overlay, at, end) in &mut self.cursors {
            if *at < *end && overlay.key(*at) == key {
                newest.get_or_insert(overlay.entry(*at).1);
                *at += 1;
            }
        }
        newest.map(|value| (key, value))
    }
}

fn broken(error: impl std::fmt::Display) -> StateError {
    StateError::Io(error.to_string())
}
