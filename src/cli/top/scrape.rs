//! The metrics of a gateway, as they stand in its text.

use std::collections::HashMap;
use std::time::Instant;

/// The metrics at one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    at: Instant,
    series: HashMap<String, Vec<Series>>,
}

#[derive(Debug)]
struct Series {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Scrape {
    /// Reads Prometheus' text form, version 0.0.4. What is none of it is left out.
    pub(super) fn parse(text: &str, at: Instant) -> Self {
        let mut series: HashMap<String, Vec<Series>> = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, one)) = sample(line) {
                series.entry(name.to_owned()).or_default().push(one);
            }
        }
        Self { at, series }
    }

    /// Each value of a metric by one of its labels, those of other labels added up.
    pub(super) fn by(&self, name: &str, label: &str) -> HashMap<&str, f64> {
        let mut values = HashMap::new();
        for one in self.series.get(name).into_iter().flatten() {
            let own = one.labels.iter().find(|(own, _)| own == label);
            *values.entry(own.map_or("", |(_, value)| value)).or_insert(0.0) += one.value;
        }
        values
    }

    /// Each value of a metric by one label, of those series that have a value of another one.
    pub(super) fn by_two(&self, name: &str, label: &str, (other, is): (&str, &str)) -> HashMap<String, f64> {
        let has = |one: &&Series, label: &str, value: &str| {
            one.labels.iter().any(|(l, v)| l == label && v == value)
        };
        let all = self.series.get(name).into_iter().flatten().filter(|one| has(one, other, is));
        let own =
            |one: &Series| one.labels.iter().find(|(own, _)| own == label).map(|(_, value)| value.clone());
        all.filter_map(|one| Some((own(one)?, one.value))).collect()
    }

    /// A metric, all its series added up; `None` where there is none.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        self.series.get(name).map(|all| all.iter().map(|one| one.value).sum())
    }

    /// What each came to per second since `before`, by label; what fell has begun anew.
    pub(super) fn rates(&self, before: &Self, name: &str, label: &str) -> Vec<(String, f64)> {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3);
        let earlier = before.by(name, label);
        let rate = |(of, now): (&str, f64)| {
            let then = earlier.get(of).copied().filter(|then| *then <= now).unwrap_or(0.0);
            (of.to_owned(), (now - then) / seconds)
        };
        let mut rates: Vec<_> =
            self.by(name, label).into_iter().map(rate).filter(|(_, rate)| *rate > 0.0).collect();
        rates.sort_by(|(a, one), (b, other)| other.total_cmp(one).then_with(|| a.cmp(b)));
        rates
    }

    /// A quantile of a histogram since `before`, in seconds, between the ends of its bucket; `None` where
    /// nothing was observed.
    pub(super) fn quantile(&self, before: &Self, name: &str, part: f64) -> Option<f64> {
        let name = format!("{name}_bucket");
        let earlier = before.by(&name, "le");
        let number = |le: &str| if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() };
        let bucket = |(le, now): (&str, f64)| {
            let then = earlier.get(le).copied().unwrap_or(0.0);
            Some((number(le)?, (now - then).max(0.0)))
        };
        let mut buckets: Vec<(f64, f64)> = self.by(&name, "le").into_iter().filter_map(bucket).collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        let wanted = part * all;
        let (mut from, mut below) = (0.0, 0.0);
        for (to, count) in buckets {
            if count >= wanted && count > below {
                let to = if to.is_finite() { to } else { from };
                return Some(from + (to - from) * ((wanted - below) / (count - below)).clamp(0.0, 1.0));
            }
            (from, below) = (if to.is_finite() { to } else { from }, count);
        }
        None
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<(&str, Series)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.trim_start_matches(',').to_owned(), value));
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, Series { labels, value }))
}

/// A label's value up to its closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut signs = text.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match signs.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_of_what_came_since() {
        let start = Instant::now();
        let before = Scrape::parse("a{x=\"1\"} 10\na{x=\"2\",y=\"q\"} 5\na{x=\"3\"} 100\nb 7\n", start);
        let text =
            "# TYPE a counter\na{x=\"1\"} 30\na{x=\"2\",y=\"q\"} 5\na{x=\"3\"} 4\na{x=\"4\"} 2\nb 9.5\n";
        let now = Scrape::parse(text, start + Duration::from_secs(2));
        let rates = now.rates(&before, "a", "x");
        let expected = [("1", 10.0), ("3", 2.0), ("4", 1.0)];
        assert_eq!(rates, expected.map(|(name, rate)| (name.to_owned(), rate)));
        assert_eq!((now.sum("b"), now.sum("c")), (Some(9.5), None));
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let start = Instant::now();
        let text = |a, b, all| {
            format!(
                "t_bucket{{le=\"0.001\"}} {a}\nt_bucket{{le=\"0.01\"}} {b}\nt_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let before = Scrape::parse(&text(50, 50, 50), start);
        assert_eq!(before.quantile(&before, "t", 0.5), None);
        let now = Scrape::parse(&text(140, 150, 150), start);
        assert!((now.quantile(&before, "t", 0.45).unwrap() - 0.0005).abs() < 1e-9);
        assert!((now.quantile(&before, "t", 0.95).unwrap() - 0.0055).abs() < 1e-9);
        let slow = Scrape::parse(&text(50, 50, 150), start);
        assert_eq!(slow.quantile(&before, "t", 0.5), Some(0.01), "no end of the last bucket is made up");
    }

    #[test]
    fn odd_lines_are_left_out() {
        for line in [
            "",
            "a",
            "a{",
            "a{x",
            "a{x=\"",
            "a{x=\"1\"",
            "a{x=\"1\\",
            "a{x=\"1\"}",
            "a b",
            "a{}",
            "{} x",
            "é",
        ] {
            assert!(sample(line).is_none_or(|(_, one)| one.value.is_nan()), "{line:?}");
        }
        let (name, one) = sample(r#"a{x="q\"\\\n}",y=""} 1e3 1700000000"#).unwrap();
        assert_eq!((name, one.value), ("a", 1000.0));
        assert_eq!(one.labels, [("x".to_owned(), "q\"\\\n}".to_owned()), ("y".to_owned(), String::new())]);
    }
}
