//! `agent`: what this machine does, for runs on another one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::{Exit, Usage, signals};
use crate::app;
use crate::config::Config;

/// Flags of `agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8001)]
    port: u16,
    /// Address to listen on; 0.0.0.0 is every network of this machine, and needs a token
    /// (`BENCHMARKER_API_TOKEN`)
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
}

impl Agent {
    /// Serves until a signal comes. Prints its address.
    pub async fn execute(self, config: Config) -> anyhow::Result<Exit> {
        let signal = signals::listen().context("cannot listen for signals")?;
        if !self.address.is_loopback() && config.api_token.reveal().is_none() {
            return Err(Usage(
                "others could read what this machine does: set a token in BENCHMARKER_API_TOKEN, and the same as the backend's `agent_token` where runs are made"
                    .to_owned(),
            )
            .into());
        }
        let place = SocketAddr::from((self.address, self.port));
        let listener = TcpListener::bind(place).await.map_err(|error| {
            Usage(format!(
                "cannot listen on {place}: {error}; choose another place with --port and --address"
            ))
        })?;
        let address = listener.local_addr()?;
        println!("http://{address}");
        tracing::info!("telling what this machine does on http://{address}");
        app::serve_agent(&config, listener, signal)
            .await
            .context("the agent failed")?;
        Ok(Exit::Done)
    }
}
