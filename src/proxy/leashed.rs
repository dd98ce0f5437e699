//! The client's connection on its leash: it sees every read and write, so that it knows when the gateway
//! waits for the client, and ends what goes on too slowly.
//!
//! What the client has taken is what its system has acknowledged: a write that the socket's buffer has
//! room for says nothing, and one that it has none for may wait for a long time while an honest client
//! takes what is there.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ending::Ending;
use super::leash::Awaited;
use super::watch::ClientWatch;

/// A server's close frames (RFC 6455 sections 5.5.1 and 7.4.1): 1008, policy violation, for a credential
/// that ended; 1001, going away, for idleness, as other servers do.
const CLOSE_1008: [u8; 4] = [0x88, 0x02, 0x03, 0xF0];
const CLOSE_1001: [u8; 4] = [0x88, 0x02, 0x03, 0xE9];

/// The client's connection, on its leash.
#[derive(Debug)]
pub(super) struct Leashed {
    inner: Stream,
    watch: ClientWatch,
    /// What was handed to the socket, in bytes.
    handed: u64,
    has_said_goodbye: bool,
}

impl Leashed {
    pub(super) fn new(inner: Stream, watch: ClientWatch) -> Self {
        Self { inner, watch, handed: 0, has_said_goodbye: false }
    }

    /// How reading ends once the connection is ended.
    fn read_end(&mut self, ending: Ending, task: &mut Context<'_>) -> io::Result<()> {
        if ending.is_answered() {
            // No ordinary end, so that the request is not taken for complete.
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.say_goodbye(ending, task);
        Ok(()) // nothing read: the end
    }

    /// An error where nothing is to be written any more.
    fn check_writable(&mut self, task: &mut Context<'_>) -> io::Result<()> {
        match self.watch.leash.ended() {
            Some(ending) if !ending.is_answered() => {
                self.say_goodbye(ending, task);
                Err(io::ErrorKind::BrokenPipe.into())
            }
            _ => Ok(()),
        }
    }

    /// Says why, as far as the client takes it at once.
    fn say_goodbye(&mut self, ending: Ending, task: &mut Context<'_>) {
        let frame = match ending {
            Ending::Credential => &CLOSE_1008,
            Ending::WebSocketIdle => &CLOSE_1001,
            _ => return,
        };
        if !std::mem::replace(&mut self.has_said_goodbye, true)
            && self.watch.leash.awaited() == Awaited::WebSocket
            && matches!(Pin::new(&mut self.inner).poll_write(task, frame), Poll::Ready(Ok(_)))
        {
            let _ = Pin::new(&mut self.inner).poll_flush(task);
        }
    }

    /// What becomes of a write, a flush or a shutdown that the stream below has answered.
    fn wrote<T>(
        &mut self,
        task: &mut Context<'_>,
        result: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &result {
            Poll::Ready(Ok(written)) => {
                let bytes = bytes(written);
                self.handed += bytes as u64;
                self.watch.has_written(bytes);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let (inner, handed) = (&self.inner, self.handed);
                let waits = self.watch.waits_for_room(task, || delivered(inner).unwrap_or(handed));
                if waits.is_err() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                self.check_writable(task)?;
            }
        }
        result
    }
}

/// What the client's system has acknowledged so far, where ours tells.
fn delivered(stream: &Stream) -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    Some(stream.get_socket_digest()?.tcp_info()?.tcpi_bytes_acked)
}

impl AsyncRead for Leashed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ending) = self.watch.leash.ended() {
            return Poll::Ready(self.read_end(ending, task));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(task, buffer);
        match &read {
            Poll::Ready(Ok(())) => self.watch.has_read(buffer.filled().len() - before),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if let Some(ending) = self.watch.waits_for_bytes(task) {
                    return Poll::Ready(self.read_end(ending, task));
                }
            }
        }
        read
    }
}

impl AsyncWrite for Leashed {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_writable(task)?;
        let written = Pin::new(&mut self.inner).poll_write(task, bytes);
        self.wrote(task, written, |written| *written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(task);
        self.wrote(task, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(task);
        self.wrote(task, shut, |()| 0)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_writable(task)?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(task, bytes);
        self.wrote(task, written, |written| *written)
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
