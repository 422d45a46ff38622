//! What a browser's form sends: names and values, in order, a name as often as it was chosen.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use poem::{Body, Request};

use crate::api::{Problem, whole};
use crate::app::App;

/// The fields of a form or of the query part of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded` text.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            percent_decode_str(&spaced)
                .decode_utf8()
                .map(|text| text.replace("\r\n", "\n"))
                .map_err(|_| Problem::new(400, "the form is not UTF-8"))
        };
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads the query part of the address.
    pub fn of_query(request: &Request) -> Result<Self, Problem> {
        Self::parse(request.uri().query().unwrap_or_default())
    }

    /// Reads the body of a request, as much of it as is allowed.
    pub async fn of_body(app: &App, body: Body) -> Result<Self, Problem> {
        let bytes = whole(body, &app.config).await?;
        let text =
            std::str::from_utf8(&bytes).map_err(|_| Problem::new(400, "the form is not UTF-8"))?;
        Self::parse(text)
    }

    /// The field's value; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        let mut pairs = self.0.iter();
        pairs
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    /// The field's value without spaces around it; `None` where nothing is left.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.text(name).trim()).filter(|text| !text.is_empty())
    }

    /// Every value of a field that can be chosen more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter().filter(move |(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// Puts a value in place of whatever the field had.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds one more value.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// The fields as the query part of an address, empty ones left out.
    pub fn to_query(&self) -> String {
        let filled = self.0.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = filled
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.join("&")
    }
}

/// A text as a part of an address.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_send_them() {
        let fields =
            Fields::parse("models=a%40b&prompt=one+two%0D%0Athree&models=c&empty=").unwrap();
        assert_eq!(fields.all("models").collect::<Vec<_>>(), ["a@b", "c"]);
        assert_eq!(fields.text("prompt"), "one two\nthree");
        assert_eq!(fields.filled("empty"), None);
        assert_eq!(fields.text("absent"), "");
        assert!(Fields::parse("a=%ff").is_err());
    }

    #[test]
    fn a_query_reproduces_its_fields() {
        let mut fields = Fields::parse("q=a%26b+c&empty=&sort=status").unwrap();
        fields.set("sort", "model");
        assert_eq!(fields.to_query(), "q=a%26b%20c&sort=model");
        assert_eq!(
            Fields::parse(&fields.to_query()).unwrap().text("q"),
            "a&b c"
        );
    }
}
