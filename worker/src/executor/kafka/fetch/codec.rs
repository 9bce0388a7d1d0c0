//! Unpacks the records of a batch, whatever a producer or broker packed them with, into memory that is used again.
//!
//! What a batch unpacks to is bounded: a few kilobytes of zeros' gzip can name gigabytes.

use std::io::{Error, ErrorKind, Read};

use super::record_batch::{BatchError, Codec};

/// Java's snappy streams start with this and two version numbers; then come blocks with their lengths.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

impl Codec {
    /// As Kafka's configurations call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Replaces what `unpacked` holds by what `packed` stands for, `bytes_max` at most.
pub(super) fn unpack(codec: Codec, packed: &[u8], unpacked: &mut Vec<u8>, bytes_max: usize) -> Result<(), BatchError> {
    unpacked.clear();
    let done = match codec {
        Codec::None => read_all(packed, unpacked, bytes_max),
        Codec::Gzip => read_all(flate2::read::MultiGzDecoder::new(packed), unpacked, bytes_max),
        Codec::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(packed), unpacked, bytes_max),
        Codec::Zstd => {
            zstd::stream::read::Decoder::with_buffer(packed).and_then(|decoder| read_all(decoder, unpacked, bytes_max))
        }
        Codec::Snappy => snappy(packed, unpacked, bytes_max),
    };
    match done {
        Ok(true) => Ok(()),
        Ok(false) => Err(BatchError::TooLarge { codec: codec.name(), bytes_max }),
        Err(source) => Err(BatchError::Packed { codec: codec.name(), source }),
    }
}

/// `false`: there is more than `bytes_max`.
fn read_all(reader: impl Read, unpacked: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Error> {
    // One byte more than allowed tells the largest allowed from a larger one.
    let read = reader.take(bytes_max as u64 + 1).read_to_end(unpacked)?;
    Ok(read <= bytes_max)
}

fn snappy(packed: &[u8], unpacked: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Error> {
    if !packed.starts_with(XERIAL_MAGIC) {
        return snappy_block(packed, unpacked, bytes_max);
    }
    let mut rest = packed.get(XERIAL_HEADER_BYTES..).ok_or(ErrorKind::UnexpectedEof)?;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| ErrorKind::InvalidData)?;
        let (block, after) = after.split_at_checked(length).ok_or(ErrorKind::UnexpectedEof)?;
        if !snappy_block(block, unpacked, bytes_max)? {
            return Ok(false);
        }
        rest = after;
    }
    if rest.is_empty() { Ok(true) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn snappy_block(block: &[u8], unpacked: &mut Vec<u8>, bytes_max: usize) -> Result<bool, Error> {
    let length = snap::raw::decompress_len(block)?;
    let start = unpacked.len();
    if length > bytes_max.saturating_sub(start) {
        return Ok(false);
    }
    unpacked.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut unpacked[start..])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(codec: Codec, plain: &[u8]) -> Vec<u8> {
        match codec {
            Codec::None => plain.to_vec(),
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).expect("to memory");
                encoder.finish().expect("to memory")
            }
            Codec::Snappy => snap::raw::Encoder::new().compress_vec(plain).expect("to memory"),
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).expect("to memory");
                encoder.finish().expect("to memory")
            }
            Codec::Zstd => zstd::stream::encode_all(plain, 3).expect("to memory"),
        }
    }

    #[test]
    fn the_bound_is_exact_and_damage_is_told() {
        let plain = vec![7u8; 100_000];
        let mut unpacked = Vec::new();
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut bytes = packed(codec, &plain);
            unpack(codec, &bytes, &mut unpacked, plain.len()).expect("within the bound");
            assert_eq!(unpacked, plain);
            let refused = unpack(codec, &bytes, &mut unpacked, plain.len() - 1);
            assert!(matches!(refused, Err(BatchError::TooLarge { .. })), "{codec:?}: {refused:?}");
            bytes.truncate(bytes.len() / 2);
            assert!(unpack(codec, &bytes, &mut unpacked, plain.len()).is_err(), "{codec:?}");
        }
    }
}
