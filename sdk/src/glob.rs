//! Patterns as `KEYS` and `SCAN` take them: `*` any bytes, `?` one byte, `[ab]`, `[a-z]`, `[^a]` one of a set, `\` the next
//! byte as it is.

/// Whether all of `text` fits the pattern.
///
/// Where two stars compete, only the last one is ever moved: that finds every match, and the time grows with the product
/// of the lengths at worst, never exponentially.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Redis never looks into a pattern when there is nothing to look at; only the star alone it knows beforehand.
    if text.is_empty() {
        return matches!(pattern, b"" | b"*");
    }
    let (mut at_pattern, mut at_text) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            if at_pattern == pattern.len() {
                return true;
            }
            retry = Some((at_pattern, at_text));
            continue;
        }
        if at_text == text.len() && at_pattern == pattern.len() {
            return true;
        }
        let step = text.get(at_text).and_then(|&byte| match_one(&pattern[at_pattern..], byte));
        if let Some(length) = step {
            at_pattern += length;
            at_text += 1;
            continue;
        }
        // A dead end: let the last star take one byte more.
        match &mut retry {
            Some((after_star, start)) if *start < text.len() => {
                *start += 1;
                (at_pattern, at_text) = (*after_star, *start);
            }
            Some(_) | None => return false,
        }
    }
}

/// The literal bytes with which every match begins: where a walk over ordered keys may start.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// If the pattern's first element accepts this byte: how long that element is.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match_set(pattern, byte),
        b'\\' if pattern.len() > 1 => (pattern[1] == byte).then_some(2),
        literal => (literal == byte).then_some(1),
    }
}

/// `[…]` at the start of the pattern. A set without its end reaches to the end of the pattern, as in Redis.
fn match_set(pattern: &[u8], byte: u8) -> Option<usize> {
    let mut at = 1;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(at) {
            None => break,
            Some(b']') => {
                at += 1;
                break;
            }
            Some(b'\\') if at + 1 < pattern.len() => {
                found |= pattern[at + 1] == byte;
                at += 2;
            }
            Some(&low) if pattern.get(at + 1) == Some(&b'-') && at + 2 < pattern.len() => {
                let high = pattern[at + 2];
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                at += 3;
            }
            Some(&literal) => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn patterns_accept_what_redis_accepts() {
        let accepted = [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("**", "abc"),
            ("abc**", "abc"),
            ("a*", "a"),
            ("*c", "abc"),
            ("a*c", "abbbc"),
            ("a*b*c", "axbxbxc"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("[a-", "-"),
            ("[a", "a"),
            ("\\", "\\"),
            ("user:*:name", "user:7:name"),
            ("*ab", "aab"),
            ("*a*a*b", "aaaaab"),
        ];
        for (pattern, text) in accepted {
            assert!(fits(pattern, text), "{pattern} should accept {text}");
        }
    }

    #[test]
    fn patterns_refuse_what_redis_refuses() {
        let refused = [
            ("", "a"),
            ("a", ""),
            ("?", ""),
            ("a", "ab"),
            ("ab", "a"),
            ("a*c", "abd"),
            ("h[^e]llo", "hello"),
            ("h[a-b]llo", "hcllo"),
            ("\\*", "a"),
            ("[]", "a"),
            ("*a", "ab"),
            ("a?", "a"),
            ("[^a]", ""),
            ("**", ""),
        ];
        for (pattern, text) in refused {
            assert!(!fits(pattern, text), "{pattern} should refuse {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_exponential_time() {
        let pattern = "*a".repeat(500) + "b";
        assert!(!fits(&pattern, &"a".repeat(2000)));
    }

    #[test]
    fn a_walk_may_start_at_the_literal_prefix() {
        assert_eq!(literal_prefix(b"user:*"), b"user:");
        assert_eq!(literal_prefix(b"user"), b"user");
        assert_eq!(literal_prefix(b"\\*"), b"");
        assert_eq!(literal_prefix(b"*"), b"");
    }
}
