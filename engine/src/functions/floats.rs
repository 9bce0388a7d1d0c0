//! The one NaN.

/// Java has one NaN, and so has Spark; processors make others, whose sign Arrow's order heeds. Told by its bits, for to a
/// compiler one NaN is as good as another.
pub(super) fn one_nan(value: f64) -> f64 {
    let is_nan = value.to_bits() & (u64::MAX >> 1) > f64::INFINITY.to_bits();
    f64::from_bits(if is_nan { f64::NAN.to_bits() } else { value.to_bits() })
}

/// As [`one_nan`].
pub(super) fn one_nan_f32(value: f32) -> f32 {
    let is_nan = value.to_bits() & (u32::MAX >> 1) > f32::INFINITY.to_bits();
    f32::from_bits(if is_nan { f32::NAN.to_bits() } else { value.to_bits() })
}
