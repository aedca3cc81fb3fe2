//! Columns for people.

/// How a column stands.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Lines whose columns stand below each other, two spaces apart; nothing hangs over at the end of a line.
pub(crate) fn columns(align: &[Align], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..align.len()).map(width).collect();
    let cell = |text: &str, column: usize| match align[column] {
        Align::Left => format!("{text:<width$}", width = widths[column]),
        Align::Right => format!("{text:>width$}", width = widths[column]),
    };
    rows.iter()
        .map(|row| {
            assert_eq!(row.len(), align.len(), "a row has a cell for each column");
            let cells: Vec<String> = row.iter().enumerate().map(|(column, text)| cell(text, column)).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["NODE", "LAG"], ["n1", "0"], ["žluť-7", "1000"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(&[Align::Left, Align::Right], &rows), ["NODE     LAG", "n1         0", "žluť-7  1000"]);
    }
}
