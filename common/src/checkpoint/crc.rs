//! The checksum inside a log file: eight hexadecimal digits at a fixed place in the text.
//!
//! It covers the whole file with those digits as zeros, so it can be checked without understanding the file, also by
//! a release that knows fewer keys.

const MARK: &str = "\"crc\":\"";
const ZEROS: &str = "00000000";

/// What the file's writer puts where the checksum goes, for [`seal`] to fill in.
pub(super) fn placeholder() -> String {
    ZEROS.to_string()
}

/// Fills in the checksum; the text must hold one placeholder.
pub(super) fn seal(text: String) -> String {
    let Some(place) = text.find(&format!("{MARK}{ZEROS}\"")) else {
        unreachable!("a log file's text has a place for its checksum");
    };
    let start = place + MARK.len();
    let sum = format!("{:08x}", crc32c::crc32c(text.as_bytes()));
    let mut sealed = text;
    sealed.replace_range(start..start + ZEROS.len(), &sum);
    sealed
}

/// Checks a file that [`seal`] made; the error says both sums.
pub(super) fn check(text: &str) -> Result<(), String> {
    let start = text.find(MARK).map(|place| place + MARK.len()).ok_or("no checksum")?;
    let written = text.get(start..start + ZEROS.len()).ok_or("a checksum cut short")?.to_string();
    let mut zeroed = text.to_string();
    zeroed.replace_range(start..start + ZEROS.len(), ZEROS);
    let sum = format!("{:08x}", crc32c::crc32c(zeroed.as_bytes()));
    if sum == written { Ok(()) } else { Err(format!("checksum is `{sum}`, the file says `{written}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_is_seen() {
        let sealed = seal("v1\n{\"a\":1,\"crc\":\"00000000\"}\n".to_string());
        assert_eq!(check(&sealed), Ok(()));
        assert!(check(&sealed.replace("\"a\":1", "\"a\":2")).is_err());
        assert!(check("v1\n{}").is_err());
    }
}
