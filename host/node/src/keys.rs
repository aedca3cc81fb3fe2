//! Which arguments of a command are keys: for the limits on keys, and for those who watch them.

use outboard_sandbox::KeyPositions;

/// The arguments that are keys.
pub(crate) fn keys<'a, T>(positions: &KeyPositions, arguments: &'a [T]) -> impl Iterator<Item = &'a T> + use<'a, T> {
    let count = arguments.len() as i64;
    let last = if positions.last < 0 { count + i64::from(positions.last) } else { i64::from(positions.last) };
    let end = usize::try_from(last.saturating_add(1).clamp(0, count)).expect("clamped to a length");
    let first = if positions.first == 0 { end } else { (positions.first as usize).min(end) };
    arguments[first..end].iter().step_by(positions.step.max(1) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_positions() {
        let found = |first, last, step, words: &[&str]| {
            keys(&KeyPositions { first, last, step }, words).copied().collect::<Vec<_>>().join(",")
        };
        assert_eq!(found(1, 1, 1, &["GET", "k"]), "k");
        assert_eq!(found(1, -1, 2, &["MSET", "a", "1", "b", "2"]), "a,b");
        assert_eq!(found(0, 0, 0, &["DBSIZE"]), "");
        assert_eq!(found(1, 1, 1, &["GET"]), "", "fewer arguments than the manifest expects");
        assert_eq!(found(2, -2, 1, &["X", "a"]), "");
    }
}
