//! Files of other servers: fetched once, safe to hand out, and whatever a hostile server answers, no
//! part of it stays here.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use blaupause_data::Env;
use blaupause_federation::{Arriving, CallLimits, Exchange, Opening, Settings, Wire, WireError};
use blaupause_outbound::{AllowedNetworks, OutboundSettings};
use blaupause_policy::ServerPolicy;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use ruma::{ServerName, server_name};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tower::ServiceExt;

use super::network::{Network, START_MS};
use crate::server::{Client, Federated, More, Server};

const BYTES_MAX: usize = 200_000;

/// What a hostile server sends.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Vec<u8>>,
    ends: Ends,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    Well,
    /// The connection breaks.
    Broken,
    /// Nothing comes any more.
    Never,
}

/// The network of one server: everybody else answers as the script says.
#[derive(Default)]
struct Script {
    /// Part of a path, and the answer to it.
    replies: Mutex<Vec<(&'static str, Reply)>>,
    /// Paths, and whether somebody signed.
    asked: Mutex<Vec<(String, bool)>>,
    open: Mutex<Vec<mpsc::Sender<Result<Bytes, WireError>>>>,
}

impl Script {
    fn answers(&self, path: &'static str, reply: Reply) {
        self.replies.lock().expect("a test").insert(0, (path, reply));
    }

    fn asked(&self, part: &str) -> Vec<(String, bool)> {
        let asked = self.asked.lock().expect("a test");
        asked.iter().filter(|(path, _)| path.contains(part)).cloned().collect()
    }

    fn reply(&self, request: &Request<Bytes>) -> Option<Reply> {
        let path = request.uri().to_string();
        let signed = request.headers().contains_key(header::AUTHORIZATION);
        self.asked.lock().expect("a test").push((path.clone(), signed));
        let replies = self.replies.lock().expect("a test");
        replies.iter().find(|(part, _)| path.contains(part)).map(|(_, reply)| reply.clone())
    }
}

/// The script as the server's network.
struct Line(Arc<Script>);

impl Wire for Line {
    fn exchange<'a>(&'a self, _: &'a ServerName, _: Request<Bytes>, _: CallLimits) -> Exchange<'a> {
        Box::pin(async { Err(WireError::Unreachable("only files".to_owned())) })
    }

    fn open<'a>(
        &'a self,
        _: &'a ServerName,
        request: Request<Bytes>,
        limits: CallLimits,
    ) -> Opening<'a> {
        Box::pin(async move {
            let reply = self.0.reply(&request);
            let reply = reply.ok_or_else(|| WireError::Unreachable("no script".to_owned()))?;
            let (sender, pieces) = mpsc::channel(reply.pieces.len() + 1);
            for piece in reply.pieces {
                sender.try_send(Ok(piece.into())).expect("there is room");
            }
            match reply.ends {
                Ends::Well => {}
                Ends::Broken => {
                    let broken = Err(WireError::Unreachable("the connection broke".to_owned()));
                    sender.try_send(broken).expect("there is room");
                }
                Ends::Never => self.0.open.lock().expect("a test").push(sender),
            }
            let mut head = Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                head = head.header(name, value);
            }
            Arriving::pieces(head.body(()).expect("headers"), pieces, limits.answer_bytes)
        })
    }
}

/// A server whose network is a script.
async fn scripted(allowed: &[&str]) -> (Server, Arc<Script>) {
    let script = Arc::new(Script::default());
    let federated = Federated::With {
        name: server_name!("a.example").to_owned(),
        env: Env::manual(START_MS),
        wire: Arc::new(Line(Arc::clone(&script))),
        settings: Box::new(Settings { servers: ServerPolicy::open(), ..Settings::default() }),
    };
    let media =
        blaupause_media::Settings { upload_bytes_max: BYTES_MAX as u64, ..Default::default() };
    let allowed_networks = AllowedNetworks::parse(allowed).expect("networks");
    let elsewhere = OutboundSettings { allowed_networks, ..OutboundSettings::default() };
    let server = Server::with_more(More { federated, media, elsewhere, ..More::default() }).await;
    (server, script)
}

