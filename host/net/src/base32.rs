//! Text for ids and tokens: base 32 without the letters that are read as digits (i, l, o) and without u, in lower case because cluster ids
//! also stand in DNS names.

/// The digits by their value.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The value of a digit; capitals count as small letters.
pub(crate) fn value(digit: u8) -> Option<u8> {
    let position = ALPHABET.iter().position(|known| *known == digit.to_ascii_lowercase());
    position.map(|value| value as u8)
}

/// Bytes as digits; the last one is filled up with zero bits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let digits = (bytes.len() * 8).div_ceil(5);
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    (0..digits)
        .map(|digit| {
            let value = (0..5).fold(0, |value, at| value << 1 | usize::from(bit(digit * 5 + at)));
            char::from(ALPHABET[value])
        })
        .collect()
}

/// Reads digits that fill exactly `N` bytes; None for any other count. The caller has looked for characters that are none.
pub(crate) fn decode<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    const { assert!(N.is_multiple_of(5), "no bits may be left over, or one value would have several texts") };
    if digits.len() != N / 5 * 8 {
        return None;
    }
    let mut bytes = [0; N];
    for (group, out) in digits.chunks(8).zip(bytes.chunks_mut(5)) {
        let mut bits = 0u64;
        for digit in group {
            bits = bits << 5 | u64::from(value(*digit)?);
        }
        out.copy_from_slice(&bits.to_be_bytes()[3..]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_back_from_their_text_in_either_case() {
        let bytes: [u8; 45] = std::array::from_fn(|at| (at * 37 + 11) as u8);
        let text = encode(&bytes);
        assert_eq!(text.len(), 72);
        assert_eq!(decode(text.as_bytes()), Some(bytes));
        assert_eq!(decode(text.to_uppercase().as_bytes()), Some(bytes));
        assert_eq!(encode(&[0xff; 5]), "zzzzzzzz");
        assert_eq!(encode(&[1]), "04");
    }

    #[test]
    fn text_of_another_length_or_with_other_characters_is_nothing() {
        assert_eq!(decode::<5>(b"zzzzzzz"), None);
        assert_eq!(decode::<5>(b"zzzzzzzzz"), None);
        assert_eq!(decode::<5>(b"zzzzzzzu"), None);
    }
}
