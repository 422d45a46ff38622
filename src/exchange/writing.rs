//! From the text that is stored to the text that goes out, without reading it into a record: a million runs are
//! written as fast as they are read.

use chrono::{DateTime, Utc};
use memchr::memchr2;

use super::extra::step;
use super::parts::{Parts, ResultPart, SampleTexts, Style};
use super::{FOREIGN_NAMES, TIME_FIELDS, extended, is_time, names};

/// The stored text is no JSON.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no JSON at byte {at}")]
pub struct Damage {
    at: usize,
}

/// Where in a record an object stands, as far as that decides how its members are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Run,
    Request,
    Result,
    /// Where names are of somebody else's making.
    Foreign,
    /// Fields that this program does not know: what is Extended JSON there already stays.
    Unknown,
    Other,
}

/// Writes a run as one line, without the line's end.
pub fn write(out: &mut Vec<u8>, parts: &Parts<'_>, style: Style) -> Result<(), Damage> {
    Walk {
        text: &parts.document,
        at: 0,
        copied: 0,
        out,
        style,
        path: String::new(),
        parts,
        result: None,
    }
    .whole(Place::Run)
}

/// Writes a text that nothing belongs to from elsewhere.
fn write_text(out: &mut Vec<u8>, text: &[u8], style: Style, place: Place) -> Result<(), Damage> {
    Walk {
        text,
        at: 0,
        copied: 0,
        out,
        style,
        path: String::new(),
        parts: &Parts::default(),
        result: None,
    }
    .whole(place)
}

struct Walk<'a, 'o> {
    text: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// What lies before is written.
    copied: usize,
    out: &'o mut Vec<u8>,
    style: Style,
    /// JSON pointer of where it is; empty where nobody asks.
    path: String,
    parts: &'a Parts<'a>,
    result: Option<&'a ResultPart<'a>>,
}

