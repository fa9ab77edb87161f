//! Does a server answer? One HTTP request by hand, so that this program needs no HTTP library.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const WAIT: Duration = Duration::from_secs(5);
const OK: &str = "HTTP/1.1 200";

/// Whether a GET is answered with 200.
pub fn answers(address: &str, path: &str) -> bool {
    status(address, path).is_ok_and(|line| line == OK)
}

fn status(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.set_write_timeout(Some(WAIT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = Vec::new();
    stream.take(OK.len() as u64).read_to_end(&mut start)?;
    Ok(String::from_utf8_lossy(&start).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn answer_once(text: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            stream.write_all(text.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_200_counts_as_an_answer() {
        assert!(answers(&answer_once("HTTP/1.1 200 OK\r\n\r\n{}"), "/"));
        assert!(!answers(&answer_once("HTTP/1.1 503 Busy\r\n\r\n"), "/"));
    }

    #[test]
    fn nobody_there_is_no_answer() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(!answers(&free.to_string(), "/"));
    }
}
