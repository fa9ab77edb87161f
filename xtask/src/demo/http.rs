//! The few requests of the demo by hand, so that this program needs no HTTP library.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail};

/// A join through another server takes some requests of its own.
const WAIT: Duration = Duration::from_secs(60);

/// POST of a JSON object; the answer's body, if it is 200.
///
/// # Errors
/// If the server does not answer with 200; the message holds its answer.
pub fn post(address: &str, path: &str, token: Option<&str>, json: &str) -> Result<String> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(WAIT))?;
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = json.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("POST {path}: {} {body}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}

/// The value of a field that is a text without escapes: ids and tokens are.
pub fn field(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\":\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// A path segment, encoded.
pub fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encode = |byte| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let json = r#"{"user_id":"@a:b","access_token":"bp_1_x"}"#;
        assert_eq!(field(json, "access_token").as_deref(), Some("bp_1_x"));
        assert_eq!(field(json, "room_id"), None);
    }

    #[test]
    fn ids_fit_into_a_path() {
        assert_eq!(segment("!a-b:c.d"), "%21a-b%3Ac.d");
    }
}
