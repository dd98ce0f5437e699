//! What the operator chooses; made by `config`.

use std::path::PathBuf;
use std::time::Duration;

/// The identity provider's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who issues tokens, as clients know it: an origin, `https://accounts.example.com`.
    pub issuer: String,
    /// What every path of ours begins with, `/api/oauth` by default; the place of discovery at the root apart.
    pub base: String,
    /// How people prove who they are.
    pub login: Login,
    /// How long somebody who is not seen stays signed in; 12 hours by default.
    pub session_idle: Duration,
    /// How long somebody stays signed in at most; 14 days by default.
    pub session_life: Duration,
    /// How long a key signs; 90 days by default.
    pub key_life: Duration,
    /// How the pages look.
    pub brand: Brand,
}

/// How people prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// By email address and password, on a page of ours.
    Builtin,
    /// On the platform's own page, which answers with a signed message.
    External {
        /// The page.
        url: String,
        /// The file with the key that both sides sign with.
        key_file: PathBuf,
    },
}

/// The operator's face.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// What people call the platform.
    pub name: String,
    /// An image file: SVG, PNG, JPEG or WebP.
    pub logo: Option<PathBuf>,
    /// The colour of what can be pressed, where the page is light.
    pub color: Color,
    /// The same where the page is dark.
    pub color_dark: Color,
    /// Where people find help.
    pub help_url: Option<String>,
    /// What is done with their data.
    pub privacy_url: Option<String>,
    /// What they agree to.
    pub terms_url: Option<String>,
}

/// A colour of sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub [u8; 3]);

impl Color {
    /// Reads `#1f5eff`.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6)?;
        let mut rgb = [0; 3];
        data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut rgb).ok()?;
        Some(Self(rgb))
    }

    /// As CSS writes it.
    pub fn css(self) -> String {
        format!("#{}", data_encoding::HEXLOWER.encode(&self.0))
    }

    /// Black or white: what can be read better on it.
    pub fn ink(self) -> &'static str {
        if self.contrast(Self([0; 3])) >= self.contrast(Self([255; 3])) { "#000000" } else { "#ffffff" }
    }

    /// The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio").
    pub fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Relative luminance, 0 to 1 (WCAG 2.2).
    fn luminance(self) -> f64 {
        let linear = self.0.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_read_and_told_apart() {
        let blue = Color::parse("#1F5EFF").unwrap();
        assert_eq!((blue.css().as_str(), blue.ink()), ("#1f5eff", "#ffffff"));
        assert_eq!(Color::parse("#ffcc00").unwrap().ink(), "#000000");
        let most = Color([0; 3]).contrast(Color([255; 3]));
        assert!((most - 21.0).abs() < 1e-9, "{most}");
        for text in ["", "#", "1f5eff", "#1f5ef", "#1f5efff", "#gggggg", "red", "#1f5eff;"] {
            assert_eq!(Color::parse(text), None, "{text}");
        }
    }
}
