//! Profiles, and finding each other.

use blaupause_clients::{Person, scenario, until};

use crate::{media::PICTURE, rooms::talk};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_display_name_and_avatar_reach_the_rooms() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (_here, there) = talk(&alice, &bob, false).await?;
        alice.client.account().set_display_name(Some("Alice A.")).await?;
        let avatar =
            alice.client.account().upload_avatar(&mime::IMAGE_PNG, PICTURE.to_vec()).await?;
        until("bob sees both", async || {
            let member = there.room.get_member_no_sync(&alice.id()).await.ok()??;
            let both =
                member.display_name() == Some("Alice A.") && member.avatar_url() == Some(&*avatar);
            both.then_some(())
        })
        .await?;
        let profile = bob.client.account().fetch_user_profile_of(&alice.id()).await?;
        assert_eq!(profile.get("displayname").and_then(|name| name.as_str()), Some("Alice A."));
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_share_a_room_find_each_other_by_name() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        alice.client.account().set_display_name(Some("Wilhelmine")).await?;
        talk(&alice, &bob, false).await?;
        let found = bob.client.search_users("wilhelm", 10).await?.results;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].user_id, alice.id());
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_users_messages_do_not_appear() {
    scenario(async |server| {
        let alice = Person::new(server, "alice").await?;
        let bob = Person::new(server, "bob").await?;
        let (here, there) = talk(&alice, &bob, false).await?;
        alice.client.account().ignore_user(&bob.id()).await?;
        until("alice's device knows whom to ignore", async || {
            alice.client.is_user_ignored(&bob.id()).await.then_some(())
        })
        .await?;
        there.say("nobody listens").await?;
        here.say("a later message").await?;
        let shown = blaupause_clients::bodies(&here.items().await);
        assert!(!shown.contains(&"nobody listens".to_owned()), "{shown:?}");
        Ok(())
    })
    .await;
}
