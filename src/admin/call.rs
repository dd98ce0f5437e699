//! One call of the API: who makes it, what it says, and how it is carried out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::edge::{Peer, RequestId};
use super::refused::Refused;
use super::{Control, MAX_BODY};
use crate::model::{Permission, Secret, TokenDigest};
use crate::replica::{Actor, Claim, Committed, Once, OperatorSummary, Writer};
use crate::wire::authorization::{self, Authorization};

/// The time to receive a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// How long a call waits for others that work on the replica.
const TURN_TIME: Duration = Duration::from_secs(10);

/// The longest idempotency key, in bytes.
const MAX_KEY: usize = 128;

/// A call whose caller is known. Made from the request, which is refused otherwise.
pub(super) struct Call {
    control: Arc<Control>,
    operator: Option<OperatorSummary>,
    token: TokenDigest,
    peer: IpAddr,
    actor: Actor,
    once: Option<Once>,
    pub(super) uri: Uri,
    body: Bytes,
}

/// A change that is committed, as it is answered.
pub(super) struct Done<A> {
    answer: A,
    /// Set when a gateway of this machine did not confirm.
    warning: Option<String>,
}

impl<A> Done<A> {
    /// Waits until the change is in force. It is answered either way: a new secret must not be lost
    /// because another gateway of this machine hangs.
    pub(super) fn of<T>(committed: Committed<T>, answer: impl FnOnce(T) -> A) -> Self {
        let (value, enforced) = committed.acknowledge();
        Self { answer: answer(value), warning: enforced.err().map(|error| error.to_string()) }
    }
}

/// The answer of a call that was carried out, as it is kept for its repetition.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    body: Value,
}

impl FromRequest<Arc<Control>> for Call {
    type Rejection = Refused;

    async fn from_request(request: Request, control: &Arc<Control>) -> Result<Self, Refused> {
        let (head, body) = request.into_parts();
        let (peer, id) = (head.extensions.get::<Peer>(), head.extensions.get::<RequestId>());
        let (Some(peer), Some(RequestId(id))) = (peer, id) else {
            return Err(Refused::Unavailable("The peer is not known.".to_owned()));
        };
        let token = bearer(&head.headers)?;
        let digest = TokenDigest::of(token.expose().as_bytes());
        let operator = operator(control, &token, &digest, peer.address)?;
        let who = operator.as_ref().map_or("admin", |operator| &operator.name);
        let actor = Actor::caller(who, peer.address, id);
        let key = idempotency_key(&head.headers)?;
        let body = read(body).await?;
        let once = key.map(|key| {
            let call = [head.method.as_str().as_bytes(), head.uri.path().as_bytes(), &body[..]];
            Once::new(&token, &key, &call)
        });
        let (control, peer) = (Arc::clone(control), peer.address);
        Ok(Self { control, operator, token: digest, peer, actor, once, uri: head.uri, body })
    }
}

async fn read(body: axum::body::Body) -> Result<Bytes, Refused> {
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Refused::TooLarge), // or the caller has gone, and reads no answer
        Err(_) => Err(Refused::TooSlow),
    }
}

