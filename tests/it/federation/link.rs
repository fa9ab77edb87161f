//! One direction between two servers: a TCP proxy that can be cut and healed.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// From one server to another. Gone when the test ends.
pub struct Link {
    /// What the one server takes for the other's address.
    pub address: SocketAddr,
    way: Arc<Way>,
}

#[derive(Default)]
struct Way(Mutex<Now>);

#[derive(Default)]
struct Now {
    /// Where the other server listens, once it does.
    target: Option<SocketAddr>,
    is_cut: bool,
    is_over: bool,
    /// Both ends of what is connected.
    open: Vec<(TcpStream, TcpStream)>,
    connected: usize,
    refused: usize,
}

impl Link {
    /// Connected with nothing yet.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let way = Arc::new(Way::default());
        let served = Arc::clone(&way);
        let serve = move || {
            for stream in listener.incoming() {
                if served.0.lock().expect("unpoisoned").is_over {
                    return;
                }
                if let Ok(stream) = stream {
                    served.connect(stream);
                }
            }
        };
        std::thread::Builder::new().name("link".to_owned()).spawn(serve).expect("a thread");
        Self { address, way }
    }

    /// The other server listens here from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.way.0.lock().expect("unpoisoned").target = Some(target);
    }

    /// Nothing passes any more; what is connected breaks.
    pub fn cut(&self) {
        let mut now = self.way.0.lock().expect("unpoisoned");
        now.is_cut = true;
        now.close();
    }

    pub fn heal(&self) {
        self.way.0.lock().expect("unpoisoned").is_cut = false;
    }

    /// Connections that came through.
    pub fn connected(&self) -> usize {
        self.way.0.lock().expect("unpoisoned").connected
    }

    /// Connections that did not.
    pub fn refused(&self) -> usize {
        self.way.0.lock().expect("unpoisoned").refused
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        {
            let mut now = self.way.0.lock().expect("unpoisoned");
            now.is_over = true;
            now.close();
        }
        // Wakes the listener, which sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Now {
    fn close(&mut self) {
        for (one, other) in self.open.drain(..) {
            // They may be closed already.
            let _ = one.shutdown(Shutdown::Both);
            let _ = other.shutdown(Shutdown::Both);
        }
    }
}

impl Way {
    /// Dropping the stream closes it: to the one server the other is not there.
    fn connect(&self, stream: TcpStream) {
        let mut now = self.0.lock().expect("unpoisoned");
        let target = now.target.filter(|_| !now.is_cut);
        let onward = target.and_then(|target| TcpStream::connect(target).ok());
        let Some(onward) = onward else {
            now.refused += 1;
            return;
        };
        if pass(&stream, &onward).is_ok() {
            now.connected += 1;
            now.open.push((stream, onward));
        }
    }
}

/// Copy in both directions, each until its end.
fn pass(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    for (from, to) in [(one, other), (other, one)] {
        from.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        let copy = move || {
            // However it ends, both sides learn of it.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        };
        std::thread::Builder::new().name("copy".to_owned()).spawn(copy)?;
    }
    Ok(())
}
