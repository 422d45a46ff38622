//! `man`: manual pages, one a command.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use super::output::{self, cannot_write};
use super::{Cli, Exit, PROGRAM, Usage};
use crate::version;

/// Flags of `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Of which command, such as `run` or `nova ask`; without one, of the program
    command: Vec<String>,
    /// Folder into which the pages of all commands are written, instead
    #[arg(long, short, value_name = "FOLDER", conflicts_with = "command")]
    output: Option<PathBuf>,
}

impl Man {
    /// Prints the page, or writes all.
    pub fn execute(self) -> anyhow::Result<Exit> {
        let mut program = Cli::command().disable_help_subcommand(true);
        // Only then the commands know their whole names.
        program.build();
        match self.output {
            None => {
                let mut text = Vec::new();
                page(find(&program, &self.command)?).render(&mut text)?;
                output::write_out(&text)?;
            }
            Some(folder) => {
                fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
                write_all(&program, &folder)?;
            }
        }
        Ok(Exit::Done)
    }
}

fn find<'a>(program: &'a Command, names: &[String]) -> Result<&'a Command, Usage> {
    let mut found = program;
    for name in names {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
            Usage(if known.is_empty() {
                format!("`{}` has no commands of its own", found.get_name())
            } else {
                format!("there is no command `{name}`: {}", known.join(", "))
            })
        })?;
    }
    Ok(found)
}

fn write_all(command: &Command, folder: &Path) -> Result<(), Usage> {
    for command in command.get_subcommands() {
        write_all(command, folder)?;
    }
    let page = page(command);
    let written = page.generate_to(folder);
    written.map_err(|error| cannot_write(&folder.join(page.get_filename()), &error))?;
    Ok(())
}

fn page(command: &Command) -> clap_mangen::Man {
    clap_mangen::Man::new(command.clone())
        .source(format!("{PROGRAM} {}", version::VERSION))
        // An empty one would be left out, and what stands behind it be taken for the date.
        .date(version::DAY.unwrap_or("undated"))
        .manual("Ollama Benchmarker")
}