fn multipart(text: impl Into<Vec<u8>>) -> Reply {
    let kind = ("content-type", "multipart/mixed; boundary=gc0p4Jq0M2Yt08jU534c0p".to_owned());
    Reply { status: 200, headers: vec![kind], pieces: vec![text.into()], ends: Ends::Well }
}

/// The body that the specification shows, with this second part.
fn with_part(part: &str) -> Reply {
    multipart(format!(
        "--gc0p4Jq0M2Yt08jU534c0p\r\nContent-Type: application/json\r\n\r\n{{}}\r\n\
         --gc0p4Jq0M2Yt08jU534c0p\r\n{part}\r\n--gc0p4Jq0M2Yt08jU534c0p--\r\n"
    ))
}

fn good() -> Reply {
    with_part(
        "Content-Type: text/plain\r\nContent-Disposition: inline; filename=a.txt\r\n\r\nhello",
    )
}

fn refusal(status: u16, errcode: &str) -> Reply {
    let body = serde_json::json!({ "errcode": errcode, "error": "no" }).to_string();
    Reply { status, headers: Vec::new(), pieces: vec![body.into()], ends: Ends::Well }
}

/// What a client gets: status, headers, body.
async fn get(server: &Server, who: &Client<'_>, path: &str) -> (StatusCode, HeaderMap, Bytes) {
    get_with(server, who, path, &[]).await
}

