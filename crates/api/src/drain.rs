//! A refused request's body is still on its way. If the connection were closed now, the answer
//! would be lost with it: TCP resets a connection that is closed with unread bytes, and the client
//! would see that instead of 401 or 413. So the rest is read and thrown away, within limits.

use std::{sync::Arc, task::Poll, time::Duration};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    middleware::Next,
    response::Response,
};
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode, header};
use parking_lot::Mutex;

/// Bytes thrown away at most; after that the connection may break.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long that may take.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The body, lent to the handler; what it leaves stays here. `None` after the end.
type Lent = Arc<Mutex<Option<BodyDataStream>>>;

/// Let the handler answer, then read what it left of the body.
pub(crate) async fn drain(request: Request<Body>, next: Next) -> Response {
    // Who expects "100 Continue" sends nothing before it is asked to.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let mut kept = Lent::default();
    let request = request.map(|body| {
        kept = Arc::new(Mutex::new(Some(body.into_data_stream())));
        lend(Arc::clone(&kept))
    });
    let response = next.run(request).await;
    // Too slow already: no more patience.
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        return response;
    }
    // In time or not: the answer goes out.
    let _ = tokio::time::timeout(TIME_MAX, throw_away(kept)).await;
    response
}

fn lend(kept: Lent) -> Body {
    Body::from_stream(stream::poll_fn(move |context| {
        let mut kept = kept.lock();
        let Some(body) = kept.as_mut() else { return Poll::Ready(None) };
        let piece = body.poll_next_unpin(context);
        if matches!(piece, Poll::Ready(None | Some(Err(_)))) {
            *kept = None;
        }
        piece
    }))
}

async fn throw_away(kept: Lent) {
    let Some(mut body) = kept.lock().take() else { return };
    let mut bytes = 0;
    while let Some(Ok(piece)) = body.next().await {
        bytes += piece.len();
        if bytes > BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use bytes::Bytes;
    use tower::ServiceExt;

    use super::*;

    /// A body of three pieces that counts how many were taken.
    fn counted(taken: &Arc<Mutex<usize>>) -> Body {
        let taken = Arc::clone(taken);
        let pieces = stream::iter(0..3).map(move |_| {
            *taken.lock() += 1;
            Ok::<_, std::io::Error>(Bytes::from_static(b"piece"))
        });
        Body::from_stream(pieces)
    }

    async fn ask(router: Router, body: Body) -> Response {
        let router = router.layer(axum::middleware::from_fn(drain));
        let request = Request::post("/").body(body).expect("a request");
        router.oneshot(request).await.expect("an answer")
    }

    #[tokio::test]
    async fn what_the_handler_leaves_is_read() {
        let taken = Arc::default();
        let router = Router::new().route("/", post(|| async { "no" }));
        assert_eq!(ask(router, counted(&taken)).await.status(), 200);
        assert_eq!(*taken.lock(), 3);
    }

    #[tokio::test]
    async fn a_body_that_was_too_slow_is_not_waited_for() {
        let taken = Arc::default();
        let router = Router::new().route("/", post(|| async { StatusCode::REQUEST_TIMEOUT }));
        assert_eq!(ask(router, counted(&taken)).await.status(), 408);
        assert_eq!(*taken.lock(), 0);
    }

    #[tokio::test]
    async fn what_the_handler_reads_reaches_it() {
        let taken = Arc::default();
        let router = Router::new().route("/", post(|body: Bytes| async move { body }));
        let answer = ask(router, counted(&taken)).await;
        let body = axum::body::to_bytes(answer.into_body(), 100).await.expect("a body");
        assert_eq!(body, "piecepiecepiece");
        assert_eq!(*taken.lock(), 3);
    }
}
