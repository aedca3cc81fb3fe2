//! Replies by their type: what a command returns becomes one value in RESP3 notation.
//!
//! | Rust                          | on the wire        |
//! |-------------------------------|--------------------|
//! | `()`                          | `+OK`              |
//! | [`Status`]                    | `+` and its text   |
//! | `i64`, `i32`, `u32`, `u64`    | `:7`               |
//! | `bool`                        | `#t`, `#f`         |
//! | `f64`                         | `,2.5`             |
//! | `Vec<u8>`, `String`, `Value`  | `$3 Ana`           |
//! | `Option<T>`                   | the value, or `_`  |
//! | `Vec<T>`, tuples, arrays      | `*2 …`             |
//! | [`Map`], [`Set`]              | `%2 …`, `~2 …`     |
//!
//! Anything else: implement [`Reply`] for your own type, most often an enum that picks one of these.

use crate::args::{Key, Value};
use crate::{Map, Set};

/// What a command may return.
pub trait Reply {
    /// Appends this value in RESP3 notation.
    fn write(&self, out: &mut Vec<u8>);

    /// About how many bytes [`Reply::write`] will append; sizes the buffer once.
    fn bytes_hint(&self) -> usize {
        24
    }
}

/// A short fixed word, such as `OK`. Must not hold a line break.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Status(pub &'static str);

/// The notation of a whole reply.
pub fn encode(reply: &impl Reply) -> Vec<u8> {
    let mut out = Vec::with_capacity(reply.bytes_hint());
    reply.write(&mut out);
    out
}

/// `$3\r\nAna\r\n`: for replies that are part of a longer record.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + FRAME_BYTES_MAX);
    write_header(out, b'$', bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// `_\r\n`: there is nothing.
pub fn write_nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"_\r\n");
}

/// `*2\r\n`: the elements follow.
pub fn write_array_header(out: &mut Vec<u8>, elements: usize) {
    write_header(out, b'*', elements as u64);
}

/// Sign, 20 digits and two line breaks: the most that frames a byte string.
pub const FRAME_BYTES_MAX: usize = 25;

fn write_header(out: &mut Vec<u8>, sign: u8, number: u64) {
    out.push(sign);
    write_digits(out, number);
    out.extend_from_slice(b"\r\n");
}

fn write_digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

impl Reply for () {
    fn write(&self, out: &mut Vec<u8>) {
        Status("OK").write(out);
    }
}

impl Reply for Status {
    fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(!self.0.contains(['\r', '\n']), "a status is one line");
        out.push(b'+');
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl Reply for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b':');
        if *self < 0 {
            out.push(b'-');
        }
        write_digits(out, self.unsigned_abs());
        out.extend_from_slice(b"\r\n");
    }
}

impl Reply for i32 {
    fn write(&self, out: &mut Vec<u8>) {
        i64::from(*self).write(out);
    }
}

impl Reply for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        i64::from(*self).write(out);
    }
}

impl Reply for u64 {
    /// A number that no client's integer holds is written as a big number.
    fn write(&self, out: &mut Vec<u8>) {
        write_header(out, if i64::try_from(*self).is_ok() { b':' } else { b'(' }, *self);
    }
}

impl Reply for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if *self { b"#t\r\n" } else { b"#f\r\n" });
    }
}

impl Reply for f64 {
    fn write(&self, out: &mut Vec<u8>) {
        let text = if self.is_nan() { ",nan\r\n".to_owned() } else { format!(",{self}\r\n") };
        out.extend_from_slice(text.as_bytes());
    }
}

macro_rules! reply_as_bytes {
    ($($type:ty),*) => {$(
        impl Reply for $type {
            fn write(&self, out: &mut Vec<u8>) {
                write_bytes(out, self.as_ref());
            }
            fn bytes_hint(&self) -> usize {
                self.len() + FRAME_BYTES_MAX
            }
        }
    )*};
}
reply_as_bytes!(Vec<u8>, [u8], String, str, Key, Value);

