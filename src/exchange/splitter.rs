//! Finds where documents begin and end in a stream of bytes: one document, an array of them, or one after
//! the other with line breaks between; or the rows of CSV. What cannot be a document is told by its line,
//! and what follows it is found again.

/// What was found next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// From the opening brace to the closing one, and the line on which it begins, from 1.
    Document {
        /// The line.
        line: u64,
        /// The text.
        text: Vec<u8>,
    },
    /// A row of CSV, with the line on which it begins.
    Row {
        /// The line.
        line: u64,
        /// The text, without its line break.
        text: Vec<u8>,
    },
    /// Something else.
    Trouble {
        /// On which line.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

/// Where in the stream it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Start,
    /// Between two documents.
    Between,
    /// In a document.
    Inside {
        depth: u32,
        string: Quoted,
        /// Its first line is a brace only: the document is spread over lines.
        is_spread: bool,
    },
    /// Until the end of a line that is of no use.
    Skipping,
    /// Between or in rows of CSV.
    Rows { is_quoted: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoted {
    No,
    Yes,
    /// After a backslash.
    Escaped,
}

/// Takes bytes as they come and gives documents.
pub struct Splitter {
    /// What has been taken and not given out; while a document is open, from its beginning on.
    buffer: Vec<u8>,
    /// So much of it has been looked at.
    looked: usize,
    state: State,
    in_array: bool,
    /// Of the next byte to look at.
    line: u64,
    /// On which the open document began.
    began: u64,
    is_over: bool,
    most: usize,
}

impl Splitter {
    /// For documents of `most` bytes at most.
    pub fn new(most: usize) -> Self {
        Self {
            buffer: Vec::new(),
            looked: 0,
            state: State::Start,
            in_array: false,
            line: 1,
            began: 1,
            is_over: false,
            most,
        }
    }

    /// The line that comes next, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing more comes.
    pub fn finish(&mut self) {
        self.is_over = true;
    }

    /// The next piece, where there is a whole one.
    pub fn next_piece(&mut self) -> Option<Piece> {
        while let Some(&byte) = self.buffer.get(self.looked) {
            // Whether a document goes on after a line break is known by the byte behind it.
            if byte == b'\n' && self.looked + 1 == self.buffer.len() && !self.is_over {
                return None;
            }
            let piece = self.look(byte);
            if piece.is_some() {
                return piece;
            }
        }
        if !matches!(self.state, State::Inside { .. } | State::Rows { .. }) {
            self.buffer.clear();
            self.looked = 0;
        }
        if self.is_over { self.last() } else { None }
    }

    /// What is left when nothing more comes.
    fn last(&mut self) -> Option<Piece> {
        let text = self.take(self.looked);
        let state = std::mem::replace(&mut self.state, State::Between);
        let in_array = std::mem::take(&mut self.in_array);
        match state {
            State::Inside { .. } => Some(self.trouble(self.began, "the document is cut off")),
            State::Rows { is_quoted: true } => Some(self.trouble(self.began, "the row is cut off")),
            State::Rows { .. } if !text.is_empty() => Some(Piece::Row {
                line: self.began,
                text,
            }),
            _ if in_array => Some(self.trouble(self.line, "the array is cut off")),
            _ => None,
        }
    }

    #[expect(clippy::unused_self, reason = "reads as what it is")]
    fn trouble(&self, line: u64, reason: &str) -> Piece {
        Piece::Trouble {
            line,
            reason: reason.to_owned(),
        }
    }

    /// Takes the first bytes out of the buffer.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(length.min(self.buffer.len()));
        self.looked = self.looked.saturating_sub(length);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn pass(&mut self, byte: u8) {
        self.looked += 1;
        if byte == b'\n' {
            self.line += 1;
        }
    }

    /// Looks at one byte.
    fn look(&mut self, byte: u8) -> Option<Piece> {
        match self.state {
            State::Start | State::Between => self.outside(byte),
            State::Skipping => {
                self.pass(byte);
                if byte == b'\n' {
                    self.state = State::Between;
                }
                None
            }
            State::Inside {
                depth,
                string,
                is_spread,
            } => self.inside(byte, depth, string, is_spread),
            State::Rows { is_quoted } => self.row(byte, is_quoted),
        }
    }

    fn outside(&mut self, byte: u8) -> Option<Piece> {
        let is_start = self.state == State::Start;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => self.pass(byte),
            // The mark of UTF-8 that some programs put first.
            0xef | 0xbb | 0xbf if is_start => self.pass(byte),
            b'[' if is_start => {
                self.in_array = true;
                self.state = State::Between;
                self.pass(byte);
            }
            b']' if self.in_array => {
                self.in_array = false;
                self.pass(byte);
            }
            b',' if !is_start => self.pass(byte),
            b'{' => {
                self.take(self.looked);
                self.began = self.line;
                self.state = State::Inside {
                    depth: 1,
                    string: Quoted::No,
                    is_spread: true,
                };
                self.pass(byte);
            }
            _ if is_start => {
                self.take(self.looked);
                self.began = self.line;
                self.state = State::Rows { is_quoted: false };
            }
            _ => {
                self.state = State::Skipping;
                return Some(self.trouble(self.line, "this is no document: one begins with `{`"));
            }
        }
        None
    }

    fn inside(&mut self, byte: u8, depth: u32, string: Quoted, is_spread: bool) -> Option<Piece> {
        if self.looked >= self.most {
            let began = self.began;
            self.take(self.looked);
            self.state = State::Skipping;
            let reason = format!("the document has more than {} bytes", self.most);
            return Some(self.trouble(began, &reason));
        }
        let mut next = (depth, string, is_spread);
        match (string, byte) {
            (_, b'\n') => return self.line_break(depth, string, is_spread),
            (Quoted::Escaped, _) | (Quoted::No, b'"') => next.1 = Quoted::Yes,
            (Quoted::Yes, b'\\') => next.1 = Quoted::Escaped,
            (Quoted::Yes, b'"') => next.1 = Quoted::No,
            (Quoted::No, b'{' | b'[') => next.0 += 1,
            (Quoted::No, b'}' | b']') => next.0 -= 1,
            _ => {}
        }
        if self.line == self.began && !byte.is_ascii_whitespace() {
            next.2 = false;
        }
        self.pass(byte);
        if next.0 == 0 {
            self.state = State::Between;
            let text = self.take(self.looked);
            return Some(Piece::Document {
                line: self.began,
                text,
            });
        }
        self.state = State::Inside {
            depth: next.0,
            string: next.1,
            is_spread: next.2,
        };
        None
    }

    /// A line of JSON Lines that is cut off must not take the next ones with it.
    fn line_break(&mut self, depth: u32, string: Quoted, is_spread: bool) -> Option<Piece> {
        let next_begins = self.buffer.get(self.looked + 1) == Some(&b'{');
        let is_cut_off = string != Quoted::No || (next_begins && !is_spread);
        self.pass(b'\n');
        if !is_cut_off {
            self.state = State::Inside {
                depth,
                string,
                is_spread,
            };
            return None;
        }
        let began = self.began;
        self.take(self.looked);
        self.state = State::Between;
        Some(self.trouble(began, "the document is cut off"))
    }

    fn row(&mut self, byte: u8, is_quoted: bool) -> Option<Piece> {
        let is_quoted = is_quoted ^ (byte == b'"');
        self.state = State::Rows { is_quoted };
        if self.looked >= self.most {
            let began = self.began;
            self.take(self.looked);
            self.state = State::Skipping;
            return Some(self.trouble(began, "the row is too long"));
        }
        self.pass(byte);
        if byte != b'\n' || is_quoted {
            return None;
        }
        let mut text = self.take(self.looked);
        let line = std::mem::replace(&mut self.began, self.line);
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        (!text.is_empty()).then_some(Piece::Row { line, text })
    }
}
