//! The only place that speaks to librdkafka by raw pointers: one partition's own queue, read by batches.
//!
//! The safe crate hands out one message at a time, which costs twice the processor time. The contract that makes this
//! module sound, and that every function here keeps:
//!
//! 1. `topic` and `queue` are made by librdkafka for the client that `client` keeps alive, are never null, and are
//!    destroyed exactly once, in `drop`, after the partition was stopped and before the client can go.
//! 2. Each pointer in `messages[next..]` was returned by `rd_kafka_consume_batch_queue` and not yet destroyed; what
//!    lies before `next` is destroyed and never touched. A [`Record`] borrows the queue, so `advance` cannot run
//!    while one is alive.
//! 3. One thread at a time: all methods that change anything take `&mut self`. librdkafka's own objects may move
//!    between threads.

#![allow(unsafe_code, reason = "librdkafka's batch read has no safe binding; the contract stands above")]

use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::client::Context;
use super::row::Row;

/// Messages taken from librdkafka in one call.
const BATCH_MESSAGES_MAX: usize = 8192;

/// A call to librdkafka that did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum NativeError {
    /// A name with a zero byte.
    #[error("`{0}` is not a topic name")]
    TopicName(String),
    /// librdkafka refused the call.
    #[error("librdkafka: `{0}`")]
    Refused(RDKafkaErrorCode),
}

/// One partition that is being fetched into a queue of its own.
pub(super) struct PartitionQueue {
    client: Arc<BaseConsumer<Context>>,
    topic: *mut sys::rd_kafka_topic_t,
    queue: *mut sys::rd_kafka_queue_t,
    partition: i32,
    messages: Vec<*mut sys::rd_kafka_message_t>,
    next: usize,
}

// SAFETY: librdkafka's objects are thread-safe and not bound to the thread that made them (contract 3).
unsafe impl Send for PartitionQueue {}

/// The message at the head of a queue.
pub(super) struct Record<'a> {
    message: &'a sys::rd_kafka_message_t,
}

impl PartitionQueue {
    /// Starts fetching at `offset`.
    pub fn start(
        client: Arc<BaseConsumer<Context>>,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Self, NativeError> {
        let name = CString::new(topic).map_err(|_| NativeError::TopicName(topic.to_owned()))?;
        let native = client.client().native_ptr();
        // SAFETY: `native` lives as long as `client`; a null configuration takes the client's defaults.
        let topic = unsafe { sys::rd_kafka_topic_new(native, name.as_ptr(), std::ptr::null_mut()) };
        if topic.is_null() {
            return Err(last_error());
        }
        // SAFETY: as above; never null by librdkafka's contract.
        let queue = unsafe { sys::rd_kafka_queue_new(native) };
        let started = Self { client, topic, queue, partition, messages: Vec::new(), next: 0 };
        // SAFETY: both objects are alive and belong to this client. On failure `started` is dropped: stopping a
        // partition that was not started is refused by librdkafka without harm.
        let code = unsafe { sys::rd_kafka_consume_start_queue(started.topic, partition, offset, started.queue) };
        if code == 0 { Ok(started) } else { Err(last_error()) }
    }

    /// Goes on at `offset`; what was fetched from elsewhere is dropped. By a stop and a start, for librdkafka does not
    /// seek after an error that has stopped the fetching.
    pub fn go_to(&mut self, offset: i64) -> Result<(), NativeError> {
        self.clear();
        // SAFETY: contract 1; a partition that is stopped may be started again into the same queue, and what is left
        // in that of the time before is passed over by librdkafka.
        let code = unsafe {
            sys::rd_kafka_consume_stop(self.topic, self.partition);
            sys::rd_kafka_consume_start_queue(self.topic, self.partition, offset, self.queue)
        };
        if code == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Takes more messages when none is held, waiting for the first at most `timeout`. Returns how many are held.
    pub fn fill(&mut self, timeout: Duration) -> usize {
        if self.next < self.messages.len() {
            return self.messages.len() - self.next;
        }
        self.clear();
        // All that is there, without waiting: a wait would last until the whole batch is full.
        self.take(Duration::ZERO, BATCH_MESSAGES_MAX);
        if self.messages.is_empty() && !timeout.is_zero() {
            self.take(timeout, 1);
        }
        self.messages.len()
    }

    fn take(&mut self, timeout: Duration, count: usize) {
        let start = self.messages.len();
        self.messages.reserve(count);
        // SAFETY: the vector has room for `count` pointers from `start` on; librdkafka writes at most that many and
        // says how many.
        unsafe {
            let room = self.messages.as_mut_ptr().add(start);
            let taken = sys::rd_kafka_consume_batch_queue(self.queue, millis(timeout), room, count);
            if taken > 0 {
                self.messages.set_len(start + taken as usize);
            }
        }
    }

    /// The message at the head of what is held.
    #[inline]
    pub fn peek(&self) -> Option<Record<'_>> {
        let message = *self.messages.get(self.next)?;
        // SAFETY: contract 2.
        Some(Record { message: unsafe { &*message } })
    }

    /// Drops the message at the head.
    #[inline]
    pub fn advance(&mut self) {
        if let Some(&message) = self.messages.get(self.next) {
            self.next += 1;
            // SAFETY: contract 2: destroyed once, for `next` has passed it.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
    }

    fn clear(&mut self) {
        while self.next < self.messages.len() {
            self.advance();
        }
        self.messages.clear();
        self.next = 0;
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: contract 1; `client` is dropped after this body.
        unsafe {
            sys::rd_kafka_consume_stop(self.topic, self.partition);
            sys::rd_kafka_queue_destroy(self.queue);
            sys::rd_kafka_topic_destroy(self.topic);
        }
        let _ = &self.client;
    }
}

impl Record<'_> {
    /// The partition's event or error instead of a record, with librdkafka's text.
    #[inline]
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        match self.message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => None,
            other => Some(other.into()),
        }
    }

    /// What librdkafka says of an error.
    pub fn error_text(&self) -> String {
        // SAFETY: the message is alive; the result is null or a text that lives as long as the message.
        unsafe {
            let text = sys::rd_kafka_message_errstr(self.message);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }
}

impl Row for Record<'_> {
    /// Of an end-of-partition event, the next offset to come.
    #[inline]
    fn offset(&self) -> i64 {
        self.message.offset
    }

    #[inline]
    fn value(&self) -> Option<&[u8]> {
        // SAFETY: librdkafka gives a pointer to `len` bytes that live as long as the message, or null.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    #[inline]
    fn key(&self) -> Option<&[u8]> {
        // SAFETY: as `value`.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    fn timestamp(&self) -> (i64, i32) {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and `kind` is a valid place to write to.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => (-1, -1),
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => (millis, 0),
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (millis, 1),
        }
    }

    fn headers(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> usize {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive; the list stays owned by it.
        let error = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return 0;
        }
        let mut index = 0;
        loop {
            let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0usize);
            // SAFETY: the list is alive, the three places are valid; an index past the end is answered with an error.
            let error = unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut length) };
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return index;
            }
            // SAFETY: a zero-terminated name, and null or `length` bytes, alive as long as the message.
            unsafe { each(CStr::from_ptr(name).to_bytes(), bytes(value, length)) };
            index += 1;
        }
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
#[inline]
unsafe fn bytes<'a>(start: *const std::ffi::c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) })
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

fn last_error() -> NativeError {
    // SAFETY: reads a thread-local of librdkafka.
    NativeError::Refused(unsafe { sys::rd_kafka_last_error() }.into())
}
