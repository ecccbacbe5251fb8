//! Columns, sizes, times: numbers and lists as people read them. What comes from a site is made harmless here, cell by
//! cell.

use jiff::Timestamp;
use stationwagon::limits::COLUMN_CHARS;
use stationwagon::model::text::printable;
use std::io::{self, Write};
use std::time::Duration;

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    Left,
    Right,
}

/// Rows in columns as wide as their widest cell; the last column is not padded.
pub struct Table {
    columns: Columns,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The columns by their headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: Columns::new(columns), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.columns.make_room(&cells);
        self.rows.push(cells);
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.columns.write_headings(out)?;
        self.rows.iter().try_for_each(|row| self.columns.write(row, out))
    }
}

/// The columns of a table of which nobody holds the rows: all are shown to it once, and then written.
pub struct Columns {
    headings: Vec<String>,
    aligns: Vec<Align>,
    widths: Vec<usize>,
}

impl Columns {
    /// The columns by their headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let aligns = columns.iter().map(|(_, align)| *align).collect();
        let mut columns = Self { widths: vec![0; headings.len()], headings: Vec::new(), aligns };
        columns.make_room(&headings);
        Self { headings, ..columns }
    }

    /// Makes the columns wide enough for a row.
    pub fn make_room(&mut self, cells: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(printable(cell).chars().count().min(COLUMN_CHARS));
        }
    }

    pub fn write_headings(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write(&self.headings, out)
    }

    pub fn write(&self, cells: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, width), align) in cells.iter().zip(&self.widths).zip(&self.aligns) {
            let cell = printable(cell);
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => line.extend([cell, padding]),
                Align::Right => line.extend([padding, cell]),
            }
            line.push_str("  ");
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// `0 B`, `999 B`, `1.5 KiB`, `12.0 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// `2026-01-31 12:00:05Z`, or the number where it is no time that a calendar has.
pub fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// `4 s`, `3 min 20 s`, `2 h 5 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `1 item`, `2 items`.
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_reaches_the_terminal_raw() {
        let mut table = Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("FLAGS", Align::Left)]);
        table.row(["a\u{1b}[31m".to_owned(), "5".to_owned(), "S".to_owned()]);
        table.row(["b".to_owned(), "12345".to_owned(), String::new()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        NAME          SIZE  FLAGS
        a\u{1b}[31m      5  S
        b            12345
        ");
    }

    #[test]
    fn sizes_have_one_digit_behind_the_point() {
        let shown: Vec<_> = [0, 1023, 1024, 1536, 1024 * 1024 - 1, u64::MAX].map(bytes).to_vec();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "16.0 EiB"]);
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01 00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
