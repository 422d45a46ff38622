//! `migrate`: the schema.

use super::Exit;
use crate::app::App;
use crate::config::Config;

/// Brings the database up to date, or makes it.
pub async fn execute(config: &Config) -> anyhow::Result<Exit> {
    App::migrate(config).await?;
    eprintln!("the schema is up to date");
    Ok(Exit::Done)
}
