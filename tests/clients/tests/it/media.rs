//! Pictures and files.

use anyhow::{Context, Result, bail};
use blaupause_clients::{Person, scenario};
use matrix_sdk::{
    attachment::{AttachmentInfo, BaseImageInfo},
    media::{MediaFormat, MediaRequestParameters, MediaThumbnailSettings},
    ruma::{
        events::room::{MediaSource, message::MessageType},
        uint,
    },
};
use matrix_sdk_ui::timeline::{AttachmentConfig, AttachmentSource};

use crate::rooms::talk;

/// A PNG of 1024 by 512 pixels.
pub const PICTURE: &[u8] = include_bytes!("picture.png");

async fn picture_is_seen(encrypted: bool) {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, encrypted).await?;
        let source =
            AttachmentSource::Data { bytes: PICTURE.to_vec(), filename: "map.png".to_owned() };
        let info = BaseImageInfo {
            width: Some(uint!(1024)),
            height: Some(uint!(512)),
            size: u32::try_from(PICTURE.len()).ok().map(Into::into),
            ..BaseImageInfo::default()
        };
        let config =
            AttachmentConfig { info: Some(AttachmentInfo::Image(info)), ..Default::default() };
        here.timeline.send_attachment(source, mime::IMAGE_PNG, config).use_send_queue().await?;

        let seen = there.sees("map.png").await?;
        let message = seen.content().as_message().context("a message")?;
        let MessageType::Image(image) = message.msgtype() else { bail!("no image") };
        assert_eq!(matches!(image.source, MediaSource::Encrypted(_)), encrypted);
        let info = image.info.as_deref().context("info")?;
        assert_eq!(info.mimetype.as_deref(), Some("image/png"));
        let file = bob.client.media().get_file(image, false).await?;
        assert_eq!(file.as_deref(), Some(PICTURE));
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_in_an_encrypted_room_arrives_unchanged() {
    picture_is_seen(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_in_a_plain_room_arrives_unchanged() {
    picture_is_seen(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_has_a_smaller_thumbnail() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let media = alice.client.media();
        let uri = media.upload(&mime::IMAGE_PNG, PICTURE.to_vec(), None).await?.content_uri;
        let settings = MediaThumbnailSettings::new(uint!(320), uint!(240));
        let wanted = MediaRequestParameters {
            source: MediaSource::Plain(uri),
            format: MediaFormat::Thumbnail(settings),
        };
        let thumbnail = media.get_media_content(&wanted, false).await?;
        assert_eq!(png_size(&thumbnail)?, (320, 160));
        Ok(())
    })
    .await;
}

/// Width and height from the header of a PNG.
fn png_size(png: &[u8]) -> Result<(u32, u32)> {
    let number = |at: usize| -> Result<u32> {
        Ok(u32::from_be_bytes(png.get(at..at + 4).context("too short")?.try_into()?))
    };
    if !png.starts_with(b"\x89PNG") {
        bail!("the thumbnail of a PNG is no PNG");
    }
    Ok((number(16)?, number(20)?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_says_how_large_a_file_may_be() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let size_max = alice.client.load_or_fetch_max_upload_size().await?;
        assert_eq!(u64::from(size_max), 50 * 1024 * 1024);
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_address_takes_its_content_later() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let media = alice.client.media();
        let reserved = media.create_content_uri().await?;
        let uri = reserved.uri.clone();
        media.upload_preallocated(reserved, &mime::IMAGE_PNG, PICTURE.to_vec()).await?;
        let wanted =
            MediaRequestParameters { source: MediaSource::Plain(uri), format: MediaFormat::File };
        assert_eq!(media.get_media_content(&wanted, false).await?, PICTURE);
        Ok(())
    })
    .await;
}
