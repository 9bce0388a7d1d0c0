//! One write as bytes, in changelog sections and overlays: length of the key (varint), key, length of the value + 1
//! or 0 for a deletion (varint), value.

/// Appends an entry.
pub fn put_entry(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    put_varint(out, key.len() as u64);
    out.extend_from_slice(key);
    match value {
        Some(value) => {
            put_varint(out, value.len() as u64 + 1);
            out.extend_from_slice(value);
        }
        None => out.push(0),
    }
}

/// Takes the first entry off `rest`; `None` when it is cut.
#[inline]
pub fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let length = take_varint(rest)?;
    let key = take(rest, length)?;
    let value = match take_varint(rest)? {
        0 => None,
        length => Some(take(rest, length - 1)?),
    };
    Some((key, value))
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
    let (bytes, tail) = rest.split_at(length);
    *rest = tail;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_lengths_come_back_and_cut_ones_do_not() {
        for (key, value) in [(0, None), (1, Some(0)), (127, Some(127)), (128, Some(128)), (300, Some(70_000))] {
            let (key, value) = (vec![1u8; key], value.map(|length| vec![2u8; length]));
            let mut bytes = Vec::new();
            put_entry(&mut bytes, &key, value.as_deref());
            let mut rest = bytes.as_slice();
            assert_eq!(take_entry(&mut rest), Some((key.as_slice(), value.as_deref())));
            assert!(rest.is_empty());
            assert_eq!(take_entry(&mut &bytes[..bytes.len() - 1]), None);
        }
    }
}
