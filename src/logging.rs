//! Log lines on standard error, for people or for programs. What is logged is said where it happens.

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogColor, LogConfig, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("`log.filter` is `{filter}`: {source}; write such as `warn,ollama_benchmarker=debug`")]
    Filter {
        /// As it was set.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is a log already.
    #[error("the log cannot be set up: {0}")]
    Taken(#[from] TryInitError),
}

/// Sets up the log of the whole program; once. `default` filters where nothing is set.
pub fn init(config: &LogConfig, default: &str) -> Result<(), LogError> {
    let filter = match config.filter.as_str() {
        "" => default,
        set => set,
    };
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| OneLine(io::stderr()));
    match config.format {
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
        LogFormat::Pretty => {
            let color = match config.color {
                LogColor::Auto => io::stderr().is_terminal(),
                LogColor::Always => true,
                LogColor::Never => false,
            };
            let lines = lines.with_ansi(color).with_target(false);
            lines.finish().try_init()?;
        }
    }
    Ok(())
}

/// Keeps each event on a line of its own and lets nothing through that drives a terminal but the
/// formatter's colours: what is logged may hold text of a model. The formatter writes every event
/// in one piece.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        if body.contains(char::is_control) {
            self.0
                .write_all(format!("{}\n", visible(body)).as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes control characters as their escapes, colours (`ESC [ … m`) aside.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = colour_length(rest).unwrap_or(character.len_utf8());
        let (head, tail) = rest.split_at(length);
        if character.is_control() && length == character.len_utf8() {
            shown.extend(character.escape_default());
        } else {
            shown.push_str(head);
        }
        rest = tail;
    }
    shown
}

/// Length of the colour sequence that `text` begins with.
fn colour_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|it: char| !it.is_ascii_digit() && it != ';')?;
    numbers[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn text_of_a_model_forges_no_line_and_drives_no_terminal() {
        let memory = Memory::default();
        let sink = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || OneLine(sink.clone()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let text = "a\r\nINFO forged\u{1b}[2J";
            tracing::info!(%text, "{text}");
        });
        let written = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.matches('\n').count(), 1, "{written:?}");
        assert!(
            written.ends_with('\n') && !written.contains(['\r', '\u{1b}']),
            "{written:?}"
        );
        assert!(written.contains("a\\r\\nINFO forged"), "{written:?}");
    }

    #[test]
    fn the_colours_of_the_formatter_stay() {
        assert_eq!(
            visible("\u{1b}[1;32mINFO\u{1b}[0m x"),
            "\u{1b}[1;32mINFO\u{1b}[0m x"
        );
        assert_eq!(
            visible("\u{1b}[2J\u{9b}1m\u{1b}["),
            "\\u{1b}[2J\\u{9b}1m\\u{1b}["
        );
    }
}
