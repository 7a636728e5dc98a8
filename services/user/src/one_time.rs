//! Tokens that act once: whoever holds one read the mail that it was sent in. 256 random bits, known
//! here by their digest alone; bound to an account and to the address that the mail went to.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chassis::Random;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a token: all that is stored of it. It needs no salt, being random.
pub(crate) type TokenHash = [u8; 32];

/// Random bytes of a token.
const BYTES: usize = 32;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Showing that an address is read by its account's owner.
    Verify,
    /// Setting a new password.
    Reset,
}

impl Purpose {
    /// The word in the table.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }
}

/// A token as it stands in a link. Never printed.
#[derive(Clone)]
pub(crate) struct Token(String);

/// A text that no token can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoToken;

impl Token {
    pub(crate) fn draw(random: &Random) -> Self {
        Self(URL_SAFE_NO_PAD.encode(random.bytes::<BYTES>()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoToken)?;
        if bytes.len() == BYTES { Ok(Self(text.to_owned())) } else { Err(NoToken) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_token_is_read_again_and_never_printed() {
        let token = Token::draw(&Random::System);
        assert_eq!(token.as_str().parse::<Token>().unwrap().hash(), token.hash());
        assert!(!format!("{token:?}").contains(token.as_str()));
        assert_ne!(token.as_str(), Token::draw(&Random::System).as_str());
    }

    #[test]
    fn what_has_not_its_form_is_none() {
        let short = URL_SAFE_NO_PAD.encode([0; BYTES - 1]);
        for bad in ["", "x", short.as_str(), "\"><script>", &"x".repeat(10_000)] {
            assert_eq!(bad.parse::<Token>().unwrap_err(), NoToken, "{bad}");
        }
    }
}
