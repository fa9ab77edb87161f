//! Small pictures of large ones.

mod moving;

use std::{io::Cursor, path::Path, time::Duration};

use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageFormat, ImageReader, imageops::FilterType,
};
use ruma::ServerName;

use crate::{
    Download, Media, MediaError,
    rows::{Content, MediaRow, ThumbnailRow, media_name, media_part},
};

/// How a picture is made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Fill the size, cut off what is over.
    Crop,
    /// Fit into the size, keep the proportions.
    Scale,
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThumbnailSize {
    pub width: u32,
    pub height: u32,
}

/// What thumbnail is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    pub size: ThumbnailSize,
    pub method: Method,
    /// A moving one, if the picture moves. Otherwise it is a still one of the first frame.
    pub animated: bool,
}

/// The sizes that are made; a request gets the smallest that is large enough, so that nobody can
/// fill the disk by asking for every size (spec: client-server API, "Thumbnails", recommends it).
const SIZES: [(ThumbnailSize, Method); 5] = [
    (ThumbnailSize { width: 32, height: 32 }, Method::Crop),
    (ThumbnailSize { width: 96, height: 96 }, Method::Crop),
    (ThumbnailSize { width: 320, height: 240 }, Method::Scale),
    (ThumbnailSize { width: 640, height: 480 }, Method::Scale),
    (ThumbnailSize { width: 800, height: 600 }, Method::Scale),
];

/// Memory that decoding one picture may take, in bytes.
const DECODE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The stored size that serves a request.
fn served_size(wanted: ThumbnailSize, method: Method) -> (ThumbnailSize, Method) {
    let enough = |size: ThumbnailSize| size.width >= wanted.width && size.height >= wanted.height;
    SIZES
        .into_iter()
        .find(|(size, made)| *made == method && enough(*size))
        .or_else(|| SIZES.into_iter().rev().find(|(_, made)| *made == method))
        .expect("there is a size of each method")
}

impl Media {
    /// A thumbnail of a file of this server, or the file itself if that is no larger.
    ///
    /// # Errors
    /// As for [`Media::download`]; [`MediaError::NoThumbnail`] if the file is no picture we
    /// decode, is damaged or has too many pixels.
    pub async fn thumbnail(
        &self,
        server: &ServerName,
        id: &str,
        wanted: Thumbnail,
        timeout: Duration,
    ) -> Result<Download, MediaError> {
        let (_, source) = self.content(server, id, timeout).await?;
        let (size, method) = served_size(wanted.size, wanted.method);
        let wanted = Thumbnail { size, method, ..wanted };
        let name = media_name(server, id);
        let part = media_part(self.data(), &name);
        let key = (size.width, size.height, wanted.number());
        if let Some(row) = self.data().get::<ThumbnailRow>(part, &key).await? {
            return Ok(self.as_download(row.value));
        }
        let path = self.blobs().path(source.blob);
        let pixels_max = self.settings().thumbnail_source_pixels_max;
        let made = self.data().env().cpu(move || made(&path, wanted, pixels_max)).await?;
        let Some((bytes, content_type)) = made else { return Ok(self.as_download(source)) };
        let mut writer = self.blobs().writer(self.data().env()).await?;
        writer.write(&bytes).await?;
        let (blob, size_bytes) = writer.finish().await?;
        let content = Content {
            blob,
            size_bytes,
            content_type: Some(content_type.to_owned()),
            file_name: None,
        };
        let mut write = blaupause_data::Write::new(part);
        write.put::<ThumbnailRow>(part, &key, &content);
        self.data().commit(write).await?;
        Ok(self.as_download(content))
    }

    fn as_download(&self, content: Content) -> Download {
        Download { path: self.blobs().path(content.blob), content }
    }

    /// Withdraw a file, or hand it out again.
    ///
    /// # Errors
    /// [`MediaError::Unknown`]; or the store failed.
    pub async fn quarantine(
        &self,
        server: &ServerName,
        id: &str,
        quarantined: bool,
    ) -> Result<(), MediaError> {
        let name = media_name(server, id);
        let part = media_part(self.data(), &name);
        let row = self.data().get::<MediaRow>(part, &()).await?;
        let row = row.filter(|row| row.name == name).ok_or(MediaError::Unknown)?;
        let mut info = row.value;
        info.quarantined = quarantined;
        let mut write = blaupause_data::Write::new(part);
        write.require_version::<MediaRow>(part, &(), row.version);
        write.put_version::<MediaRow>(part, &(), row.version + 1, &info);
        self.data().commit(write).await?;
        Ok(())
    }
}

