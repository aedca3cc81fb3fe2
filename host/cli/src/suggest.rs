//! The nearest right word for a wrong one.

/// The candidate that is fewest edits away, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let near =
        |(edits, candidate): &(usize, &str)| *edits <= 1 + candidate.chars().count().min(word.chars().count()) / 3;
    scored.filter(near).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace, or swap with their neighbour.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_and_a_stranger_finds_none() {
        assert_eq!(nearest("kv-basci", ["kv", "kv-basic"]), Some("kv-basic"));
        assert_eq!(nearest("N1", ["n1", "n2"]), Some("n1"));
        assert_eq!(nearest("dmeo", ["prod", "demo"]), Some("demo"));
        assert_eq!(nearest("tokyo-2", ["n1", "n2", "n3"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
