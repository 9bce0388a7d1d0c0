//! Sizes as users write and read them: `3G`, `512m`, `1024`. As Spark: units are powers of 1,024, letter case does not
//! matter.

/// Why a size was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not a number with an optional unit.
    #[error("size `{0}` is not a whole number with a unit such as `512m` or `3g`")]
    Malformed(String),
    /// More bytes than a 64-bit number holds.
    #[error("size `{0}` is too large")]
    TooLarge(String),
}

/// The unit of a number without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultUnit {
    /// A plain number is bytes.
    Bytes,
    /// A plain number is MiB, as in `spark.executor.memory`.
    Mebibytes,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
const PIB: u64 = 1 << 50;

/// The bytes of a size such as `3G`, `512mb`, `1024`.
pub fn parse_size(text: &str, default_unit: DefaultUnit) -> Result<u64, SizeError> {
    let trimmed = text.trim();
    let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(digits_end);
    if digits.is_empty() {
        return Err(SizeError::Malformed(text.to_owned()));
    }
    let number: u64 = digits.parse().map_err(|_| SizeError::TooLarge(text.to_owned()))?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => match default_unit {
            DefaultUnit::Bytes => 1,
            DefaultUnit::Mebibytes => MIB,
        },
        "b" => 1,
        "k" | "kb" | "kib" => KIB,
        "m" | "mb" | "mib" => MIB,
        "g" | "gb" | "gib" => GIB,
        "t" | "tb" | "tib" => TIB,
        "p" | "pb" | "pib" => PIB,
        _ => return Err(SizeError::Malformed(text.to_owned())),
    };
    number.checked_mul(factor).ok_or_else(|| SizeError::TooLarge(text.to_owned()))
}

/// A size for people, with at most one decimal: `3 GiB`, `1.5 GiB`, `512 MiB`, `17 B`.
pub fn print_size(bytes: u64) -> String {
    for (unit, name) in [(PIB, "PiB"), (TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes < unit {
            continue;
        }
        // Rounded down, so that free memory is never promised that is not there.
        let tenths = (u128::from(bytes) * 10 / u128::from(unit)) as u64;
        return match tenths % 10 {
            0 => format!("{} {name}", tenths / 10),
            fraction => format!("{}.{fraction} {name}", tenths / 10),
        };
    }
    format!("{bytes} B")
}

/// Whole MiB, rounded down: the unit of Spark's JSON and command lines.
pub fn mebibytes(bytes: u64) -> u64 {
    bytes / MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_spark_reads_them() {
        assert_eq!(parse_size("3G", DefaultUnit::Bytes), Ok(3 * GIB));
        assert_eq!(parse_size(" 512m ", DefaultUnit::Bytes), Ok(512 * MIB));
        assert_eq!(parse_size("512", DefaultUnit::Mebibytes), Ok(512 * MIB));
        assert_eq!(parse_size("512", DefaultUnit::Bytes), Ok(512));
        assert_eq!(parse_size("2Tb", DefaultUnit::Bytes), Ok(2 * TIB));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for bad in ["", "G", "-1G", "1.5G", "3 G B", "3x", "1e3"] {
            assert!(matches!(parse_size(bad, DefaultUnit::Bytes), Err(SizeError::Malformed(_))), "{bad}");
        }
        assert!(matches!(parse_size("99999999999P", DefaultUnit::Bytes), Err(SizeError::TooLarge(_))));
        assert!(matches!(parse_size("99999999999999999999999", DefaultUnit::Bytes), Err(SizeError::TooLarge(_))));
    }

    #[test]
    fn sizes_are_printed_short() {
        assert_eq!(print_size(3 * GIB), "3 GiB");
        assert_eq!(print_size(GIB + GIB / 2), "1.5 GiB");
        assert_eq!(print_size(512 * MIB), "512 MiB");
        assert_eq!(print_size(17), "17 B");
        assert_eq!(print_size(0), "0 B");
    }
}
