//! Users of a server under test, and the things they do before the test begins.

use serde_json::{Value, json};

use crate::http::{Ask, Client, encoded};

pub const PASSWORD: &str = "correct horse battery";

/// Somebody with a device.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub token: String,
    pub device: String,
}

impl Person {
    fn from_answer(answer: &Value) -> Self {
        let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("no {key}: {answer}"));
        Self {
            id: text("user_id").to_owned(),
            token: text("access_token").to_owned(),
            device: text("device_id").to_owned(),
        }
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(method, path).token(&self.token)
    }

    pub fn create_room(&self, client: &mut Client, wanted: &Value) -> String {
        let made = client.must(&self.ask("POST", "/_matrix/client/v3/createRoom").json(wanted));
        made["room_id"].as_str().expect("a room id").to_owned()
    }

    pub fn send(&self, client: &mut Client, room: &str, txn: &str, text: &str) -> String {
        let sent = client.must(&self.message(room, txn, text));
        sent["event_id"].as_str().expect("an event id").to_owned()
    }

    pub fn message(&self, room: &str, txn: &str, text: &str) -> Ask {
        let room = encoded(room);
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        self.ask("PUT", &path).json(&json!({ "msgtype": "m.text", "body": text }))
    }

    pub fn upload(&self, client: &mut Client, kind: &str, content: &[u8]) -> String {
        let ask = self.ask("POST", "/_matrix/media/v3/upload").header("content-type", kind);
        let made = client.must(&ask.body(content));
        let uri = made["content_uri"].as_str().expect("an mxc address");
        uri.rsplit('/').next().expect("a media id").to_owned()
    }
}

/// Register with the dummy stage, as the spec describes it: refused, then with the session.
pub fn register(client: &mut Client, name: &str) -> Person {
    let mut body = json!({ "username": name, "password": PASSWORD });
    let ask = |body: &Value| Ask::new("POST", "/_matrix/client/v3/register").json(body);
    let first = client.ask(&ask(&body)).expect("an answer");
    assert_eq!(first.status, 401, "{}", first.shown());
    body["auth"] = json!({ "type": "m.login.dummy", "session": first.json()["session"] });
    Person::from_answer(&client.must(&ask(&body)))
}

pub fn register_guest(client: &mut Client) -> Person {
    let ask = Ask::new("POST", "/_matrix/client/v3/register?kind=guest").json(&json!({}));
    Person::from_answer(&client.must(&ask))
}

pub fn login(client: &mut Client, user: &str, password: &str) -> Person {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    });
    let ask = Ask::new("POST", "/_matrix/client/v3/login").json(&body);
    Person::from_answer(&client.must(&ask))
}

/// Close an account; the person's token is dead afterwards.
pub fn deactivate(client: &mut Client, person: &Person) {
    let mut body = json!({});
    let ask = |body: &Value| person.ask("POST", "/_matrix/client/v3/account/deactivate").json(body);
    let first = client.ask(&ask(&body)).expect("an answer");
    assert_eq!(first.status, 401, "{}", first.shown());
    body["auth"] = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": person.id },
        "password": PASSWORD,
        "session": first.json()["session"],
    });
    client.must(&ask(&body));
}
