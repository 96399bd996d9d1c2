//! Partition keys of any token: `Murmur3` of whole blocks can be run backwards. Real tables hold partitions that share a token,
//! and none of a size for a test does by chance. `src/copy/collisions.rs` tests it.

#![allow(unreachable_pub, dead_code)] // Several programs include this file; none exports it, not all use all of it.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const ADDENDS: [u64; 2] = [0x52dc_e729, 0x3849_5ab5];
const BLOCK: usize = 16;

/// A key whose token is `token`, another one for each `salt`. No key has the lowest token: the key whose hash it is has the
/// highest one.
pub fn key_of(token: i64, salt: u64) -> Vec<u8> {
    key_around(token, salt, &[], &[])
}

/// The same with bytes of our own before and after the sixteen that make the token: whole blocks of sixteen before, up to
/// fifteen of ASCII after.
pub fn key_around(token: i64, salt: u64, before: &[u8], after: &[u8]) -> Vec<u8> {
    assert!(before.len().is_multiple_of(BLOCK) && after.len() < BLOCK && after.is_ascii());
    let length = (before.len() + BLOCK + after.len()) as u64;
    // Back from the end of the hash to the block's.
    let mixed = [token.cast_unsigned().wrapping_sub(salt), salt];
    let first = unmix(mixed[0]);
    let h2 = unmix(mixed[1]).wrapping_sub(first);
    let h1 = first.wrapping_sub(h2) ^ length;
    let h2 = h2 ^ length;
    let mut end = [0; BLOCK];
    end[..after.len()].copy_from_slice(after);
    let [k1, k2] = scrambled(&end);
    let (h1, h2) = (h1 ^ k1, h2 ^ k2);

    // From the beginning of the hash to the block, which has to lead from there to here.
    let [b1, b2] = before.chunks(BLOCK).fold([0, 0], |state, block| next(state, scrambled(block)));
    let k1 = un5(h1, ADDENDS[0]).wrapping_sub(b2).rotate_right(27) ^ b1;
    let k2 = un5(h2, ADDENDS[1]).wrapping_sub(h1).rotate_right(31) ^ b2;
    let k1 = undo(undo(k1, C2).rotate_right(31), C1);
    let k2 = undo(undo(k2, C1).rotate_right(33), C2);
    let block = [k1, k2].into_iter().flat_map(u64::to_le_bytes);
    before.iter().copied().chain(block).chain(after.iter().copied()).collect()
}

/// What of a block is mixed into the hash.
fn scrambled(block: &[u8]) -> [u64; 2] {
    let half = |at: usize| block[at..at + 8].iter().rev().fold(0u64, |half, &byte| half << 8 | u64::from(byte));
    let first = half(0).wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    [first, half(8).wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)]
}

/// The hash after one more block.
fn next([h1, h2]: [u64; 2], [k1, k2]: [u64; 2]) -> [u64; 2] {
    let five = |x: u64, addend: u64| x.wrapping_mul(5).wrapping_add(addend);
    let h1 = five((h1 ^ k1).rotate_left(27).wrapping_add(h2), ADDENDS[0]);
    [h1, five((h2 ^ k2).rotate_left(31).wrapping_add(h1), ADDENDS[1])]
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