impl Call {
    /// The body, or `{}` where there is none or it is `null`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let body = match self.body.trim_ascii() {
            b"" | b"null" => b"{}",
            body => body,
        };
        serde_json::from_slice(body)
            .map_err(|error| Refused::Invalid(format!("Malformed body: {}.", quoteless(&error.to_string()))))
    }

    /// The query's parameters; unknown and repeated ones are refused.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let parsed = axum::extract::Query::<T>::try_from_uri(&self.uri);
        parsed.map(|axum::extract::Query(query)| query).map_err(|error| {
            Refused::Invalid(format!("Malformed query: {}.", error.body_text().trim_end_matches('.')))
        })
    }

    fn needs(&self, permission: Permission) -> Result<(), Refused> {
        match &self.operator {
            Some(operator) if !operator.may(permission) => Err(Refused::Forbidden(permission)),
            _ => Ok(()),
        }
    }

    /// Refuses everybody but the holder of `admin.token`: what the process does is not an operator's.
    pub(super) fn owner(&self) -> Result<&Control, Refused> {
        match self.operator {
            None => Ok(&self.control),
            Some(_) => {
                Err(Refused::NotYours("This needs the token in admin.token, beside the replica.".to_owned()))
            }
        }
    }

    /// Whether the caller is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.peer.is_loopback()
    }

    /// Reads for a caller with this permission.
    pub(super) async fn look<T: Send + 'static>(
        self,
        permission: Permission,
        body: impl FnOnce(&mut Writer) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let actor = self.actor.clone();
        self.see(permission, move |control| body(&mut control.writer(actor)?)).await
    }

    /// Looks at what is not of the replica, for a caller with this permission.
    pub(super) async fn see<T: Send + 'static>(
        self,
        permission: Permission,
        body: impl FnOnce(&Control) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        self.needs(permission)?;
        work(self.control, body).await
    }

    /// Changes something that is the same however often it is done.
    pub(super) async fn change<I, A>(
        self,
        permission: Permission,
        body: impl FnOnce(&mut Writer, I) -> Result<Done<A>, Refused> + Send + 'static,
    ) -> Result<Response, Refused>
    where
        I: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        Self { once: None, ..self }.create(permission, StatusCode::OK, body).await
    }

    /// Makes something new: once, where the caller names the call by an idempotency key.
    pub(super) async fn create<I, A>(
        self,
        permission: Permission,
        status: StatusCode,
        body: impl FnOnce(&mut Writer, I) -> Result<Done<A>, Refused> + Send + 'static,
    ) -> Result<Response, Refused>
    where
        I: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        self.needs(permission)?;
        let input = self.parse()?;
        let Self { control, operator, token, actor, once, .. } = self;
        work(control, move |control| {
            let mut writer = control.writer(actor)?;
            if operator.is_some() {
                writer = writer.claiming(Claim { token, permission });
            }
            if let Some(once) = once {
                writer = writer.once(once);
            }
            match body(&mut writer, input) {
                Ok(done) => Ok(answer(&mut writer, status, done)),
                Err(Refused::Repeated(before)) => repeat(before),
                Err(refused) => Err(refused),
            }
        })
        .await
    }
}

/// The parser's words without the value that it found, which may be a secret in the wrong place, and not
/// longer than a line.
fn quoteless(error: &str) -> String {
    let value = error.find("string \"").zip(error.rfind("\", expected"));
    let text = match value.filter(|(start, end)| start < end) {
        Some((start, end)) => format!("{}string{}", &error[..start], &error[end + 1..]),
        None => error.to_owned(),
    };
    text.chars().take(200).collect()
}

fn answer<A: Serialize>(writer: &mut Writer, status: StatusCode, done: Done<A>) -> Response {
    // Our own types, with string keys: they always serialise.
    let mut body = serde_json::to_value(done.answer).unwrap_or_default();
    if let (Some(warning), Some(fields)) = (done.warning, body.as_object_mut()) {
        fields.insert("warning".to_owned(), warning.into());
    }
    let kept = Kept { status: status.as_u16(), body };
    let text = Secret::new(serde_json::to_string(&kept).unwrap_or_default());
    if let Err(error) = writer.keep_answer(&text) {
        tracing::debug!(%error, "the answer of a call cannot be kept");
    }
    (status, Json(kept.body)).into_response()
}

fn repeat(before: Box<crate::replica::Repeated>) -> Result<Response, Refused> {
    let kept = before.answer.as_ref().and_then(|answer| serde_json::from_str::<Kept>(answer.expose()).ok());
    let Some(kept) = kept else { return Err(Refused::Repeated(before)) };
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    Ok((status, [("idempotency-replayed", "true")], Json(kept.body)).into_response())
}

