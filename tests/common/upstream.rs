//! An upstream that records the bytes it receives and behaves as the last segment of the path says.

use std::io::{Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::reading::{Wire, fields, single};
use super::slowness;

/// How long a test waits for a request to arrive, and an answer for its release.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much of a body is kept.
const KEPT: usize = 1 << 20;

/// The upstream. It listens until the process ends.
pub(crate) struct RecordingUpstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
    connections: AtomicUsize,
    released: AtomicBool,
}

#[derive(Default)]
struct Log {
    /// Every head that ever came in.
    heads: usize,
    exchanges: Vec<Exchange>,
}

/// One request as it came in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange {
    pub(crate) head: Vec<u8>,
    /// The content, without chunk framing; at most a mebibyte of it.
    pub(crate) body: Vec<u8>,
    pub(crate) length: usize,
    pub(crate) complete: bool,
}

impl Exchange {
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.head).split("\r\n").next().unwrap_or_default().to_owned()
    }

    /// The request target as it was sent.
    pub(crate) fn target(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        fields(&self.head)
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        single(&self.fields(), name).map(str::to_owned)
    }
}

impl RecordingUpstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                // A connection that breaks off is the business of the test that broke it.
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// The same, which the next call gives as well.
    pub(crate) fn peek(&self) -> Vec<Exchange> {
        self.shared.log.lock().unwrap().exchanges.clone()
    }

    /// What came in since the last call.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.shared.log.lock().unwrap().exchanges)
    }

    /// The same, once every body has come.
    pub(crate) fn take_whole(&self) -> Vec<Exchange> {
        let log = self.shared.log.lock().unwrap();
        let is_partial = |log: &mut Log| log.exchanges.iter().any(|one| !one.complete);
        let (mut log, waited) = self.shared.changed.wait_timeout_while(log, PATIENCE, is_partial).unwrap();
        assert!(!waited.timed_out(), "the bodies do not come: {:?}", log.exchanges);
        std::mem::take(&mut log.exchanges)
    }

    /// The one request that came in since the last call.
    pub(crate) fn one(&self) -> Exchange {
        let mut taken = self.take();
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0)
    }

    /// How many heads ever came in.
    pub(crate) fn heads(&self) -> usize {
        self.shared.log.lock().unwrap().heads
    }

    /// How many connections were ever opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until `count` heads have ever come in.
    pub(crate) fn wait_for_heads(&self, count: usize) {
        let log = self.shared.log.lock().unwrap();
        let waited = self.shared.changed.wait_timeout_while(log, PATIENCE, |log| log.heads < count);
        assert!(waited.unwrap().0.heads >= count, "the upstream received too little");
    }

    /// Lets every `/slow` request be answered, now and from here on.
    pub(crate) fn release(&self) {
        let _log = self.shared.log.lock().unwrap();
        self.shared.released.store(true, Ordering::SeqCst);
        self.shared.changed.notify_all();
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    let mut wire = Wire::new(stream);
    while serve_one(&mut wire, shared).unwrap_or(false) {}
}

