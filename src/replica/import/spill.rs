//! More tokens than fit into memory, sorted on disk: runs that are each in order, in one file without
//! a name, and the merge of them. Knows no database.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use super::tokens::Token;

/// What is read of one run at a time, in bytes.
const WINDOW: usize = if cfg!(test) { 1000 } else { 128 * 1024 };

/// The fixed part of a token in the file: the digest, five numbers, the length of its scopes.
const HEAD: usize = 32 + 5 * 8 + 2;

/// What stands for "none" in the place of a time and of a length; neither can be one.
const NO_TIME: i64 = i64::MIN;
const NO_SCOPES: u16 = u16::MAX;

/// Sorted runs of tokens.
pub(super) struct Spill {
    file: File,
    /// Where each run ends.
    ends: Vec<u64>,
}

impl Spill {
    /// An empty one. Its file is readable by its owner only, and gone when this is, however the
    /// process ends.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, ends: Vec::new() })
    }

    /// Writes one run; `tokens` are in order.
    pub(super) fn push(&mut self, tokens: &[Token]) -> io::Result<()> {
        let mut end = self.end();
        let mut out = BufWriter::with_capacity(WINDOW, &self.file);
        let mut record = Vec::with_capacity(HEAD);
        for token in tokens {
            record.clear();
            write(token, &mut record)?;
            out.write_all(&record)?;
            end += record.len() as u64;
        }
        out.flush()?;
        drop(out);
        self.ends.push(end);
        Ok(())
    }

    /// All tokens, in order.
    pub(super) fn merge(self) -> io::Result<Merge> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let runs = starts.zip(&self.ends).map(|(at, end)| Run::new(at, *end)).collect();
        let mut merge = Merge { file: self.file, runs, heads: BinaryHeap::new() };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn end(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }
}

/// The tokens of all runs, the least first.
pub(super) struct Merge {
    file: File,
    runs: Vec<Run>,
    /// The next token of each run that has one.
    heads: BinaryHeap<Reverse<Head>>,
}

struct Head {
    token: Token,
    run: usize,
}

impl Merge {
    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Token>> {
        let Some(Reverse(head)) = self.heads.pop() else { return Ok(None) };
        self.advance(head.run)?;
        Ok(Some(head.token))
    }

