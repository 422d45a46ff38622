//! `reference`: the built-in model server alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use clap::Args;

use super::{Exit, Usage, signals};
use crate::reference::Server;

/// Flags of `reference`.
#[derive(Debug, Args)]
pub struct Reference {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 11435)]
    port: u16,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
}

impl Reference {
    /// Serves until a signal comes.
    pub async fn execute(self) -> anyhow::Result<Exit> {
        let signal = signals::listen().context("cannot listen for signals")?;
        let place = SocketAddr::from((self.address, self.port));
        let server = Server::start(place)
            .map_err(|error| Usage(format!("cannot listen on {place}: {error}")))?;
        tracing::info!(
            "serving Ollama's and OpenAI's protocol on http://{}",
            server.addr()
        );
        signal.await;
        // Its thread is waited for, and every connection closed.
        tokio::task::spawn_blocking(move || server.stop()).await?;
        Ok(Exit::Done)
    }
}
