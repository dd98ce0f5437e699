//! The operator's face: colours and logo.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use axum::body::Bytes;

use crate::idp::{Brand, Color};

/// The largest logo, in bytes.
const MAX_LOGO: u64 = 256 * 1024;

/// The contrast that text needs (WCAG 2.2 success criterion 1.4.3).
const READABLE: f64 = 4.5;

/// What links stand on, light and dark.
const PAPER: Color = Color([0xff; 3]);
const NIGHT: Color = Color([0x17, 0x1a, 0x21]);

/// An image that stands at the head of every page.
#[derive(Debug, Clone)]
pub(in crate::idp) struct Logo {
    pub(super) bytes: Bytes,
    pub(super) media_type: &'static str,
}

/// Why the logo cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogoError {
    /// The file cannot be read.
    #[error("the logo {0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is too large for every page.
    #[error("the logo {0} is larger than 256 KiB")]
    TooLarge(PathBuf),
    /// It is no image that browsers show.
    #[error("the logo {0} is neither SVG nor PNG, JPEG or WebP")]
    Format(PathBuf),
}

impl Logo {
    /// Reads the file; what it is is told by its content.
    ///
    /// # Errors
    ///
    /// [`LogoError`].
    pub(in crate::idp) fn read(path: &Path) -> Result<Self, LogoError> {
        let failed = |error| LogoError::Io(path.into(), error);
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_LOGO + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_LOGO {
            return Err(LogoError::TooLarge(path.into()));
        }
        let media_type = media_type(&bytes).ok_or_else(|| LogoError::Format(path.into()))?;
        Ok(Self { bytes: bytes.into(), media_type })
    }
}

/// A sign in place of a logo: the first letter of the name, for the browser's tab.
pub(super) fn sign(letter: &str, color: Color) -> Logo {
    // A letter or digit, so that nothing in it means something to XML.
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" height=\"32\" rx=\"9\" \
         fill=\"{}\"/><text x=\"16\" y=\"22.5\" text-anchor=\"middle\" fill=\"{}\" \
         font-family=\"system-ui,sans-serif\" font-weight=\"700\" font-size=\"18\">{letter}</text></svg>",
        color.css(),
        color.ink(),
    );
    Logo { bytes: svg.into(), media_type: "image/svg+xml" }
}

fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let is_svg = || {
        let head = &bytes[..bytes.len().min(1024)];
        std::str::from_utf8(bytes).is_ok() && head.windows(4).any(|window| window == b"<svg")
    };
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ if is_svg() => Some("image/svg+xml"),
        _ => None,
    }
}

/// The style sheet with the operator's colours. Text in them is drawn darker or lighter until it can be read.
pub(super) fn style(brand: &Brand) -> String {
    let link = |color, paper, towards| readable(color, paper, towards).css();
    // Longer names first: each contains the next.
    include_str!("style.css")
        .replace("NIGHT_ON_ACCENT", brand.color_dark.ink())
        .replace("NIGHT_ACCENT", &brand.color_dark.css())
        .replace("NIGHT_LINK", &link(brand.color_dark, NIGHT, 255))
        .replace("ON_ACCENT", brand.color.ink())
        .replace("ACCENT", &brand.color.css())
        .replace("LINK", &link(brand.color, PAPER, 0))
}

/// The colour itself where it can be read on `paper`, or one between it and black (0) or white (255).
fn readable(color: Color, paper: Color, towards: u8) -> Color {
    let mixed = |share: u16| {
        Color(color.0.map(|part| {
            let sum = u16::from(part) * (16 - share) + u16::from(towards) * share;
            u8::try_from(sum / 16).unwrap_or(towards)
        }))
    };
    let found = (0..=16).map(mixed).find(|mixed| mixed.contrast(paper) >= READABLE);
    found.unwrap_or(Color([towards; 3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brand(color: &str, color_dark: &str) -> Brand {
        Brand {
            name: "Shop".into(),
            logo: None,
            color: Color::parse(color).unwrap(),
            color_dark: Color::parse(color_dark).unwrap(),
            help_url: None,
            privacy_url: None,
            terms_url: None,
        }
    }

    #[test]
    fn every_colour_can_be_read() {
        for color in ["#1f5eff", "#ffe600", "#000000", "#ffffff", "#7f7f7f", "#ff0000"] {
            let css = style(&brand(color, color));
            for placeholder in ["ACCENT", "LINK", "NIGHT"] {
                assert!(!css.contains(placeholder), "{placeholder} is left");
            }
            let given = Color::parse(color).unwrap();
            assert!(readable(given, PAPER, 0).contrast(PAPER) >= READABLE, "{color} on white");
            assert!(readable(given, NIGHT, 255).contrast(NIGHT) >= READABLE, "{color} on dark");
            let ink = Color::parse(given.ink()).unwrap();
            assert!(given.contrast(ink) >= READABLE, "text on {color}");
        }
        assert_eq!(readable(Color::parse("#1f5eff").unwrap(), PAPER, 0).css(), "#1f5eff", "left as it is");
    }

    #[test]
    fn only_images_are_logos() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logo");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Logo::read(&path).map(|logo| logo.media_type)
        };
        assert_eq!(read(b"<?xml version='1.0'?><svg xmlns='x'/>").unwrap(), "image/svg+xml");
        assert_eq!(read(b"\x89PNG\r\n\x1a\n").unwrap(), "image/png");
        assert_eq!(read(b"\xff\xd8\xff\xe0").unwrap(), "image/jpeg");
        assert_eq!(read(b"RIFF\0\0\0\0WEBPVP8 ").unwrap(), "image/webp");
        for other in [&b""[..], b"<html></html>", b"GIF89a", b"MZ"] {
            assert!(matches!(read(other), Err(LogoError::Format(_))));
        }
        assert!(matches!(read(&vec![b' '; 300_000]), Err(LogoError::TooLarge(_))));
        assert!(matches!(Logo::read(&folder.path().join("none")), Err(LogoError::Io(..))));
    }
}
