//! Previews of links, against pages of this test and hostile ones.

use std::{
    io::Cursor,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{StatusCode, header},
    response::{IntoResponse, Redirect},
    routing::get,
};
use blaupause_media::{PreviewSettings, UrlPatterns};
use blaupause_outbound::{AllowedNetworks, OutboundSettings};
use serde_json::json;
use tokio::net::TcpListener;

use crate::server::{Answer, Client, More, Server};

const PREVIEW: &str = "/v1/media/preview_url";

/// Pages on a port of this machine; how often the first one was asked for.
#[expect(clippy::disallowed_methods, reason = "the site is no part of the server")]
pub async fn site() -> (String, Arc<AtomicUsize>) {
    let html = |text: &'static str| ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let page = "<title>A title</title><meta property='og:description' content='Words'>\
                <meta property='og:image' content='/image.png'>";
    let mut png = Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(4, 2).write_to(&mut png, image::ImageFormat::Png).expect("fine");
    let png = png.into_inner();
    let svg = "<svg xmlns='http://www.w3.org/2000/svg'/>";
    let app = Router::new()
        .route(
            "/page",
            get(move || {
                count.fetch_add(1, Ordering::Relaxed);
                async move { html(page) }
            }),
        )
        .route("/image.png", get(move || async move { png }))
        .route("/svg", get(move || async move { ([(header::CONTENT_TYPE, "image/png")], svg) }))
        .route("/moved", get(|| async { Redirect::temporary("/page") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/inside", get(|| async { Redirect::temporary("http://10.0.0.1/secret") }))
        .route("/file", get(|| async { Redirect::temporary("file:///etc/passwd") }))
        .route("/gone", get(|| async { StatusCode::NOT_FOUND }))
        .route("/big", get(move || async move { html("x").into_response().map(|_| big()) }))
        .route(
            "/evil",
            get(move || async move {
                html("<title>t</title><meta property=og:image content=http://10.0.0.1/x.png>")
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (format!("http://{address}"), asked)
}

fn big() -> axum::body::Body {
    axum::body::Body::from("x".repeat(3 << 20))
}

async fn server(settings: PreviewSettings, allowed: &[&str]) -> Server {
    let allowed_networks = AllowedNetworks::parse(allowed).expect("networks");
    let outbound = OutboundSettings { allowed_networks, ..Default::default() };
    Server::with_more(More { previews: Some((settings, outbound)), ..More::default() }).await
}

async fn preview(client: &Client<'_>, url: &str) -> Answer {
    let escaped: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    client.get(&format!("{PREVIEW}?url={escaped}")).await
}

#[tokio::test]
async fn without_the_setting_there_are_no_previews() {
    let server = Server::new().await;
    let alice = server.user("alice").await;
    preview(&alice, "https://example.org/").await.refused(404, "M_UNRECOGNIZED");
    let old = alice.get("/_matrix/media/v3/preview_url?url=https%3A%2F%2Fexample.org").await;
    old.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn a_page_is_previewed_and_its_image_kept_here() {
    let (site, asked) = site().await;
    let server = server(PreviewSettings::default(), &["127.0.0.1"]).await;
    let alice = server.user("alice").await;
    let url = format!("{site}/page#part");
    let found = preview(&alice, &url).await.ok();
    assert_eq!(
        (&found["og:title"], &found["og:description"]),
        (&json!("A title"), &json!("Words"))
    );
    assert_eq!((&found["og:image:width"], &found["og:image:height"]), (&json!(4), &json!(2)));
    assert!(found["matrix:image:size"].is_u64());
    let image = found["og:image"].as_str().expect("an image");
    let id = image.strip_prefix("mxc://example.org/").expect("of this server");
    let file = alice.get(&format!("/v1/media/download/example.org/{id}")).await;
    assert_eq!(file.status, StatusCode::OK);
    // The same answer from memory, at the old path, too; after an hour it is fetched again.
    let escaped: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
    let old = format!("/_matrix/media/v3/preview_url?url={escaped}");
    assert_eq!(alice.get(&old).await.ok(), found);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    server.data.env().advance(Duration::from_secs(2 * 60 * 60));
    preview(&alice, &url).await.ok();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let image = preview(&alice, &format!("{site}/image.png")).await.ok();
    assert_eq!(image["og:image:type"], "image/png");
    assert_eq!(preview(&alice, &format!("{site}/moved")).await.ok()["og:title"], "A title");
}

#[tokio::test]
async fn private_networks_are_not_read_by_any_way() {
    let (site, asked) = site().await;
    // Without an exception for this machine.
    let closed = server(PreviewSettings::default(), &[]).await;
    let alice = closed.user("alice").await;
    let port = site.rsplit(':').next().expect("a port");
    for url in [
        format!("{site}/page"),
        format!("http://localhost:{port}/page"),
        format!("http://[::ffff:127.0.0.1]:{port}/page"),
        format!("http://2130706433:{port}/page"),
        format!("http://0x7f.1:{port}/page"),
        format!("http://127.0.0.1.:{port}/page"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fd00::1]/".to_owned(),
    ] {
        preview(&alice, &url).await.refused(404, "M_NOT_FOUND");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    // A page that may be read leads into another network.
    let open = server(PreviewSettings::default(), &["127.0.0.1"]).await;
    let alice = open.user("alice").await;
    for path in ["inside", "file", "loop", "gone", "big"] {
        preview(&alice, &format!("{site}/{path}")).await.refused(404, "M_NOT_FOUND");
    }
    let evil = preview(&alice, &format!("{site}/evil")).await.ok();
    assert_eq!(evil, json!({ "og:title": "t" }));
    // What says that it is an image and is none is not kept.
    assert_eq!(preview(&alice, &format!("{site}/svg")).await.ok(), json!({}));
}

#[tokio::test]
async fn what_is_no_page_is_refused() {
    let server = server(PreviewSettings::default(), &[]).await;
    let alice = server.user("alice").await;
    for bad in ["", "x", "file:///etc/passwd", "ftp://x/", "https://a:b@example.org/", "data:,x"] {
        preview(&alice, bad).await.refused(400, "M_INVALID_PARAM");
    }
    alice.get(PREVIEW).await.refused(400, "M_MISSING_PARAM");
    let open = server.call(http::Method::GET, PREVIEW, None, None).await;
    open.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn the_operator_says_which_pages() {
    let (site, _) = site().await;
    let only = PreviewSettings {
        allow: Some(UrlPatterns::parse(&["127.0.0.1/page"]).expect("a pattern")),
        ..Default::default()
    };
    let server = server(only, &["127.0.0.1"]).await;
    let alice = server.user("alice").await;
    // The image is not allowed, the page is.
    let found = preview(&alice, &format!("{site}/page")).await.ok();
    assert!(found.get("og:image").is_none());
    preview(&alice, &format!("{site}/image.png")).await.refused(403, "M_FORBIDDEN");
    let none = PreviewSettings {
        deny: UrlPatterns::parse(&["127.0.0.1"]).expect("a pattern"),
        ..Default::default()
    };
    let server = self::server(none, &["127.0.0.1"]).await;
    let alice = server.user("alice").await;
    preview(&alice, &format!("{site}/page")).await.refused(403, "M_FORBIDDEN");
}
