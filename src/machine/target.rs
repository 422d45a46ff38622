//! Which processes on this machine are the model server of a backend.

use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs, UdpSocket};

use crate::config::{BackendConfig, BackendKind};

/// A model server to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The backend's name.
    pub backend: String,
    /// How to find it.
    pub lookup: Lookup,
}

/// How a model server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// By the number of its process.
    Pid(i32),
    /// By its program's name.
    Name(String),
    /// By the port that it listens on, else by the usual names of such servers.
    Listens {
        /// Address of this machine; `None` is any.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
        /// Names to look for where nobody is seen to listen: of another user's processes, and of
        /// those in containers, sockets cannot be seen.
        names: Vec<String>,
    },
}

/// Usual names of the programs.
const OLLAMA: [&str; 1] = ["ollama"];
const OPENAI: [&str; 4] = ["llama-server", "vllm", "lms", "ollama"];

/// The server of a backend, where it is on this machine. It asks the system for names and addresses,
/// which can take a while.
pub fn local(backend: &str, config: &BackendConfig) -> Option<Target> {
    let target = |lookup| {
        Some(Target {
            backend: backend.to_owned(),
            lookup,
        })
    };
    if !config.process.trim().is_empty() {
        return target(lookup(&config.process, config.kind, None, None)?);
    }
    let (host, port) = host_and_port(&config.url)?;
    let address = own_address(&host, port)?;
    target(lookup("", config.kind, Some(address), Some(port))?)
}

/// How to find a server: as its process is named, else by the port that it listens on; `None` where
/// neither is known.
pub fn lookup(
    process: &str,
    kind: BackendKind,
    address: Option<IpAddr>,
    port: Option<u16>,
) -> Option<Lookup> {
    match process.trim() {
        "" => {}
        text => {
            let pid = text.parse().map(Lookup::Pid);
            return Some(pid.unwrap_or_else(|_| Lookup::Name(text.to_owned())));
        }
    }
    let names: &[&str] = match kind {
        BackendKind::Ollama => &OLLAMA,
        BackendKind::Openai => &OPENAI,
    };
    Some(Lookup::Listens {
        address,
        port: port?,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    })
}

/// Whether a backend at this address is on this machine; `None` where its name is not known.
pub fn is_local(url: &str) -> Option<bool> {
    let (host, port) = host_and_port(url)?;
    let mut addresses = addresses(&host, port)?;
    Some(addresses.any(is_own))
}

/// Host and port of an address such as `http://192.0.2.7:11434`.
pub fn host_and_port(url: &str) -> Option<(String, u16)> {
    let uri: hyper::Uri = url.parse().ok()?;
    let usual = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    Some((host.to_owned(), uri.port_u16().unwrap_or(usual)))
}

fn addresses(host: &str, port: u16) -> Option<impl Iterator<Item = IpAddr>> {
    let found = (host, port).to_socket_addrs().ok()?;
    Some(found.map(|address| address.ip()))
}

fn own_address(host: &str, port: u16) -> Option<IpAddr> {
    addresses(host, port)?.find(|address| is_own(*address))
}

/// An address can be bound only where it is one of the machine's own.
fn is_own(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => return true,
        address => address,
    };
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(url: &str, process: &str) -> Option<Lookup> {
        let config = BackendConfig {
            url: url.to_owned(),
            process: process.to_owned(),
            ..BackendConfig::default()
        };
        local("ollama", &config).map(|target| target.lookup)
    }

    #[test]
    fn a_server_is_looked_for_where_it_listens_or_as_it_is_named() {
        assert_eq!(
            lookup("http://127.0.0.1:11434", ""),
            Some(Lookup::Listens {
                address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                port: 11434,
                names: vec!["ollama".to_owned()],
            })
        );
        assert_eq!(lookup("http://x", "1234"), Some(Lookup::Pid(1234)));
        assert_eq!(
            lookup("http://x", "my server"),
            Some(Lookup::Name("my server".to_owned()))
        );
        // Of those kept for documentation (RFC 5737), so of nobody.
        assert_eq!(lookup("http://192.0.2.7:11434", ""), None);
    }

    #[test]
    fn this_machine_is_told_from_others() {
        assert_eq!(is_local("http://localhost:1"), Some(true));
        assert_eq!(is_local("http://[::1]:1"), Some(true));
        assert_eq!(is_local("http://192.0.2.7:11434"), Some(false));
        assert_eq!(is_local("no address"), None);
        assert_eq!(
            host_and_port("https://example.org/x"),
            Some(("example.org".to_owned(), 443))
        );
    }
}
