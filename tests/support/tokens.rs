//! Partition keys of any token: `Murmur3` of sixteen bytes can be run backwards. Real tables hold partitions that share a token,
//! and none of a size for a test does by chance. `src/copy/collisions.rs` tests it.

#![allow(unreachable_pub)] // Several programs include this file; none exports it.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const LENGTH: u64 = 16;

/// A key whose token is `token`, another one for each `salt`. No key has the lowest token: the key whose hash it is has the
/// highest one.
pub fn key_of(token: i64, salt: u64) -> Vec<u8> {
    let mixed = [token.cast_unsigned().wrapping_sub(salt), salt];
    let first = unmix(mixed[0]);
    let h2 = unmix(mixed[1]).wrapping_sub(first);
    let h1 = first.wrapping_sub(h2) ^ LENGTH;
    let h2 = h2 ^ LENGTH;

    let k1 = un5(h1, 0x52dc_e729).rotate_right(27);
    let k2 = un5(h2, 0x3849_5ab5).wrapping_sub(h1).rotate_right(31);
    let k1 = undo(k1, C2).rotate_right(31);
    let k2 = undo(k2, C1).rotate_right(33);
    [undo(k1, C1), undo(k2, C2)].into_iter().flat_map(u64::to_le_bytes).collect()
}

/// What times `factor` is `product`; `factor` is odd.
fn undo(product: u64, factor: u64) -> u64 {
    // Newton's iteration: each step doubles the bits that are right, from three.
    let inverse = (0..5).fold(factor, |x, _| x.wrapping_mul(2u64.wrapping_sub(factor.wrapping_mul(x))));
    product.wrapping_mul(inverse)
}

fn un5(sum: u64, addend: u64) -> u64 {
    undo(sum.wrapping_sub(addend), 5)
}

/// The inverse of the hash's last step.
fn unmix(mixed: u64) -> u64 {
    let shifted = |x: u64| x ^ (x >> 33);
    let before = undo(shifted(mixed), 0xc4ce_b9fe_1a85_ec53);
    shifted(undo(shifted(before), 0xff51_afd7_ed55_8ccd))
}
