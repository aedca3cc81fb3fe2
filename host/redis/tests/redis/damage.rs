//! Streams of commands that a seed has damaged, as a bad cable or a client with bugs would.

use crate::harness::array;

/// Commands that are well-formed and harmless, then so many injuries as the seed wants; the last command says that all was read.
pub(crate) fn damaged(seed: u64) -> Vec<u8> {
    let mut chance = Chance(seed.wrapping_mul(2) + 1);
    let mut stream = Vec::new();
    for _ in 0..chance.below(6) + 1 {
        let parts: [Vec<u8>; 8] = [
            array(&[b"PING"]),
            array(&[b"ECHO", b"a\r\nb"]),
            array(&[b"SET", b"k", b"some value"]),
            array(&[b"GET", b"k"]),
            array(&[b"DEL", b"k", b"n"]),
            array(&[b"INCR", b"n"]),
            b"SET k \"in \\x41 line\"\r\n".to_vec(),
            b"ECHO 'x y' \r\n".to_vec(),
        ];
        stream.extend_from_slice(&parts[chance.below(parts.len())]);
    }
    for _ in 0..chance.below(3) + 1 {
        injure(&mut stream, &mut chance);
    }
    stream.extend_from_slice(&array(&[b"ECHO", b"end"]));
    stream
}

fn injure(stream: &mut Vec<u8>, chance: &mut Chance) {
    const BYTES: &[u8] = b"*$:+-0123459\r\n \"'\\\0\xffx";
    let at = chance.below(stream.len());
    let until = (at + 1 + chance.below(12)).min(stream.len());
    match chance.below(6) {
        // A bit of it flips.
        0 => stream[at] ^= 1 << chance.below(8),
        1 => stream[at] = BYTES[chance.below(BYTES.len())],
        2 => stream.insert(at, BYTES[chance.below(BYTES.len())]),
        3 => drop(stream.drain(at..until)),
        // A piece comes twice, or something of it is elsewhere.
        4 => {
            let piece = stream[at..until].to_vec();
            let to = chance.below(stream.len());
            stream.splice(to..to, piece);
        }
        _ => stream.truncate(at),
    }
    if stream.is_empty() {
        stream.push(b'*');
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
