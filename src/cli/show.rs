//! `show`: one stored run.

use clap::Args;

use super::output::ReportFlags;
use super::{Exit, Usage, report};
use crate::app::App;
use crate::config::Config;
use crate::record::RunId;

/// Flags of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Id of the run, as `history` lists it
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    output: ReportFlags,
}

/// Reads an id of the command line.
pub fn parse_id(text: &str) -> Result<RunId, Usage> {
    text.parse()
        .map_err(|error: crate::record::InvalidId| Usage(error.to_string()))
}

impl Show {
    /// Prints the run.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let id = parse_id(&self.id)?;
        let output = self.output.open()?;
        let app = App::open(config).await?;
        let run = app.record(&id).await;
        app.shutdown().await;
        report::present(&run?, None, true, output)?;
        Ok(Exit::Done)
    }
}
