//! `completions`: for shells.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Exit, PROGRAM, output};

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub fn execute(self) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), PROGRAM, &mut script);
        let script = String::from_utf8(script)?;
        // Where a program's name has a hyphen, `clap_complete` calls a command of it by one name where it is found
        // and by another where its flags are completed (clap issue 6386).
        let script = script.replace("ollama__subcmd__benchmarker", "ollama__benchmarker");
        output::write_out(script.as_bytes())?;
        Ok(Exit::Done)
    }
}
