//! What a connection has asked of the node, in order, until it can be told in that order.

use crate::gate::Turn;
use crate::outbox::Word;
use std::collections::VecDeque;

/// A question that is under way.
#[derive(Debug)]
struct Slot<E> {
    expect: E,
    turn: Turn,
    argument_bytes: usize,
    word: Option<Word>,
    /// Replies of commands that followed and needed no answer from the node.
    after: Vec<u8>,
}

/// The questions. `E` says what becomes of an answer.
#[derive(Debug)]
pub(crate) struct Pending<E> {
    /// The number of the first.
    first: u64,
    slots: VecDeque<Slot<E>>,
    /// Kept until an earlier answer comes, in bytes.
    kept_bytes: usize,
}

/// What an answer frees.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Freed {
    pub(crate) turn: Turn,
    pub(crate) argument_bytes: usize,
}

impl<E> Pending<E> {
    pub(crate) fn new() -> Pending<E> {
        Pending { first: 0, slots: VecDeque::new(), kept_bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Replies that wait for an earlier one, in bytes.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// A question goes out; its answer comes under this number.
    pub(crate) fn push(&mut self, expect: E, turn: Turn, argument_bytes: usize) -> u64 {
        self.slots.push_back(Slot { expect, turn, argument_bytes, word: None, after: Vec::new() });
        self.first + self.slots.len() as u64 - 1
    }

    /// Where a reply goes that is here already, if it must wait for an earlier one.
    pub(crate) fn after_last(&mut self, reply: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(last) = self.slots.back_mut() else { return false };
        let before = last.after.len();
        reply(&mut last.after);
        self.kept_bytes += last.after.len() - before;
        true
    }

    /// An answer came.
    pub(crate) fn arrive(&mut self, sequence: u64, word: Word) -> Freed {
        let place = sequence.checked_sub(self.first).expect("an answer comes once, and before it is told");
        let slot = self.slots.get_mut(usize::try_from(place).expect("few")).expect("an answer was asked for");
        assert!(slot.word.is_none(), "an answer comes once");
        self.kept_bytes += word_bytes(&word);
        slot.word = Some(word);
        Freed { turn: slot.turn, argument_bytes: slot.argument_bytes }
    }

    /// The next answer that can be told, and the replies that follow it.
    pub(crate) fn pop(&mut self) -> Option<(E, Word, Vec<u8>)> {
        self.slots.front()?.word.as_ref()?;
        let slot = self.slots.pop_front()?;
        self.first += 1;
        if self.slots.is_empty() && self.slots.capacity() > 16 {
            self.slots = VecDeque::new();
        }
        let word = slot.word.expect("just seen");
        self.kept_bytes -= word_bytes(&word) + slot.after.len();
        Some((slot.expect, word, slot.after))
    }
}

/// What an answer holds, in bytes.
pub(crate) fn word_bytes(word: &Word) -> usize {
    use outboard_wire::client::Response;
    match word {
        Word::Answer(Response::Reply(bytes)) => bytes.len(),
        Word::Answer(Response::Replies(replies)) => replies.iter().map(|bytes| bytes.len() + size_of_val(bytes)).sum(),
        // Short texts, and what no command of this listener asks for.
        Word::Answer(_) | Word::Checked(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use outboard_wire::client::Response;
    use proptest::prelude::*;

    fn word(text: &str) -> Word {
        Word::Answer(Response::Reply(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn told(pending: &mut Pending<u8>) -> String {
        let mut out = String::new();
        while let Some((expect, word, after)) = pending.pop() {
            let Word::Answer(Response::Reply(reply)) = word else { panic!("only replies were sent") };
            out += &format!("{expect}={} {}", String::from_utf8_lossy(&reply), String::from_utf8_lossy(&after));
        }
        out
    }

    #[test]
    fn an_answer_waits_for_those_before_it() {
        let mut pending = Pending::new();
        assert!(!pending.after_last(|_| panic!("nothing is under way")));
        let numbers = [pending.push(1, Turn::Read, 0), pending.push(2, Turn::Read, 0), pending.push(3, Turn::Read, 7)];
        assert!(pending.after_last(|out| out.extend_from_slice(b"pong ")));
        assert_eq!(pending.arrive(numbers[2], word("c")), Freed { turn: Turn::Read, argument_bytes: 7 });
        assert_eq!((told(&mut pending).as_str(), pending.kept_bytes()), ("", 6));
        pending.arrive(numbers[0], word("a"));
        assert_eq!(told(&mut pending), "1=a ");
        pending.arrive(numbers[1], word("b"));
        assert_eq!(told(&mut pending), "2=b 3=c pong ");
        assert!(pending.is_empty() && pending.kept_bytes() == 0);
    }

    proptest! {
        #[test]
        fn answers_in_any_order_are_told_in_the_order_of_the_questions(order in Just(Vec::from_iter(0..40u8)).prop_shuffle()) {
            let mut pending = Pending::new();
            let numbers: Vec<u64> = (0..40u8).map(|n| pending.push(n, Turn::Write, 1)).collect();
            let mut all = String::new();
            for n in order {
                pending.arrive(numbers[usize::from(n)], word(&n.to_string()));
                all += &told(&mut pending);
            }
            prop_assert_eq!(all, (0..40).map(|n| format!("{n}={n} ")).collect::<String>());
            prop_assert_eq!(pending.kept_bytes(), 0);
        }
    }
}
