//! Cutting a byte stream into frames: lines of NDJSON and events of server-sent events.
//! No I/O: fed bytes, yields whole frames, whatever the cuts between the reads were.

use bytes::BytesMut;

/// How a stream is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON object a line; CR before LF and blank lines are ignored.
    Lines,
    /// Server-sent events (WHATWG HTML, section 9.2); only their data is kept.
    Events,
}

/// A line was longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct LineTooLong;

/// A byte stream on its way to becoming frames.
pub struct Framer {
    framing: Framing,
    max_line: usize,
    buffer: BytesMut,
    /// Bytes of `buffer` that are known to hold no line end.
    searched: usize,
    /// Data lines of the event that is being read; `None` before the first.
    event: Option<Vec<u8>>,
}

impl Framer {
    /// A framer that refuses lines, and events, of more than `max_line` bytes.
    pub fn new(framing: Framing, max_line: usize) -> Self {
        Self {
            framing,
            max_line,
            buffer: BytesMut::new(),
            searched: 0,
            event: None,
        }
    }

    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        while let Some(line) = self.line()? {
            if let Some(frame) = self.accept(&line)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// What is left when the stream has ended: a last line without its end is still a line.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        if !self.buffer.is_empty() {
            let line = self.buffer.split();
            self.searched = 0;
            if let Some(frame) = self.accept(without_end(&line))? {
                return Ok(Some(frame));
            }
        }
        Ok(self.dispatch())
    }

    /// The data of the event that has ended. One without any is no event: servers keep connections alive with it.
    fn dispatch(&mut self) -> Option<Vec<u8>> {
        self.event
            .take()
            .filter(|data| !data.trim_ascii().is_empty())
    }

    /// Whether anything but white space waits.
    pub fn has_rest(&self) -> bool {
        self.event.is_some() || self.buffer.iter().any(|byte| !byte.is_ascii_whitespace())
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, LineTooLong> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n');
        let Some(position) = found.map(|position| position + self.searched) else {
            self.searched = self.buffer.len();
            return if self.searched > self.max_line {
                Err(LineTooLong)
            } else {
                Ok(None)
            };
        };
        let line = self.buffer.split_to(position + 1);
        self.searched = 0;
        if position > self.max_line {
            Err(LineTooLong)
        } else {
            Ok(Some(without_end(&line).to_vec()))
        }
    }

    fn accept(&mut self, line: &[u8]) -> Result<Option<Vec<u8>>, LineTooLong> {
        match self.framing {
            Framing::Lines => Ok((!line.trim_ascii().is_empty()).then(|| line.to_vec())),
            Framing::Events if line.is_empty() => Ok(self.dispatch()),
            Framing::Events => {
                let Some(data) = line.strip_prefix(b"data:") else {
                    return Ok(bare(line));
                };
                let data = data.strip_prefix(b" ").unwrap_or(data);
                match &mut self.event {
                    None => self.event = Some(data.to_vec()),
                    Some(event) if event.len() + data.len() > self.max_line => {
                        return Err(LineTooLong);
                    }
                    Some(event) => {
                        event.push(b'\n');
                        event.extend_from_slice(data);
                    }
                }
                Ok(None)
            }
        }
    }
}

/// A line without `data:` in an event stream: a comment or another field is skipped, anything
/// else is no event stream and is handed on, for the decoder to name.
fn bare(line: &[u8]) -> Option<Vec<u8>> {
    let known = [&b":"[..], b"event:", b"id:", b"retry:"];
    let field = known.iter().any(|prefix| line.starts_with(prefix)) || line == b"data";
    (!field).then(|| line.to_vec())
}

/// A line without its LF or CR LF.
fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(framing: Framing, parts: &[&[u8]]) -> Vec<String> {
        let mut framer = Framer::new(framing, 1000);
        let mut found = Vec::new();
        for part in parts {
            framer.feed(part);
            while let Some(frame) = framer.next().unwrap() {
                found.push(String::from_utf8(frame).unwrap());
            }
        }
        found.extend(
            framer
                .finish()
                .unwrap()
                .map(|frame| String::from_utf8(frame).unwrap()),
        );
        found
    }

    #[test]
    fn lines_survive_carriage_returns_blanks_and_a_missing_end() {
        let found = frames(Framing::Lines, &[b"{1}\r\n\n{2}\n  \n{3", b"}"]);
        assert_eq!(found, ["{1}", "{2}", "{3}"]);
    }

    #[test]
    fn events_skip_comments_and_join_their_data() {
        let text = b": hi\nevent: x\ndata:{1}\n\ndata: a\ndata: b\r\n\r\nid: 3\n\ndata: [DONE]";
        assert_eq!(frames(Framing::Events, &[text]), ["{1}", "a\nb", "[DONE]"]);
    }

    #[test]
    fn an_event_without_data_is_none() {
        let text = b"data:\n\ndata: {1}\n\ndata: \ndata:\n\ndata\n\ndata:";
        assert_eq!(frames(Framing::Events, &[text]), ["{1}"]);
    }

    #[test]
    fn what_is_no_event_is_handed_on() {
        assert_eq!(frames(Framing::Events, &[b"<html>\n"]), ["<html>"]);
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut framer = Framer::new(Framing::Lines, 10);
        framer.feed(&[b'x'; 11]);
        assert_eq!(framer.next(), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn cuts_between_reads_do_not_matter(
            text in "([a-z:]{0,6}|data: ?[a-zß]{0,5})(\r?\n([a-z:]{0,6}|data: ?[a-zß]{0,5})){0,12}",
            cut in 1usize..9,
            events in any::<bool>(),
        ) {
            let framing = if events { Framing::Events } else { Framing::Lines };
            let whole = frames(framing, &[text.as_bytes()]);
            let parts: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(whole, frames(framing, &parts));
        }
    }
}
