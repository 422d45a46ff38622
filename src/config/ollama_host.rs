//! `OLLAMA_HOST`, read as forgivingly as Ollama's own clients read it.

/// Where Ollama listens where nobody says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:11434";

/// The address that a value of `OLLAMA_HOST` stands for.
///
/// The rules are those of Ollama's `envconfig`: quotes and spaces around it do not count; the
/// scheme may be missing (`http`, port 11434), else the port defaults to the scheme's own; a host
/// may be missing, an IPv6 address may lack its brackets, and a port that is none is the default
/// one. An address that servers bind to mean "every interface" is reached through loopback.
pub fn url(value: &str) -> String {
    let value = value.trim().trim_matches(['"', '\'']).trim();
    let (scheme, rest, default_port) = match value.split_once("://") {
        None if value == "ollama.com" => ("https", value, 443),
        None => ("http", value, 11434),
        Some(("http", rest)) => ("http", rest, 80),
        Some(("https", rest)) => ("https", rest, 443),
        Some((scheme, rest)) => (scheme, rest, 11434),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = host_and_port(authority);
    let port = port
        .and_then(|text| text.parse::<u16>().ok())
        .unwrap_or(default_port);
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    format!("{scheme}://{host}:{port}{slash}{path}")
}

/// Parts `host:port`; the host comes without brackets.
fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = authority
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        // More than one colon and no brackets: a bare IPv6 address.
        Some((_, port)) if port.contains(':') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        assert_eq!(url(value), expected, "{value:?}");
    }

    #[test]
    fn everything_that_may_be_missing_may_be_missing() {
        check("", DEFAULT_URL);
        check("  ", DEFAULT_URL);
        check("gpu-box", "http://gpu-box:11434");
        check("gpu-box:9999", "http://gpu-box:9999");
        check(":8080", "http://127.0.0.1:8080");
        check("192.0.2.7", "http://192.0.2.7:11434");
        check("\"192.0.2.7:1\"", "http://192.0.2.7:1");
    }

    #[test]
    fn a_scheme_brings_its_own_port() {
        check("http://gpu-box", "http://gpu-box:80");
        check("https://gpu-box", "https://gpu-box:443");
        check("https://gpu-box:8443/", "https://gpu-box:8443");
        check("ollama.com", "https://ollama.com:443");
    }

    #[test]
    fn a_path_stays_and_its_last_slash_goes() {
        check(
            "https://example.com/ollama/",
            "https://example.com:443/ollama",
        );
        check("example.com:56789/", "http://example.com:56789");
    }

    #[test]
    fn addresses_of_every_interface_are_reached_through_loopback() {
        check("0.0.0.0", DEFAULT_URL);
        check("0.0.0.0:8080", "http://127.0.0.1:8080");
        check("[::]:8080", "http://[::1]:8080");
    }

    #[test]
    fn ipv6_needs_no_brackets() {
        check("[::1]", "http://[::1]:11434");
        check("[::1]:8080", "http://[::1]:8080");
        check("2001:db8::1", "http://[2001:db8::1]:11434");
    }

    #[test]
    fn a_port_that_is_none_is_the_default_one() {
        check("gpu-box:abc", "http://gpu-box:11434");
        check("gpu-box:66000", "http://gpu-box:11434");
        check("https://gpu-box:-1", "https://gpu-box:443");
    }
}
