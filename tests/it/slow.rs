//! Connections that say little are closed after a named time, so that they cannot use up the
//! places of others.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    program::{PATIENCE, Running},
    serve::configured,
};

#[test]
fn a_connection_on_which_no_request_comes_is_closed() {
    let (_place, config) = configured("[limits]\nheader_timeout = \"1s\"\n");
    let server = Running::start(&config, None);
    for said in [
        "",
        "GET /_matrix/client/versions HTTP/1.1\r\nhost: te",
        // It might become HTTP/2.
        "PRI * HTTP/2",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address("listen")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.write_all(said.as_bytes()).expect("sent");
        let mut heard = Vec::new();
        let ended = stream.read_to_end(&mut heard);
        // With unread bytes, the end is a reset.
        let is_closed = match &ended {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(is_closed, "{said:?}: {ended:?}");
    }
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_connection_that_was_used_is_closed_when_the_next_head_does_not_come() {
    let (_place, config) = configured("[limits]\nheader_timeout = \"1s\"\n");
    let server = Running::start(&config, None);
    let mut stream = TcpStream::connect(server.address("listen")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let request = "GET /_matrix/client/versions HTTP/1.1\r\nhost: test\r\n\r\nGET /_mat";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut heard = Vec::new();
    // A reset throws away what was not read yet; the answer came before it.
    let _ = stream.read_to_end(&mut heard);
    let answer = String::from_utf8_lossy(&heard);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nx-request-id: "), "{answer}");
    assert_eq!(server.stop().0, Some(0));
}
