//! Partition keys of any token, for tests in memory.

use crate::ring::Token;

#[path = "../../tests/support/tokens.rs"]
mod tokens;

/// A key whose token is `token`, another one for each `salt`.
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
    }

    #[test]
    fn the_ends_of_the_ring_have_keys() {
        let token = |token| token_of([key_of(token, 7).as_slice()].into_iter());
        assert_eq!(token(Token::MAX), Token::MAX);
        assert_eq!(token(Token(i64::MIN + 1)), Token(i64::MIN + 1));
        assert_eq!(token(Token::MIN), Token::MAX, "no row has the lowest token");
    }
}