impl<'a> Walk<'a, '_> {
    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn damage<T>(&self) -> Result<T, Damage> {
        Err(Damage { at: self.at })
    }

    fn expect(&mut self, byte: u8) -> Result<(), Damage> {
        if self.byte() != byte {
            return self.damage();
        }
        self.at += 1;
        Ok(())
    }

    /// Writes what lies before.
    fn flush(&mut self) {
        let pending = self.text.get(self.copied..self.at).unwrap_or_default();
        self.out.extend_from_slice(pending);
        self.copied = self.at;
    }

    /// Writes something in place of what comes next.
    fn instead(
        &mut self,
        of: impl FnOnce(&mut Self) -> Result<(), Damage>,
        text: &[u8],
    ) -> Result<(), Damage> {
        self.flush();
        of(self)?;
        self.copied = self.at;
        self.out.extend_from_slice(text);
        Ok(())
    }

    /// Past a string; gives what is between its quotes.
    fn string(&mut self) -> Result<&'a [u8], Damage> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return self.damage();
            };
            self.at += found;
            if self.byte() == b'"' {
                let inside = self.text.get(start..self.at).unwrap_or_default();
                self.at += 1;
                return Ok(inside);
            }
            self.at += 2;
        }
    }

    fn value(&mut self, place: Place) -> Result<(), Damage> {
        match self.byte() {
            b'"' => self.string().map(drop),
            b'{' | b'[' if self.is_only_passed(place) => self.pass(place),
            b'{' => self.object(place),
            b'[' => self.array(place),
            b't' | b'n' => self.word(4),
            b'f' => self.word(5),
            b'-' | b'0'..=b'9' => {
                self.number();
                Ok(())
            }
            _ => self.damage(),
        }
    }

    fn word(&mut self, length: usize) -> Result<(), Damage> {
        let end = self.at + length;
        let word = self.text.get(self.at..end);
        if !matches!(word, Some(b"true" | b"null" | b"false")) {
            return self.damage();
        }
        self.at = end;
        Ok(())
    }

    fn number(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(is_part).count();
        let kind = match self.style {
            Style::Plain => None,
            Style::Relaxed if length < extended::SHORTEST_TYPED => None,
            style => {
                let digits = rest.get(..length).unwrap_or_default();
                extended::number_type(digits, style == Style::Canonical)
            }
        };
        let Some(kind) = kind else {
            self.at += length;
            return;
        };
        self.flush();
        self.out
            .extend_from_slice(format!(r#"{{"{kind}":""#).as_bytes());
        self.at += length;
        self.flush();
        self.out.extend_from_slice(br#""}"#);
    }

    fn array(&mut self, place: Place) -> Result<(), Damage> {
        self.expect(b'[')?;
        if self.byte() == b']' {
            self.at += 1;
            return Ok(());
        }
        let length = self.path.len();
        let mut index = 0;
        loop {
            self.step(|path| format!("{path}/{index}"));
            self.value(place)?;
            self.path.truncate(length);
            index += 1;
            if self.byte() == b']' {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn step(&mut self, to: impl FnOnce(&str) -> String) {
        if !self.parts.extra.is_empty() {
            self.path = to(&self.path);
        }
    }

    fn object(&mut self, place: Place) -> Result<(), Damage> {
        let start = self.at;
        self.expect(b'{')?;
        let mut seen = Seen::default();
        let mut is_empty = true;
        if self.byte() == b'}' {
            self.at += 1;
        } else {
            loop {
                let name_at = self.at;
                let name = self.string()?;
                if place == Place::Unknown && name.starts_with(b"$") {
                    self.at = start;
                    return self.skip();
                }
                self.expect(b':')?;
                let length = self.path.len();
                let name = std::str::from_utf8(name).unwrap_or_default();
                self.step(|path| step(path, name));
                self.member(place, name_at, name, &mut seen)?;
                self.path.truncate(length);
                is_empty = false;
                let end = self.byte();
                self.at += 1;
                match end {
                    b'}' => break,
                    b',' => {}
                    _ => return self.damage(),
                }
            }
        }
        if place == Place::Unknown {
            return Ok(());
        }
        self.append(place, &seen, is_empty)
    }

    /// One member of an object, from after its colon.
    fn member(
        &mut self,
        place: Place,
        name_at: usize,
        name: &str,
        seen: &mut Seen,
    ) -> Result<(), Damage> {
        let is_mongodb = self.style != Style::Plain;
        match (place, name) {
            (Place::Run, "id") if is_mongodb => {
                self.at = name_at;
                self.instead(
                    |walk| {
                        walk.string()?;
                        walk.expect(b':')
                    },
                    br#""_id":{"$oid":"#,
                )?;
                self.string()?;
                self.flush();
                self.out.push(b'}');
                Ok(())
            }
            (Place::Run, "results") => {
                seen.0.push("results");
                self.instead(Self::skip, b"")?;
                self.results()
            }
            (Place::Run, "samples") => {
                seen.0.push("samples");
                self.instead(Self::skip, b"")?;
                self.samples(|samples| &samples.0, b"null")
            }
            (Place::Run, "remote_samples") => {
                seen.0.push("remote_samples");
                self.instead(Self::skip, b"")?;
                self.samples(|samples| &samples.1, b"[]")
            }
            (Place::Result, "chunks") => {
                seen.0.push("chunks");
                self.instead(Self::skip, b"")?;
                self.chunks()
            }
            (Place::Request, "format") if is_mongodb => self.answer_format(),
            (Place::Run, "request") => {
                seen.0.push("request");
                self.value(Place::Request)
            }
            (Place::Request | Place::Foreign, _) => self.value(Place::Foreign),
            (Place::Unknown, _) => self.value(Place::Unknown),
            (_, name) if FOREIGN_NAMES.contains(&name) => self.value(Place::Foreign),
            (_, name) if is_mongodb && self.byte() == b'"' && is_time(name) => self.time(),
            _ => self.value(Place::Other),
        }
    }

    /// What an earlier version did not write, and what no version knows.
    fn append(&mut self, place: Place, seen: &Seen, is_empty: bool) -> Result<(), Damage> {
        let path = std::mem::take(&mut self.path);
        let parts = self.parts;
        let mut more: Vec<(&str, Addition)> = Vec::new();
        match place {
            Place::Run => {
                if !seen.has("results") && !parts.results.is_empty() {
                    more.push(("results", Addition::Results));
                }
                if !seen.has("samples") && parts.samples.is_some() {
                    more.push(("samples", Addition::Samples));
                }
                if !seen.has("remote_samples") && parts.samples.is_some() {
                    more.push(("remote_samples", Addition::RemoteSamples));
                }
            }
            Place::Result
                if !seen.has("chunks") && self.result.is_some_and(|it| it.chunks.is_some()) =>
            {
                more.push(("chunks", Addition::Chunks));
            }
            _ => {}
        }
        if !parts.extra.is_empty() {
            let unknown = parts.extra.at(&path);
            more.extend(unknown.map(|(name, value)| (name, Addition::Unknown(value.to_string()))));
        }
        self.path = path;
        if more.is_empty() {
            return Ok(());
        }
        // Before the brace that has been passed.
        self.at -= 1;
        self.flush();
        let mut is_first = is_empty;
        for (name, piece) in more {
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            let name = serde_json::Value::from(name).to_string();
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b':');
            match piece {
                Addition::Results => self.results()?,
                Addition::Samples => self.samples(|samples| &samples.0, b"null")?,
                Addition::RemoteSamples => self.samples(|samples| &samples.1, b"[]")?,
                Addition::Chunks => self.chunks()?,
                Addition::Unknown(text) => {
                    write_text(self.out, text.as_bytes(), self.style, Place::Unknown)?;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    /// A text of its own, all of it.
    fn whole(mut self, place: Place) -> Result<(), Damage> {
        let begun = self.out.len();
        if !self.by_names(place)? {
            self.out.truncate(begun);
            (self.at, self.copied) = (0, 0);
            self.value(place)?;
        }
        self.flush();
        Ok(())
    }

    /// Goes from one member that is written otherwise to the next, and looks at nothing between them; false
    /// where it cannot be told so that these are all, or whose they are, or that the text is whole.
    fn by_names(&mut self, place: Place) -> Result<bool, Damage> {
        let (opening, own) = match place {
            Place::Run => (r#"{"id":""#, &names::OF_RUN[..]),
            Place::Result => ("{", &names::OF_RESULT[..]),
            Place::Other => ("", &[][..]),
            _ => return Ok(false),
        };
        let text = self.text;
        if self.style == Style::Canonical
            || !self.parts.extra.is_empty()
            || !text.starts_with(opening.as_bytes())
            || !names::adds_up(text)
            || (self.style == Style::Relaxed && names::may_have_long_integer(text))
        {
            return Ok(false);
        }
        let Some(members) = names::members(text) else {
            return Ok(false);
        };
        let mut seen = Seen::default();
        if place == Place::Run {
            self.at = r#"{"id":"#.len();
            self.member(place, 1, "id", &mut seen)?;
        }
        for member in members {
            // What stands in somebody else's object has been passed.
            if member.at < self.at {
                continue;
            }
            self.at = member.value_at;
            let is_own = own.contains(&member.name);
            if is_own && (seen.has(member.name) || !self.is_own_value(member.name)) {
                return Ok(false);
            }
            let place = if is_own { place } else { Place::Other };
            self.member(place, member.at, member.name, &mut seen)?;
        }
        self.at = text.len();
        Ok(seen.0.len() == own.len())
    }

    /// Whether a value is what a run or a result has there, and not something of the same name within it.
    fn is_own_value(&self, name: &str) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        match name {
            "request" => rest.starts_with(b"{"),
            "results" | "remote_samples" => rest.starts_with(b"[]"),
            _ => rest.starts_with(b"null"),
        }
    }

    /// Another text in the place where this one is.
    fn other(
        &mut self,
        text: &'a [u8],
        place: Place,
        result: Option<&'a ResultPart<'a>>,
    ) -> Result<(), Damage> {
        Walk {
            text,
            at: 0,
            copied: 0,
            out: self.out,
            style: self.style,
            path: self.path.clone(),
            parts: self.parts,
            result,
        }
        .whole(place)
    }

    fn results(&mut self) -> Result<(), Damage> {
        let parts = self.parts;
        let path = self.path.clone();
        self.out.push(b'[');
        for (index, result) in parts.results.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            if !parts.extra.is_empty() {
                self.path = format!("/results/{index}");
            }
            self.other(&result.document, Place::Result, Some(result))?;
        }
        self.path = path;
        self.out.push(b']');
        Ok(())
    }

    fn samples(
        &mut self,
        which: impl Fn(&'a SampleTexts<'a>) -> &'a [u8],
        none: &[u8],
    ) -> Result<(), Damage> {
        if let Some(samples) = &self.parts.samples {
            return self.other(which(samples), Place::Other, None);
        }
        self.out.extend_from_slice(none);
        Ok(())
    }

    fn chunks(&mut self) -> Result<(), Damage> {
        let chunks = self.result.and_then(|it| it.chunks.as_ref());
        if self.style != Style::Canonical {
            // Into memory, which takes everything.
            let _ = serde_json::to_writer(&mut *self.out, &chunks);
            return Ok(());
        }
        let text = serde_json::to_vec(&chunks).unwrap_or_default();
        write_text(self.out, &text, self.style, Place::Other)
    }

    /// A schema of JSON has names such as `$ref`, which MongoDB keeps for itself: it is written as text.
    fn answer_format(&mut self) -> Result<(), Damage> {
        let start = self.at;
        self.skip()?;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        self.at = start;
        if !raw.windows(2).any(|pair| pair == b"\"$") {
            return self.value(Place::Foreign);
        }
        let text = serde_json::Value::from(String::from_utf8_lossy(raw)).to_string();
        self.instead(Self::skip, text.as_bytes())
    }

    fn time(&mut self) -> Result<(), Damage> {
        let start = self.at;
        let text = self.string()?;
        let text = std::str::from_utf8(text).unwrap_or_default();
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            let end = std::mem::replace(&mut self.at, start);
            self.flush();
            (self.at, self.copied) = (end, end);
            let time = time.with_timezone(&Utc);
            extended::write_time(self.out, time, self.style == Style::Canonical);
        }
        Ok(())
    }

    /// Past a value that something else stands for.
    fn skip(&mut self) -> Result<(), Damage> {
        // In this style nothing is written otherwise.
        let style = std::mem::replace(&mut self.style, Style::Plain);
        let passed = self.pass(Place::Foreign);
        self.style = style;
        passed
    }

    /// Whether nothing is added anywhere in a value.
    fn is_only_passed(&self, place: Place) -> bool {
        matches!(place, Place::Foreign | Place::Other) && self.parts.extra.is_empty()
    }

    /// Past a value in which only times and numbers are written otherwise. Most of a run is of that kind,
    /// so it is gone through without a step into each object.
    fn pass(&mut self, place: Place) -> Result<(), Damage> {
        let mut depth = 0_usize;
        loop {
            match self.byte() {
                b'"' => {
                    let name = self.string()?;
                    if depth > 0 && self.byte() == b':' {
                        self.at += 1;
                        let is_done = place == Place::Other && self.pass_named(name)?;
                        if !is_done {
                            continue;
                        }
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' if depth > 0 => self.at += 1,
                b't' | b'n' => self.word(4)?,
                b'f' => self.word(5)?,
                b'-' | b'0'..=b'9' => self.number(),
                _ => return self.damage(),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Past a member's value where its name tells how it is written; whether that is so.
    fn pass_named(&mut self, name: &[u8]) -> Result<bool, Damage> {
        let is = |known: &&str| known.as_bytes() == name;
        if FOREIGN_NAMES.iter().any(is) {
            self.pass(Place::Foreign)?;
            return Ok(true);
        }
        let is_time =
            self.style != Style::Plain && self.byte() == b'"' && TIME_FIELDS.iter().any(is);
        if is_time {
            self.time()?;
        }
        Ok(is_time)
    }
}

/// Members of its own that a run or a result had so far.
#[derive(Default)]
struct Seen(Vec<&'static str>);

impl Seen {
    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// A member that is added to an object.
enum Addition {
    Results,
    Samples,
    RemoteSamples,
    Chunks,
    Unknown(String),
}