type Made = Option<(Vec<u8>, &'static str)>;

/// As [`make`]; a decoder that panics on a damaged picture says no more than that it is damaged.
fn made(path: &Path, wanted: Thumbnail, pixels_max: u64) -> Result<Made, MediaError> {
    std::panic::catch_unwind(|| make(path, wanted, pixels_max))
        .unwrap_or(Err(MediaError::NoThumbnail("the picture is damaged")))
}

/// `None` if the source is no larger than the thumbnail would be.
fn make(path: &Path, wanted: Thumbnail, pixels_max: u64) -> Result<Made, MediaError> {
    let Thumbnail { size, method, animated } = wanted;
    let unreadable = |_| MediaError::NoThumbnail("the picture is damaged or of an unknown format");
    let mut reader = ImageReader::open(path)?.with_guessed_format()?;
    // The stored type is what the uploader claims; only the bytes count.
    let format = match reader.format() {
        Some(
            format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP),
        ) => format,
        _ => return Err(MediaError::NoThumbnail("not a PNG, JPEG, GIF or WebP picture")),
    };
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    // From the header alone: a few bytes can claim billions of pixels.
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > pixels_max {
        return Err(MediaError::NoThumbnail("the picture has too many pixels"));
    }
    let is_small = width <= size.width && height <= size.height;
    // Who wants a still picture gets none that moves (spec: "Thumbnails").
    if is_small && (animated || !moving::moves(path, format)) {
        return Ok(None);
    }
    if animated
        && moving::moves(path, format)
        && let Some(bytes) =
            moving::made_smaller(path, format, (size, method), pixels).map_err(unreadable)?
    {
        return Ok(Some((bytes, "image/gif")));
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    picture.apply_orientation(orientation);
    let small = if is_small { picture } else { fitted(&picture, size, method) };
    let mut bytes = Vec::new();
    let (format, content_type) = match format {
        ImageFormat::Jpeg => (ImageFormat::Jpeg, "image/jpeg"),
        _ => (ImageFormat::Png, "image/png"),
    };
    let small = match format {
        ImageFormat::Jpeg => DynamicImage::ImageRgb8(small.into_rgb8()),
        _ => DynamicImage::ImageRgba8(small.into_rgba8()),
    };
    small.write_to(&mut Cursor::new(&mut bytes), format).map_err(unreadable)?;
    Ok(Some((bytes, content_type)))
}

/// The picture as the method makes it fit.
fn fitted(picture: &DynamicImage, size: ThumbnailSize, method: Method) -> DynamicImage {
    match method {
        Method::Crop => cropped(picture, size),
        Method::Scale => {
            let (width, height) = picture.dimensions();
            let (width, height) = (width.min(size.width), height.min(size.height));
            picture.resize(width, height, FilterType::Triangle)
        }
    }
}

/// The middle of a picture in the proportions of the size, no larger than the size. Cut first,
/// then made smaller: the other way round a picture of one pixel's width and millions in height
/// would first be made millions of times larger.
fn cropped(picture: &DynamicImage, size: ThumbnailSize) -> DynamicImage {
    let (width, height) = picture.dimensions();
    let share = |of: u32, part: u32, whole: u32| {
        let share = u64::from(of) * u64::from(part) / u64::from(whole.max(1));
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    };
    let is_wide =
        u64::from(width) * u64::from(size.height) > u64::from(height) * u64::from(size.width);
    let (cut_width, cut_height) = if is_wide {
        (share(height, size.width, size.height).min(width), height)
    } else {
        (width, share(width, size.height, size.width).min(height))
    };
    let (x, y) = ((width - cut_width) / 2, (height - cut_height) / 2);
    let cut = picture.crop_imm(x, y, cut_width, cut_height);
    if cut_width <= size.width && cut_height <= size.height {
        return cut;
    }
    cut.resize_exact(size.width, size.height, FilterType::Triangle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> ThumbnailSize {
        ThumbnailSize { width, height }
    }

    #[test]
    fn a_request_gets_the_smallest_size_that_is_large_enough() {
        assert_eq!(served_size(size(20, 20), Method::Crop).0, size(32, 32));
        assert_eq!(served_size(size(33, 10), Method::Crop).0, size(96, 96));
        assert_eq!(served_size(size(1, 1), Method::Scale).0, size(320, 240));
    }

    #[test]
    fn no_request_gets_more_than_the_largest_size() {
        assert_eq!(served_size(size(999_999, 999_999), Method::Scale).0, size(800, 600));
        assert_eq!(served_size(size(999_999, 999_999), Method::Crop).0, size(96, 96));
    }
}
