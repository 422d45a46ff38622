//! `--param KEY=VALUE` as typed generation parameters.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor, value::Error};
use serde_json::{Map, Value};

use crate::record::Parameters;

/// Reads every `KEY=VALUE`. A value is JSON (number, `true`, list) or else text; a key that takes
/// a list may be given several times.
pub fn parse(pairs: &[String]) -> Result<Parameters, String> {
    let names = names();
    let mut object = Map::new();
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(format!(
                "`{pair}` is not KEY=VALUE, such as temperature=0.2"
            ));
        };
        let key = key.trim();
        if !names.contains(&key) {
            let nearest = names
                .iter()
                .min_by_key(|name| strsim::damerau_levenshtein(name, key));
            let nearest = nearest.copied().unwrap_or_default();
            return Err(format!(
                "there is no parameter `{key}`; did you mean `{nearest}`?"
            ));
        }
        let value = if key == "stop" {
            list(object.remove(key), text)
        } else {
            serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
        };
        if object.insert(key.to_owned(), value).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
    }
    serde_path_to_error::deserialize(Value::Object(object))
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))
}

/// Texts that end the output: each is taken as it is, unless a whole JSON list is given.
fn list(before: Option<Value>, text: &str) -> Value {
    let mut items = match before {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(more)) => items.extend(more),
        _ => items.push(Value::from(text)),
    }
    Value::Array(items)
}

/// The names of all parameters, as the type itself tells them.
fn names() -> &'static [&'static str] {
    let mut names = Names(&[]);
    // It always ends in an error: only the names are wanted.
    let _ = Parameters::deserialize(&mut names);
    names.0
}

struct Names(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut Names {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("only names are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[&str]) -> Result<Parameters, String> {
        parse(
            &pairs
                .iter()
                .map(|&pair| pair.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn values_have_their_types() {
        let parameters = parsed(&[
            "temperature=0",
            "seed=7",
            "use_mmap=true",
            "stop=END",
            "stop=1",
        ])
        .unwrap();
        assert_eq!(parameters.temperature, Some(0.0));
        assert_eq!(parameters.seed, Some(7));
        assert_eq!(parameters.use_mmap, Some(true));
        assert_eq!(parameters.stop, Some(vec!["END".into(), "1".into()]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (pair, expected) in [
            (
                "temprature=1",
                "there is no parameter `temprature`; did you mean `temperature`?",
            ),
            (
                "seed=abc",
                "seed: invalid type: string \"abc\", expected i64",
            ),
            (
                "seed=1.5",
                "seed: invalid type: floating point `1.5`, expected i64",
            ),
            ("seed", "`seed` is not KEY=VALUE, such as temperature=0.2"),
            (
                "temperature=NaN",
                "temperature: invalid type: string \"NaN\", expected f64",
            ),
        ] {
            assert_eq!(parsed(&[pair]).unwrap_err(), expected);
        }
        assert_eq!(
            parsed(&["seed=1", "seed=2"]).unwrap_err(),
            "`seed` is given twice"
        );
    }
}
