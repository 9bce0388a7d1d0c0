//! One TCP connection to one broker: requests go out with a number, answers come back in order and carry it.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use pyrite_common::net::HostPort;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::settings::FetchSettings;

/// A longer answer is none of Kafka's: it may be another protocol's text taken for a length.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// The lowest and highest versions spoken of each request. From the lowest on record batches have their present form;
/// the highest are the last that name topics by name.
const FETCH: (i16, i16) = (4, 12);
const METADATA: (i16, i16) = (4, 9);
const LIST_OFFSETS: (i16, i16) = (1, 7);

/// Why a broker gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// Nobody accepts there, or the network is away.
    #[error("cannot connect to `{address}`: {source}")]
    Unreachable { address: HostPort, source: io::Error },
    /// The connection broke.
    #[error("`{address}` closed the connection or it broke: {source}")]
    Broken { address: HostPort, source: io::Error },
    /// No answer in time.
    #[error("`{address}` did not answer within {} ms", waited.as_millis())]
    Silent { address: HostPort, waited: Duration },
    /// An answer that is not one.
    #[error("`{address}` does not answer as a Kafka broker: {problem}")]
    Protocol { address: HostPort, problem: String },
    /// A broker of another time.
    #[error("the broker `{address}` speaks {request} in versions {min} to {max} only")]
    Versions { address: HostPort, request: &'static str, min: i16, max: i16 },
}

/// The versions that a broker and this client have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    pub fetch: i16,
    pub metadata: i16,
    pub list_offsets: i16,
}

/// An open connection with the versions agreed.
pub(super) struct Connection {
    stream: TcpStream,
    address: HostPort,
    client_id: StrBytes,
    correlation: i32,
    out: BytesMut,
    /// Agreed when it was opened.
    pub versions: Versions,
}

/// A decoded answer.
pub(super) struct Answer<R> {
    /// What it says.
    pub message: R,
    /// Bytes of the frame that its own bytes keep in memory.
    pub frame_bytes: usize,
}

impl Connection {
    /// Connects and agrees on versions.
    pub async fn open(address: &HostPort, settings: &FetchSettings) -> Result<Self, ConnectionError> {
        let unreachable = |source| ConnectionError::Unreachable { address: address.clone(), source };
        let connecting = TcpStream::connect((address.host.as_str(), address.port));
        let stream = match timeout(settings.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(unreachable)?,
            Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut connection = Self {
            stream,
            address: address.clone(),
            client_id: StrBytes::from_string(settings.client_id.clone()),
            correlation: 0,
            out: BytesMut::new(),
            versions: Versions::default(),
        };
        let request = ApiVersionsRequest::default();
        // Every broker answers the first version.
        let answer: Answer<ApiVersionsResponse> =
            connection.call(ApiKey::ApiVersions, 0, &request, settings.connect_timeout).await?;
        if answer.message.error_code != 0 {
            return Err(connection.wrong(format!("error {} to ApiVersions", answer.message.error_code)));
        }
        connection.versions = Versions {
            fetch: connection.agree(&answer.message, ApiKey::Fetch, "Fetch", FETCH)?,
            metadata: connection.agree(&answer.message, ApiKey::Metadata, "Metadata", METADATA)?,
            list_offsets: connection.agree(&answer.message, ApiKey::ListOffsets, "ListOffsets", LIST_OFFSETS)?,
        };
        Ok(connection)
    }

    fn agree(
        &self,
        answer: &ApiVersionsResponse,
        key: ApiKey,
        request: &'static str,
        ours: (i16, i16),
    ) -> Result<i16, ConnectionError> {
        let theirs = answer.api_keys.iter().find(|api| api.api_key == key as i16);
        let (min, max) = theirs.map_or((-1, -1), |api| (api.min_version, api.max_version));
        let common = max.min(ours.1);
        if common < min.max(ours.0) {
            return Err(ConnectionError::Versions { address: self.address.clone(), request, min, max });
        }
        Ok(common)
    }

    /// Sends a request and waits for its answer. After an error the connection is of no more use.
    pub async fn call<Q, R>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
        waited: Duration,
    ) -> Result<Answer<R>, ConnectionError>
    where
        Q: Encodable + HeaderVersion,
        R: Decodable + HeaderVersion,
    {
        self.correlation = self.correlation.wrapping_add(1);
        self.encode(key, version, request)?;
        let frame = match timeout(waited, self.exchange()).await {
            Ok(frame) => frame?,
            Err(_) => return Err(ConnectionError::Silent { address: self.address.clone(), waited }),
        };
        self.decode(version, frame)
    }

