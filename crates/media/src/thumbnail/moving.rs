//! Pictures that move: GIF and WebP.

use std::{fs::File, io::BufReader, path::Path};

use image::{
    AnimationDecoder, DynamicImage, Frame, Frames, ImageFormat, ImageResult,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        webp::WebPDecoder,
    },
};

use super::{Method, ThumbnailSize, fitted};

/// Frames of a picture that are made smaller.
const FRAMES_MAX: usize = 300;
/// Pixels of all frames together that are decoded. Beyond that, and beyond the frames, the
/// thumbnail is a still one.
const PIXELS_MAX: u64 = 250_000_000;
/// How much effort GIF's colors are worth: 1 is best, 30 is fastest.
const SPEED: i32 = 15;

/// Whether a picture has more than one frame. Damaged ones have none.
pub(super) fn moves(path: &Path, format: ImageFormat) -> bool {
    frames(path, format).is_ok_and(|frames| frames.is_some_and(|frames| frames.take(2).count() > 1))
}

/// A GIF of all frames, made smaller; `None` if there are too many.
pub(super) fn made_smaller(
    path: &Path,
    format: ImageFormat,
    (size, method): (ThumbnailSize, Method),
    frame_pixels: u64,
) -> ImageResult<Option<Vec<u8>>> {
    let frames_max = usize::try_from(PIXELS_MAX / frame_pixels.max(1)).unwrap_or(FRAMES_MAX);
    let frames_max = frames_max.min(FRAMES_MAX);
    let Some(frames) = frames(path, format)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
    encoder.set_repeat(Repeat::Infinite)?;
    for (index, frame) in frames.enumerate() {
        if index == frames_max {
            return Ok(None);
        }
        let frame = frame?;
        let delay = frame.delay();
        let small = fitted(&DynamicImage::ImageRgba8(frame.into_buffer()), size, method);
        encoder.encode_frame(Frame::from_parts(small.into_rgba8(), 0, 0, delay))?;
    }
    drop(encoder);
    Ok(Some(bytes))
}

/// The frames of a picture; `None` if its format has none.
fn frames(path: &Path, format: ImageFormat) -> ImageResult<Option<Frames<'static>>> {
    let reader = || File::open(path).map(BufReader::new);
    Ok(match format {
        ImageFormat::Gif => Some(GifDecoder::new(reader()?)?.into_frames()),
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(reader()?)?;
            decoder.has_animation().then(|| decoder.into_frames())
        }
        _ => None,
    })
}
