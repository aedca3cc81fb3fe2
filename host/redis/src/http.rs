//! Browsers and proxies that talk HTTP to this port are told where they are. No command of theirs is executed: a web page could
//! otherwise make a browser send some.

/// The whole answer; the connection ends after it.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
Content-Type: text/plain\r\n\
Content-Length: 62\r\n\
Connection: close\r\n\
\r\n\
This port speaks the Redis protocol, not HTTP. Try redis-cli.\n";

/// Whether a line is the first one of an HTTP request.
pub(crate) fn is_request(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ').rev();
    let version = words.next().is_some_and(|word| {
        let version = word.strip_prefix(b"HTTP/").unwrap_or_default();
        matches!(version, [b'0'..=b'9', ..]) && version.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.'))
    });
    let target = words.next().is_some_and(|word| !word.is_empty());
    let method = words.next().is_some_and(|word| !word.is_empty() && word.iter().all(u8::is_ascii_uppercase));
    version && target && method && words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = str::from_utf8(ANSWER).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn requests_of_http_are_told_from_commands() {
        for line in [
            "GET / HTTP/1.1",
            "POST /x?y=z HTTP/1.0",
            "PRI * HTTP/2.0",
            "OPTIONS http://a/ HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
        ] {
            assert!(is_request(line.as_bytes()), "{line}");
        }
        for line in [
            "GET /",
            "GET k",
            "get / HTTP/1.1",
            "SET k v HTTP/1.1",
            "GET  HTTP/1.1",
            "GET / HTTP/",
            "GET / HTTP/x",
            "HTTP/1.1",
            "",
        ] {
            assert!(!is_request(line.as_bytes()), "{line}");
        }
    }
}
