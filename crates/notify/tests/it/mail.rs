//! Mail and relays that do not do their work. Those that do are in the API's tests.

use std::time::Duration;

use blaupause_accounts::EmailAddress;
use blaupause_data::Env;
use blaupause_notify::{Mail, MailSettings, MailTls, Mailer};
use tokio::net::TcpListener;

/// A mail is tried so often.
const ATTEMPTS: usize = 4;

#[tokio::test(start_paused = true)]
async fn a_relay_that_says_nothing_is_left_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let settings = MailSettings {
        server: "127.0.0.1".to_owned(),
        port: listener.local_addr().expect("an address").port(),
        tls: MailTls::None,
        login: None,
        from: "matrix@example.org".to_owned(),
        own_name: "example.org".to_owned(),
        extra_ca: None,
    };
    let mailer = Mailer::new(Env::manual(0), settings).expect("a sender");
    let to = EmailAddress::parse("a@example.com").expect("an address");
    let mail = Mail { to, subject: "subject".to_owned(), text: "text".to_owned() };
    mailer.send(mail).expect("there is room");
    let mut silent = Vec::new();
    let all = async {
        while silent.len() < ATTEMPTS {
            silent.push(listener.accept().await.expect("a connection"));
        }
    };
    // The clock goes on by itself as soon as everybody waits.
    tokio::time::timeout(Duration::from_secs(60 * 60), all).await.expect("it is tried again");
}
