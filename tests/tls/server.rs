//! A gateway that listens with TLS.

use crate::common::{Gateway, Place, RecordingUpstream, Settings};
use crate::pki::{Authority, Pair};

/// The name in the certificates of gateways.
pub(crate) const NAME: &str = "gateway.example.test";

/// What `[server]` needs for TLS; `more` goes into `[server.tls]`.
pub(crate) fn tls(more: &str) -> String {
    format!("[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{more}")
}

/// A place with a certificate of the gateway.
pub(crate) fn place(settings: &Settings, upstream: &str, pair: &Pair) -> Place {
    let place = Place::with(&settings.toml(upstream));
    install(&place, pair);
    place.seed();
    place
}

/// Puts a certificate where the gateway reads it.
pub(crate) fn install(place: &Place, pair: &Pair) {
    place.write("cert.pem", &pair.cert);
    place.write("key.pem", &pair.key);
}

/// A gateway with these lines in `[server.tls]` and these files, in front of a recording upstream.
pub(crate) fn gateway(authority: &Authority, more: &str, files: &[(&str, String)]) -> Gateway {
    gateway_with(authority, &Settings { server: tls(more), ..Settings::default() }, files)
}

pub(crate) fn gateway_with(authority: &Authority, settings: &Settings, files: &[(&str, String)]) -> Gateway {
    let upstream = RecordingUpstream::start();
    let place = place(settings, &upstream.address.to_string(), &authority.server(&[NAME]));
    for (name, text) in files {
        place.write(name, text);
    }
    Gateway::start_in(place, upstream)
}
