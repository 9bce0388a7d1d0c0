//! One client's connection: frames of length and bytes, answered in the order in which they came.

use std::sync::Arc;

use anyhow::bail;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::requests::Broker;

/// Larger requests are refused: librdkafka's own limit is a megabyte, Kafka's default 100.
const FRAME_BYTES_MAX: usize = 100 << 20;

/// Answers a client until it goes away or breaks the protocol.
pub async fn serve(stream: TcpStream, broker: Arc<Broker>) {
    let peer = stream.peer_addr().map_or("a client".to_owned(), |address| address.to_string());
    if let Err(error) = answer_all(stream, &broker).await {
        eprintln!("pyrite-demo-broker: {peer}: {error:#}");
    }
}

async fn answer_all(mut stream: TcpStream, broker: &Broker) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(request) = read_frame(&mut stream).await? {
        let Some(response) = broker.answer(request).await? else {
            continue;
        };
        let length = u32::try_from(response.len())?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&response).await?;
    }
    Ok(())
}

/// The next frame without its length; `None` when the client has gone.
async fn read_frame(stream: &mut TcpStream) -> anyhow::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        bail!("a request of {length} bytes; at most {FRAME_BYTES_MAX} are taken");
    }
    let mut frame = BytesMut::zeroed(length);
    match stream.read_exact(&mut frame).await {
        Ok(_) => Ok(Some(frame.freeze())),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset)
}
