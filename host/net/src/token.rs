//! Join tokens: one line of text that lets its holder into one cluster, `obt1_` and 72 characters.
//!
//! ```text
//!   obt1_  [kind 1][token id 8][authority pin 16][secret 16][check 4]      45 bytes as base 32, no bit left over
//!     │                                                       └─ BLAKE3 of all before it: a bad paste is told before anybody is dialled
//!     └─ the format's version
//! ```
//!
//! The pin is a hash of the authority's public key: whoever holds the token recognizes the cluster before it says anything. The secret never
//! leaves the joiner. A signing key is derived from it, the cluster keeps only the public half ([`Verifier`]), and the proof is a signature
//! over the TLS connection that it is made on and the whole request: worthless on any other connection, to any other node, and to whoever
//! reads the replicated state. Never: shows a secret in Debug or in an error. Tests: at the end, and `tests/net/enrolment.rs`.

use std::fmt;
use std::str::FromStr;

use outboard_wire::access::{Enrols, Role, Wish};
use serde::{Deserialize, Serialize};

use crate::base32;
use crate::crypto;
use crate::identity::{self, ClusterId, IdentityError};
use crate::proof::{self, Verifier};

const PREFIX: &str = "obt1_";
/// What all versions begin with.
const FAMILY: &str = "obt";
const KIND: usize = 0;
const ID: usize = 1;
const PIN: usize = 9;
const SECRET: usize = 25;
const CHECK: usize = 41;
const BYTES: usize = 45;
const DIGITS: usize = BYTES / 5 * 8;

/// A token with its secret: only in the hands of whoever makes it and whoever joins by it.
#[derive(Clone, Eq, PartialEq)]
pub struct Token {
    enrols: Enrols,
    id: TokenId,
    pin: AuthorityPin,
    secret: [u8; 16],
}

impl Token {
    /// A new token, id and secret from the system's secure source of chance, for the cluster whose authority that is.
    pub fn generate(enrols: Enrols, pin: AuthorityPin) -> Token {
        let id = TokenId(u64::from_be_bytes(crypto::random_bytes()));
        Token { enrols, id, pin, secret: crypto::random_bytes() }
    }

