//! `health`: is the server that these settings describe ready?

use std::net::IpAddr;
use std::time::Duration;

use super::Exit;
use crate::config::Config;

/// Health checks of containers give up sooner.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks it.
pub async fn execute(config: &Config) -> anyhow::Result<Exit> {
    let url = format!("http://{}:{}/readyz", reachable(&config.host), config.port);
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .no_proxy()
        // It speaks no TLS: the machine's certificates, if there are any, need not be read.
        .tls_certs_only([])
        .build()?;
    let trouble = match client.get(&url).send().await {
        Ok(answer) if answer.status().is_success() => return Ok(Exit::Done),
        Ok(answer) => format!("it answered {}", answer.status()),
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
    };
    eprintln!("not ready at {url}: {trouble}");
    Ok(Exit::Failed)
}

/// Where a server that listens on this address is reached from its own machine.
fn reachable(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => "127.0.0.1".into(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => "[::1]".into(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_loopback() {
        for (host, expected) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "[::1]"),
            ("fe80::1", "[fe80::1]"),
            ("192.0.2.1", "192.0.2.1"),
            ("bench.lan", "bench.lan"),
        ] {
            assert_eq!(reachable(host), expected);
        }
    }
}
