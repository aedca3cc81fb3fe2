//! The arguments that sequences are made of. Each kind mixes what is common, what lies at a limit, and what is wrong.

use outboard_sdk::Random;

use crate::sequence::Word;

/// Chance, and what is drawn by it.
pub(crate) struct Dice {
    random: Random,
    /// The keys that this sequence draws from.
    keys: Vec<&'static [u8]>,
}

/// Few, so that commands meet: plain ones, one that is empty, one of all sorts of bytes, one that looks like a pattern.
const KEYS: [&[u8]; 8] = [b"a", b"b", b"c", b"user:1", b"user:2", b"", b"k\0\r\n\xff", b"*[x-]?"];

/// Whole numbers at the limits, and texts that are almost whole numbers.
const NUMBERS: [&str; 32] = [
    "0",
    "1",
    "-1",
    "7",
    "10",
    "100",
    "9223372036854775807",
    "9223372036854775806",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "2147483648",
    "",
    "-",
    "+1",
    "01",
    "-0",
    "--1",
    " 1",
    "1 ",
    "1.0",
    "1e3",
    "0x10",
    "ten",
    "1\0",
    "inf",
    "nan",
    "\u{663}",
];

const VALUES: [&[u8]; 10] =
    [b"Ana", b"", b"\0\r\n\xff\xfe", b"a b", b"3.14", b"abcdefghij", b"+OK\r\n", b"\"'\\", b"new", b"\xc3\xa9\xc3"];

const PATTERNS: [&[u8]; 26] = [
    b"*",
    b"?",
    b"a",
    b"user:*",
    b"user:?",
    b"*:1",
    b"[ab]",
    b"[^a]",
    b"[a-c]",
    b"[c-a]",
    b"[a-",
    b"[a",
    b"[]",
    b"[^]",
    b"[",
    b"\\*",
    b"\\",
    b"*\\",
    b"[\\]]",
    b"",
    b"**",
    b"*r*:*1",
    b"u[s-t]er:[^2]",
    b"k*\xff",
    b"[\\*]*",
    b"*\0*",
];

const CURSORS: [&[u8]; 14] = [
    b"0",
    b"0",
    b"0",
    b"00",
    b"+0",
    b"-0",
    b"",
    b"5",
    b"-5",
    b" 0",
    b"0 ",
    b"zero",
    b"18446744073709551615",
    b"18446744073709551616",
];

/// None of them another sequence's database.
const DATABASES: [&str; 7] = ["-1", "999999", "2147483647", "2147483648", "-2147483649", "x", ""];

/// Seconds or milliseconds that are no length of time, or an endless one.
const LENGTHS: [&str; 14] = [
    "0",
    "-1",
    "-100000",
    "9223372036854775",
    "9223372036854776",
    "9223372036854774",
    "-9223372036854775",
    "-9223372036854776",
    "9223370000000000000",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "1.5",
    "soon",
];

