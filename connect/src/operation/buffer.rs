//! The responses of one execution: numbered, kept until released, bounded.

use std::collections::VecDeque;

use prost::Message;
use tonic::Status;
use uuid::Uuid;

use crate::wire::ExecutePlanResponse;

/// Responses that were sent but not released are kept up to this many bytes; older ones are dropped, as Spark.
const RETAINED_BYTES_MAX: usize = 10 << 20;

/// The producer waits while more than this is ready and unsent.
const UNSENT_BYTES_MAX: usize = 32 << 20;

/// The number of a response in its execution, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// The first response.
    pub const START: Position = Position(0);

    /// The position behind this one.
    pub fn next(self) -> Position {
        Position(self.0 + 1)
    }
}

/// What a reader finds at a position.
#[derive(Debug)]
pub enum Read {
    /// The response there.
    Response(Box<ExecutePlanResponse>),
    /// Nothing yet.
    Pending,
    /// The end: all responses were read.
    Ended(Result<(), Status>),
    /// It was here and is gone.
    Dropped,
}

/// The kept responses.
pub struct Buffer {
    /// High half of every response id; the low half is the position, so that an id says where it belongs also after its
    /// response has been dropped.
    series: u64,
    kept: VecDeque<Kept>,
    /// The position of the first kept response.
    first: u64,
    /// The position behind the last response that was read.
    read_to: u64,
    bytes: usize,
    unsent_bytes: usize,
    outcome: Option<Result<(), Status>>,
}

struct Kept {
    response: ExecutePlanResponse,
    bytes: usize,
}

impl Buffer {
    /// An empty buffer; `series` makes its response ids unique.
    pub fn new(series: Uuid) -> Buffer {
        Buffer {
            series: series.as_u64_pair().0,
            kept: VecDeque::new(),
            first: 0,
            read_to: 0,
            bytes: 0,
            unsent_bytes: 0,
            outcome: None,
        }
    }

    /// Whether the producer should wait.
    pub fn is_full(&self) -> bool {
        self.unsent_bytes > UNSENT_BYTES_MAX
    }

    /// Adds a response at the end, under an id of its own. After the end it is dropped: the execution was cancelled.
    pub fn push(&mut self, mut response: ExecutePlanResponse) {
        if self.outcome.is_some() {
            return;
        }
        let position = self.first + self.kept.len() as u64;
        response.response_id = Uuid::from_u64_pair(self.series, position).to_string();
        let bytes = response.encoded_len();
        self.bytes += bytes;
        self.unsent_bytes += bytes;
        self.kept.push_back(Kept { response, bytes });
    }

    /// Marks the end; the first outcome stays.
    pub fn finish(&mut self, outcome: Result<(), Status>) {
        self.outcome.get_or_insert(outcome);
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Result<(), Status>> {
        self.outcome.as_ref()
    }

    /// What is at a position. A response read for the first time counts as sent.
    pub fn read(&mut self, position: Position) -> Read {
        if position.0 < self.first {
            return Read::Dropped;
        }
        let index = (position.0 - self.first) as usize;
        let Some(kept) = self.kept.get(index) else {
            return match &self.outcome {
                Some(outcome) => Read::Ended(outcome.clone()),
                None => Read::Pending,
            };
        };
        let response = Box::new(kept.response.clone());
        if position.0 >= self.read_to {
            self.unsent_bytes -= kept.bytes;
            self.read_to = position.0 + 1;
            self.drop_excess();
        }
        Read::Response(response)
    }

    /// Drops everything up to this response.
    pub fn release_until(&mut self, response_id: &str) {
        if let Some(Position(end)) = self.position_after(response_id) {
            while self.first < end.min(self.read_to) {
                self.drop_first();
            }
        }
    }

    /// The position behind the response of this id, `None` when the id is not of this execution.
    pub fn position_after(&self, response_id: &str) -> Option<Position> {
        let (series, position) = Uuid::parse_str(response_id).ok()?.as_u64_pair();
        let end = self.first + self.kept.len() as u64;
        (series == self.series && position < end).then_some(Position(position + 1))
    }

    /// Sent responses that the client does not release are kept only so far.
    fn drop_excess(&mut self) {
        while self.bytes - self.unsent_bytes > RETAINED_BYTES_MAX && self.first + 1 < self.read_to {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.first += 1;
            self.bytes -= kept.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::execute_plan_response::{ArrowBatch, ResponseType};

    fn response(size: usize) -> ExecutePlanResponse {
        let batch = ArrowBatch { data: Bytes::from(vec![0; size]), ..Default::default() };
        ExecutePlanResponse { response_type: Some(ResponseType::ArrowBatch(batch)), ..Default::default() }
    }

    fn id_at(buffer: &mut Buffer, position: Position) -> String {
        match buffer.read(position) {
            Read::Response(response) => response.response_id,
            other => panic!("no response: {other:?}"),
        }
    }

    #[test]
    fn responses_are_read_in_order_until_the_end() {
        let mut buffer = Buffer::new(Uuid::new_v4());
        assert!(matches!(buffer.read(Position::START), Read::Pending));
        buffer.push(response(1));
        buffer.push(response(1));
        buffer.finish(Ok(()));
        id_at(&mut buffer, Position::START);
        id_at(&mut buffer, Position::START.next());
        assert!(matches!(buffer.read(Position(2)), Read::Ended(Ok(()))));
    }

    #[test]
    fn a_released_id_still_says_where_to_go_on() {
        let mut buffer = Buffer::new(Uuid::new_v4());
        buffer.push(response(1));
        buffer.push(response(1));
        let first = id_at(&mut buffer, Position::START);
        buffer.release_until(&first);
        assert!(matches!(buffer.read(Position::START), Read::Dropped));
        assert_eq!(buffer.position_after(&first), Some(Position(1)));
        id_at(&mut buffer, Position(1));
        assert_eq!(buffer.position_after(&Uuid::new_v4().to_string()), None);
    }

    #[test]
    fn a_response_that_was_never_read_is_not_released() {
        let mut buffer = Buffer::new(Uuid::from_u64_pair(7, 0));
        buffer.push(response(1));
        buffer.release_until(&Uuid::from_u64_pair(7, 0).to_string());
        assert!(matches!(buffer.read(Position::START), Read::Response(_)));
    }

    #[test]
    fn both_bounds_hold() {
        let mut buffer = Buffer::new(Uuid::new_v4());
        for _ in 0..34 {
            buffer.push(response(1 << 20));
        }
        assert!(buffer.is_full());
        for position in 0..34 {
            assert!(matches!(buffer.read(Position(position)), Read::Response(_)));
        }
        assert!(!buffer.is_full());
        assert!(matches!(buffer.read(Position::START), Read::Dropped));
        assert!(matches!(buffer.read(Position(33)), Read::Response(_)));
    }
}
