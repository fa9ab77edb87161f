use super::*;

/// Status, headers, body.
type Page = (u16, Vec<(&'static str, String)>, String);

/// The web as tests make it up; counts what is asked.
#[derive(Default)]
struct Web {
    pages: HashMap<String, Page>,
    asked: Mutex<Vec<String>>,
}

impl Web {
    fn page(mut self, url: &str, status: u16, body: &str) -> Self {
        self.pages.insert(url.to_owned(), (status, Vec::new(), body.to_owned()));
        self
    }

    fn redirect(mut self, url: &str, to: &str) -> Self {
        let location = vec![("location", to.to_owned())];
        self.pages.insert(url.to_owned(), (302, location, String::new()));
        self
    }

    fn get(&self, url: &Url) -> Result<Response<Bytes>, WireError> {
        self.asked.lock().push(url.to_string());
        let gone = || WireError::Unreachable("gone".to_owned());
        let (status, headers, body) = self.pages.get(url.as_str()).ok_or_else(gone)?;
        let mut answer = Response::builder().status(*status);
        for (name, value) in headers {
            answer = answer.header(*name, value);
        }
        Ok(answer.body(Bytes::from(body.clone())).expect("an answer"))
    }

    async fn target(&self, discovery: &Discovery, server: &str) -> (String, Option<u16>, String) {
        let server = ServerName::parse(server).expect("a name");
        let target = discovery.target(&server, |url| async move { self.get(&url) }).await;
        (target.host, target.port, target.name)
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

const URL: &str = "https://a.example/.well-known/matrix/server";

fn target(host: &str, port: Option<u16>, name: &str) -> (String, Option<u16>, String) {
    (host.to_owned(), port, name.to_owned())
}

fn names(server: &str) -> String {
    format!("{{\"m.server\":\"{server}\"}}")
}

#[tokio::test]
async fn addresses_and_ports_are_taken_as_they_are() {
    let (web, discovery) = (Web::default(), Discovery::new(Env::manual(1)));
    for (name, host, port) in [
        ("1.2.3.4", "1.2.3.4", 8448),
        ("1.2.3.4:99", "1.2.3.4", 99),
        ("[::1]", "[::1]", 8448),
        ("[::1]:99", "[::1]", 99),
        ("a.example:443", "a.example", 443),
    ] {
        assert_eq!(web.target(&discovery, name).await, target(host, Some(port), name));
    }
    assert_eq!(web.asked(), 0, "nobody is asked");
}

#[tokio::test]
async fn a_document_leads_on() {
    for (told, host, port) in [
        ("m.example:443", "m.example", Some(443)),
        ("m.example", "m.example", None),
        ("1.2.3.4", "1.2.3.4", Some(8448)),
        ("[::1]:99", "[::1]", Some(99)),
    ] {
        let web = Web::default().page(URL, 200, &names(told));
        let discovery = Discovery::new(Env::manual(1));
        assert_eq!(web.target(&discovery, "a.example").await, target(host, port, told));
    }
}

#[tokio::test]
async fn without_a_good_document_the_name_itself_counts() {
    let itself = target("a.example", None, "a.example");
    for (status, body) in [
        (404, "{}"),
        (500, ""),
        (200, "<html>"),
        (200, "{}"),
        (203, "{\"m.server\":\"m.example\"}"),
        (304, ""),
    ] {
        let web = Web::default().page(URL, status, body);
        let discovery = Discovery::new(Env::manual(1));
        assert_eq!(web.target(&discovery, "a.example").await, itself, "{status} {body}");
    }
    let web = Web::default();
    assert_eq!(web.target(&Discovery::new(Env::manual(1)), "a.example").await, itself);
}

#[tokio::test]
async fn a_few_redirects_are_followed_and_loops_end() {
    let found = target("m.example", Some(443), "m.example:443");
    let web = Web::default()
        .redirect(URL, "/other")
        .redirect("https://a.example/other", "https://b.example/wk")
        .page("https://b.example/wk", 200, &names("m.example:443"));
    let discovery = Discovery::new(Env::manual(1));
    assert_eq!(web.target(&discovery, "a.example").await, found);
    let itself = target("a.example", None, "a.example");
    let web = Web::default().redirect(URL, URL);
    assert_eq!(web.target(&Discovery::new(Env::manual(1)), "a.example").await, itself);
    assert_eq!(web.asked(), 6);
    let web = Web::default().redirect(URL, "http://b.example/wk").page(
        "http://b.example/wk",
        200,
        &names("m.example"),
    );
    assert_eq!(
        web.target(&Discovery::new(Env::manual(1)), "a.example").await,
        itself,
        "only https"
    );
    assert_eq!(web.asked(), 1);
}

#[tokio::test]
async fn answers_and_failures_are_remembered_for_a_while() {
    let env = Env::manual(1);
    let discovery = Discovery::new(env.clone());
    let web = Web::default();
    for _ in 0..3 {
        web.target(&discovery, "a.example").await;
    }
    assert_eq!(web.asked(), 1);
    env.advance(Duration::from_secs(2 * 60));
    let web = Web::default().page(URL, 200, &names("m.example:443"));
    let found = target("m.example", Some(443), "m.example:443");
    for _ in 0..3 {
        assert_eq!(web.target(&discovery, "a.example").await, found);
    }
    assert_eq!(web.asked(), 1);
    // Its word counts on while it cannot be asked …
    env.advance(Duration::from_secs(25 * 60 * 60));
    let away = Web::default();
    assert_eq!(away.target(&discovery, "a.example").await, found);
    assert_eq!(away.asked(), 1);
    // … and no longer when it takes it back.
    env.advance(Duration::from_secs(2 * 60));
    let gone = Web::default().page(URL, 404, "");
    assert_eq!(gone.target(&discovery, "a.example").await.1, None);
}

#[tokio::test]
async fn a_document_that_leads_nowhere_is_asked_for_again_sooner() {
    let env = Env::manual(1);
    let discovery = Discovery::new(env.clone());
    let web = Web::default().page(URL, 200, &names("m.example:443"));
    web.target(&discovery, "a.example").await;
    discovery.doubt(ruma::server_name!("a.example"));
    web.target(&discovery, "a.example").await;
    assert_eq!(web.asked(), 1, "not at once");
    env.advance(DOUBTED_AFTER);
    web.target(&discovery, "a.example").await;
    assert_eq!(web.asked(), 2);
}