impl Dice {
    /// One or two keys, where much happens to each, or many.
    pub(crate) fn new(seed: u64) -> Dice {
        let mut dice = Dice { random: Random::new(seed), keys: KEYS.to_vec() };
        if !dice.once_in(3) {
            dice.keys = (0..1 + dice.below(2)).map(|_| dice.pick(&KEYS)).collect();
        }
        dice
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("below what fits")
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'t, T: ?Sized>(&mut self, of: &[&'t T]) -> &'t T {
        of[self.below(of.len())]
    }

    /// An argument of that kind; a word in capitals stands for itself.
    pub(crate) fn argument(&mut self, kind: &str) -> Word {
        match kind {
            "key" | "newkey" | "source" | "destination" => {
                let at = self.below(self.keys.len());
                Word::new(self.keys[at])
            }
            "value" | "expected" | "new" => self.value(),
            "number" => self.number(),
            "start" | "end" => self.place(),
            "offset" => self.offset(),
            "seconds" => self.seconds(),
            "ms" => self.ms(),
            "unix-seconds" => self.point(Word::UnixSeconds, 1),
            "unix-ms" => self.point(Word::UnixMs, 1000),
            "pattern" => self.pattern(),
            "cursor" => Word::new(self.pick(&CURSORS)),
            "type" => Word::new(self.pick(&["string", "STRING", "hash", "none", ""])),
            "database" => Word::new(self.pick(&DATABASES)),
            literal => {
                assert!(
                    literal.bytes().all(|byte| byte.is_ascii_uppercase()),
                    "no words for arguments of kind {literal}"
                );
                self.in_any_case(literal)
            }
        }
    }

    /// Mostly as it stands.
    pub(crate) fn in_any_case(&mut self, word: &str) -> Word {
        match self.below(6) {
            0 => Word::new(word.to_ascii_lowercase()),
            1 => Word::new(word.bytes().map(|byte| byte ^ [0, 0x20][self.below(2)]).collect::<Vec<_>>()),
            _ => Word::new(word),
        }
    }

    /// Bytes of any length up to that, half of them letters.
    pub(crate) fn bytes(&mut self, length_max: usize) -> Vec<u8> {
        let any = self.once_in(2);
        (0..self.below(length_max + 1))
            .map(|_| if any { self.below(256) as u8 } else { b'a' + self.below(26) as u8 })
            .collect()
    }

    fn value(&mut self) -> Word {
        match self.below(8) {
            0..=2 => Word::new(self.pick(&VALUES)),
            3 => Word::new(self.pick(&NUMBERS)),
            4 => Word::Bytes(self.bytes(300)),
            _ => Word::new((self.below(2000) as i64 - 1000).to_string()),
        }
    }

    fn pattern(&mut self) -> Word {
        if self.once_in(2) {
            return Word::new(self.pick(&PATTERNS));
        }
        let signs = b"**??[]^-\\abcr:1";
        Word::Bytes((0..self.below(10)).map(|_| signs[self.below(signs.len())]).collect())
    }

    fn number(&mut self) -> Word {
        if self.once_in(3) { Word::new(self.pick(&NUMBERS)) } else { Word::new(self.below(100).to_string()) }
    }

    fn place(&mut self) -> Word {
        if self.once_in(6) {
            Word::new(self.pick(&NUMBERS))
        } else {
            Word::new((self.below(24) as i64 - 12).to_string())
        }
    }

    fn offset(&mut self) -> Word {
        match self.below(40) {
            // Where a value grows too long. (One that fills the limit takes Redis too long for a sequence.)
            0 => Word::new(((1 << 20) + self.below(16)).to_string()),
            1..=8 => Word::new(self.pick(&NUMBERS)),
            _ => Word::new(self.below(20).to_string()),
        }
    }

    fn seconds(&mut self) -> Word {
        match self.below(8) {
            0 | 1 => Word::new(self.pick(&LENGTHS)),
            2 => Word::new(self.pick(&NUMBERS)),
            _ => Word::new((50 + self.below(5000)).to_string()),
        }
    }

    fn ms(&mut self) -> Word {
        match self.below(8) {
            0 => Word::new(self.pick(&LENGTHS)),
            1 => Word::new(self.pick(&NUMBERS)),
            // Where seconds are rounded.
            2 | 3 => {
                Word::new((1000 * (50 + self.below(5000)) + [0, 1, 499, 500, 501, 999][self.below(6)]).to_string())
            }
            _ => Word::new((1 + self.below(SOON_MS)).to_string()),
        }
    }

    /// A point in time: past or future, but not so near that it is passed while the sequence is played.
    fn point(&mut self, after_now: fn(i64) -> Word, a_second: i64) -> Word {
        let away = (1000 + self.below(9000) as i64) * a_second;
        match self.below(8) {
            0 => Word::new(self.pick(&LENGTHS)),
            1 => Word::new(self.pick(&NUMBERS)),
            2 | 3 => after_now(-away),
            _ => after_now(away),
        }
    }
}

/// What expires within this time expires between two phases.
pub(crate) const SOON_MS: usize = 30;
