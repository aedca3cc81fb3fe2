//! The name of a table.

use std::fmt;

/// One ordered map of bytes. The high 32 bits are the generation: 0 for the node's control state, from 1 on the engine's data, which
/// gets a new generation when its layout is migrated. The low 32 bits are the number by which the engine knows the table.
///
/// Tables need no creation; any number names one. In the order of all records, a table's are contiguous, and so are a generation's.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Table(pub u64);

impl Table {
    /// A table of the node's control state.
    pub const fn control(number: u32) -> Table {
        Table(number as u64)
    }

    /// A table of the engine, in a generation of its data. Generations count from 1.
    pub const fn engine(generation: u32, table: u32) -> Table {
        assert!(generation > 0, "generation 0 is the control state, out of every engine's reach");
        Table((generation as u64) << 32 | table as u64)
    }

    /// 0 for control state, else the generation of the engine's data.
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The number within the generation.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }

    /// The table after this one in the order of records.
    pub(crate) fn next(self) -> Option<Table> {
        self.0.checked_add(1).map(Table)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation() {
            0 => write!(f, "control/{}", self.number()),
            generation => write!(f, "{generation}/{}", self.number()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_table_is_told_by_generation_and_number() {
        let table = Table::engine(3, 7);
        assert_eq!((table.generation(), table.number()), (3, 7));
        assert_eq!(table.to_string(), "3/7");
        assert_eq!(Table::control(9).to_string(), "control/9");
    }

    #[test]
    fn control_tables_come_before_engine_tables_and_generations_in_turn() {
        assert!(Table::control(u32::MAX) < Table::engine(1, 0));
        assert!(Table::engine(1, u32::MAX) < Table::engine(2, 0));
        assert_eq!(Table::engine(1, u32::MAX).next(), Some(Table::engine(2, 0)));
    }
}
