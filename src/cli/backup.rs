//! `backup`: a copy of the database while it is in use.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Usage, signals};
use crate::app::App;
use crate::config::Config;

/// Flags of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// File to write; it is there when it is whole, and not before
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

impl Backup {
    /// Writes the copy.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let file = &self.file;
        let shown = file.display();
        if file.is_dir() {
            return Err(Usage(format!("{shown} is a folder; name a file in it")).into());
        }
        if file.exists() && !self.force {
            let words = format!("{shown} exists; --force replaces it");
            return Err(Usage(words).into());
        }
        let signal = signals::listen()?;
        let app = App::open(config).await?;
        let copied = tokio::select! {
            copied = app.back_up(file) => Some(copied),
            // What was written until then is removed.
            () = signal => None,
        };
        let Some(copied) = copied else {
            return Ok(Exit::Interrupted);
        };
        app.shutdown().await;
        copied?;
        eprintln!("the database is copied to {shown}");
        Ok(Exit::Done)
    }
}