/// Serves one request and says whether the connection goes on.
fn serve_one(wire: &mut Wire, shared: &Shared) -> Result<bool> {
    let head = wire.head()?;
    let lines = fields(&head);
    let slot = {
        let mut log = shared.log.lock().unwrap();
        log.heads += 1;
        log.exchanges.push(Exchange { head: head.clone(), ..Exchange::default() });
        shared.changed.notify_all();
        log.heads
    };
    if String::from_utf8_lossy(&head).contains("/early HTTP/1.1") {
        // Answers without having read the body.
        wire.stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly")?;
        wire.until_closed(&mut |_| ())?;
        return Ok(false);
    }
    let target = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    let behaviour = target.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    slowness::before_body(wire, behaviour)?;
    if single(&lines, "expect").is_some() {
        wire.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let (mut body, mut length) = (Vec::new(), 0);
    let mut sink = |bytes: &[u8]| {
        length += bytes.len();
        if body.len() < KEPT {
            body.extend_from_slice(bytes);
        }
    };
    match single(&lines, "content-length") {
        Some(stated) => wire.exactly(stated.parse().unwrap(), &mut sink)?,
        None if single(&lines, "transfer-encoding").is_some() => wire.chunked(&mut sink)?,
        None => {}
    }
    {
        let mut log = shared.log.lock().unwrap();
        // Entries before this one may have been taken.
        let taken = log.heads - log.exchanges.len();
        if let Some(exchange) = (slot - 1).checked_sub(taken).and_then(|at| log.exchanges.get_mut(at)) {
            (exchange.body, exchange.length, exchange.complete) = (body, length, true);
        }
        shared.changed.notify_all();
    }
    if let Some(answered) = slowness::answer(&mut wire.stream, behaviour) {
        return answered.map(|()| false);
    }
    answer(wire, shared, &String::from_utf8_lossy(&head), length)
}

fn answer(wire: &mut Wire, shared: &Shared, head: &str, received: usize) -> Result<bool> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let out = &mut wire.stream;
    match path.rsplit('/').next().unwrap_or_default() {
        "slow" => {
            let log = shared.log.lock().unwrap();
            let held = |_: &mut Log| !shared.released.load(Ordering::SeqCst);
            drop(shared.changed.wait_timeout_while(log, PATIENCE, held).unwrap());
        }
        "close" => return Ok(false),
        "half" => {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")?;
            return Ok(false);
        }
        "garbage" => {
            out.write_all(b"this is no HTTP\r\n\r\n")?;
            return Ok(false);
        }
        "empty" => {
            out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            return Ok(true);
        }
        "hops" => {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Own-Hop\r\n\
                        X-Own-Hop: 1\r\nKeep-Alive: timeout=9\r\nTrailer: X-Late\r\nX-Kept: yes\r\n\
                        X-Request-Id: of-the-upstream\r\n\r\n{}";
            out.write_all(head.as_bytes())?;
            return Ok(true);
        }
        "claims" => {
            // Everything that is not an upstream's to say, and some that is.
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, x-nominated\r\n\
                        X-Request-Id: forged\r\nX_Request_Id: forged\r\nX-Scopes: admin\r\nx.scopes: admin\r\n\
                        X-Store-Id: 66\r\nX_Store_Id: 66\r\nX-Installation-Id: 66\r\nX-Auth-Method: root\r\n\
                        X-Subject: merchant:66\r\nX-Client-Cert-Subject: CN=66\r\nAlt-Svc: h3=\":443\"\r\n\
                        Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nKeep-Alive: timeout=9\r\n\
                        Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nTrailer: X-Late\r\nTE: trailers\r\n\
                        X-Nominated: 1\r\nRateLimit-Policy: \"upstream\";q=9;w=1\r\nRateLimit-Limit: 9\r\n\
                        X-RateLimit-Limit: 9\r\nX-Kept: yes\r\nSet-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n\
                        Server: store\r\n\r\n{}";
            out.write_all(head.as_bytes())?;
            return Ok(true);
        }
        "chunked" => {
            let head =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
            out.write_all(head.as_bytes())?;
            return Ok(true);
        }
        "stream" => {
            let length: usize = query.strip_prefix("bytes=").and_then(|n| n.parse().ok()).unwrap_or(0);
            out.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            let piece = [b's'; 64 * 1024];
            for at in (0..length).step_by(piece.len()) {
                out.write_all(&piece[..piece.len().min(length - at)])?;
            }
            return Ok(true);
        }
        "websocket" => {
            // The example of RFC 6455 section 1.3.
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            // Pingora 0.9.1 ends a tunnel whose 101 arrives before it has told its own upstream side that
            // the request has no body; no upstream beyond this very thread is that quick.
            std::thread::sleep(Duration::from_millis(20));
            out.write_all(head.as_bytes())?;
            let mut echo = out.try_clone()?;
            wire.until_closed(&mut |bytes| echo.write_all(bytes).unwrap_or_default())?;
            return Ok(false);
        }
        _ => {}
    }
    let body = format!("{{\"received\":{received}}}");
    let content = if head.starts_with("HEAD ") { "" } else { body.as_str() };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{content}",
        body.len()
    );
    out.write_all(head.as_bytes()).map(|()| true)
}
