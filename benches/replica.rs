//! Look-ups of access tokens by the size of the replica: from memory, from the file, and in vain.
//!
//! 10,000 and 1,000,000 tokens by default; 10,000,000 as well with `STOREGATE_BENCH_LARGE=1`, which takes
//! 2 GB of disk in the temporary folder for a while.

use std::hint::black_box;
use std::io::{self, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use storegate::gate::Directory;
use storegate::model::TokenDigest;
use storegate::replica::{Options, Replica, Writer};

/// The digest of token `n`.
fn digest(n: u64) -> TokenDigest {
    TokenDigest::of(&n.to_le_bytes())
}

/// An import of `tokens` tokens of one app in one store, made while it is read.
struct Records {
    next: u64,
    tokens: u64,
    line: Vec<u8>,
    read: usize,
}

impl Records {
    fn new(tokens: u64) -> Self {
        let head = r#"{"type":"store","store_id":22}
{"type":"app","client_id":"sx_app_1","scopes":"read:orders"}
{"type":"installation","client_id":"sx_app_1","store_id":22}
"#;
        Self { next: 0, tokens, line: head.into(), read: 0 }
    }
}

impl Read for Records {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.line.len() && self.next < self.tokens {
            let hash = digest(self.next).0.map(|byte| format!("{byte:02x}")).concat();
            self.line = format!(
                "{{\"type\":\"access_token\",\"token_hash\":\"{hash}\",\"client_id\":\"sx_app_1\",\"store_id\":22,\"scopes\":\"read:orders\",\"expires_at\":4000000000}}\n"
            )
            .into();
            (self.next, self.read) = (self.next + 1, 0);
        }
        let read = (&self.line[self.read..]).read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

fn open(path: &Path, cache_entries: usize) -> Arc<Replica> {
    let cache_entries = NonZeroUsize::new(cache_entries).expect("not zero");
    let options = Options { readers: 1, cache_entries, ..Options::default() };
    Replica::open(path, options).expect("a replica")
}

fn look_ups(criterion: &mut Criterion) {
    let mut sizes = vec![10_000u64, 1_000_000];
    if std::env::var_os("STOREGATE_BENCH_LARGE").is_some() {
        sizes.push(10_000_000);
    }
    for tokens in sizes {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("storegate.db");
        let mut writer = Writer::open(&path, None).expect("a replica");
        let imported = writer.import(BufReader::new(Records::new(tokens)), |_| ()).expect("an import");
        imported.acknowledge().1.expect("nobody to wait for");
        let mut group = criterion.benchmark_group(format!("token of {tokens}"));

        let warm = open(&path, 100_000);
        warm.access_token(&digest(7)).expect("readable");
        group.bench_function("one, from memory", |bench| {
            let digest = digest(7);
            bench.iter(|| warm.access_token(black_box(&digest)));
        });
        let many: Vec<TokenDigest> = (0..10_000).map(digest).collect();
        many.iter().for_each(|digest| drop(warm.access_token(digest)));
        let mut next = 0;
        group.bench_function("one of 10,000, from memory", |bench| {
            bench.iter(|| {
                next = (next + 7919) % many.len();
                warm.access_token(black_box(&many[next]))
            });
        });

        // A cache of one entry: every look-up reads the file, whose pages the system may have in memory.
        let cold = open(&path, 1);
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 16
        };
        group.bench_function("any, from the file", |bench| {
            let any = || digest(random() % tokens);
            bench.iter_batched(any, |digest| cold.access_token(&digest), BatchSize::SmallInput);
        });
        let mut random = 0;
        group.bench_function("none such", |bench| {
            let none = || {
                random += 1;
                digest(tokens + random)
            };
            bench.iter_batched(none, |digest| cold.access_token(&digest), BatchSize::SmallInput);
        });
        group.finish();
    }
}

criterion_group!(benches, look_ups);
criterion_main!(benches);
