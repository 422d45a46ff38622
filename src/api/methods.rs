//! Which methods a route takes: a 405 says so in `Allow` (RFC 9110, section 15.5.6).

use std::collections::BTreeSet;

use poem::http::HeaderValue;
use serde_json::Value;

/// The methods of every documented route.
pub struct Methods(Vec<Route>);

struct Route {
    /// Its parts; `None` takes any text.
    parts: Vec<Option<String>>,
    methods: HeaderValue,
}

impl Methods {
    /// Those of a document.
    pub fn of(document: &Value) -> Self {
        let paths = document["paths"].as_object();
        let route = |(path, item): (&String, &Value)| {
            let named = item.as_object()?.keys().map(|it| it.to_ascii_uppercase());
            let mut methods: BTreeSet<String> = named.collect();
            if methods.contains("GET") {
                methods.insert("HEAD".to_owned());
            }
            let methods: Vec<String> = methods.into_iter().collect();
            let part = |part: &str| (!part.starts_with('{')).then(|| part.to_owned());
            Some(Route {
                parts: path.split('/').map(part).collect(),
                methods: HeaderValue::from_str(&methods.join(", ")).ok()?,
            })
        };
        Self(paths.into_iter().flatten().filter_map(route).collect())
    }

    /// Those that a path takes; `None` where it is no route.
    pub fn of_path(&self, path: &str) -> Option<HeaderValue> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |route: &&Route| {
            let mut both = route.parts.iter().zip(&parts);
            route.parts.len() == parts.len()
                && both.all(|(own, part)| own.as_ref().is_none_or(|own| own == part))
        };
        let open = |route: &&Route| route.parts.iter().filter(|it| it.is_none()).count();
        let found = self.0.iter().filter(fits).min_by_key(open);
        found.map(|route| route.methods.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_takes_the_methods_of_its_route() {
        let methods = Methods::of(&super::super::document());
        let of = |path: &str| {
            methods
                .of_path(path)
                .map(|it| it.to_str().unwrap().to_owned())
        };
        let of = |path: &str| of(path).unwrap_or_default();
        assert_eq!(of("/api/benchmarks/start"), "POST");
        assert_eq!(of("/api/benchmarks/history"), "DELETE, GET, HEAD");
        assert_eq!(of("/api/benchmarks/history/x"), "DELETE, GET, HEAD");
        assert_eq!(of("/api/nova/memory/search"), "GET, HEAD");
        assert_eq!(of("/api/nova/memory/x"), "DELETE");
        assert_eq!(of("/healthz"), "GET, HEAD");
        assert_eq!(of("/api/x"), "");
    }
}
