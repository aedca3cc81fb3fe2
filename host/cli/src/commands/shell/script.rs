//! A script's text as steps of words: steps end at `;` or at the end of a line, words at white space, and quotes keep both.
//!
//! `'…'` is literal; `"…"` knows `\n \r \t \\ \" \xHH`; outside of quotes a backslash keeps the next character. A `#` where a
//! step would begin starts a comment up to the end of the line. Words are bytes: `"\xff"` is one byte.

/// One step.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Line {
    /// As it was written.
    pub(crate) text: String,
    /// Its words; at least one.
    pub(crate) words: Vec<Vec<u8>>,
}

/// The steps of a script; empty ones are left out.
pub(crate) fn split(script: &str) -> Result<Vec<Line>, String> {
    let mut splitter = Splitter { rest: script, lines: Vec::new(), words: Vec::new(), word: None, from: script };
    while splitter.step()? {}
    splitter.end_line();
    Ok(splitter.lines)
}

struct Splitter<'a> {
    rest: &'a str,
    lines: Vec<Line>,
    words: Vec<Vec<u8>>,
    /// The word that is being read; an empty one exists when it was quoted.
    word: Option<Vec<u8>>,
    /// Where the step began.
    from: &'a str,
}

impl Splitter<'_> {
    fn step(&mut self) -> Result<bool, String> {
        match self.take() {
            None => return Ok(false),
            Some(';' | '\n') => self.end_line(),
            Some('#') if self.words.is_empty() && self.word.is_none() => {
                while self.take().is_some_and(|next| next != '\n') {}
                self.from = self.rest;
            }
            Some(space) if space.is_whitespace() => self.end_word(),
            Some('\'') => self.literal()?,
            Some('"') => self.quoted()?,
            Some('\\') => {
                let next = self.take().ok_or("a backslash at the end")?;
                self.push(next);
            }
            Some(other) => self.push(other),
        }
        Ok(true)
    }

    fn literal(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.take() {
                Some('\'') => return Ok(()),
                Some(other) => self.push(other),
                None => return Err("a quote ' without its end".to_owned()),
            }
        }
    }

    fn quoted(&mut self) -> Result<(), String> {
        self.word.get_or_insert_default();
        loop {
            match self.take() {
                Some('"') => return Ok(()),
                Some('\\') => self.escape()?,
                Some(other) => self.push(other),
                None => return Err("a quote \" without its end".to_owned()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.take() {
            Some('n') => self.push('\n'),
            Some('r') => self.push('\r'),
            Some('t') => self.push('\t'),
            Some(same @ ('\\' | '"' | '\'' | ';')) => self.push(same),
            Some('x') => {
                let digits = self.rest.get(..2).ok_or("\\x needs two hexadecimal digits")?;
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
                self.word.get_or_insert_default().push(byte.ok_or("\\x needs two hexadecimal digits")?);
                self.rest = &self.rest[2..];
            }
            Some(other) => return Err(format!("\\{other} means nothing (\\n \\r \\t \\\\ \\\" \\xHH do)")),
            None => return Err("a quote \" without its end".to_owned()),
        }
        Ok(())
    }

    fn push(&mut self, letter: char) {
        let mut buffer = [0; 4];
        self.word.get_or_insert_default().extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_line(&mut self) {
        self.end_word();
        let text = &self.from[..self.from.len() - self.rest.len()];
        if !self.words.is_empty() {
            let text = text.trim().trim_end_matches(';').trim_end().to_owned();
            self.lines.push(Line { text, words: std::mem::take(&mut self.words) });
        }
        self.from = self.rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
        split(script).expect("a script").iter().map(|line| line.words.iter().map(text).collect()).collect()
    }

    #[test]
    fn steps_end_at_semicolons_and_lines() {
        assert_eq!(
            words("put a 1; get a;\n:kill leader\n\n;; get a"),
            [vec!["put", "a", "1"], vec!["get", "a"], vec![":kill", "leader"], vec!["get", "a"],]
        );
    }

    #[test]
    fn quotes_keep_spaces_and_semicolons() {
        assert_eq!(
            words(r#"put "a; b" 'c "d" e'; put x """#),
            [vec!["put", "a; b", "c \"d\" e"], vec!["put", "x", ""]]
        );
        assert_eq!(words(r"put a\ b c\;d"), [vec!["put", "a b", "c;d"]]);
    }

    #[test]
    fn escapes_make_any_byte() {
        let lines = split(r#"put k "\x00\xff\n\"""#).expect("a script");
        assert_eq!(lines[0].words[2], b"\0\xff\n\"");
    }

    #[test]
    fn comments_begin_where_a_step_would() {
        assert_eq!(
            words("# a comment; with steps\nput tag #1 # no comment"),
            [vec!["put", "tag", "#1", "#", "no", "comment"]]
        );
    }

    #[test]
    fn a_step_is_remembered_as_it_was_written() {
        let lines = split("  put a 'x y' ;get a").expect("a script");
        assert_eq!([lines[0].text.as_str(), lines[1].text.as_str()], ["put a 'x y'", "get a"]);
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        for script in ["put 'a", "put \"a", "put \"\\", "put \"\\x4", "put \"\\q\"", "put \\", "put \"\\xé\""] {
            assert!(split(script).is_err(), "{script} was taken");
        }
    }
}
