//! Partition keys of any token: `Murmur3` of sixteen bytes can be run backwards. Real tables hold partitions that share a token,
//! and none of a size for a test does by chance.

use crate::ring::Token;

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const LENGTH: u64 = 16;

/// A key whose token is `token`, another one for each `salt`. No key has the lowest token: the key whose hash it is has the
/// highest one.
pub(crate) fn key_of(token: Token, salt: u64) -> Vec<u8> {
    let mixed = [token.0.cast_unsigned().wrapping_sub(salt), salt];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::token_of;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_have_the_token_that_was_asked_for(token in any::<i64>(), salts in any::<[u64; 2]>()) {
            let keys = salts.map(|salt| key_of(Token(token), salt));
            for key in &keys {
                prop_assert_eq!(token_of([key.as_slice()].into_iter()), Token(token));
            }
            prop_assert!(salts[0] == salts[1] || keys[0] != keys[1]);
        }
    }

    #[test]
    fn the_ends_of_the_ring_have_keys() {
        let token = |token| token_of([key_of(token, 7).as_slice()].into_iter());
        assert_eq!(token(Token::MAX), Token::MAX);
        assert_eq!(token(Token(i64::MIN + 1)), Token(i64::MIN + 1));
        assert_eq!(token(Token::MIN), Token::MAX, "no row has the lowest token");
    }
}
