use std::time::Duration;

use bytes::Bytes;
use http::Request;
use ruma::user_id;

use super::*;

const FLOWS: Flows = &[&[AuthType::Dummy, AuthType::RegistrationToken]];

fn operation(body: &Value) -> Operation {
    let (parts, ()) = Request::post("/a").body(()).expect("a request").into_parts();
    Operation::new(&parts, Bytes::from(body.to_string()))
}

fn stage(kind: AuthType) -> Option<Stage> {
    Some(Stage { kind, facts: HashMap::new() })
}

/// Ask with a session for a body.
struct Asker<'u> {
    uia: &'u Uia,
    who: Option<&'static UserId>,
}

impl Asker<'_> {
    fn step(
        &self,
        body: &Value,
        session: Option<&str>,
        stage: Option<Stage>,
    ) -> Result<Proved, Value> {
        let operation = operation(body);
        let asked = Asked { who: self.who, operation: &operation, flows: FLOWS, session };
        self.uia.step(asked, stage).map_err(ApiError::body)
    }

    fn session(&self, body: &Value) -> String {
        let asked = self.step(body, None, None).expect_err("stages are to be done");
        asked["session"].as_str().expect("a session").to_owned()
    }
}

fn uia() -> Uia {
    Uia::new(Env::manual(1_000_000))
}

#[test]
fn stages_add_up_to_a_proof_that_holds_once() {
    let uia = uia();
    let alice = Asker { uia: &uia, who: Some(user_id!("@a:b.org")) };
    let body = json!({ "devices": ["A"] });
    let session = alice.session(&body);
    let first = alice.step(&body, Some(&session), stage(AuthType::Dummy)).expect_err("one more");
    assert_eq!(first["completed"], json!(["m.login.dummy"]));
    alice.step(&body, Some(&session), stage(AuthType::RegistrationToken)).expect("all is proved");
    let again = alice.step(&body, Some(&session), None).expect_err("it is used up");
    assert_eq!(again["errcode"], "M_FORBIDDEN");
}

#[test]
fn what_was_proved_for_one_body_is_not_proved_for_another() {
    let uia = uia();
    let alice = Asker { uia: &uia, who: Some(user_id!("@a:b.org")) };
    let (body, other) = (json!({ "devices": ["A"] }), json!({ "devices": ["B"] }));
    let session = alice.session(&body);
    for shown in [None, stage(AuthType::Dummy)] {
        let swapped = alice.step(&other, Some(&session), shown).expect_err("another request");
        assert_eq!(swapped["errcode"], "M_FORBIDDEN");
        assert_ne!(swapped["session"], json!(session), "it starts over");
        assert_eq!(swapped.get("completed"), None);
    }
    // The session itself is still good for what it was opened for.
    alice.step(&body, Some(&session), stage(AuthType::Dummy)).expect_err("one more");
    alice.step(&body, Some(&session), stage(AuthType::RegistrationToken)).expect("all is proved");
}

#[test]
fn a_session_that_was_opened_to_learn_the_flows_takes_the_first_real_body() {
    let uia = uia();
    let alice = Asker { uia: &uia, who: Some(user_id!("@a:b.org")) };
    let session = alice.session(&json!({}));
    let body = json!({ "devices": ["A"] });
    let first = alice.step(&body, Some(&session), stage(AuthType::Dummy)).expect_err("one more");
    assert_eq!(first["session"], json!(session));
    let swapped = alice.step(&json!({}), Some(&session), None).expect_err("it is taken");
    assert_ne!(swapped["session"], json!(session));
}

#[test]
fn who_registers_may_choose_another_name_until_something_is_proved() {
    let uia = uia();
    let somebody = Asker { uia: &uia, who: None };
    let session = somebody.session(&json!({ "username": "a" }));
    let body = json!({ "username": "b" });
    let first = somebody.step(&body, Some(&session), stage(AuthType::Dummy)).expect_err("more");
    assert_eq!(first["session"], json!(session));
    let other = json!({ "username": "c" });
    let swapped = somebody.step(&other, Some(&session), None).expect_err("too late");
    assert_ne!(swapped["session"], json!(session));
}

#[test]
fn a_session_is_good_for_its_owner_and_for_a_while() {
    let uia = uia();
    let alice = Asker { uia: &uia, who: Some(user_id!("@a:b.org")) };
    let bob = Asker { uia: &uia, who: Some(user_id!("@b:b.org")) };
    let body = json!({});
    let session = alice.session(&body);
    let stolen = bob.step(&body, Some(&session), None).expect_err("it is not his");
    assert_eq!(stolen.get("session"), None);
    assert!(uia.is_open(&session) && !uia.is_open("other"));
    uia.env.advance(Duration::from_millis(SESSION_MS_MAX));
    let late = alice.step(&body, Some(&session), None).expect_err("it is too old");
    assert_eq!(late.get("session"), None);
    assert!(!uia.is_open(&session));
    assert!(!uia.done_elsewhere(&session, stage(AuthType::Dummy).expect("a stage")));
}

#[test]
fn a_stage_may_be_done_on_a_page_of_its_own() {
    let uia = uia();
    let somebody = Asker { uia: &uia, who: None };
    let body = json!({ "username": "a" });
    let session = somebody.session(&body);
    assert!(uia.done_elsewhere(&session, stage(AuthType::RegistrationToken).expect("a stage")));
    somebody.step(&body, Some(&session), stage(AuthType::Dummy)).expect("all is proved");
}
