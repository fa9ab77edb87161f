//! A small HTTP/1.1 client that sends exactly what it is given: a header twice, a path that no
//! library would let through, bytes that are no text.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::program::PATIENCE;

/// What is sent, byte for byte.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Vec<u8>>,
}

impl Ask {
    pub fn new(method: &str, target: impl Into<Vec<u8>>) -> Self {
        Self { method: method.to_owned(), target: target.into(), ..Self::default() }
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With an access token; an empty one means none.
    pub fn token(self, token: &str) -> Self {
        if token.is_empty() {
            self
        } else {
            self.header("authorization", format!("Bearer {token}"))
        }
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    fn bytes(&self, keep: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.body.as_ref().map_or(0, Vec::len));
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(&self.target);
        out.extend_from_slice(b" HTTP/1.1\r\nhost: test\r\n");
        if !keep {
            out.extend_from_slice(b"connection: close\r\n");
        }
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }
}

/// What came back. Status 0: the connection was closed without an answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn errcode(&self) -> Option<String> {
        self.json().get("errcode")?.as_str().map(str::to_owned)
    }

    /// For the message of a failed test.
    pub fn shown(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("{} {body}", self.status)
    }
}

/// One connection, opened when needed and kept.
pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Ask and wait for the answer.
    ///
    /// # Errors
    /// If there is no whole answer: then nobody knows whether the server did what was asked.
    pub fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(connect(self.address)?),
        };
        stream.get_mut().write_all(&ask.bytes(true))?;
        let answer = read_answer(&mut stream, &ask.method)?
            .ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))?;
        if !answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    /// Ask for something that must succeed; gives the JSON.
    pub fn must(&mut self, ask: &Ask) -> Value {
        let what = String::from_utf8_lossy(&ask.target).into_owned();
        let answer = self.ask(ask).unwrap_or_else(|error| panic!("{} {what}: {error}", ask.method));
        assert_eq!(answer.status, 200, "{} {what}: {}", ask.method, answer.shown());
        answer.json()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Ask on a connection of its own. A server that answers before it has read everything, or that
/// closes without an answer, is a server that behaves; one that stays silent is an error.
pub fn once(address: SocketAddr, ask: &Ask) -> io::Result<Answer> {
    let stream = connect(address)?;
    let mut writer = stream.try_clone()?;
    let bytes = ask.bytes(false);
    std::thread::scope(|scope| {
        // Refused requests are answered while we still send: the failing write is no matter.
        scope.spawn(move || writer.write_all(&bytes));
        match read_answer(&mut BufReader::new(stream), &ask.method) {
            Ok(answer) => Ok(answer.unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Answer::default()),
            Err(error) => Err(error),
        }
    })
}

/// `None`: closed before the first byte.
fn read_answer(stream: &mut impl BufRead, method: &str) -> io::Result<Option<Answer>> {
    loop {
        let Some((status, headers)) = read_head(stream)? else { return Ok(None) };
        let mut answer = Answer { status, headers, body: Vec::new() };
        // 100 Continue and its like come before the answer.
        if status / 100 == 1 {
            continue;
        }
        if method != "HEAD" && status != 204 && status != 304 {
            answer.body = read_body(stream, &answer)?;
        }
        return Ok(Some(answer));
    }
}

type Head = (u16, Vec<(String, String)>);

fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Head>> {
    let Some(first) = read_line(stream)? else { return Ok(None) };
    let status = first.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
    let mut headers = Vec::new();
    while let Some(line) = read_line(stream)? {
        if line.is_empty() {
            return Ok(Some((status, headers)));
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Err(ErrorKind::UnexpectedEof.into())
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

fn read_body(stream: &mut impl BufRead, answer: &Answer) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = answer.header("content-length") {
        let length = length.parse().map_err(io::Error::other)?;
        if stream.by_ref().take(length).read_to_end(&mut body)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    } else if answer.header("transfer-encoding").is_some() {
        loop {
            let size = read_line(stream)?.ok_or(ErrorKind::UnexpectedEof)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            stream.by_ref().take(size).read_to_end(&mut body)?;
            read_line(stream)?;
            if size == 0 {
                break;
            }
        }
    } else {
        stream.read_to_end(&mut body)?;
    }
    Ok(body)
}

/// Percent-encode everything that is not unreserved (RFC 3986).
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
