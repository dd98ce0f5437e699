//! Clients over TLS: HTTP/1.1 with exact bytes, HTTP/2 with the h2 crate.

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::common::Response;
use crate::server::NAME;

/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection over TLS, without a protocol.
pub(crate) struct Secure(pub(crate) StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Shakes hands. A server that refuses the client's certificate may do so after that.
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        Self::over(TcpStream::connect(address)?, config)
    }

    /// Shakes hands over a connection that takes little at a time, so that the other side soon notices
    /// when nothing is read.
    pub(crate) fn narrow(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        let connect = async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4096)?;
            socket.connect(address).await?.into_std()
        };
        let stream = block_on(connect)?;
        stream.set_nonblocking(false)?;
        Self::over(stream, config)
    }

    fn over(stream: TcpStream, config: &Arc<ClientConfig>) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(NAME).unwrap();
        let mut tls = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self(tls))
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone()
    }

    /// Sends a request over HTTP/1.1 and reads the answer, which has a length.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> Result<Response> {
        self.0.write_all(bytes)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
        let mut response = Response { status, head, body: Vec::new(), length: 0 };
        response.length = response.field("content-length").map_or(0, |length| length.parse().unwrap());
        response.body.resize(response.length, 0);
        self.0.read_exact(&mut response.body)?;
        Ok(response)
    }
}

/// One HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Http2(pub(crate) SendRequest<bytes::Bytes>);

/// An answer over HTTP/2.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    /// Whether the head was the end.
    pub(crate) head_alone: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await; // what fails on it is seen by its requests
        });
        Self(send)
    }

    /// Sends a request with this body and reads the whole answer.
    pub(crate) async fn ask(
        &self,
        request: Request<()>,
        body: &[u8],
    ) -> std::result::Result<Answer, h2::Error> {
        let exchange = async {
            let mut send = self.0.clone().ready().await?;
            let (answer, mut stream) = send.send_request(request, body.is_empty())?;
            if !body.is_empty() {
                stream.send_data(bytes::Bytes::copy_from_slice(body), true)?;
            }
            collect(answer.await?).await
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
    }
}

/// Reads an answer to its end.
pub(crate) async fn collect(
    answer: http::Response<h2::RecvStream>,
) -> std::result::Result<Answer, h2::Error> {
    let (head, mut incoming) = answer.into_parts();
    let (mut body, head_alone) = (Vec::new(), incoming.is_end_stream());
    while let Some(part) = incoming.data().await {
        let part = part?;
        body.extend_from_slice(&part);
        incoming.flow_control().release_capacity(part.len())?;
    }
    let trailers = incoming.trailers().await?.unwrap_or_default();
    Ok(Answer { status: head.status, headers: head.headers, body, trailers, head_alone })
}

/// A request of HTTP/2 with these field lines, `Name: value`.
pub(crate) fn request(method: &str, path: &str, lines: &[impl AsRef<str>]) -> Request<()> {
    let mut request =
        Request::builder().method(method).uri(format!("https://{NAME}{path}")).version(http::Version::HTTP_2);
    for line in lines {
        let (name, value) = line.as_ref().split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

/// Runs a test that needs a runtime.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}
