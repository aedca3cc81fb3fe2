//! How many arguments a command takes and which of them are keys, worked out by the compiler from its parameters' types.
//!
//! Invariant: a shape says what the manifest can say (first, last, step). Parameters whose keys don't lie evenly spaced
//! don't compile, rather than tell the host half of the truth.

/// The arguments of one parameter, or of several in a row.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Shape {
    /// Fewest arguments.
    pub min: u32,
    /// Most arguments; none is no limit.
    pub max: Option<u32>,
    /// Where the keys are, counted from 1 within this shape.
    pub keys: KeyPositions,
}

/// Which arguments are keys, as Redis counts them: see `wit/engine.wit`.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct KeyPositions {
    /// The first key's place; 0 says that there is none.
    pub first: u32,
    /// The last key's place; -1 is the last argument.
    pub last: i32,
    /// The distance between keys.
    pub step: u32,
}

impl KeyPositions {
    /// No argument is a key.
    pub const NONE: KeyPositions = KeyPositions { first: 0, last: 0, step: 0 };
}

impl Shape {
    /// No arguments at all: where a row begins.
    pub const EMPTY: Shape = Shape { min: 0, max: Some(0), keys: KeyPositions::NONE };
    /// One argument.
    pub const ONE: Shape = Shape { min: 1, max: Some(1), keys: KeyPositions::NONE };
    /// One argument that is a key.
    pub const KEY: Shape = Shape { min: 1, max: Some(1), keys: KeyPositions { first: 1, last: 1, step: 1 } };
    /// Any number of words, none of them a key.
    pub const OPTIONS: Shape = Shape { min: 0, max: None, keys: KeyPositions::NONE };

    /// This, or nothing.
    pub const fn optional(self) -> Shape {
        Shape { min: 0, max: self.max, keys: self.keys }
    }

    /// This, over and over up to the last argument.
    pub const fn repeated(self, times_min: u32) -> Shape {
        let Some(length) = self.max else { panic!("what has no end can't repeat") };
        assert!(length == self.min && length > 0, "only what has a fixed length can repeat");
        let keys = self.keys;
        let keys = if keys.first == 0 {
            KeyPositions::NONE
        } else {
            assert!(keys.last == keys.first as i32, "of what repeats, one argument at most is a key");
            KeyPositions { first: keys.first, last: -1, step: length }
        };
        Shape { min: self.min * times_min, max: None, keys }
    }

    /// This, then that.
    pub const fn then(self, next: Shape) -> Shape {
        if self.is_empty() {
            return next;
        }
        if next.is_empty() {
            return self;
        }
        let max = match (self.max, next.max) {
            (Some(this), Some(that)) => Some(this + that),
            (Some(_), None) => None,
            (None, _) => panic!("nothing can follow a parameter that takes all the rest"),
        };
        Shape { min: self.min + next.min, max, keys: self.keys_then(next.keys) }
    }

    const fn is_empty(self) -> bool {
        matches!(self.max, Some(0))
    }

    const fn keys_then(self, next: KeyPositions) -> KeyPositions {
        if next.first == 0 {
            return self.keys;
        }
        let Some(length) = self.max else { panic!("nothing can follow a parameter that takes all the rest") };
        assert!(length == self.min, "a key can't follow an optional parameter");
        let first = next.first + length;
        let last = if next.last < 0 { next.last } else { next.last + length as i32 };
        if self.keys.first == 0 {
            return KeyPositions { first, last, step: next.step };
        }
        // Two runs of keys join when one step leads through both.
        let gap = first as i32 - self.keys.last;
        let this_single = self.keys.first as i32 == self.keys.last;
        let next_single = last == first as i32;
        assert!(this_single || self.keys.step as i32 == gap, "keys must be evenly spaced");
        assert!(next_single || next.step as i32 == gap, "keys must be evenly spaced");
        KeyPositions { first: self.keys.first, last, step: gap as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FromArgs, Key, Many, Value};

    fn keys(first: u32, last: i32, step: u32) -> KeyPositions {
        KeyPositions { first, last, step }
    }

    #[test]
    fn the_manifest_learns_counts_and_keys_from_the_types() {
        let set = Shape::KEY.then(Shape::ONE).then(Shape::OPTIONS);
        assert_eq!((set.min, set.max, set.keys), (2, None, keys(1, 1, 1)));
        let mset = Many::<(Key, Value)>::SHAPE;
        assert_eq!((mset.min, mset.max, mset.keys), (2, None, keys(1, -1, 2)));
        let del = Many::<Key>::SHAPE;
        assert_eq!((del.min, del.max, del.keys), (1, None, keys(1, -1, 1)));
        let rename = <(Key, Key)>::SHAPE;
        assert_eq!((rename.min, rename.max, rename.keys), (2, Some(2), keys(1, 2, 1)));
        let random = <(i64, Option<Value>)>::SHAPE;
        assert_eq!((random.min, random.max, random.keys), (1, Some(2), KeyPositions::NONE));
        let move_to_many = <(Key, Many<Key>)>::SHAPE;
        assert_eq!((move_to_many.min, move_to_many.keys), (2, keys(1, -1, 1)));
        let values_first = Vec::<(Value, Key)>::SHAPE;
        assert_eq!((values_first.min, values_first.keys), (0, keys(2, -1, 2)));
        assert_eq!(Shape::EMPTY.then(Shape::EMPTY), Shape::EMPTY);
    }

    #[test]
    #[should_panic(expected = "evenly spaced")]
    fn keys_that_the_manifest_cannot_tell_are_not_accepted() {
        let _ = Shape::KEY.then(Shape::KEY).then(Shape::ONE).then(Shape::KEY);
    }
}
