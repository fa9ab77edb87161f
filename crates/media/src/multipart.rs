//! `multipart/mixed` as it arrives (RFC 2046): a file in it goes on to the disk while the rest is
//! still on its way. Pure: bytes in, parts out.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Characters of a boundary (RFC 2046, 5.1.1).
const BOUNDARY_MAX: usize = 70;
/// Bytes of a part's headers, and of what may stand before the first part.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Not what the specification calls multipart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("multipart: {0}")]
pub(crate) struct NotMultipart(&'static str);

impl NotMultipart {
    /// The bytes end before the parts do.
    pub(crate) const EARLY: Self = Self("it ends early");
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A part begins.
    Head(HeaderMap),
    /// Bytes of the part.
    Body(Bytes),
    /// The part is whole.
    EndOfPart,
    /// Nothing follows that counts.
    End,
}

/// Takes bytes and gives pieces.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// CRLF, two hyphens and the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first delimiter.
    Preamble,
    /// Behind a delimiter: a part follows, or the end.
    Delimiter,
    Head,
    /// At the empty line behind the headers.
    EmptyLine,
    Body,
    End,
}

impl Multipart {
    /// From the `Content-Type` of the answer.
    pub(crate) fn new(content_type: &str) -> Result<Self, NotMultipart> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !essence.trim().eq_ignore_ascii_case("multipart/mixed") {
            return Err(NotMultipart("the content type is another one"));
        }
        let boundary = parameters
            .split(';')
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))
            .map(|(_, value)| value.trim().trim_matches('"'))
            .filter(|value| (1..=BOUNDARY_MAX).contains(&value.len()))
            .ok_or(NotMultipart("there is no boundary"))?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may stand at the very beginning.
        Ok(Self { delimiter, buffer: BytesMut::from("\r\n"), at: At::Preamble })
    }

    /// More bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece; `None` until there are more bytes.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, NotMultipart> {
        loop {
            match self.at {
                At::Preamble => match self.found() {
                    Some(at) => {
                        self.buffer.advance(at + self.delimiter.len());
                        self.at = At::Delimiter;
                    }
                    None if self.buffer.len() > HEAD_BYTES_MAX => {
                        return Err(NotMultipart("no part begins"));
                    }
                    None => return Ok(None),
                },
                At::Delimiter => match self.buffer.get(..2) {
                    Some(b"--") => self.at = At::End,
                    Some(b"\r\n") => self.at = At::Head,
                    Some([b' ' | b'\t', _]) => self.buffer.advance(1),
                    Some(_) => return Err(NotMultipart("something follows a boundary")),
                    None => return Ok(None),
                },
                At::Head => return self.head(),
                At::EmptyLine if self.buffer.starts_with(&self.delimiter) => {
                    // The line ends the headers and begins the delimiter: no body at all.
                    self.buffer.advance(self.delimiter.len());
                    self.at = At::Delimiter;
                    return Ok(Some(Piece::EndOfPart));
                }
                At::EmptyLine if self.delimiter.starts_with(&self.buffer) => return Ok(None),
                At::EmptyLine => {
                    self.buffer.advance(2);
                    self.at = At::Body;
                }
                At::Body => return Ok(self.body()),
                At::End => return Ok(Some(Piece::End)),
            }
        }
    }

    /// Headers end at an empty line. The line end of the delimiter is still there, so that no
    /// headers at all end, too.
    fn head(&mut self) -> Result<Option<Piece>, NotMultipart> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = self.buffer.windows(END.len()).position(|bytes| bytes == END) else {
            return match self.buffer.len() > HEAD_BYTES_MAX {
                true => Err(NotMultipart("headers without an end")),
                false => Ok(None),
            };
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(2);
        let mut headers = HeaderMap::new();
        for line in head.as_ref().split(|byte: &u8| *byte == b'\n') {
            let line = line.trim_ascii();
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let name = HeaderName::from_bytes(line[..colon].trim_ascii());
            let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.entry(name).or_insert(value);
            }
        }
        self.at = At::EmptyLine;
        Ok(Some(Piece::Head(headers)))
    }

    fn body(&mut self) -> Option<Piece> {
        match self.found() {
            Some(0) => {
                self.buffer.advance(self.delimiter.len());
                self.at = At::Delimiter;
                Some(Piece::EndOfPart)
            }
            Some(end) => Some(Piece::Body(self.buffer.split_to(end).freeze())),
            None => {
                // A delimiter may have begun.
                let sure = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
                (sure > 0).then(|| Piece::Body(self.buffer.split_to(sure).freeze()))
            }
        }
    }

    /// Where the next delimiter is.
    fn found(&self) -> Option<usize> {
        let mut from = 0;
        while let Some(at) = self.buffer[from..].iter().position(|byte| *byte == b'\r') {
            if self.buffer[from + at..].starts_with(&self.delimiter) {
                return Some(from + at);
            }
            from += at + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces of a text that arrives in slices of this length, bodies joined; `Err` also if
    /// there is no end.
    fn pieces(text: &str, length: usize) -> Result<Vec<String>, NotMultipart> {
        let mut reader = Multipart::new("multipart/mixed; boundary=\"b\"")?;
        let (mut all, mut body) = (Vec::new(), String::new());
        for slice in text.as_bytes().chunks(length) {
            reader.push(slice);
            while let Some(piece) = reader.next()? {
                match piece {
                    Piece::Head(headers) => all.push(format!("{} headers", headers.len())),
                    Piece::Body(bytes) => body.push_str(&String::from_utf8_lossy(&bytes)),
                    Piece::EndOfPart => all.push(std::mem::take(&mut body)),
                    Piece::End => return Ok(all),
                }
            }
        }
        Err(NotMultipart::EARLY)
    }

    const GOOD: &str = "--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b \r\nA: 1\r\nB: 2\r\n\
                        \r\nthe \r\n-- \rfile\r\r\n--b--\r\nwhatever";

    #[test]
    fn parts_are_the_same_however_they_arrive() {
        for length in 1..=GOOD.len() {
            let parts = pieces(GOOD, length).expect("good");
            assert_eq!(parts, ["1 headers", "{}", "2 headers", "the \r\n-- \rfile\r"], "{length}");
        }
    }

    #[test]
    fn parts_may_have_no_headers_and_no_body() {
        let text =
            "before\r\n--b\r\n\r\nonly a body\r\n--b\r\nLocation: x\r\n\r\n--b\r\n\r\n\r\n--b--";
        for length in 1..=text.len() {
            let parts = pieces(text, length).expect("good");
            assert_eq!(parts, ["0 headers", "only a body", "1 headers", "", "0 headers", ""]);
        }
    }

    #[test]
    fn what_is_not_multipart_is_refused() {
        for text in
            ["--b\r\n\r\n{}\r\n--b\r\n\r\nhalf a fi", "--bx\r\n\r\n", "--c\r\n\r\n{}\r\n--c--"]
        {
            assert!(pieces(text, 7).is_err(), "{text}");
        }
        let endless = "x".repeat(HEAD_BYTES_MAX + 100);
        assert!(pieces(&endless, 1_000).is_err());
        assert!(pieces(&format!("--b\r\nA: {endless}"), 1_000).is_err());
        for kind in ["text/plain; boundary=b", "multipart/mixed", "multipart/mixed; boundary="] {
            assert!(Multipart::new(kind).is_err(), "{kind}");
        }
        let long = format!("multipart/mixed; boundary={}", "b".repeat(71));
        assert!(Multipart::new(&long).is_err());
    }
}
