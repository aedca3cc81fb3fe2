//! Lines in, lines out, as people know them from `redis-cli`.

/// The words of a line: split at blanks, `"…"` with `\n \r \t \" \\ \xFF`, `'…'` as it stands.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(first) = bytes.next() else { return words };
        let mut word = Vec::new();
        match first {
            b'"' => loop {
                match bytes.next().expect("a closing quote") {
                    b'"' => break,
                    b'\\' => word.push(escaped(&mut bytes)),
                    byte => word.push(byte),
                }
            },
            b'\'' => word.extend(bytes.by_ref().take_while(|byte| *byte != b'\'')),
            byte => {
                word.push(byte);
                while let Some(byte) = bytes.next_if(|byte| !byte.is_ascii_whitespace()) {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    match bytes.next().expect("something to escape") {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' => {
            let digits = [bytes.next().expect("two hex digits"), bytes.next().expect("two hex digits")];
            let digits = std::str::from_utf8(&digits).expect("two hex digits");
            u8::from_str_radix(digits, 16).expect("two hex digits")
        }
        byte => byte,
    }
}

/// A reply for people: `OK`, `(nil)`, `(integer) 7`, `"Ana"`, `1) "a"`. Panics when it is not one whole RESP3 value.
pub fn show(reply: &[u8]) -> String {
    let mut rest = reply;
    let mut out = String::new();
    show_value(&mut rest, "", &mut out);
    assert!(rest.is_empty(), "a reply is one value; behind it stands {:?}", String::from_utf8_lossy(rest));
    out
}

fn show_value(rest: &mut &[u8], indent: &str, out: &mut String) {
    let line = take_line(rest);
    let (sign, text) = line.split_at(1);
    match sign {
        "+" => out.push_str(text),
        ":" => out.push_str(&format!("(integer) {text}")),
        "(" => out.push_str(&format!("(big number) {text}")),
        "," => out.push_str(&format!("(double) {text}")),
        "#" => out.push_str(if text == "t" { "(true)" } else { "(false)" }),
        "_" => out.push_str("(nil)"),
        "$" => {
            let length: usize = text.parse().expect("a byte string's length");
            let bytes = take(rest, length);
            assert_eq!(take(rest, 2), b"\r\n", "a byte string ends with a line break");
            out.push_str(&format!("\"{}\"", bytes.escape_ascii().to_string().replace("\\'", "'")));
        }
        "*" | "~" => show_elements(rest, text.parse().expect("a count"), indent, out),
        "%" => show_elements(rest, 2 * text.parse::<usize>().expect("a count"), indent, out),
        _ => panic!("not a RESP3 value: {line:?}"),
    }
}

fn show_elements(rest: &mut &[u8], count: usize, indent: &str, out: &mut String) {
    if count == 0 {
        out.push_str("(empty array)");
    }
    for place in 1..=count {
        let label = format!("{place}) ");
        if place > 1 {
            out.push('\n');
            out.push_str(indent);
        }
        out.push_str(&label);
        show_value(rest, &format!("{indent}{}", " ".repeat(label.len())), out);
    }
}

fn take_line(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a value's first line has an end");
    let line = String::from_utf8(take(rest, end).to_vec()).expect("a value's first line is text");
    take(rest, 2);
    assert!(!line.is_empty(), "a value begins with its sign");
    line
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    assert!(length <= rest.len(), "the reply is cut off");
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quoted() {
        let text =
            |line| words(line).into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect::<Vec<_>>();
        assert_eq!(text("  SET k  v "), ["SET", "k", "v"]);
        assert_eq!(text(r#"SET "a b" 'c "d' """#), ["SET", "a b", "c \"d", ""]);
        assert_eq!(words(r#""\x00\xff\n""#), [vec![0, 255, b'\n']]);
    }

    #[test]
    fn replies_are_shown_as_people_know_them() {
        assert_eq!(show(b"+OK\r\n"), "OK");
        assert_eq!(show(b"$3\r\nAna\r\n"), "\"Ana\"");
        assert_eq!(show(b"*2\r\n$1\r\n0\r\n*2\r\n_\r\n:7\r\n"), "1) \"0\"\n2) 1) (nil)\n   2) (integer) 7");
        assert_eq!(show(b"*0\r\n"), "(empty array)");
    }

    #[test]
    #[should_panic(expected = "one value")]
    fn two_values_are_not_a_reply() {
        show(b"+OK\r\n+OK\r\n");
    }
}
