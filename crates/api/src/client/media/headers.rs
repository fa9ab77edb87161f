//! Headers that keep a browser from running what users uploaded (spec: client-server API,
//! "Content repository", "Serving inline content" and "Security considerations").

use axum::response::Response;
use blaupause_media::rows::Content;
use http::{HeaderName, HeaderValue, header};

/// Types that browsers may show; everything else is saved.
const INLINE: [&str; 23] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/flac",
];

const POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
                      style-src 'unsafe-inline'; object-src 'self';";

pub(crate) fn set(response: &mut Response, content: &Content, file_name: Option<&str>) {
    let stored = content.content_type.as_deref().unwrap_or("application/octet-stream");
    let essence = stored.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = if INLINE.contains(&essence.as_str()) { "inline" } else { "attachment" };
    let disposition = disposition(kind, file_name.or(content.file_name.as_deref()));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_str(stored)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.size_bytes));
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let cross_origin = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(cross_origin, HeaderValue::from_static("cross-origin"));
    // A media id's content never changes.
    let cache = HeaderValue::from_static("private, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, cache);
}

/// `Content-Disposition` (RFC 6266): a plain name quoted, any other percent-encoded, so that no
/// name can end the header or add another.
fn disposition(kind: &str, file_name: Option<&str>) -> HeaderValue {
    let text = match file_name {
        None => kind.to_owned(),
        Some(name) if is_plain(name) => format!("{kind}; filename=\"{name}\""),
        Some(name) => format!("{kind}; filename*=utf-8''{}", percent_encoded(name)),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("attachment"))
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._-+()".contains(c);
    !name.is_empty() && name.chars().all(plain)
}

fn percent_encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_name_can_break_out_of_the_header() {
        for name in ["a\"; x=\".html", "a\r\nSet-Cookie: x", "ä\u{202e}gpj.exe", ""] {
            let value = disposition("attachment", Some(name));
            let text = value.to_str().expect("is ASCII");
            assert!(!text.contains('"') && !text.contains('\r'), "{text}");
        }
        assert_eq!(disposition("inline", Some("a b.png")), "inline; filename=\"a b.png\"");
    }

    fn headers(content_type: Option<&str>, file_name: Option<&str>) -> http::HeaderMap {
        let mut response = Response::new(axum::body::Body::empty());
        let content = Content {
            blob: serde_json::from_value(serde_json::json!(vec![0; 32])).expect("32 bytes"),
            size_bytes: 5,
            content_type: content_type.map(ToOwned::to_owned),
            file_name: file_name.map(ToOwned::to_owned),
        };
        set(&mut response, &content, None);
        response.headers().clone()
    }

    fn disposition_of(content_type: Option<&str>) -> String {
        let headers = headers(content_type, None);
        headers[header::CONTENT_DISPOSITION].to_str().expect("is ASCII").to_owned()
    }

    #[test]
    fn only_harmless_types_are_shown_in_the_browser() {
        for harmless in ["image/png", "IMAGE/PNG", "text/plain; charset=utf-8", " video/mp4 "] {
            assert_eq!(disposition_of(Some(harmless)), "inline", "{harmless}");
        }
        for active in [
            "text/html",
            "text/html; image/png",
            "image/svg+xml",
            "application/xhtml+xml",
            "application/javascript",
            "text/xml",
            "application/pdf",
            "image/png,text/html",
            "image/png\r\nX: y",
            "",
        ] {
            assert_eq!(disposition_of(Some(active)), "attachment", "{active}");
        }
        assert_eq!(disposition_of(None), "attachment");
    }

    #[test]
    fn a_content_type_cannot_add_a_header() {
        let headers = headers(Some("text/plain\r\nSet-Cookie: a=b"), None);
        assert_eq!(headers[header::CONTENT_TYPE], "application/octet-stream");
        assert!(headers.get(header::SET_COOKIE).is_none());
    }

    #[test]
    fn whatever_it_is_a_browser_neither_runs_nor_guesses_it() {
        for content_type in [None, Some("text/html"), Some("image/png")] {
            let headers = headers(content_type, Some("x.html"));
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("is ASCII");
            assert!(policy.starts_with("sandbox;") && policy.contains("script-src 'none'"));
        }
    }
}
