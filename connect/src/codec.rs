//! Decoding of what clients send: as tonic's own, but no input makes it overflow the stack.

use std::cell::Cell;
use std::fmt::Display;
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use crate::error::{invalid_plan, to_status};
use crate::nesting::{NESTING_MAX, is_too_deep};

/// The stack that a thread needs to decode, transcribe, resolve and plan what [`is_too_deep`] lets through. Reserved,
/// not used: only what recursion touches becomes memory.
pub const STACK_BYTES: usize = 64 << 20;

/// How much of it decoding may use.
const DECODING_BYTES_MAX: usize = STACK_BYTES / 2;

/// Encodes as tonic's codec for prost does, decodes what nests within bounds.
pub struct BoundedCodec<T, U> {
    messages: PhantomData<(T, U)>,
}

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        BoundedCodec { messages: PhantomData }
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> Codec for BoundedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder { message: PhantomData }
    }
}

/// Decodes one kind of message.
pub struct BoundedDecoder<U> {
    message: PhantomData<U>,
}

impl<U: Message + Default> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = source.copy_to_bytes(source.remaining());
        decode(bytes).map(Some)
    }
}

/// Decodes a message.
///
/// # Errors
/// An INTERNAL status for a message that nests too deep, and for bytes that are none; as Spark, which does not say why.
pub fn decode<U: Message + Default>(bytes: Bytes) -> Result<U, Status> {
    if is_too_deep(&bytes) {
        let message = format!(
            "the plan nests deeper than the {NESTING_MAX} messages that are allowed \
             (`spark.connect.grpc.marshallerRecursionLimit`): give many columns to one `withColumns` or `select` instead \
             of chaining a call for each"
        );
        return Err(to_status(&invalid_plan(message), None));
    }
    let is_over = Cell::new(false);
    let decoded = U::decode(Guarded { bytes, stack_top: stack_place(), is_over: &is_over });
    match decoded {
        Ok(message) if !is_over.get() => Ok(message),
        Ok(_) => Err(undecodable("it nests too deep and its lengths do not fit")),
        Err(error) => Err(undecodable(error)),
    }
}

fn undecodable(why: impl Display) -> Status {
    Status::internal(format!("the message cannot be decoded: {why}"))
}

/// Bytes that seem to end when reading them has used too much of the stack. A message whose inner lengths reach beyond
/// their outer ones is found to be broken only behind the recursion into it, and how deep that goes [`is_too_deep`]
/// cannot say.
struct Guarded<'a> {
    bytes: Bytes,
    stack_top: usize,
    is_over: &'a Cell<bool>,
}

/// About where the stack ends now.
#[inline(never)]
fn stack_place() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

impl Buf for Guarded<'_> {
    fn remaining(&self) -> usize {
        if self.stack_top.abs_diff(stack_place()) > DECODING_BYTES_MAX {
            self.is_over.set(true);
        }
        if self.is_over.get() { 0 } else { self.bytes.len() }
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.split_to(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nesting::tests::chained;
    use crate::wire::{LocalRelation, Plan, Relation};

    /// Runs with the stack that the product's threads have.
    fn on_a_products_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread");
        thread.join().expect("no panic")
    }

    #[test]
    fn what_is_within_the_bound_is_decoded_and_dropped() {
        on_a_products_stack(|| {
            let bytes = chained(NESTING_MAX / 2, |inside| inside);
            let length = bytes.len();
            let relation: Relation = decode(bytes.into()).expect("within the bound");
            assert_eq!(relation.clone().encoded_len(), length);
        });
    }

    #[test]
    fn what_is_deeper_is_refused_with_the_reason() {
        for calls in [NESTING_MAX / 2 + 1, 500_000] {
            let status = decode::<Relation>(chained(calls, |inside| inside).into()).expect_err("too deep");
            assert_eq!(status.code(), tonic::Code::Internal);
            assert!(status.message().contains("deeper than the 1024"), "{status}");
        }
    }

    #[test]
    fn lengths_that_reach_beyond_their_outer_ones_do_not_overflow_the_stack() {
        // All claim the same length, so each ends behind the one it is in.
        const LENGTH: usize = 1 << 20;
        let mut bytes = chained(500_000, |_| LENGTH);
        bytes.resize(bytes.len() + LENGTH, 0);
        assert!(!is_too_deep(&bytes));
        on_a_products_stack(move || {
            let status = decode::<Relation>(bytes.into()).expect_err("broken");
            assert!(status.message().contains("cannot be decoded"), "{status}");
        });
    }

    #[test]
    fn bytes_are_shared_with_the_message_not_copied() {
        let local = LocalRelation { data: Some(Bytes::from(vec![7; 4096])), schema: None };
        let bytes = Bytes::from(local.encode_to_vec());
        let decoded: LocalRelation = decode(bytes.clone()).expect("decoded");
        let data = decoded.data.expect("data");
        assert!(bytes.as_ptr_range().contains(&data.as_ptr()));
    }

    #[test]
    fn broken_bytes_are_an_error() {
        let status = decode::<Plan>(Bytes::from_static(&[0x0a, 0xff])).expect_err("broken");
        assert_eq!(status.code(), tonic::Code::Internal);
    }
}
