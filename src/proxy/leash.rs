//! Connections follow their credential: a WebSocket or a stream that is under way when its credential
//! ends is ended, too.
//!
//! Every HTTP/1 connection has a leash. A request that may live long puts it into the book with what
//! its permit rests on; a thread asks twice a second whether that still holds, and cuts the leash where
//! it does not: a WebSocket hears close code 1008 (RFC 6455 section 7.4.1), and the client's side reads
//! as ended, upon which Pingora ends the upstream's. Ordinary requests never come into the book.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gate::{Directory, Tenure};
use crate::model::Timestamp;

/// How often the book is gone through; a credential that ends is noticed within it.
const EVERY: Duration = Duration::from_millis(500);

/// A server's close frame with code 1008, policy violation (RFC 6455 sections 5.5.1 and 7.4.1).
const CLOSE_1008: [u8; 4] = [0x88, 0x02, 0x03, 0xF0];

/// By which a connection can be ended from outside its task.
#[derive(Debug, Default)]
pub(super) struct Leash {
    is_cut: AtomicBool,
    is_websocket: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Leash {
    /// The connection speaks WebSocket from now on.
    pub(super) fn note_websocket(&self) {
        self.is_websocket.store(true, Ordering::Release);
    }

    /// Whether it was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        if let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

/// The client's connection, on its leash.
#[derive(Debug)]
pub(super) struct Leashed {
    inner: Stream,
    leash: Arc<Leash>,
    has_said_goodbye: bool,
}

impl Leashed {
    pub(super) fn new(inner: Stream, leash: Arc<Leash>) -> Self {
        Self { inner, leash, has_said_goodbye: false }
    }

    /// Says why, as far as the client takes it at once.
    fn say_goodbye(&mut self, task: &mut Context<'_>) {
        if !std::mem::replace(&mut self.has_said_goodbye, true)
            && self.leash.is_websocket.load(Ordering::Acquire)
        {
            let sent = Pin::new(&mut self.inner).poll_write(task, &CLOSE_1008);
            if matches!(sent, Poll::Ready(Ok(_))) {
                let _ = Pin::new(&mut self.inner).poll_flush(task);
            }
        }
    }
}

impl AsyncRead for Leashed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leash.is_cut() {
            self.say_goodbye(task);
            return Poll::Ready(Ok(())); // nothing read: the end
        }
        let read = Pin::new(&mut self.inner).poll_read(task, buffer);
        if read.is_pending() {
            *self.leash.reader.lock() = Some(task.waker().clone());
            // Cut after it was looked at, and before the waker was there.
            if self.leash.is_cut() {
                task.waker().wake_by_ref();
            }
        }
        read
    }
}

impl AsyncWrite for Leashed {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.leash.is_cut() {
            self.say_goodbye(task);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.inner).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.leash.is_cut() {
            self.say_goodbye(task);
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.inner).poll_write_vectored(task, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Leashed {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Leashed {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Leashed {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for Leashed {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.inner.try_peek(buffer).await
    }
}

impl GetTimingDigest for Leashed {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.inner.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.inner.get_write_pending_time()
    }
}

impl GetProxyDigest for Leashed {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Leashed {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.inner.set_socket_digest(digest);
    }
}

/// The requests that may live long.
#[derive(Debug, Default)]
pub struct LeashBook {
    entries: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    cut: AtomicU64,
}

#[derive(Debug, Clone)]
struct Entry {
    leash: Arc<Leash>,
    tenure: Tenure,
    caller: IpAddr,
}

/// A request's entry in the book, for as long as it is under way.
#[derive(Debug)]
pub(super) struct OnLeash {
    book: Arc<LeashBook>,
    number: u64,
}

impl Drop for OnLeash {
    fn drop(&mut self) {
        self.book.entries.lock().remove(&self.number);
    }
}

impl LeashBook {
    /// An empty book, gone through by a thread of its own until it is dropped.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread.
    pub fn start(directory: impl Directory + Send + 'static) -> io::Result<Arc<Self>> {
        let book = Arc::new(Self::default());
        let of_thread = Arc::downgrade(&book);
        std::thread::Builder::new().name("leashes".into()).spawn(move || patrol(&of_thread, &directory))?;
        Ok(book)
    }

    /// Connections that were ended with their credential.
    pub fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn enter(self: &Arc<Self>, leash: Arc<Leash>, tenure: Tenure, caller: IpAddr) -> OnLeash {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.entries.lock().insert(number, Entry { leash, tenure, caller });
        OnLeash { book: Arc::clone(self), number }
    }

    fn go_through(&self, directory: &impl Directory) {
        // Copied, so that no request waits while records are looked up.
        let entries: Vec<Entry> = self.entries.lock().values().cloned().collect();
        let now = Timestamp::now();
        for entry in entries.iter().filter(|entry| !entry.leash.is_cut()) {
            // What cannot be known now is asked again: it is no reason to end what was permitted.
            if entry.tenure.holds(directory, entry.caller, now) == Ok(false) {
                self.cut.fetch_add(1, Ordering::Relaxed);
                entry.leash.cut();
            }
        }
    }
}

fn patrol(book: &Weak<LeashBook>, directory: &impl Directory) {
    loop {
        std::thread::sleep(EVERY);
        let Some(book) = book.upgrade() else { return };
        book.go_through(directory);
    }
}

/// What the door tells of a connection.
#[derive(Debug)]
pub(super) struct AtDoor {
    pub(super) peer: super::peer::Peer,
    pub(super) leash: Arc<Leash>,
}

impl AtDoor {
    /// What a session carries to the request's context.
    pub(super) fn boxed(self) -> Box<dyn Any + Send + Sync> {
        Box::new(self)
    }
}