impl<T: Reply + ?Sized> Reply for &T {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
    fn bytes_hint(&self) -> usize {
        (**self).bytes_hint()
    }
}

impl<T: Reply> Reply for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => write_nil(out),
        }
    }
    fn bytes_hint(&self) -> usize {
        self.as_ref().map_or(3, T::bytes_hint)
    }
}

fn write_sequence<'a, T: Reply + 'a>(out: &mut Vec<u8>, sign: u8, elements: impl ExactSizeIterator<Item = &'a T>) {
    write_header(out, sign, elements.len() as u64);
    elements.for_each(|element| element.write(out));
}

impl<T: Reply> Reply for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_sequence(out, b'*', self.iter());
    }
    fn bytes_hint(&self) -> usize {
        FRAME_BYTES_MAX + self.iter().map(T::bytes_hint).sum::<usize>()
    }
}

impl<T: Reply, const N: usize> Reply for [T; N] {
    fn write(&self, out: &mut Vec<u8>) {
        write_sequence(out, b'*', self.iter());
    }
}

impl<T: Reply> Reply for Set<T> {
    fn write(&self, out: &mut Vec<u8>) {
        write_sequence(out, b'~', self.iter());
    }
}

impl<K: Reply, V: Reply> Reply for Map<K, V> {
    fn write(&self, out: &mut Vec<u8>) {
        write_header(out, b'%', self.len() as u64);
        for (key, value) in self {
            key.write(out);
            value.write(out);
        }
    }
}

macro_rules! reply_as_tuple {
    ($count:literal: $($name:ident $place:tt),*) => {
        impl<$($name: Reply),*> Reply for ($($name,)*) {
            fn write(&self, out: &mut Vec<u8>) {
                write_array_header(out, $count);
                $(self.$place.write(out);)*
            }
            fn bytes_hint(&self) -> usize {
                FRAME_BYTES_MAX $(+ self.$place.bytes_hint())*
            }
        }
    };
}
reply_as_tuple!(2: A 0, B 1);
reply_as_tuple!(3: A 0, B 1, C 2);
reply_as_tuple!(4: A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: impl Reply) -> String {
        String::from_utf8(encode(&reply)).expect("replies of these tests are text")
    }

    #[test]
    fn numbers_are_written_whole_up_to_their_limits() {
        assert_eq!(text(0i64), ":0\r\n");
        assert_eq!(text(i64::MIN), ":-9223372036854775808\r\n");
        assert_eq!(text(i64::MAX), ":9223372036854775807\r\n");
        assert_eq!(text(9_223_372_036_854_775_807u64), ":9223372036854775807\r\n");
        assert_eq!(text(u64::MAX), "(18446744073709551615\r\n");
        assert_eq!((text(-7i32), text(7u32)), (":-7\r\n".to_owned(), ":7\r\n".to_owned()));
        assert_eq!(text(2.5), ",2.5\r\n");
        assert_eq!(text(f64::NEG_INFINITY), ",-inf\r\n");
        assert_eq!(text(f64::NAN), ",nan\r\n");
    }

    #[test]
    fn every_type_has_its_notation() {
        assert_eq!(text(()), "+OK\r\n");
        assert_eq!(text(Status("string")), "+string\r\n");
        assert_eq!(text(true), "#t\r\n");
        assert_eq!(text("Ana"), "$3\r\nAna\r\n");
        assert_eq!(text(Vec::<u8>::new()), "$0\r\n\r\n");
        assert_eq!(text(None::<i64>), "_\r\n");
        assert_eq!(text(vec![Some(1i64), None]), "*2\r\n:1\r\n_\r\n");
        assert_eq!(text(("0", vec!["a"])), "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n");
        assert_eq!(text(Map::from([("a", 1i64)])), "%1\r\n$1\r\na\r\n:1\r\n");
        assert_eq!(text(Set::from(["a"])), "~1\r\n$1\r\na\r\n");
    }
}
