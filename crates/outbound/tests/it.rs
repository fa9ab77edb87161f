//! Exchanges with a small server that says what the test wants.
#![expect(clippy::disallowed_methods, reason = "the server of a test")]

use std::{net::SocketAddr, time::Duration};

use blaupause_outbound::{
    AllowedNetworks, Limits, Outbound, OutboundError, OutboundSettings, Reach,
};
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const LIMITS: Limits = Limits { time: Duration::from_secs(5), answer_bytes: 1_000 };

/// Answers every connection with this, after reading something; with nothing if it is empty.
async fn serve(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4_096]).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

fn outbound(allowed: &[&str]) -> Outbound {
    let allowed_networks = AllowedNetworks::parse(allowed).expect("networks");
    Outbound::new(OutboundSettings { allowed_networks, ..OutboundSettings::default() })
        .expect("a client")
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).expect("request")
}

#[tokio::test]
async fn what_the_operator_named_is_reached_and_redirects_are_not_followed() {
    let moved =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\nok";
    let address = serve(moved).await;
    let request = get(&format!("http://{address}/"));
    let answer = outbound(&[]).send(request, Reach::Configured, LIMITS).await.expect("answer");
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(answer.headers()["location"], "http://127.0.0.1:1/");
    assert_eq!(answer.into_body(), "ok");
}

#[tokio::test]
async fn what_a_user_named_must_be_public_however_it_is_written() {
    let address = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let port = address.port();
    let hosts =
        ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "[::ffff:7f00:1]"];
    for host in hosts {
        let request = get(&format!("http://{host}:{port}/"));
        let refused = outbound(&[]).send(request, Reach::Named, LIMITS).await;
        assert!(matches!(refused, Err(OutboundError::Refused(_))), "{host}: {refused:?}");
    }
    for host in ["127.0.0.1", "localhost"] {
        let request = get(&format!("http://{host}:{port}/"));
        let answer = outbound(&["127.0.0.0/8"]).send(request, Reach::Named, LIMITS).await;
        assert_eq!(answer.expect("answer").status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn answers_have_a_size_and_a_time() {
    let outbound = outbound(&[]);
    let ask = async |address: SocketAddr, limits: Limits| {
        let request = get(&format!("http://{address}/"));
        outbound.send(request, Reach::Configured, limits).await.expect_err("refused")
    };
    let large = serve("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n").await;
    assert_eq!(ask(large, LIMITS).await, OutboundError::TooLarge);
    let endless = serve("HTTP/1.1 200 OK\r\n\r\n0123456789").await;
    assert_eq!(ask(endless, Limits { answer_bytes: 9, ..LIMITS }).await, OutboundError::TooLarge);
    let silent = serve("").await;
    let limits = Limits { time: Duration::from_millis(50), ..LIMITS };
    assert_eq!(ask(silent, limits).await, OutboundError::TimedOut);
}

#[tokio::test]
async fn what_is_not_there_or_no_http_is_said() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("free port");
    let address = nobody.local_addr().expect("address");
    drop(nobody);
    let request = get(&format!("http://{address}/?secret"));
    let refused = outbound(&[]).send(request, Reach::Configured, LIMITS).await;
    let error = refused.expect_err("nobody there");
    assert!(matches!(&error, OutboundError::Unreachable(why) if !why.contains("secret")));
    let refused = outbound(&[]).send(get("ftp://127.0.0.1/"), Reach::Configured, LIMITS).await;
    assert!(matches!(refused, Err(OutboundError::BadRequest(_))), "{refused:?}");
}
