//! Files in and out: limits, owners, and what is left behind.

use bytes::Bytes;
use ruma::{server_name, user_id};

use super::*;

#[tokio::test]
async fn what_was_uploaded_is_handed_out() {
    let world = World::new().await;
    let upload = world.budget("media upload", (0, 1), world.upload(b"hello", "text/plain"));
    let uri = upload.await;
    let found = world.budget("media download", (1, 0), world.download(&uri)).await;
    let found = found.expect("it is there");
    assert_eq!(std::fs::read(&found.path).expect("reads"), b"hello");
    assert_eq!(found.content.size_bytes, 5);
    assert_eq!(found.content.content_type.as_deref(), Some("text/plain"));
    // The same bytes again are one file.
    let again = world.upload(b"hello", "text/html").await;
    assert_ne!(uri, again);
    assert_eq!(world.files(), (1, 0));
}

#[tokio::test]
async fn a_file_is_not_larger_than_allowed() {
    let settings = Settings { upload_bytes_max: 10, free_bytes_min: 0, ..Settings::default() };
    let world = World::with(settings).await;
    let mut upload = world.media.upload(&anna()).await.expect("begins");
    upload.write(&Bytes::from_static(b"0123456789")).await.expect("just fits");
    let refused = upload.write(&Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(MediaError::TooLarge { bytes_max: 10 })));
    assert_eq!(world.files(), (0, 1));
    drop(upload);
    assert_eq!(world.files(), (0, 0), "what was refused is not kept");
}

#[tokio::test]
async fn a_created_id_is_for_its_creator_and_for_one_content() {
    let world = World::new().await;
    let created = world.budget("media create", (1, 1), world.media.create(&anna())).await;
    let uri = created.expect("may create").uri;
    let early = world.download(&uri).await;
    assert!(matches!(early, Err(MediaError::NotYetUploaded)));
    let other = world.upload_to(user_id!("@ben:a.example"), &uri).await;
    assert!(matches!(other, Err(MediaError::NotYours)));
    world.upload_to(&anna(), &uri).await.expect("the creator may");
    world.download(&uri).await.expect("it is there");
    let again = world.upload_to(&anna(), &uri).await;
    assert!(matches!(again, Err(MediaError::AlreadyUploaded)));
}

#[tokio::test]
async fn of_two_uploads_to_one_id_one_wins() {
    let world = World::new().await;
    let uri = world.media.create(&anna()).await.expect("may create").uri;
    let (server, id) = uri.parts().expect("a good URI");
    let first = world.media.upload_created(&anna(), server, id).await.expect("begins");
    let mut second = world.media.upload_created(&anna(), server, id).await.expect("begins");
    second.write(&Bytes::from_static(b"second")).await.expect("fits");
    second.finish(None, None).await.expect("is the first to finish");
    assert!(matches!(first.finish(None, None).await, Err(MediaError::AlreadyUploaded)));
    let found = world.download(&uri).await.expect("it is there");
    assert_eq!(std::fs::read(found.path).expect("reads"), b"second");
}

#[tokio::test]
async fn ids_without_content_are_few_and_expire() {
    let world = World::with(Settings { pending_per_user_max: 2, ..Settings::default() }).await;
    let first = world.media.create(&anna()).await.expect("one").uri;
    world.media.create(&anna()).await.expect("two");
    let third = world.media.create(&anna()).await;
    assert!(matches!(third, Err(MediaError::TooManyPending)));
    world.media.create(user_id!("@ben:a.example")).await.expect("others have their own");
    world.advance(24 * 60 * 60 + 1);
    assert!(matches!(world.upload_to(&anna(), &first).await, Err(MediaError::Unknown)));
    world.media.create(&anna()).await.expect("the old ones are gone");
}

#[tokio::test]
async fn content_that_arrives_wakes_who_waits() {
    let world = World::new().await;
    let uri = world.media.create(&anna()).await.expect("may create").uri;
    let (server, id) = uri.parts().expect("a good URI");
    let wait = world.media.download(server, id, Duration::from_secs(30));
    let user = anna();
    let (found, done) = tokio::join!(wait, world.upload_to(&user, &uri));
    done.expect("the creator may");
    found.expect("it arrived");
}

#[tokio::test]
async fn what_was_withdrawn_is_not_handed_out() {
    let world = World::new().await;
    let uri = world.upload(b"x", "text/plain").await;
    let (server, id) = uri.parts().expect("a good URI");
    world.media.quarantine(server, id, true).await.expect("known");
    assert!(matches!(world.download(&uri).await, Err(MediaError::Quarantined)));
    world.media.quarantine(server, id, false).await.expect("known");
    world.download(&uri).await.expect("it is back");
}

#[tokio::test]
async fn strange_ids_and_servers_are_unknown() {
    let world = World::new().await;
    world.upload(b"x", "text/plain").await;
    for id in ["", "..", "../../etc/passwd", "a/b", "\0", &"x".repeat(10_000)] {
        let found = world.media.download(server_name!("a.example"), id, NO_WAIT).await;
        assert!(matches!(found, Err(MediaError::Unknown)), "{id}");
    }
    let elsewhere = world.media.download(server_name!("b.example"), "x", NO_WAIT).await;
    assert!(matches!(elsewhere, Err(MediaError::Unknown)));
}

#[tokio::test]
async fn long_names_are_cut_between_letters() {
    let world = World::new().await;
    let upload = world.media.upload(&anna()).await.expect("begins");
    let name = "ä".repeat(1_000);
    let uri = upload.finish(Some("x".repeat(1_000)), Some(name)).await.expect("is stored");
    let content = world.download(&uri).await.expect("it is there").content;
    assert_eq!(content.file_name, Some("ä".repeat(127)));
    assert_eq!(content.content_type.map(|text| text.len()), Some(255));
}

#[tokio::test]
async fn what_was_half_written_is_gone_after_a_restart() {
    let world = World::new().await;
    std::fs::write(world.folder.path().join("incoming/left"), b"x").expect("writes");
    assert_eq!(world.files(), (0, 1));
    let settings = world.media.settings().clone();
    Media::open(world.data.clone(), Federation::off(world.data.clone()), nowhere(), settings)
        .await
        .expect("opens again");
    assert_eq!(world.files(), (0, 0));
}

#[tokio::test]
async fn files_are_refused_while_little_space_is_left() {
    let settings = Settings { free_bytes_min: u64::MAX, ..Settings::default() };
    let world = World::with(settings).await;
    let refused = world.media.upload(&anna()).await.map(|_| ());
    assert!(matches!(refused, Err(MediaError::NoSpace)), "{refused:?}");
}
