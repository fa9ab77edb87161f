//! Pictures as they are and as attackers make them.

use std::io::Cursor;

use image::{DynamicImage, GenericImageView, ImageFormat, RgbImage};

use super::*;
use crate::{Method, Thumbnail, ThumbnailSize};

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = DynamicImage::ImageRgb8(RgbImage::new(width, height));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

impl World {
    async fn thumbnail(
        &self,
        uri: &OwnedMxcUri,
        (width, height): (u32, u32),
        method: Method,
    ) -> Result<Download, MediaError> {
        let (server, id) = uri.parts().expect("a good URI");
        let size = ThumbnailSize { width, height };
        let wanted = Thumbnail { size, method, animated: false };
        self.media.thumbnail(server, id, wanted, NO_WAIT).await
    }

    /// Size of the thumbnail of a picture.
    async fn size(&self, bytes: &[u8], wanted: (u32, u32), method: Method) -> (u32, u32) {
        let uri = self.upload(bytes, "image/png").await;
        let made = self.thumbnail(&uri, wanted, method).await.expect("a thumbnail");
        let bytes = std::fs::read(made.path).expect("reads");
        image::load_from_memory(&bytes).expect("a picture").dimensions()
    }

    async fn refused(&self, bytes: &[u8]) {
        let uri = self.upload(bytes, "image/png").await;
        for method in [Method::Crop, Method::Scale] {
            let made = self.thumbnail(&uri, (96, 96), method).await;
            assert!(matches!(made, Err(MediaError::NoThumbnail(_))), "{made:?}");
        }
        assert_eq!(self.files().1, 0, "nothing half made is left");
    }
}

#[tokio::test]
async fn a_thumbnail_fits_and_keeps_its_proportions() {
    let world = World::new().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif] {
        let large = picture(1_000, 500, format);
        assert_eq!(world.size(&large, (320, 240), Method::Scale).await, (320, 160));
        assert_eq!(world.size(&large, (96, 96), Method::Crop).await, (96, 96));
    }
}

#[tokio::test]
async fn a_small_picture_is_handed_out_as_it_is() {
    let world = World::new().await;
    let small = picture(20, 10, ImageFormat::Png);
    assert_eq!(world.size(&small, (96, 96), Method::Crop).await, (20, 10));
    assert_eq!(world.size(&small, (320, 240), Method::Scale).await, (20, 10));
}

#[tokio::test]
async fn a_thumbnail_is_made_once() {
    let world = World::new().await;
    let uri = world.upload(&picture(500, 500, ImageFormat::Png), "image/png").await;
    let first = world.thumbnail(&uri, (96, 96), Method::Crop);
    let first = world.budget("thumbnail, made", (2, 1), first).await.expect("a thumbnail");
    let again = world.thumbnail(&uri, (80, 70), Method::Crop);
    let again = world.budget("thumbnail, stored", (2, 0), again).await.expect("a thumbnail");
    assert_eq!(first.path, again.path);
}

#[tokio::test]
async fn of_a_thin_picture_no_giant_is_made_on_the_way() {
    let world = World::new().await;
    // 4 pixels wide: filling 96 in width before cutting would take gigabytes.
    let high = picture(4, 300_000, ImageFormat::Png);
    assert_eq!(world.size(&high, (96, 96), Method::Crop).await, (4, 4));
    let wide = picture(300_000, 4, ImageFormat::Png);
    assert_eq!(world.size(&wide, (96, 96), Method::Crop).await, (4, 4));
    let (width, height) = world.size(&high, (320, 240), Method::Scale).await;
    assert!(width <= 320 && height <= 240);
}

/// A PNG whose header claims a size; what follows is no picture.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = picture(1, 1, ImageFormat::Png);
    // Signature, length and name of the first chunk, then width and height, and its checksum.
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[tokio::test]
async fn a_claim_of_very_many_pixels_is_refused_from_the_header() {
    let world = World::new().await;
    for (width, height) in [(50_000, 50_000), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
        world.refused(&bomb(width, height)).await;
    }
    // Within the limit, but not what it claims to be.
    world.refused(&bomb(5_000, 5_000)).await;
}

#[tokio::test]
async fn pixels_are_limited_by_the_setting() {
    let settings =
        Settings { thumbnail_source_pixels_max: 10_000, free_bytes_min: 0, ..Settings::default() };
    let world = World::with(settings).await;
    world.refused(&picture(101, 100, ImageFormat::Png)).await;
    world.size(&picture(100, 100, ImageFormat::Png), (32, 32), Method::Crop).await;
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let world = World::new().await;
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    for bytes in [&b""[..], b"x", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF", svg] {
        world.refused(bytes).await;
    }
}

