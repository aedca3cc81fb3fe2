//! An engine's reply for people, for JSON and raw.

use crate::json;
use outboard_client::Reply;
use serde_json::{Value, json};

/// For people: plain values as they are, collections as numbered lines, one inside the other.
pub(crate) fn text(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    write_text(reply, 0, &mut out);
    out
}

fn write_text(reply: &Reply, indent: usize, out: &mut Vec<u8>) {
    match reply {
        Reply::Nil => out.extend_from_slice(b"(nil)"),
        Reply::Boolean(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Reply::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::Double(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Reply::BigNumber(bytes) | Reply::Text(bytes) | Reply::Bytes(bytes) => out.extend_from_slice(bytes),
        Reply::Error(bytes) => {
            out.extend_from_slice(b"(error) ");
            out.extend_from_slice(bytes);
        }
        Reply::Array(values) | Reply::Set(values) if values.is_empty() => out.extend_from_slice(b"(empty)"),
        Reply::Map(pairs) if pairs.is_empty() => out.extend_from_slice(b"(empty)"),
        Reply::Array(values) | Reply::Set(values) => {
            for (place, value) in values.iter().enumerate() {
                let label = start_line(place, values.len(), indent, out);
                write_text(value, indent + label, out);
            }
        }
        Reply::Map(pairs) => {
            for (place, (key, value)) in pairs.iter().enumerate() {
                let label = start_line(place, pairs.len(), indent, out);
                write_text(key, indent + label, out);
                out.extend_from_slice(b" => ");
                write_text(value, indent + label + 4, out);
            }
        }
    }
}

/// Writes the number of an item at the start of its line; returns the label's width.
fn start_line(place: usize, count: usize, indent: usize, out: &mut Vec<u8>) -> usize {
    if place > 0 {
        out.push(b'\n');
        out.resize(out.len() + indent, b' ');
    }
    let digits = count.to_string().len();
    let label = format!("{:>digits$}) ", place + 1);
    out.extend_from_slice(label.as_bytes());
    label.len()
}

/// Raw: the bytes of a plain value, the items of a collection one per line.
pub(crate) fn raw(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Array(values) | Reply::Set(values) => {
            values.iter().flat_map(|value| [raw(value), b"\n".to_vec()].concat()).collect()
        }
        Reply::Map(pairs) => pairs
            .iter()
            .flat_map(|(key, value)| [raw(key), b"\t".to_vec(), raw(value), b"\n".to_vec()].concat())
            .collect(),
        Reply::Nil => Vec::new(),
        Reply::Boolean(_)
        | Reply::Integer(_)
        | Reply::Double(_)
        | Reply::BigNumber(_)
        | Reply::Text(_)
        | Reply::Bytes(_)
        | Reply::Error(_) => text(reply),
    }
}

/// For JSON: nil is null, integers are strings under their kind, bytes as everywhere.
pub(crate) fn value(reply: &Reply) -> Value {
    match reply {
        Reply::Nil => Value::Null,
        Reply::Boolean(value) => json!(value),
        Reply::Integer(number) => json!({ "integer": number.to_string() }),
        Reply::Double(number) if number.is_finite() => json!(number),
        Reply::Double(number) => json!({ "double": number.to_string() }),
        Reply::BigNumber(digits) => json!({ "integer": String::from_utf8_lossy(digits) }),
        Reply::Text(bytes) | Reply::Bytes(bytes) => json::bytes(bytes),
        Reply::Error(bytes) => json!({ "error": json::bytes(bytes) }),
        Reply::Array(values) | Reply::Set(values) => Value::Array(values.iter().map(value).collect()),
        Reply::Map(pairs) => {
            let pairs: Vec<Value> = pairs.iter().map(|(key, item)| json!([value(key), value(item)])).collect();
            json!({ "map": pairs })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn reply(resp: &'static str) -> Reply {
        Reply::parse(&Bytes::from_static(resp.as_bytes())).expect("a reply")
    }

    fn shown(resp: &'static str) -> String {
        String::from_utf8(text(&reply(resp))).expect("text")
    }

    #[test]
    fn replies_read_as_people_expect() {
        assert_eq!(shown("+OK\r\n"), "OK");
        assert_eq!(shown(":7\r\n"), "7");
        assert_eq!(shown("_\r\n"), "(nil)");
        assert_eq!(shown("*0\r\n"), "(empty)");
        assert_eq!(shown("*2\r\n+0\r\n*2\r\n+a\r\n+b\r\n"), "1) 0\n2) 1) a\n   2) b");
        assert_eq!(shown("%1\r\n+a\r\n:1\r\n"), "1) a => 1");
    }

    #[test]
    fn replies_in_json_keep_every_digit_and_every_byte() {
        assert_eq!(value(&reply(":9223372036854775807\r\n")), json!({ "integer": "9223372036854775807" }));
        assert_eq!(value(&reply("*2\r\n_\r\n$1\r\na\r\n")), json!([null, { "utf8": "a" }]));
        assert_eq!(value(&reply(",inf\r\n")), json!({ "double": "inf" }));
    }

    #[test]
    fn raw_adds_nothing_to_a_plain_value() {
        assert_eq!(raw(&reply("$3\r\na\nb\r\n")), b"a\nb");
        assert_eq!(raw(&reply("*2\r\n+a\r\n+b\r\n")), b"a\nb\n");
    }
}
