use super::World;
use crate::{AccountsError, Issued, Secret, SignIn};

async fn world_with_session() -> (World, Issued) {
    let world = World::new().await;
    let user = world.user("alice").await;
    let issued = world.sign_in(&user, &SignIn { refresh: true, ..SignIn::default() }).await;
    (world, issued)
}

fn refresh_token(issued: &Issued) -> &str {
    issued.refresh_token.as_ref().map(Secret::reveal).expect("it was wanted")
}

async fn refresh(world: &World, issued: &Issued) -> Result<Issued, AccountsError> {
    world.accounts.refresh(refresh_token(issued)).await
}

async fn works(world: &World, issued: &Issued) -> bool {
    world.accounts.authenticate(issued.access_token.reveal()).await.is_ok()
}

#[tokio::test]
async fn an_expired_access_token_is_a_soft_logout() {
    let (world, issued) = world_with_session().await;
    assert!(works(&world, &issued).await);
    world.advance(5 * 60);
    let late = world.accounts.authenticate(issued.access_token.reveal()).await;
    assert!(matches!(late, Err(AccountsError::UnknownToken { soft_logout: true })));
    let renewed = refresh(&world, &issued).await.expect("the refresh token lives longer");
    assert!(works(&world, &renewed).await);
    assert_eq!(renewed.device_id, issued.device_id);
}

#[tokio::test]
async fn the_old_pair_lives_until_the_new_one_is_used() {
    let (world, first) = world_with_session().await;
    let second = refresh(&world, &first).await.expect("it is good");
    assert!(works(&world, &first).await);
    assert!(works(&world, &second).await);
    assert!(!works(&world, &first).await);
    assert!(refresh(&world, &first).await.is_err());
    assert!(works(&world, &second).await);
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_and_ends_the_lost_pair() {
    let (world, first) = world_with_session().await;
    let lost = refresh(&world, &first).await.expect("it is good");
    let second = refresh(&world, &first).await.expect("it is still good");
    assert!(!works(&world, &lost).await);
    assert!(refresh(&world, &lost).await.is_err());
    assert!(works(&world, &second).await);
}

#[tokio::test]
async fn using_the_new_refresh_token_ends_the_old_one() {
    let (world, first) = world_with_session().await;
    let second = refresh(&world, &first).await.expect("it is good");
    let third = refresh(&world, &second).await.expect("it is good");
    assert!(!works(&world, &first).await);
    assert!(refresh(&world, &first).await.is_err());
    assert!(works(&world, &third).await);
    assert!(!works(&world, &second).await);
}

#[tokio::test]
async fn signing_out_ends_every_token_of_the_device() {
    let (world, first) = world_with_session().await;
    let second = refresh(&world, &first).await.expect("it is good");
    let token = second.access_token.reveal();
    let session = world.accounts.authenticate_even_locked(token).await.expect("known");
    let third = refresh(&world, &second).await.expect("it is good");
    world.accounts.sign_out(&session).await.expect("memory writes");
    for issued in [&first, &second, &third] {
        assert!(!works(&world, issued).await);
        assert!(refresh(&world, issued).await.is_err());
    }
}

#[tokio::test]
async fn an_unused_refresh_token_ends() {
    let (world, issued) = world_with_session().await;
    world.advance(91 * 24 * 60 * 60);
    let late = refresh(&world, &issued).await;
    assert!(matches!(late, Err(AccountsError::UnknownToken { .. })));
}

#[tokio::test]
async fn two_refreshes_at_once_leave_one_line_of_descent() {
    let (world, first) = world_with_session().await;
    let (one, other) = tokio::join!(refresh(&world, &first), refresh(&world, &first));
    let (one, other) = (one.expect("retried"), other.expect("retried"));
    let alive = [works(&world, &one).await, works(&world, &other).await];
    assert_eq!(alive.iter().filter(|alive| **alive).count(), 1);
}
