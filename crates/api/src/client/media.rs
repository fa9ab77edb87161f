//! Files: upload, download, thumbnails (spec: client-server API, "Content repository").
//!
//! ruma's types hold whole files in memory; here bodies stream. Paths are those of ruma's
//! `authenticated_media` and `media` modules; the deprecated ones without sign-in exist only if
//! the operator wants them.

mod create_content;
mod create_mxc_uri;
mod get_content;
mod get_content_thumbnail;
mod get_media_config;
mod get_media_preview;
pub(crate) mod headers;
mod range;

use axum::{Router, extract::DefaultBodyLimit};
use http::Method;

pub(crate) use get_content::is_media_id;
pub(crate) use get_content_thumbnail::thumbnail_wanted;

use crate::{App, Serve, asked::ServeAsked};

pub(crate) fn routes(router: Router<App>) -> Router<App> {
    let download = "/_matrix/client/v1/media/download/{server}/{id}";
    let thumbnail = "/_matrix/client/v1/media/thumbnail/{server}/{id}";
    let mut router = router
        .serve(get_media_config::get_media_config)
        .serve(get_media_config::get_media_config_deprecated)
        .serve(create_mxc_uri::create_mxc_uri)
        .serve_raw(Method::GET, download, get_content::get_content)
        .serve_raw(Method::GET, &format!("{download}/{{file_name}}"), get_content::get_content)
        .serve_raw(Method::GET, thumbnail, get_content_thumbnail::get_content_thumbnail)
        .serve_raw(Method::POST, "/_matrix/media/v3/upload", create_content::create_content)
        .serve_raw(Method::POST, "/_matrix/media/r0/upload", create_content::create_content);
    for path in get_media_preview::PATHS {
        router = router.serve_asked(Method::GET, path, get_media_preview::get_media_preview);
    }
    for version in ["r0", "v1", "v3"] {
        let download = format!("/_matrix/media/{version}/download/{{server}}/{{id}}");
        let thumbnail = format!("/_matrix/media/{version}/thumbnail/{{server}}/{{id}}");
        router = router
            .serve_raw(Method::GET, &download, get_content::get_content_deprecated)
            .serve_raw(
                Method::GET,
                &format!("{download}/{{file_name}}"),
                get_content::get_content_deprecated,
            )
            .serve_raw(
                Method::GET,
                &thumbnail,
                get_content_thumbnail::get_content_thumbnail_deprecated,
            );
    }
    router
        .serve_raw(
            Method::PUT,
            "/_matrix/media/v3/upload/{server}/{id}",
            create_content::create_content_async,
        )
        // Uploads are counted as they stream.
        .layer(DefaultBodyLimit::disable())
}
