//! A server of an upstream that can be told to fail, and stopped, and started again at its address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::{own_ip, wait_until};

/// How long a held request is held at most.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// The request lines that came in, checks apart.
    lines: Mutex<Vec<String>>,
    /// The heads of checks.
    checks: Mutex<Vec<String>>,
    connections: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
    /// Checks get 503.
    pub(crate) unwell: AtomicBool,
    /// All but the first request of a connection are read and not answered: it is closed.
    pub(crate) closes_when_reused: AtomicBool,
    held: Mutex<bool>,
    released: Condvar,
    pub(crate) waiting: AtomicUsize,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at(own_ip()) // nobody else gets its port when it is stopped
    }

    pub(crate) fn start_at(ip: Ipv4Addr) -> Self {
        Self::listen(TcpListener::bind((ip, 0)).unwrap())
    }

    /// A server that was stopped, at its address, with nothing remembered.
    pub(crate) fn start_again(&mut self) {
        assert!(self.accepting.is_none(), "it runs");
        let listener = wait_until(PATIENCE, || TcpListener::bind(self.address).ok());
        *self = Self::listen(listener.unwrap());
    }

    fn listen(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                serving.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// Stops listening and closes every connection.
    pub(crate) fn stop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes it
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
        for connection in &*self.shared.connections.lock().unwrap() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.shared.lines.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.lines.lock().unwrap().len()
    }

    pub(crate) fn checks(&self) -> Vec<String> {
        self.shared.checks.lock().unwrap().clone()
    }

    /// From here on requests are answered only after [`Server::release`].
    pub(crate) fn hold(&self) {
        *self.shared.held.lock().unwrap() = true;
    }

    pub(crate) fn release(&self) {
        *self.shared.held.lock().unwrap() = false;
        self.shared.released.notify_all();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release();
        self.stop();
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    for number in 0.. {
        let Some((head, length)) = head(&mut input) else { return };
        if input.read_exact(&mut vec![0; length]).is_err() {
            return;
        }
        let line = head.lines().next().unwrap_or_default().to_owned();
        let status = if line.contains(" /healthz ") {
            shared.checks.lock().unwrap().push(head);
            if shared.unwell.load(Ordering::SeqCst) { "503 Service Unavailable" } else { "204 No Content" }
        } else {
            shared.lines.lock().unwrap().push(line);
            shared.waiting.fetch_add(1, Ordering::SeqCst);
            let held = shared.held.lock().unwrap();
            drop(shared.released.wait_timeout_while(held, PATIENCE, |held| *held).unwrap());
            shared.waiting.fetch_sub(1, Ordering::SeqCst);
            "200 OK"
        };
        if number > 0 && shared.closes_when_reused.load(Ordering::SeqCst) {
            let _ = out.shutdown(Shutdown::Both);
            return;
        }
        let length = if status.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
        if out.write_all(format!("HTTP/1.1 {status}\r\n{length}\r\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// A head and the length of the body after it.
fn head(input: &mut impl BufRead) -> Option<(String, usize)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let begin = head.len();
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[begin..].trim_end();
        if line.is_empty() {
            return Some((head, length));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
}