/// SQLite blocks, so that it runs on a thread where it may; a few at a time.
async fn work<T: Send + 'static>(
    control: Arc<Control>,
    body: impl FnOnce(&Control) -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let busy = || Refused::Unavailable("Too many calls are under way. Try again shortly.".to_owned());
    let turn = tokio::time::timeout(TURN_TIME, Arc::clone(&control.turns).acquire_owned()).await;
    let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
    let done = tokio::task::spawn_blocking(move || {
        let done = body(&control);
        drop(turn);
        done
    });
    done.await.unwrap_or_else(|error| Err(Refused::Unavailable(error.to_string())))
}

/// The token of the one Authorization line.
fn bearer(headers: &HeaderMap) -> Result<Secret, Refused> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => match authorization::parse(line.as_bytes()) {
            Some(Authorization::Bearer(token)) if !token.is_empty() => {
                let text = std::str::from_utf8(token).map_err(|_| Refused::InvalidToken)?;
                Ok(Secret::new(text.to_owned()))
            }
            _ => Err(Refused::MissingToken),
        },
        (None, _) => Err(Refused::MissingToken),
        (Some(_), Some(_)) => Err(Refused::Invalid("Authorization may be sent only once.".to_owned())),
    }
}

/// The operator with the token; `None`: it is that of `admin.token`. Both comparisons are of digests: in
/// constant time, or as a key of an index, which tells nothing of the token. Who fails is charged, and told
/// to wait at some point; who succeeds never is.
fn operator(
    control: &Control,
    token: &Secret,
    digest: &TokenDigest,
    peer: IpAddr,
) -> Result<Option<OperatorSummary>, Refused> {
    if control.token.is(digest) {
        return Ok(None);
    }
    // What is no operator's token by its form costs no look-up.
    if OperatorSummary::has_form_of_token(token) {
        let found = control.replica.operator(digest);
        let found = found.map_err(|error| Refused::Unavailable(format!("{error}.")))?;
        if found.is_some() {
            return Ok(found);
        }
    }
    control.failures.charge(peer, Instant::now()).map_err(Refused::TooMany)?;
    tracing::warn!(%peer, "a call of the admin API with an unknown token");
    Err(Refused::InvalidToken)
}

/// `Idempotency-Key`: a string of a structured field (RFC 9651), or the same without quotation marks.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut lines = headers.get_all("idempotency-key").iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let text = line.to_str().ok().filter(|_| lines.next().is_none()).map(|text| {
        let text = text.trim();
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
    });
    let fine = |text: &&str| {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\' && b != b',');
        (1..=MAX_KEY).contains(&text.len()) && plain
    };
    match text.filter(fine) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(Refused::Invalid(
            "Idempotency-Key may be sent once, with 1 to 128 visible ASCII characters.".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_no_values() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code)]
        struct Body {
            store_id: u64,
        }
        let of = |text: &str| quoteless(&serde_json::from_str::<Body>(text).unwrap_err().to_string());
        let wrong = of(r#"{"store_id":"sx_secret_1\", expected"}"#);
        assert_eq!(wrong, "invalid type: string, expected u64 at line 1 column 37");
        assert_eq!(of("{"), "EOF while parsing an object at line 1 column 1");
        assert_eq!(of("{}"), "missing field `store_id` at line 1 column 2");
        assert_eq!(of(&format!("{{\"{}\":1}}", "x".repeat(9000))).chars().count(), 200);
    }

    #[test]
    fn idempotency_keys() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("idempotency-key", line.parse().unwrap());
            }
            idempotency_key(&headers).ok()
        };
        assert_eq!(read(&[]), Some(None));
        for text in ["8e03978e-40d5-43dd-bc93-6894a57f9324", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""] {
            assert_eq!(read(&[text]), Some(Some("8e03978e-40d5-43dd-bc93-6894a57f9324".to_owned())));
        }
        let long = "k".repeat(129);
        let refused: [&[&str]; 10] = [
            &[""],
            &["\"\""],
            &["a b"],
            &["a,b"],
            &["a\"b"],
            &["\"a\\\"b\""],
            &["\"a"],
            &["é"],
            &[&long],
            &["a", "a"],
        ];
        for lines in refused {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }
}