    fn advance(&mut self, run: usize) -> io::Result<()> {
        let token = self.runs[run].next(&self.file)?;
        self.heads.extend(token.map(|token| Reverse(Head { token, run })));
        Ok(())
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.token.order().cmp(&other.token.order())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// One run, read window by window.
struct Run {
    /// What of the file is not in the window yet.
    at: u64,
    end: u64,
    window: Vec<u8>,
    read: usize,
    /// The scopes read last: mostly those of the next token, too.
    scopes: Option<Rc<str>>,
}

impl Run {
    fn new(at: u64, end: u64) -> Self {
        Self { at, end, window: Vec::new(), read: 0, scopes: None }
    }

    fn next(&mut self, file: &File) -> io::Result<Option<Token>> {
        if self.read == self.window.len() && self.at == self.end {
            return Ok(None);
        }
        let head: [u8; HEAD] = self.bytes(file, HEAD)?.try_into().map_err(|_| damaged())?;
        let (digest, rest) = head.split_first_chunk::<32>().ok_or_else(damaged)?;
        let number = |index: usize| {
            let bytes = rest[index * 8..].first_chunk::<8>().copied().unwrap_or_default();
            i64::from_le_bytes(bytes)
        };
        let (line, app, store, expires_at) = (number(0).cast_unsigned(), number(1), number(2), number(3));
        let revoked_at = Some(number(4)).filter(|at| *at != NO_TIME);
        let length = u16::from_le_bytes([head[HEAD - 2], head[HEAD - 1]]);
        let scopes = if length == NO_SCOPES { None } else { Some(self.scopes(file, usize::from(length))?) };
        Ok(Some(Token { digest: *digest, line, app, store, expires_at, revoked_at, scopes }))
    }

    fn scopes(&mut self, file: &File, length: usize) -> io::Result<Rc<str>> {
        let last = self.scopes.take();
        let text = std::str::from_utf8(self.bytes(file, length)?).map_err(|_| damaged())?;
        let scopes = last.filter(|last| **last == *text).unwrap_or_else(|| Rc::from(text));
        self.scopes = Some(scopes.clone());
        Ok(scopes)
    }

    /// The next `length` bytes.
    fn bytes(&mut self, file: &File, length: usize) -> io::Result<&[u8]> {
        if self.window.len() - self.read < length {
            self.window.drain(..self.read);
            self.read = 0;
            let had = self.window.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let more = WINDOW.max(length).min(left);
            self.window.resize(had + more, 0);
            file.read_exact_at(&mut self.window[had..], self.at)?;
            self.at += more as u64;
        }
        let bytes = self.window.get(self.read..self.read + length).ok_or_else(damaged)?;
        self.read += length;
        Ok(bytes)
    }
}

fn write(token: &Token, record: &mut Vec<u8>) -> io::Result<()> {
    record.extend_from_slice(&token.digest);
    let revoked_at = token.revoked_at.unwrap_or(NO_TIME);
    for number in [token.line.cast_signed(), token.app, token.store, token.expires_at, revoked_at] {
        record.extend_from_slice(&number.to_le_bytes());
    }
    let scopes = token.scopes.as_deref();
    let length = scopes.map(|scopes| u16::try_from(scopes.len())).transpose();
    let length = length.ok().filter(|length| *length != Some(NO_SCOPES)).ok_or_else(damaged)?;
    record.extend_from_slice(&length.unwrap_or(NO_SCOPES).to_le_bytes());
    record.extend_from_slice(scopes.unwrap_or_default().as_bytes());
    Ok(())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file of sorted runs does not hold what was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of very different lengths, with and without scopes, windows that cut through tokens.
    #[test]
    fn the_merge_gives_every_token_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path()).unwrap();
        let mut all = Vec::new();
        let mut seed = 7u64;
        for (run, length) in [0usize, 1, 500, 3, 1200, 0, 77].into_iter().enumerate() {
            let mut tokens: Vec<Token> = (0..length)
                .map(|n| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let mut digest = [0; 32];
                    digest[..2].copy_from_slice(&seed.to_be_bytes()[..2]); // many a digest twice
                    let scopes = match n % 4 {
                        0 => None,
                        1 => Some(Rc::from("")),
                        2 => Some(Rc::from("read:orders")),
                        _ => Some(Rc::from("x".repeat(4096))),
                    };
                    let line = (run * 10_000 + n) as u64;
                    let revoked_at = (n % 3 == 0).then_some(n as i64);
                    Token { digest, line, app: -1, store: i64::MAX, expires_at: 9, revoked_at, scopes }
                })
                .collect();
            tokens.sort_by(|one, other| one.order().cmp(&other.order()));
            spill.push(&tokens).unwrap();
            all.extend(tokens);
        }
        all.sort_by(|one, other| one.order().cmp(&other.order()));
        let mut merge = spill.merge().unwrap();
        for token in &all {
            assert_eq!(merge.next().unwrap().as_ref(), Some(token));
        }
        assert_eq!(merge.next().unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn a_file_that_was_cut_short_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path()).unwrap();
        let token = Token {
            digest: [1; 32],
            line: 1,
            app: 1,
            store: 1,
            expires_at: 1,
            revoked_at: None,
            scopes: None,
        };
        spill.push(&vec![token; 100]).unwrap();
        spill.file.set_len(5000).unwrap();
        let mut merge = spill.merge().unwrap();
        let ended = std::iter::from_fn(|| merge.next().transpose()).take(200).find_map(Result::err);
        assert!(ended.is_some());
    }
}
