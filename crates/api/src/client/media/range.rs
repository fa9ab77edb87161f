//! A file, or the part of it that a player of sound or pictures asks for (RFC 9110, "Range Requests").

use axum::{body::Body, response::Response};
use blaupause_media::Download;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;

use super::headers;
use crate::ApiError;

/// What of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    /// The first byte and how many.
    Part(u64, u64),
    /// Bytes that the file does not have.
    Beyond,
}

/// The file as it is asked for.
pub(super) async fn answer(
    download: &Download,
    file_name: Option<&str>,
    asked: &HeaderMap,
) -> Result<Response, ApiError> {
    let bytes = download.content.size_bytes;
    let failed = |error: std::io::Error| ApiError::internal(&error);
    let mut file = tokio::fs::File::open(&download.path).await.map_err(failed)?;
    let mut response = Response::new(Body::empty());
    headers::set(&mut response, &download.content, file_name);
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let (status, length, range) = match wanted(asked, bytes) {
        Wanted::Whole => {
            *response.body_mut() = Body::from_stream(ReaderStream::new(file));
            return Ok(response);
        }
        Wanted::Part(first, length) => {
            file.seek(SeekFrom::Start(first)).await.map_err(failed)?;
            *response.body_mut() = Body::from_stream(ReaderStream::new(file.take(length)));
            let range = format!("bytes {first}-{}/{bytes}", first + length - 1);
            (StatusCode::PARTIAL_CONTENT, length, range)
        }
        Wanted::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, format!("bytes */{bytes}")),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let range = HeaderValue::from_str(&range).map_err(|error| ApiError::internal(&error))?;
    headers.insert(header::CONTENT_RANGE, range);
    Ok(response)
}

/// Several ranges, other units and what is no range are passed over: the whole file answers them,
/// too.
fn wanted(asked: &HeaderMap, bytes: u64) -> Wanted {
    // Whether it is still the same file is asked by a name that we do not give.
    if asked.contains_key(header::IF_RANGE) {
        return Wanted::Whole;
    }
    let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((first, last)) = range else { return Wanted::Whole };
    let (first, last) = (first.trim(), last.trim());
    let (first, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(bytes)),
        (Ok(first), Err(_)) if last.is_empty() => (first, bytes),
        (Err(_), Ok(length)) if first.is_empty() => (bytes.saturating_sub(length), bytes),
        _ => return Wanted::Whole,
    };
    match end.checked_sub(first) {
        Some(length) if length > 0 => Wanted::Part(first, length),
        _ => Wanted::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str, bytes: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().expect("a header"));
        wanted(&headers, bytes)
    }

    #[test]
    fn one_range_of_bytes_is_answered() {
        assert_eq!(of("bytes=0-0", 10), Wanted::Part(0, 1));
        assert_eq!(of("bytes=2-5", 10), Wanted::Part(2, 4));
        assert_eq!(of("bytes=2-", 10), Wanted::Part(2, 8));
        assert_eq!(of("bytes=2-99999999999", 10), Wanted::Part(2, 8));
        assert_eq!(of("bytes=-3", 10), Wanted::Part(7, 3));
        assert_eq!(of("bytes=-30", 10), Wanted::Part(0, 10));
        assert_eq!(of("bytes=0-18446744073709551615", 10), Wanted::Part(0, 10));
    }

    #[test]
    fn what_the_file_does_not_have_is_beyond_it() {
        for range in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=18446744073709551615-"] {
            assert_eq!(of(range, 10), Wanted::Beyond, "{range}");
        }
        assert_eq!(of("bytes=0-", 0), Wanted::Beyond);
    }

    #[test]
    fn anything_else_gets_the_whole_file() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=a-b",
            "bytes=0x1-2",
            "bytes=1-99999999999999999999",
        ] {
            assert_eq!(of(range, 10), Wanted::Whole, "{range}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"x\""));
        assert_eq!(wanted(&headers, 10), Wanted::Whole);
    }
}
