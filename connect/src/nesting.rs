//! How deep a message nests, told from its bytes before anything decodes it. Decoding, and all that is done with a plan
//! afterwards, recurses as deep as the message does; what is deeper than Spark takes is refused here, so that a bounded
//! stack is enough for the rest.

/// The most messages inside one another, as Spark's `spark.connect.grpc.marshallerRecursionLimit`. A chained call such
/// as `withColumn` takes two.
pub const NESTING_MAX: usize = 1024;

/// Whether more than [`NESTING_MAX`] messages are inside one another. Without the schema a text cannot be told from a
/// message, so whatever reads as one counts: for well-formed input the answer is never too small. (A text would have to
/// be made of a thousand nested fields, each of its right length, to make it too large.)
pub fn is_too_deep(bytes: &[u8]) -> bool {
    let mut enclosing: Vec<Enclosing> = Vec::new();
    let (mut at, mut end) = (0, bytes.len());
    loop {
        match next_field(&bytes[..end], at) {
            Field::Scalar { next } => at = next,
            Field::Delimited { start, end: inner_end } => {
                enclosing.push(Enclosing { end, is_group: false });
                (at, end) = (start, inner_end);
            }
            Field::GroupStart { next } => {
                enclosing.push(Enclosing { end, is_group: true });
                at = next;
            }
            Field::GroupEnd { next } if enclosing.last().is_some_and(|outer| outer.is_group) => {
                enclosing.pop();
                at = next;
            }
            // The end of a message, or no message at all: on behind it.
            Field::GroupEnd { .. } | Field::None => {
                at = end;
                match enclosing.pop() {
                    Some(outer) => end = outer.end,
                    None => return false,
                }
            }
        }
        if enclosing.len() > NESTING_MAX {
            return true;
        }
    }
}

/// What the field just entered is inside of.
struct Enclosing {
    end: usize,
    /// A group ends with a tag of its own, not at a length.
    is_group: bool,
}

enum Field {
    Scalar {
        next: usize,
    },
    Delimited {
        start: usize,
        end: usize,
    },
    GroupStart {
        next: usize,
    },
    GroupEnd {
        next: usize,
    },
    /// The end of the bytes, or bytes that are no field.
    None,
}

/// The field at `at`, in protobuf's wire format.
fn next_field(bytes: &[u8], at: usize) -> Field {
    let Some((key, after_key)) = varint(bytes, at) else { return Field::None };
    if key >> 3 == 0 {
        return Field::None;
    }
    let skip = |count: usize| match after_key.checked_add(count) {
        Some(next) if next <= bytes.len() => Field::Scalar { next },
        _ => Field::None,
    };
    match key & 7 {
        0 => varint(bytes, after_key).map_or(Field::None, |(_, next)| Field::Scalar { next }),
        1 => skip(8),
        2 => {
            let Some((length, start)) = varint(bytes, after_key) else { return Field::None };
            match usize::try_from(length).ok().and_then(|length| start.checked_add(length)) {
                Some(end) if end <= bytes.len() => Field::Delimited { start, end },
                _ => Field::None,
            }
        }
        3 => Field::GroupStart { next: after_key },
        4 => Field::GroupEnd { next: after_key },
        5 => skip(4),
        _ => Field::None,
    }
}

/// A number of variable length and the place behind it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(index).ok()?).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

#[cfg(test)]
pub mod tests {
    use prost::Message;

    use super::*;
    use crate::wire::relation::RelType;
    use crate::wire::{Limit, LocalRelation, Relation};

    /// Limits of limits, without one of the messages made: `Limit.input` is field 1, `Relation.limit` field 8. `length`
    /// says of what is inside a message how long the message claims that it is.
    pub fn chained(calls: usize, length: fn(usize) -> usize) -> Vec<u8> {
        let mut reversed: Vec<u8> = Vec::new();
        let mut header = Vec::new();
        for key in [0x0a, 0x42].repeat(calls) {
            header.clear();
            header.push(key);
            prost::encoding::encode_varint(length(reversed.len()) as u64, &mut header);
            reversed.extend(header.iter().rev());
        }
        reversed.reverse();
        reversed
    }

    fn limits(calls: usize) -> Relation {
        let local = LocalRelation { schema: Some("x".to_owned()), data: None };
        let mut relation = Relation { common: None, rel_type: Some(RelType::LocalRelation(local)) };
        for _ in 0..calls {
            let limit = Limit { input: Some(Box::new(relation)), limit: 1 };
            relation = Relation { common: None, rel_type: Some(RelType::Limit(Box::new(limit))) };
        }
        relation
    }

    #[test]
    fn a_chained_call_takes_two_levels() {
        // The other two: the local relation, and its text, which could be a message.
        let calls = (NESTING_MAX - 2) / 2;
        assert!(!is_too_deep(&limits(calls).encode_to_vec()));
        assert!(is_too_deep(&limits(calls + 1).encode_to_vec()));
    }

    #[test]
    fn a_million_levels_are_told_without_recursion() {
        assert!(is_too_deep(&chained(500_000, |inside| inside)));
        assert!(is_too_deep(&vec![0x0b; 1_000_000]), "groups nest as well");
    }

    #[test]
    fn levels_beside_one_another_do_not_add_up() {
        let one = chained(NESTING_MAX / 4, |inside| inside);
        assert!(!is_too_deep(&one.repeat(100)));
        assert!(!is_too_deep(&[0x0b, 0x0c].repeat(10_000)), "groups that end");
    }

    #[test]
    fn texts_and_broken_bytes_are_not_deep() {
        for text in ["zzzz", "jo", "\n\n", "**", "äöü", "\0"] {
            assert!(!is_too_deep(text.repeat(10_000).as_bytes()), "{text:?}");
        }
        assert!(!is_too_deep(&[0xff; 100_000]));
        assert!(!is_too_deep(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]));
        assert!(!is_too_deep(&[]));
    }
}