    /// Reads a token's text; blanks around it don't matter, nor do capitals.
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let text = text.trim();
        let starts = |beginning: &str| text.get(..beginning.len()).is_some_and(|b| b.eq_ignore_ascii_case(beginning));
        if !starts(PREFIX) {
            return Err(if starts(FAMILY) { other_version(text) } else { TokenError::NotAToken });
        }
        let digits = &text[PREFIX.len()..];
        if let Some((at, character)) = digits.char_indices().find(|(_, c)| !is_digit(*c)) {
            return Err(TokenError::Character { character, position: PREFIX.len() + digits[..at].chars().count() + 1 });
        }
        let missing = TokenError::Checksum { characters: text.len(), expected: PREFIX.len() + DIGITS };
        let bytes: [u8; BYTES] = base32::decode(digits.as_bytes()).ok_or(missing.clone())?;
        if check(&bytes) != bytes[CHECK..] {
            return Err(missing);
        }
        Ok(Token {
            enrols: of_byte(bytes[KIND])?,
            id: TokenId(u64::from_be_bytes(field(&bytes, ID))),
            pin: AuthorityPin(field(&bytes, PIN)),
            secret: field(&bytes, SECRET),
        })
    }

    /// The whole token as text: a secret, to be shown once to whoever asked for it.
    pub fn reveal(&self) -> String {
        let mut bytes = [0; BYTES];
        bytes[KIND] = byte_of(self.enrols);
        bytes[ID..PIN].copy_from_slice(&self.id.0.to_be_bytes());
        bytes[PIN..SECRET].copy_from_slice(&self.pin.0);
        bytes[SECRET..CHECK].copy_from_slice(&self.secret);
        let check = check(&bytes);
        bytes[CHECK..].copy_from_slice(&check);
        format!("{PREFIX}{}", base32::encode(&bytes))
    }

    /// What its holder may become.
    pub fn enrols(&self) -> Enrols {
        self.enrols
    }

    /// Its name in the replicated state.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The authority of the cluster that it opens.
    pub fn pin(&self) -> AuthorityPin {
        self.pin
    }

    /// The public half of what the secret proves.
    pub fn verifier(&self) -> Verifier {
        proof::verifier(&self.seed())
    }

    /// The proof that the holder of the secret said this.
    pub(crate) fn sign(&self, statement: &[u8]) -> Vec<u8> {
        proof::sign(&self.seed(), statement)
    }

    fn seed(&self) -> [u8; 32] {
        let mut material = self.id.0.to_be_bytes().to_vec();
        material.extend_from_slice(&self.secret);
        blake3::derive_key("outboard join token signing key 1", &material)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        Token::parse(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("enrols", &self.enrols).field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a text is no token that this program can use. None of them quotes the text.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It doesn't even begin like one.
    #[error("this is not a token: one begins with {PREFIX}")]
    NotAToken,
    /// A token of another version.
    #[error("this token is of version {found}, this program knows version 1: run the same outboard on both sides")]
    Version {
        /// What stands where the version should.
        found: String,
    },
    /// A character that no token has.
    #[error("{character:?} (character {position}) can't stand in a token: it was not copied as it was")]
    Character {
        /// The first of them.
        character: char,
        /// Its place, counted from 1.
        position: usize,
    },
    /// It looks like one, but the checksum says no.
    #[error("this token is damaged: a character is missing or wrong ({characters} of {expected} characters)")]
    Checksum {
        /// How long it is.
        characters: usize,
        /// How long it should be.
        expected: usize,
    },
    /// Whole, but for something that this program doesn't know.
    #[error("this token is for something that this program doesn't know (kind {0}): it is older than the cluster")]
    Kind(u8),
}

/// A kind as its byte in the token's text.
fn byte_of(enrols: Enrols) -> u8 {
    match enrols {
        Enrols::Node(Wish::Voter) => 1,
        Enrols::Node(Wish::Learner) => 2,
        Enrols::Client(Role::Reader) => 16,
        Enrols::Client(Role::Writer) => 17,
        Enrols::Client(Role::Operator) => 18,
        Enrols::Client(Role::Deployer) => 19,
        Enrols::Client(Role::Admin) => 20,
    }
}

fn of_byte(byte: u8) -> Result<Enrols, TokenError> {
    Enrols::ALL.into_iter().find(|enrols| byte_of(*enrols) == byte).ok_or(TokenError::Kind(byte))
}

/// The name of a token: no secret, for lists and logs; shown as `t-` and 13 characters.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct TokenId(pub u64);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t-{}", base32::encode(&self.0.to_be_bytes()))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<TokenId, IdentityError> {
        let wrong = || IdentityError(format!("{text:?} is not a token's id (t- and 13 characters)"));
        let digits = text.strip_prefix("t-").filter(|digits| digits.len() == 13).ok_or_else(wrong)?;
        let mut bits = 0u128;
        for digit in digits.bytes() {
            bits = bits << 5 | u128::from(base32::value(digit).ok_or_else(wrong)?);
        }
        // 13 digits hold 65 bits; the last one fills up.
        if bits & 1 != 0 {
            return Err(wrong());
        }
        u64::try_from(bits >> 1).map(TokenId).map_err(|_| wrong())
    }
}

/// A hash of an authority's public key: 128 bits, as hard to forge as the P-256 key itself, and the token still fits a terminal's line.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct AuthorityPin([u8; 16]);

impl AuthorityPin {
    /// Of an authority's certificate, with the cluster that it speaks for.
    pub(crate) fn of(certificate: &[u8]) -> Result<(AuthorityPin, ClusterId), IdentityError> {
        let cluster = identity::authority_cluster(certificate)?;
        let hash = blake3::derive_key("outboard authority pin 1", &identity::public_key(certificate)?);
        Ok((AuthorityPin(field(&hash, 0)), cluster))
    }
}

fn other_version(text: &str) -> TokenError {
    let version = text[FAMILY.len()..].split('_').next().unwrap_or_default();
    let legal = (1..=3).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit());
    match text.contains('_') && legal {
        true => TokenError::Version { found: version.to_string() },
        false => TokenError::NotAToken,
    }
}

fn is_digit(character: char) -> bool {
    u8::try_from(character).is_ok_and(|byte| base32::value(byte).is_some())
}

