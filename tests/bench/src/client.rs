//! One HTTP/1.1 connection, kept open, as a client keeps it.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A client of its own, or another server: one connection.
pub struct Client {
    authority: String,
    /// The header of that name.
    pub authorization: Option<String>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// Nothing is opened before the first question.
    pub fn new(url: &Uri) -> Self {
        let host = url.host().unwrap_or("127.0.0.1");
        let authority = format!("{host}:{}", url.port_u16().unwrap_or(80));
        Self { authority, authorization: None, connection: None }
    }

    pub fn with_token(url: &Uri, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..Self::new(url) }
    }

    /// Ask for something that must succeed; gives the body.
    pub async fn must(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Bytes> {
        let (status, answer) = self.ask(method.clone(), path, body).await?;
        if status != 200 {
            let text = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
            bail!("{method} {path}: {status} {text}");
        }
        Ok(answer)
    }

    /// The same, with the body as JSON.
    pub async fn json(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let answer = self.must(method, path, body).await?;
        serde_json::from_slice(&answer).with_context(|| format!("{path} answered no JSON"))
    }

    /// Status and body.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Bytes)> {
        let mut connection = self.connection.take();
        // The server may have closed it meanwhile.
        if let Some(open) = &mut connection
            && open.ready().await.is_err()
        {
            connection = None;
        }
        let mut connection = match connection {
            Some(open) => open,
            None => self.connect().await?,
        };
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, self.authority.as_str());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let content = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let response = connection.send_request(request.body(Full::new(content))?).await;
        let response = response.with_context(|| format!("{method} {path}"))?;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok((status, answer))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .with_context(|| format!("cannot connect to {}", self.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what goes wrong shows in the answer that does not come.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Percent-encode what is not unreserved.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The text that stands in an answer under a key for the first time. A search, because reading
/// every answer as JSON in every client would measure this program.
pub fn text_after(answer: &[u8], key: &str) -> Result<String> {
    let key = format!("\"{key}\":");
    let at = answer.windows(key.len()).position(|window| window == key.as_bytes());
    let rest = &answer[at.with_context(|| format!("no {key}"))? + key.len()..];
    let text = String::from_utf8_lossy(&rest[..rest.len().min(500)]).into_owned();
    let text = text.trim_start().strip_prefix('"').and_then(|text| text.split('"').next());
    Ok(text.with_context(|| format!("{key} is a string"))?.to_owned())
}
