//! Tables for people: a header, columns two spaces apart, no borders, one line per row.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::output::{Style, Tone, plain};

/// The longest text in a cell; the rest is cut.
const MAX_CELL: usize = 90;

/// A table in the making.
pub(super) struct Rows {
    table: Table,
    tones: Vec<Tone>,
}

impl Rows {
    /// A table with these columns; those that begin with `>` are aligned to the right.
    pub(super) fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        let header = columns
            .iter()
            .map(|name| Cell::new(name.trim_start_matches('>')));
        table.set_header(header.collect::<Vec<_>>());
        for (index, name) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, if index + 1 == columns.len() { 0 } else { 2 }));
                if name.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self {
            table,
            tones: Vec::new(),
        }
    }

    /// Adds a row in a tone.
    pub(super) fn row(&mut self, tone: Tone, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|text| {
            let text = plain(&text);
            if text.chars().count() > MAX_CELL {
                text.chars().take(MAX_CELL - 1).chain(['…']).collect()
            } else {
                text
            }
        });
        self.table.add_row(cells.collect::<Vec<String>>());
        self.tones.push(tone);
    }

    /// Whether there are no rows.
    pub(super) fn is_empty(&self) -> bool {
        self.tones.is_empty()
    }

    /// The whole text, ending with a line's end.
    pub(super) fn render(&self, style: Style) -> String {
        let tones = std::iter::once(Tone::Strong).chain(self.tones.iter().copied());
        let rendered = self.table.to_string();
        let lines = rendered.lines().zip(tones);
        lines
            .map(|(line, tone)| style.paint(tone, line.trim_end()) + "\n")
            .collect()
    }
}