/// The checksum over everything before it.
fn check(bytes: &[u8; BYTES]) -> [u8; BYTES - CHECK] {
    field(&blake3::derive_key("outboard join token check 1", &bytes[..CHECK]), 0)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the layout lies within the bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(enrols: Enrols) -> Token {
        Token { enrols, id: TokenId(0x0123_4567_89ab_cdef), pin: AuthorityPin([7; 16]), secret: [0x5a; 16] }
    }

    #[test]
    fn a_token_of_every_kind_is_read_back_from_its_text_and_fits_a_line() {
        for enrols in Enrols::ALL {
            let token = token(enrols);
            let text = token.reveal();
            assert_eq!(text.len(), 77);
            for pasted in [text.clone(), format!("  {text}\r\n"), text.to_uppercase()] {
                assert_eq!(Token::parse(&pasted), Ok(token.clone()), "{pasted:?}");
            }
        }
    }

    #[test]
    fn the_format_stays_what_it_is() {
        let text = "obt1_040j6hb7h6nwvvr70w3ge1r70w3ge1r70w3ge1r7b9d5mpjtb9d5mpjtb9d5mpjtb8ttdxx4";
        assert_eq!(token(Enrols::Node(Wish::Voter)).reveal(), text);
    }

    #[test]
    fn every_single_damage_is_noticed_and_each_class_has_its_own_error() {
        let text = token(Enrols::Node(Wish::Voter)).reveal();
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
            let wrong = String::from_utf8(wrong).expect("ASCII");
            assert!(matches!(Token::parse(&wrong), Err(TokenError::Checksum { .. })), "{wrong}");
            let missing = format!("{}{}", &text[..at], &text[at + 1..]);
            assert_eq!(Token::parse(&missing), Err(TokenError::Checksum { characters: 76, expected: 77 }));
            let swapped = format!("{}u{}", &text[..at], &text[at + 1..]);
            assert_eq!(Token::parse(&swapped), Err(TokenError::Character { character: 'u', position: at + 1 }));
        }
        let twice = format!("{text}{text}");
        for (wrong, expected) in [
            (twice.as_str(), TokenError::Character { character: 'o', position: 78 }),
            (&text[..40], TokenError::Checksum { characters: 40, expected: 77 }),
            ("obt1_", TokenError::Checksum { characters: 5, expected: 77 }),
            ("obt1_a b", TokenError::Character { character: ' ', position: 7 }),
            ("obt1_aé", TokenError::Character { character: 'é', position: 7 }),
            (&text.replace("obt1_", "obt2_"), TokenError::Version { found: "2".to_string() }),
            ("obt12_xyz", TokenError::Version { found: "12".to_string() }),
            ("obtuse", TokenError::NotAToken),
            ("obtx_1", TokenError::NotAToken),
            ("", TokenError::NotAToken),
            ("ob", TokenError::NotAToken),
            ("obé1_", TokenError::NotAToken),
            ("-----BEGIN CERTIFICATE-----", TokenError::NotAToken),
            (&text[5..], TokenError::NotAToken),
        ] {
            assert_eq!(Token::parse(wrong), Err(expected), "{wrong}");
        }
        let damaged = Token::parse(&text[..40]).expect_err("it is cut").to_string();
        assert!(damaged.contains("a character is missing or wrong"), "{damaged}");
    }

    #[test]
    fn a_whole_token_of_an_unknown_kind_is_told_apart_from_a_damaged_one() {
        let mut bytes: [u8; BYTES] =
            base32::decode(&token(Enrols::Node(Wish::Voter)).reveal().as_bytes()[5..]).expect("good");
        bytes[KIND] = 99;
        let check = check(&bytes);
        bytes[CHECK..].copy_from_slice(&check);
        assert_eq!(Token::parse(&format!("obt1_{}", base32::encode(&bytes))), Err(TokenError::Kind(99)));
    }

    #[test]
    fn debug_and_errors_never_show_the_secret() {
        let token = Token::generate(Enrols::Client(Role::Admin), AuthorityPin([1; 16]));
        let text = token.reveal();
        let shown = format!("{token:?} {:?}", token.verifier());
        let secret = &text[45..70];
        assert!(!shown.contains(secret) && !shown.contains(&format!("{:?}", token.secret)), "{shown}");
        assert!(shown.contains(&token.id().to_string()));
        let error = Token::parse(&text[..76]).expect_err("cut").to_string();
        assert!(!error.contains(secret) && !error.contains(&text[5..20]), "{error}");
    }

    #[test]
    fn ids_are_read_back_from_their_text() {
        for id in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(TokenId(id).to_string().parse(), Ok(TokenId(id)));
        }
        for wrong in ["", "t-", "t-0000000000001", "t-000000000000u", "x-0000000000000", "t-00000000000000"] {
            assert!(wrong.parse::<TokenId>().is_err(), "{wrong:?} was taken");
        }
    }
}
