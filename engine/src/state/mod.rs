//! State as bytes: the row codec, keys with their bucket and event time, and the view that a shard reads through.

mod key;
#[cfg(test)]
mod properties;
mod row_codec;

use std::ops::ControlFlow;

use arrow::datatypes::DataType;

pub(crate) use key::append_state_key;
pub use key::{BUCKETS, bucket_of, bucket_prefix, hash_key, split_due, state_key};
pub use row_codec::{CODEC_VERSION, EncodedRows, Purpose, RowCodec, types_of};

/// What reading state can raise.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("state of type `{0}` is not supported")]
    Unsupported(DataType),
    #[error("corrupt state: {0}")]
    Corrupt(String),
    #[error("cannot read state: {0}")]
    Io(String),
}

impl StateError {
    pub(crate) fn corrupt(what: &str) -> Self {
        StateError::Corrupt(what.to_owned())
    }
}

/// What a scan's callback returns: go on or stop.
pub type Step = Result<ControlFlow<()>, StateError>;

/// A shard's state at the committed version that a batch starts from.
pub trait StateView {
    /// The values of `keys`, which are sorted, in their order.
    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StateError>;

    /// Calls `each` with key and value of every entry in `[from, to)`, in the order of keys, until it breaks.
    fn scan(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Step) -> Result<(), StateError>;
}

/// State in a sorted map: for tests, and for the simulation of the batch protocol.
impl StateView for std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
    fn multi_get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        Ok(keys.iter().map(|key| self.get(*key).cloned()).collect())
    }

    fn scan(&self, from: &[u8], to: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Step) -> Result<(), StateError> {
        for (key, value) in self.range(from.to_vec()..to.to_vec()) {
            if each(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
