//! The order of decimals: `[i32 scale][two's complement]`, which is the number divided by 10^scale.

use super::value::{is_negative, minimal};
use num_bigint::{BigInt, BigUint};
use std::cmp::Ordering;

/// A decimal that isn't zero or less.
struct Positive<'a> {
    scale: i32,
    /// The absolute value of this; at least one byte.
    unscaled: &'a [u8],
}

/// By value, as `BigDecimal.compareTo` does it: scales may be anything, and cost nothing. Bytes that are no decimal come first.
pub(super) fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (Some((scale_a, a)), Some((scale_b, b))) = (a.split_first_chunk(), b.split_first_chunk()) else {
        return (a.len() >= 4).cmp(&(b.len() >= 4)).then_with(|| a.cmp(b));
    };
    let (a, b) = (minimal(a), minimal(b));
    let sign = |unscaled: &[u8]| if is_negative(unscaled) { -1 } else { i8::from(!matches!(unscaled, [] | [0])) };
    let absolute = |scale: &[u8; 4], unscaled| Positive { scale: i32::from_be_bytes(*scale), unscaled };
    match (sign(a), sign(b)) {
        (1, 1) => absolute(scale_a, a).cmp(&absolute(scale_b, b)),
        (-1, -1) => absolute(scale_b, b).cmp(&absolute(scale_a, a)),
        (a, b) => a.cmp(&b),
    }
}

impl Positive<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // In units of the larger scale, the other number has so many more zeros.
        match u32::try_from(i64::from(self.scale) - i64::from(other.scale)) {
            Ok(zeros) => self.compare_with_zeros(other, zeros),
            Err(_) => other.cmp(self).reverse(),
        }
    }

    fn compare_with_zeros(&self, other: &Self, zeros: u32) -> Ordering {
        if let (Some(a), Some(b)) = (self.small(), other.small()) {
            return 10u128
                .checked_pow(zeros)
                .and_then(|factor| b.checked_mul(factor))
                .map_or(Ordering::Less, |b| a.cmp(&b));
        }
        let (a, b) = (self.large(), other.large());
        // 10^n has more than 3 n bits: zeros that would be many are not needed.
        if a.bits() < b.bits() + 3 * u64::from(zeros) {
            return Ordering::Less;
        }
        a.cmp(&(b * BigUint::from(10u8).pow(zeros)))
    }

    fn small(&self) -> Option<u128> {
        let sign = if is_negative(self.unscaled) { u8::MAX } else { 0 };
        let mut wide = [sign; 16];
        let from = wide.len().checked_sub(self.unscaled.len())?;
        wide[from..].copy_from_slice(self.unscaled);
        Some(i128::from_be_bytes(wide).unsigned_abs())
    }

    fn large(&self) -> BigUint {
        BigInt::from_signed_bytes_be(self.unscaled).into_parts().1
    }
}
