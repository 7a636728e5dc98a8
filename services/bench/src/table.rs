//! Tables of text that are read in a terminal and kept in a README.

use std::fmt::Write as _;

/// Rows under a heading, all with as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with nothing but its heading.
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).into()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table: two blanks before it and between its columns, the first one to the left, the
    /// others to the right.
    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Writing into memory cannot fail.
                match column {
                    0 => write!(line, "  {cell:<width$}").ok(),
                    _ => write!(line, "  {cell:>width$}").ok(),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut table = Table::new(["peer", "req/s"]);
        table.row(["nginx", "1"].map(str::to_owned));
        table.row(["a long name", "12345"].map(str::to_owned));
        let lines = ["  peer         req/s", "  nginx            1", "  a long name  12345", ""];
        assert_eq!(table.text(), lines.join("\n"));
    }
}
