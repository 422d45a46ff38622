//! Where results go, and in which form.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Deserialize;

use super::{Usage, values};

/// Flags of every command that prints results.
#[derive(Debug, Args)]
pub struct OutputFlags {
    /// How results are written
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = values::choice::<Format>(&["table", "json", "csv", "markdown"]))]
    pub format: Format,
    /// File for the results, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Flags of a command that prints one run.
#[derive(Debug, Args)]
pub struct ReportFlags {
    /// How the run is written; html is the page of its result as one file
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = values::choice::<ReportFormat>(&["table", "json", "csv", "markdown", "html"]))]
    pub format: ReportFormat,
    /// File for the run, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How a run is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportFormat {
    /// For people.
    Table,
    /// Everything, for programs.
    Json,
    /// One row a request, RFC 4180.
    Csv,
    /// For issues and pages.
    Markdown,
    /// One file for a browser, to be mailed or attached.
    Html,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    Table,
    /// Everything, for programs.
    Json,
    /// One row an item, RFC 4180.
    Csv,
    /// For issues and pages.
    Markdown,
}

/// Where results go.
pub struct Output<F = Format> {
    format: F,
    file: Option<(PathBuf, File)>,
}

impl OutputFlags {
    /// Where results go.
    pub fn open(self) -> anyhow::Result<Output> {
        Output::open(self.format, self.output)
    }
}

impl ReportFlags {
    /// Where the run goes.
    pub fn open(self) -> anyhow::Result<Output<ReportFormat>> {
        Output::open(self.format, self.output)
    }
}

/// What is said of a file named on the command line that cannot be written.
pub fn cannot_write(path: &Path, error: &io::Error) -> Usage {
    Usage(format!("cannot write {}: {error}", path.display()))
}

impl<F: Copy> Output<F> {
    /// Opens the file before the work begins, so that an hour of it is not lost to a wrong path.
    fn open(format: F, path: Option<PathBuf>) -> anyhow::Result<Self> {
        let file = match path {
            None => None,
            Some(path) => {
                let opened = OpenOptions::new()
                    .create(true)
                    .write(true)
                    .truncate(false)
                    .open(&path);
                let file = opened.map_err(|error| cannot_write(&path, &error))?;
                Some((path, file))
            }
        };
        Ok(Self { format, file })
    }

    /// How results are written.
    pub fn format(&self) -> F {
        self.format
    }

    /// Writes all of it. An older file is replaced only now.
    pub fn write(self, bytes: &[u8]) -> anyhow::Result<()> {
        match self.file {
            None => write_out(bytes),
            Some((path, mut file)) => {
                // Only a file has a length: a pipe or a terminal takes what comes.
                let emptied = file.metadata().and_then(|about| {
                    if about.is_file() {
                        file.set_len(0)
                    } else {
                        Ok(())
                    }
                });
                let written = emptied.and_then(|()| file.write_all(bytes));
                written.with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }
}

/// Writes to standard output.
pub fn write_out(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// A table of columns, of which the first `texts` are text and the others figures.
pub struct Grid {
    header: Vec<String>,
    texts: usize,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty table.
    pub fn new(header: &[&str], texts: usize) -> Self {
        let header = header.iter().map(|&name| name.to_owned()).collect();
        Self {
            header,
            texts,
            rows: Vec::new(),
        }
    }

    /// Adds a row. What could drive a terminal is escaped here.
    pub fn row(&mut self, cells: &[String]) {
        self.rows
            .push(cells.iter().map(|cell| values::visible(cell)).collect());
    }

    /// For people: as wide as the terminal, or as it takes where there is none.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        if io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let aligned = |cells: &[String]| -> Vec<Cell> {
            let cell = |(index, text): (usize, &String)| {
                let side = if index < self.texts {
                    CellAlignment::Left
                } else {
                    CellAlignment::Right
                };
                Cell::new(text).set_alignment(side)
            };
            cells.iter().enumerate().map(cell).collect()
        };
        table.set_header(aligned(&self.header));
        for row in &self.rows {
            table.add_row(aligned(row));
        }
        format!("{table}\n")
    }

    /// For issues and pages.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let escape = |cell: &String| {
                let plain = cell
                    .replace('\\', "\\\\")
                    .replace('|', "\\|")
                    .replace('<', "&lt;");
                plain.replace('\n', " ")
            };
            format!(
                "| {} |\n",
                cells.iter().map(escape).collect::<Vec<_>>().join(" | ")
            )
        };
        let rules =
            (0..self.header.len()).map(|index| if index < self.texts { "---" } else { "---:" });
        let rules = format!("| {} |\n", rules.collect::<Vec<_>>().join(" | "));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{rules}{rows}", line(&self.header))
    }
}

/// Rows as RFC 4180.
pub fn csv_text(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().context("cannot write CSV")
}

/// A value as one line of JSON.
pub fn json_text(value: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_cells_cannot_break_out() {
        let mut grid = Grid::new(&["model", "n"], 1);
        grid.row(&["a|b\n<script>".into(), "1".into()]);
        assert_eq!(
            grid.markdown(),
            "| model | n |\n| --- | ---: |\n| a\\|b &lt;script> | 1 |\n"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let text = csv_text(&["a", "b"], [vec!["x,\"y\"".into(), String::new()]]).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "a,b\r\n\"x,\"\"y\"\"\",\r\n"
        );
    }
}
