//! A stream of HTTP/2 on its leash: Pingora's, with its reads and writes watched as those of an HTTP/1
//! connection are. Pingora gives the request's body over HTTP/2 no time limit at all, and nothing by
//! which a stream could be ended from outside.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::{Digest, l4::socket::SocketAddr};
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use crate::proxy::watch::ClientWatch;

/// The most that is written at once, in bytes: the largest frame of most peers (RFC 9113 section 4.2).
const PIECE: usize = 16 * 1024;

/// Messages beside the body, which HTTP/2 does not have.
type Messages = Box<dyn futures_core::Stream<Item = Result<Bytes>> + Unpin + Send + Sync>;

/// The stream.
pub(super) struct LeashedStream {
    inner: HttpSession,
    watch: ClientWatch,
}

impl LeashedStream {
    pub(super) fn new(inner: HttpSession, watch: ClientWatch) -> Self {
        Self { inner, watch }
    }
}

fn ended() -> Box<Error> {
    Error::explain(ErrorType::ReadTimedout, "the stream was ended").into_down()
}

/// Reads, unless the stream is ended first.
async fn watched(
    watch: &mut ClientWatch,
    read: impl Future<Output = Result<Option<Bytes>>>,
) -> Result<Option<Bytes>> {
    let mut read = pin!(read);
    poll_fn(|task| {
        if watch.leash.ended().is_some() {
            return Poll::Ready(Err(ended()));
        }
        let polled = read.as_mut().poll(task);
        match &polled {
            Poll::Ready(Ok(bytes)) => watch.has_read(bytes.as_ref().map_or(0, Bytes::len)),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if watch.waits_for_bytes(task).is_some() {
                    return Poll::Ready(Err(ended()));
                }
            }
        }
        polled
    })
    .await
}

/// Writes a piece of this size, unless the client takes it too slowly or the stream is ended.
async fn taken(watch: &mut ClientWatch, size: usize, write: impl Future<Output = Result<()>>) -> Result<()> {
    let (mut write, mut since) = (pin!(write), None);
    poll_fn(|task| {
        if watch.leash.ended().is_some_and(|ending| !ending.is_answered()) {
            return Poll::Ready(Err(ended()));
        }
        let polled = write.as_mut().poll(task);
        match (&polled, since) {
            (Poll::Ready(_), None) => {}
            (Poll::Ready(_), Some(since)) => watch.leash.add_not_taken(Instant::now() - since),
            (Poll::Pending, _) => {
                let since = *since.get_or_insert_with(Instant::now);
                if watch.waits_for_piece(task, size, since).is_err() {
                    let why = "the client takes the answer too slowly";
                    return Poll::Ready(Err(Error::explain(ErrorType::WriteTimedout, why).into_down()));
                }
            }
        }
        polled
    })
    .await
}

#[async_trait]
impl Session for LeashedStream {
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        watched(&mut self.watch, self.inner.read_body_bytes()).await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        watched(&mut self.watch, self.inner.read_body_or_idle(no_body_expected)).await
    }

    async fn write_body(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        loop {
            let piece = data.split_to(PIECE.min(data.len()));
            let last = data.is_empty();
            taken(&mut self.watch, piece.len(), self.inner.write_body(piece, end && last)).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_over = false;
        for task in tasks {
            is_over |= match task {
                HttpTask::Body(Some(data), end) if !data.is_empty() => {
                    self.write_body(data, end).await?;
                    end
                }
                // Nothing that waits for the client.
                task => self.inner.response_duplex_vec(vec![task]).await?,
            };
        }
        if is_over {
            self.inner.finish().map_err(|error| error.into_down())?;
        }
        Ok(is_over)
    }

    // From here on, as Pingora's stream does it.

    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.inner.write_response_header(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.inner.write_response_header_ref(head, end)
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_trailers(trailers)
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, _: Option<Duration>) {}

    fn get_write_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.inner.shutdown();
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    // Messages beside the body: there are none.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