async fn get_with(
    server: &Server,
    who: &Client<'_>,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Bytes) {
    let path = format!("/_matrix/client/v1/media/{path}");
    let mut request = Request::get(path).header("authorization", format!("Bearer {}", who.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let answer = server.router.clone().oneshot(request).await.expect("the router answers");
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("the body is read").to_bytes();
    (parts.status, parts.headers, body)
}

fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body["errcode"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_file_is_fetched_once_and_handed_out_like_one_of_ours() {
    let network = Network::new();
    let (a, b) = (network.server("a.example").await, network.server("b.example").await);
    let (alice, bob) = (a.user("alice").await, b.user("bob").await);
    let upload = Request::post("/_matrix/media/v3/upload?filename=a%22b.html")
        .header("authorization", format!("Bearer {}", bob.token))
        .header("content-type", "text/html")
        .body(Body::from("<script>alert(1)</script>"));
    let uri = b.send(upload.expect("a request")).await.ok()["content_uri"].clone();
    let path = uri.as_str().and_then(|uri| uri.strip_prefix("mxc://")).expect("a URI");
    for _ in 0..2 {
        let (status, headers, body) = get(&a, &alice, &format!("download/{path}")).await;
        assert_eq!((status, &*body), (StatusCode::OK, &b"<script>alert(1)</script>"[..]));
        assert_eq!(headers[header::CONTENT_TYPE], "text/html");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let disposition = headers[header::CONTENT_DISPOSITION].to_str().expect("text");
        assert!(disposition.starts_with("attachment; filename*="), "{disposition}");
    }
    assert_eq!(network.count(&b, "/media/download/"), 1);
    // Strangers must not make this server fetch anything.
    let request = Request::get(format!("/_matrix/media/v3/download/{path}")).body(Body::empty());
    a.send(request.expect("a request")).await.refused(404, "M_NOT_FOUND");
}

/// Answers that hold no file, and what clients are told.
fn hostile() -> Vec<(&'static str, Reply, u16, &'static str)> {
    let kind = |kind: &str| {
        let headers = vec![("content-type", kind.to_owned())];
        Reply { headers, ..good() }
    };
    let announces = |bytes: &str| {
        let mut reply = good();
        reply.headers.push(("content-length", bytes.to_owned()));
        reply
    };
    let large = format!("Content-Type: text/plain\r\n\r\n{}", "x".repeat(BYTES_MAX + 1));
    let mut endless =
        multipart("--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n{}\r\n--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n");
    endless.pieces.extend(vec![vec![b'x'; 10_000]; 40]);
    let begins = "--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n{}\r\n--gc0p4Jq0M2Yt08jU534c0p\r\n\r\nhalf";
    let broken = Reply { ends: Ends::Broken, ..multipart(begins) };
    vec![
        ("a boundary that does not come", kind("multipart/mixed; boundary=x"), 502, "M_UNKNOWN"),
        ("no boundary", kind("multipart/mixed"), 502, "M_UNKNOWN"),
        ("no multipart", kind("text/html"), 502, "M_UNKNOWN"),
        ("nothing", multipart(""), 502, "M_UNKNOWN"),
        (
            "one part",
            multipart("--gc0p4Jq0M2Yt08jU534c0p\r\n\r\n{}\r\n--gc0p4Jq0M2Yt08jU534c0p--"),
            502,
            "M_UNKNOWN",
        ),
        ("an end within the file", multipart(begins), 502, "M_UNKNOWN"),
        ("a connection that breaks", broken, 502, "M_UNKNOWN"),
        ("too large a file", with_part(&large), 502, "M_TOO_LARGE"),
        ("a file without an end", endless, 502, "M_TOO_LARGE"),
        ("an announced size", announces("99999999999"), 502, "M_TOO_LARGE"),
        ("no such file", refusal(404, "M_NOT_FOUND"), 404, "M_NOT_FOUND"),
        ("not yet", refusal(504, "M_NOT_YET_UPLOADED"), 504, "M_NOT_YET_UPLOADED"),
        ("a sign-out", refusal(401, "M_UNKNOWN_TOKEN"), 502, "M_UNKNOWN"),
        ("a mistake", Reply { status: 500, ..good() }, 502, "M_UNKNOWN"),
    ]
}

#[tokio::test]
async fn of_a_hostile_answer_nothing_stays_and_the_next_one_is_taken() {
    let (a, script) = scripted(&[]).await;
    let alice = a.user("alice").await;
    for (number, (what, reply, status, errcode)) in hostile().into_iter().enumerate() {
        script.answers("/media/download/", reply);
        let path = format!("download/b.example/file{number}");
        let (got, _, body) = get(&a, &alice, &path).await;
        assert_eq!((got.as_u16(), &*code(&body)), (status, errcode), "{what}");
        assert_eq!(a.incoming_files(), 0, "{what}");
        script.answers("/media/download/", good());
        let (got, _, body) = get(&a, &alice, &path).await;
        assert_eq!((got, &*body), (StatusCode::OK, &b"hello"[..]), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_nothing_more_is_not_waited_for() {
    let (a, script) = scripted(&[]).await;
    let alice = a.user("alice").await;
    script.answers("/media/download/", Reply { ends: Ends::Never, ..multipart("--gc0p4Jq0") });
    let (status, _, body) = get(&a, &alice, "download/b.example/slow").await;
    assert_eq!((status.as_u16(), &*code(&body)), (504, "M_UNKNOWN"));
    assert_eq!(a.incoming_files(), 0);
}

#[tokio::test]
async fn a_server_of_before_is_asked_as_before() {
    let (a, script) = scripted(&[]).await;
    let alice = a.user("alice").await;
    script.answers("/_matrix/federation/v1/media/", refusal(404, "M_UNRECOGNIZED"));
    let file = Reply {
        headers: vec![
            ("content-type", "text/plain".to_owned()),
            ("content-disposition", "attachment; filename=\"old.txt\"".to_owned()),
        ],
        pieces: vec![b"old ".to_vec(), b"file".to_vec()],
        ..good()
    };
    script.answers("/_matrix/media/v3/download/", file);
    let (status, headers, body) = get(&a, &alice, "download/b.example/old").await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"old file"[..]));
    assert_eq!(headers[header::CONTENT_DISPOSITION], "inline; filename=\"old.txt\"");
    let asked = script.asked("/_matrix/media/v3/download/b.example/old");
    assert!(asked[0].0.contains("allow_remote=false"), "{asked:?}");
    assert!(!asked[0].1, "what everybody may have needs no signature");
    // So is one that understands nothing of what it is asked …
    let nothing = Reply { status: 400, headers: Vec::new(), ..multipart("what?") };
    script.answers("/_matrix/federation/v1/media/", nothing);
    let (status, _, body) = get(&a, &alice, "download/b.example/odd").await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"old file"[..]));
    // … and one that gives the file there as it is.
    let bare = Reply { headers: vec![("content-type", "text/plain".to_owned())], ..good() };
    script.answers("/_matrix/federation/v1/media/", bare);
    let (status, _, body) = get(&a, &alice, "download/b.example/bare").await;
    assert_eq!((status, &*body), (StatusCode::OK, &b"old file"[..]));
    // It says itself that there is no such file: that is all there is to know.
    script.answers("/_matrix/federation/v1/media/", refusal(404, "M_NOT_FOUND"));
    let (status, ..) = get(&a, &alice, "download/b.example/none").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(script.asked("/_matrix/media/v3/download/b.example/none").is_empty());
}

/// A store of files that answers each connection with this, and keeps what it was asked.
async fn files(answer: &'static str) -> (SocketAddr, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&asked);
    #[expect(clippy::disallowed_methods, reason = "the server of a test")]
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let bytes = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..bytes]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            note.lock().expect("a test").push_str(&request);
            let moved = "HTTP/1.1 307 Moved\r\nlocation: /file\r\ncontent-length: 0\r\n\r\n";
            let answer = if path == "/moved" { moved } else { answer };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

const FILE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-disposition: attachment; \
                    filename=c.txt\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere";

#[tokio::test]
async fn a_file_that_lies_elsewhere_is_fetched_there_without_telling_who_asks() {
    let (a, script) = scripted(&["127.0.0.0/8"]).await;
    let alice = a.user("alice").await;
    let (address, asked) = files(FILE).await;
    for path in ["file", "moved"] {
        script.answers(
            "/media/download/",
            with_part(&format!("Location: http://{address}/{path}\r\n")),
        );
        let (status, headers, body) = get(&a, &alice, &format!("download/b.example/{path}")).await;
        assert_eq!((status, &*body), (StatusCode::OK, &b"there"[..]), "{path}");
        assert_eq!(headers[header::CONTENT_DISPOSITION], "inline; filename=\"c.txt\"");
    }
    let asked = asked.lock().expect("a test").to_ascii_lowercase();
    assert!(!asked.contains("authorization") && !asked.contains("a.example"), "{asked}");
}

#[tokio::test]
async fn a_file_does_not_lie_within_our_own_network() {
    let (a, script) = scripted(&[]).await;
    let alice = a.user("alice").await;
    let (address, asked) = files(FILE).await;
    let port = address.port();
    let local = [
        format!("http://127.0.0.1:{port}/file"),
        format!("http://localhost:{port}/file"),
        format!("http://[::ffff:127.0.0.1]:{port}/file"),
        format!("http://2130706433:{port}/file"),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
        "/relative".to_owned(),
        String::new(),
    ];
    for (number, location) in local.iter().enumerate() {
        script.answers("/media/download/", with_part(&format!("Location: {location}\r\n")));
        let (status, _, body) = get(&a, &alice, &format!("download/b.example/l{number}")).await;
        assert_eq!((status.as_u16(), &*code(&body)), (502, "M_UNKNOWN"), "{location}");
    }
    assert_eq!(*asked.lock().expect("a test"), "");
    // Nor where an allowed one leads: 169.254.169.254 tells secrets in some clouds.
    let (a, script) = scripted(&["127.0.0.0/8"]).await;
    let alice = a.user("alice").await;
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\n\
                 content-length: 0\r\nconnection: close\r\n\r\n";
    let (address, _) = files(moved).await;
    script.answers("/media/download/", with_part(&format!("Location: http://{address}/x\r\n")));
    let (status, _, body) = get(&a, &alice, "download/b.example/led").await;
    assert_eq!((status.as_u16(), &*code(&body)), (502, "M_UNKNOWN"));
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for() {
    let (a, script) = scripted(&[]).await;
    let alice = a.user("alice").await;
    script.answers("/media/download/", good());
    let path = "download/b.example/part";
    let (status, headers, body) = get_with(&a, &alice, path, &[("range", "bytes=1-3")]).await;
    assert_eq!((status, &*body), (StatusCode::PARTIAL_CONTENT, &b"ell"[..]));
    assert_eq!(headers[header::CONTENT_RANGE], "bytes 1-3/5");
    assert_eq!(headers[header::CONTENT_LENGTH], "3");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let (status, headers, body) = get_with(&a, &alice, path, &[("range", "bytes=5-")]).await;
    assert_eq!((status, body.len()), (StatusCode::RANGE_NOT_SATISFIABLE, 0));
    assert_eq!(headers[header::CONTENT_RANGE], "bytes */5");
}