    fn encode<Q: Encodable + HeaderVersion>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<(), ConnectionError> {
        let header = RequestHeader::default()
            .with_request_api_key(key as i16)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(self.client_id.clone()));
        self.out.clear();
        self.out.put_i32(0);
        let encoded = header.encode(&mut self.out, Q::header_version(version));
        let encoded = encoded.and_then(|()| request.encode(&mut self.out, version));
        encoded.map_err(|error| self.wrong(error))?;
        let length = self.out.len() - 4;
        self.out[..4].copy_from_slice(&(length as u32).to_be_bytes());
        Ok(())
    }

    async fn exchange(&mut self) -> Result<Bytes, ConnectionError> {
        let broken = |source| ConnectionError::Broken { address: self.address.clone(), source };
        self.stream.write_all(&self.out).await.map_err(broken)?;
        let length = self.stream.read_i32().await.map_err(broken)?;
        let length = usize::try_from(length).ok().filter(|length| (4..=FRAME_BYTES_MAX).contains(length));
        let Some(length) = length else {
            return Err(self.wrong("its answer has no sensible length"));
        };
        let mut frame = BytesMut::with_capacity(length).limit(length);
        while frame.has_remaining_mut() {
            if self.stream.read_buf(&mut frame).await.map_err(broken)? == 0 {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(frame.into_inner().freeze())
    }

    fn decode<R: Decodable + HeaderVersion>(
        &self,
        version: i16,
        mut frame: Bytes,
    ) -> Result<Answer<R>, ConnectionError> {
        let frame_bytes = frame.len();
        let number = frame.get_i32();
        if number != self.correlation {
            return Err(self.wrong(format!("answer {number} came to request {}", self.correlation)));
        }
        if R::header_version(version) >= 1 {
            skip_tagged(&mut frame).ok_or_else(|| self.wrong("its header ends early"))?;
        }
        let message = R::decode(&mut frame, version).map_err(|error| self.wrong(error))?;
        Ok(Answer { message, frame_bytes })
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> ConnectionError {
        ConnectionError::Protocol { address: self.address.clone(), problem: problem.to_string() }
    }
}

/// Passes over the tagged fields of a header: there are none today, and of those that may be added none is needed here.
/// `None`: they end early.
fn skip_tagged(frame: &mut Bytes) -> Option<()> {
    for _ in 0..unsigned_varint(frame)? {
        let _tag = unsigned_varint(frame)?;
        let length = usize::try_from(unsigned_varint(frame)?).ok().filter(|length| *length <= frame.remaining())?;
        frame.advance(length);
    }
    Some(())
}

/// Seven bits a byte, the lowest first.
fn unsigned_varint(frame: &mut Bytes) -> Option<u32> {
    let mut number = 0;
    for shift in (0..u32::BITS).step_by(7) {
        let byte = frame.try_get_u8().ok()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_fields_are_passed_over() {
        let left = |bytes: &'static [u8]| {
            let mut frame = Bytes::from_static(bytes);
            skip_tagged(&mut frame).map(|()| frame.len())
        };
        assert_eq!(left(&[0, 9]), Some(1));
        assert_eq!(left(&[1, 0x85, 1, 2, 7, 7, 9]), Some(1), "a field of two bytes");
        assert_eq!(left(&[2, 0, 0, 1, 1, 7, 9]), Some(1), "an empty one, and one of a byte");
        for damaged in [&[][..], &[1], &[1, 0], &[1, 0, 3, 7], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(left(damaged), None, "{damaged:?}");
        }
    }
}
