//! Bytes as text: hexadecimal and base64 (the standard alphabet, padded), both ways, and bytes for people's eyes.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Reads pairs of hexadecimal digits.
pub(crate) fn from_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return Err("an odd number of hexadecimal digits".to_owned());
    }
    let digit = |byte: u8| {
        char::from(byte).to_digit(16).ok_or_else(|| format!("{:?} is no hexadecimal digit", char::from(byte)))
    };
    digits.chunks_exact(2).map(|pair| Ok((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

/// Reads base64 with or without its padding.
pub(crate) fn from_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    if padding > 2 || (padding > 0 && !text.len().is_multiple_of(4)) || digits.len() % 4 == 1 {
        return Err("base64 that is cut short".to_owned());
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut value = 0u32;
        for byte in group {
            let digit = BASE64.iter().position(|known| known == byte);
            value = value << 6 | digit.ok_or_else(|| format!("{:?} is no base64 digit", char::from(*byte)))? as u32;
        }
        value <<= 6 * (4 - group.len());
        if group.len() < 4 && value & (0xff_ffff >> (8 * (group.len() - 1))) != 0 {
            return Err("base64 with bits behind its end".to_owned());
        }
        bytes.extend_from_slice(&value.to_be_bytes()[1..group.len()]);
    }
    Ok(bytes)
}

/// Writes base64 with padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let value = group.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = BASE64[(value >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// For messages: text as it is, anything else escaped, long ones cut.
pub(crate) fn show(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 80;
    let cut = &bytes[..bytes.len().min(SHOWN_MAX)];
    let text = match std::str::from_utf8(cut) {
        Ok(text) if !text.chars().any(char::is_control) && !text.is_empty() => text.to_owned(),
        // A cut may fall into the middle of a letter.
        Ok(_) | Err(_) => format!("\"{}\"", cut.escape_ascii()),
    };
    if cut.len() < bytes.len() { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_back_for_every_length() {
        for length in 0..70 {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37 + length) as u8).collect();
            let text = to_base64(&bytes);
            assert_eq!(from_base64(text.as_bytes()), Ok(bytes.clone()));
            assert_eq!(from_base64(text.trim_end_matches('=').as_bytes()), Ok(bytes));
        }
        assert_eq!(to_base64(b"light wor"), "bGlnaHQgd29y");
        assert_eq!(to_base64(b"light wo"), "bGlnaHQgd28=");
    }

    #[test]
    fn text_that_is_no_encoding_is_refused() {
        for wrong in ["A", "AB=", "A===", "A*BC", "AB==C", "AB"] {
            assert!(from_base64(wrong.as_bytes()).is_err(), "{wrong:?} was taken");
        }
        assert_eq!(from_hex(b"00 fF"), Ok(vec![0, 255]));
        assert!(from_hex(b"0").is_err() && from_hex(b"0g").is_err());
    }

    #[test]
    fn keys_are_shown_without_control_characters() {
        assert_eq!(show(b"user/42"), "user/42");
        assert_eq!(show(b"\x1b[2J\xff"), "\"\\x1b[2J\\xff\"");
        assert_eq!(show(b""), "\"\"");
        assert!(show(&[b'a'; 500]).ends_with("(500 bytes)"));
    }
}
