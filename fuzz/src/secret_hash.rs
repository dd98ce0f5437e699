//! Stored secrets: one text.

use storegate::model::{AppSecret, ProofKey, SecretHash, SecretMatch};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(hash) = SecretHash::parse(text) else { return };
    let stored = hash.to_stored();
    assert!(stored == text || stored == text.to_ascii_lowercase());
    assert!(SecretHash::parse(&stored).is_ok_and(|again| again == hash));
    assert!(!format!("{hash:?}").contains(&text[8..]), "Debug shows a hash");
    if let SecretHash::Bcrypt(_) = &hash {
        assert_eq!(stored, text);
        let parts: bcrypt::HashParts = text.parse().expect("whoever took it over can check it");
        assert!((4..=16).contains(&parts.get_cost()), "a cost that a request can wait for");
    }
    let proof_key = ProofKey::random().unwrap();
    let is_bcrypt = matches!(hash, SecretHash::Bcrypt(_));
    let secret = AppSecret::new(1, hash, None);
    let expected = if is_bcrypt { SecretMatch::Unproved } else { SecretMatch::Different };
    assert_eq!(secret.compare(text.as_bytes(), &proof_key), expected, "a hash is not its own secret");
}
