//! Which settings there are, by their dotted keys such as `limits.max_models`.
//!
//! The list is taken from the defaults themselves, so it cannot fall behind the struct. The name
//! of a backend is free; in the list it is `*`.

use figment::value::{Dict, Value};

use super::{BackendConfig, Config};

/// The default of every setting by its key.
pub fn defaults() -> Vec<(String, Value)> {
    let config = Value::serialize(Config::default());
    let backend = Value::serialize(BackendConfig::default());
    let mut found = Vec::new();
    if let Ok(config) = config {
        flatten("", &config, &mut found);
    }
    if let Ok(backend) = backend {
        flatten("backends.*", &backend, &mut found);
    }
    found
}

/// Every leaf of a layer by its key.
pub fn leaves(dict: &Dict) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value) in dict {
        flatten(key, value, &mut found);
    }
    found.into_iter().map(|(key, _)| key).collect()
}

fn flatten(prefix: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                let key = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                flatten(&key, value, found);
            }
        }
        _ => found.push((prefix.to_owned(), value.clone())),
    }
}

/// The default of a setting; `None` where there is no such setting.
pub fn default_of<'a>(key: &str, defaults: &'a [(String, Value)]) -> Option<&'a Value> {
    let general = generalised(key);
    defaults
        .iter()
        .find(|(known, _)| *known == general)
        .map(|(_, value)| value)
}

/// Whether a key names a group of settings, such as `limits`.
pub fn is_group(key: &str, defaults: &[(String, Value)]) -> bool {
    let inner = format!("{}.", generalised(key));
    key == "backends" || defaults.iter().any(|(known, _)| known.starts_with(&inner))
}

/// The key of the setting that looks most like `key`.
pub fn nearest(key: &str, defaults: &[(String, Value)]) -> String {
    let backend = key
        .strip_prefix("backends.")
        .and_then(|rest| rest.split('.').next())
        .filter(|name| !name.is_empty());
    // A whole group was named: any setting in it is nearer than one outside.
    let inner = format!("{key}.");
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    defaults
        .iter()
        .map(|(known, _)| known.replace('*', backend.unwrap_or("NAME")))
        .min_by_key(|known| {
            let whole = strsim::damerau_levenshtein(key, known);
            let name = strsim::damerau_levenshtein(&last(key), &last(known));
            (!known.starts_with(&inner), whole.min(name), whole)
        })
        .unwrap_or_default()
}

/// `backends.gpu-box.url` → `backends.*.url`.
fn generalised(key: &str) -> String {
    match key
        .strip_prefix("backends.")
        .map(|rest| rest.split_once('.'))
    {
        Some(Some((_, field))) => format!("backends.*.{field}"),
        Some(None) => "backends.*".to_owned(),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed() {
        let defaults = defaults();
        for key in [
            "port",
            "limits.max_models",
            "log.filter",
            "backends.gpu-box.api_key",
        ] {
            assert!(default_of(key, &defaults).is_some(), "{key}");
        }
        assert!(default_of("limits", &defaults).is_none());
        assert!(is_group("limits", &defaults) && is_group("backends.gpu-box", &defaults));
        assert!(!is_group("port", &defaults));
    }

    #[test]
    fn the_nearest_key_is_found_with_and_without_its_group() {
        let defaults = defaults();
        assert_eq!(nearest("prot", &defaults), "port");
        assert_eq!(
            nearest("max_prompt_bytes", &defaults),
            "limits.max_prompt_bytes"
        );
        assert_eq!(
            nearest("limits.max_promt_bytes", &defaults),
            "limits.max_prompt_bytes"
        );
        assert_eq!(nearest("backends.gpu.uri", &defaults), "backends.gpu.url");
    }
}