#[tokio::test]
async fn damaged_pictures_are_refused_and_nothing_else_happens() {
    let world = World::new().await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif] {
        let whole = picture(300, 300, format);
        for cut in [10, 30, whole.len() / 3] {
            let uri = world.upload(&whole[..cut], "image/png").await;
            // A decoder may make something of the rest; it must not panic or hang.
            let _ = world.thumbnail(&uri, (96, 96), Method::Crop).await;
        }
        for at in (8..whole.len()).step_by(whole.len().div_ceil(20)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let uri = world.upload(&bytes, "image/png").await;
            let _ = world.thumbnail(&uri, (96, 96), Method::Scale).await;
        }
    }
    assert_eq!(world.files().1, 0);
}

#[tokio::test]
async fn a_withdrawn_picture_has_no_thumbnail_either() {
    let world = World::new().await;
    let uri = world.upload(&picture(500, 500, ImageFormat::Png), "image/png").await;
    world.thumbnail(&uri, (96, 96), Method::Crop).await.expect("made");
    let (server, id) = uri.parts().expect("a good URI");
    world.media.quarantine(server, id, true).await.expect("known");
    let made = world.thumbnail(&uri, (96, 96), Method::Crop).await;
    assert!(matches!(made, Err(MediaError::Quarantined)));
}

/// A GIF that moves.
fn film(width: u32, height: u32, frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new_with_speed(&mut bytes, 30);
    for number in 0..frames {
        let color = image::Rgba([(number % 250) as u8, 0, 0, 255]);
        let buffer = image::RgbaImage::from_pixel(width, height, color);
        let delay = image::Delay::from_numer_denom_ms(100, 1);
        let frame = image::Frame::from_parts(buffer, 0, 0, delay);
        encoder.encode_frame(frame).expect("encodes");
    }
    drop(encoder);
    bytes
}

/// Format, size and frames of the thumbnail of a film.
async fn shown(world: &World, film: &[u8], animated: bool) -> (ImageFormat, (u32, u32), usize) {
    use image::AnimationDecoder;
    let uri = world.upload(film, "image/gif").await;
    let (server, id) = uri.parts().expect("a good URI");
    let size = ThumbnailSize { width: 96, height: 96 };
    let wanted = Thumbnail { size, method: Method::Crop, animated };
    let made = world.media.thumbnail(server, id, wanted, NO_WAIT).await.expect("a thumbnail");
    let bytes = std::fs::read(made.path).expect("reads");
    let format = image::guess_format(&bytes).expect("a picture");
    let size = image::load_from_memory(&bytes).expect("a picture").dimensions();
    let frames = match format {
        ImageFormat::Gif => {
            let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(bytes));
            decoder.expect("a GIF").into_frames().count()
        }
        _ => 1,
    };
    (format, size, frames)
}

#[tokio::test]
async fn a_film_moves_in_small_if_that_is_wanted_and_only_then() {
    let world = World::new().await;
    let large = film(300, 200, 5);
    assert_eq!(shown(&world, &large, true).await, (ImageFormat::Gif, (96, 96), 5));
    assert_eq!(shown(&world, &large, false).await, (ImageFormat::Png, (96, 96), 1));
    let small = film(30, 20, 5);
    assert_eq!(shown(&world, &small, true).await, (ImageFormat::Gif, (30, 20), 5));
    assert_eq!(shown(&world, &small, false).await, (ImageFormat::Png, (30, 20), 1));
    // One frame is no film.
    assert_eq!(shown(&world, &film(30, 20, 1), false).await.0, ImageFormat::Gif);
    assert_eq!(shown(&world, &film(300, 200, 1), true).await.0, ImageFormat::Png);
}

#[tokio::test]
async fn a_film_that_is_too_long_stands_still_and_a_damaged_one_harms_nobody() {
    let world = World::new().await;
    let long = film(120, 120, 310);
    assert_eq!(shown(&world, &long, true).await, (ImageFormat::Png, (96, 96), 1));
    let whole = film(300, 300, 4);
    for at in (8..whole.len()).step_by(whole.len().div_ceil(30)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let uri = world.upload(&bytes, "image/gif").await;
        let (server, id) = uri.parts().expect("a good URI");
        let size = ThumbnailSize { width: 96, height: 96 };
        let wanted = Thumbnail { size, method: Method::Scale, animated: true };
        let _ = world.media.thumbnail(server, id, wanted, NO_WAIT).await;
    }
}
