//! The one place where byte offsets become lines and columns.

/// A 0-based line and column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineColumn {
    /// 0-based line.
    pub line: u32,
    /// 0-based column, in the unit asked for.
    pub column: u32,
}

/// What a column counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnUnit {
    /// UTF-8 bytes.
    Bytes,
    /// UTF-16 code units, as LSP and SARIF count by default.
    Utf16,
    /// Unicode scalar values, as people and the JSON output count.
    Scalars,
}

/// The line starts of one text.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// Indexes a text. `\n` ends a line, so `\r\n` does too; a lone `\r` does not.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(
            memchr::memchr_iter(b'\n', text.as_bytes()).map(|i| u32::try_from(i + 1).unwrap_or(u32::MAX)),
        );
        Self { starts }
    }

    /// The 0-based line that holds a byte offset.
    #[must_use]
    pub fn line(&self, offset: u32) -> u32 {
        let after = self.starts.partition_point(|start| *start <= offset);
        u32::try_from(after.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The byte offset at which a 0-based line starts; the last line's for one past the end.
    #[must_use]
    pub fn line_start(&self, line: u32) -> u32 {
        self.starts.get(line as usize).or(self.starts.last()).copied().unwrap_or(0)
    }

    /// The UTF-16 offset at which each line starts.
    #[must_use]
    pub fn utf16_starts(&self, text: &str) -> Vec<u32> {
        let mut starts = vec![0];
        let mut offset = 0u32;
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let units = u32::try_from(line.encode_utf16().count()).unwrap_or(u32::MAX);
            offset = offset.saturating_add(units);
            starts.push(offset);
        }
        starts
    }

    /// How many lines the text has; at least one.
    #[must_use]
    pub fn lines(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// Line and column of a byte offset; an offset inside a character counts as its start.
    #[must_use]
    pub fn line_column(&self, text: &str, offset: u32, unit: ColumnUnit) -> LineColumn {
        let line = self.line(offset);
        let start = self.line_start(line) as usize;
        let mut end = (offset as usize).min(text.len());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let before = text.get(start..end).unwrap_or("");
        let column = match unit {
            ColumnUnit::Bytes => before.len(),
            ColumnUnit::Utf16 => before.encode_utf16().count(),
            ColumnUnit::Scalars => before.chars().count(),
        };
        LineColumn { line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// The byte offset of a line and column; clamped to the line's end.
    #[must_use]
    pub fn offset(&self, text: &str, position: LineColumn, unit: ColumnUnit) -> u32 {
        let start = self.line_start(position.line) as usize;
        let line = text.get(start..).unwrap_or("");
        let line = line.split('\n').next().unwrap_or("");
        let mut column = 0;
        for (i, c) in line.char_indices() {
            if column >= position.column {
                return u32::try_from(start + i).unwrap_or(u32::MAX);
            }
            column += match unit {
                ColumnUnit::Bytes => u32::try_from(c.len_utf8()).unwrap_or(1),
                ColumnUnit::Utf16 => u32::try_from(c.len_utf16()).unwrap_or(1),
                ColumnUnit::Scalars => 1,
            };
        }
        u32::try_from(start + line.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_in_the_unit_asked_for() {
        let text = "a: 1\nb: \"𝄞é\"x\n";
        let index = LineIndex::new(text);
        let x = u32::try_from(text.find('x').unwrap()).unwrap();
        assert_eq!(index.line_column(text, x, ColumnUnit::Bytes), LineColumn { line: 1, column: 11 });
        assert_eq!(index.line_column(text, x, ColumnUnit::Utf16), LineColumn { line: 1, column: 8 });
        assert_eq!(index.line_column(text, x, ColumnUnit::Scalars), LineColumn { line: 1, column: 7 });
        for unit in [ColumnUnit::Bytes, ColumnUnit::Utf16, ColumnUnit::Scalars] {
            assert_eq!(index.offset(text, index.line_column(text, x, unit), unit), x);
        }
    }

    #[test]
    fn lines_start_at_their_utf_16_offsets() {
        assert_eq!(LineIndex::new("𝄞é\n\nx").utf16_starts("𝄞é\n\nx"), [0, 4, 5]);
        assert_eq!(LineIndex::new("").utf16_starts(""), [0]);
    }

    #[test]
    fn an_offset_inside_a_character_counts_as_its_start() {
        let text = "é";
        let index = LineIndex::new(text);
        assert_eq!(index.line_column(text, 1, ColumnUnit::Scalars).column, 0);
        assert_eq!(index.line_column(text, 99, ColumnUnit::Scalars).column, 1);
    }

    #[test]
    fn a_position_past_the_end_of_its_line_is_clamped() {
        let text = "ab\ncd";
        let index = LineIndex::new(text);
        assert_eq!(index.offset(text, LineColumn { line: 0, column: 9 }, ColumnUnit::Utf16), 2);
        assert_eq!(index.offset(text, LineColumn { line: 9, column: 9 }, ColumnUnit::Utf16), 5);
    }
}
