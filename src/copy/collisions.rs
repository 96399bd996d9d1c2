//! Partition keys of any token: `Murmur3` of sixteen bytes can be run backwards. Real tables hold partitions that share a token,
//! and none of a size for a test does by chance.

use crate::ring::Token;

#[path = "../../tests/support/tokens.rs"]
mod tokens;

/// A key whose token is `token`, another one for each `salt`. No key has the lowest token: the key whose hash it is has the
/// highest one.
pub(crate) fn key_of(token: Token, salt: u64) -> Vec<u8> {
    tokens::key_of(token.0, salt)
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

        #[test]
        fn keys_may_have_more_around(token in any::<i64>(), salt in any::<u64>(), before in prop::collection::vec(any::<[u8; 16]>(), 0..3), after in "[ -~]{0,15}") {
            let before = before.concat();
            let key = tokens::key_around(token, salt, &before, after.as_bytes());
            prop_assert!(key.starts_with(&before) && key.ends_with(after.as_bytes()));
            prop_assert_eq!(token_of([key.as_slice()].into_iter()), Token(token));
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
