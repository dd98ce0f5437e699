//! Keys: published before they sign and after, sealed at rest.

use crate::stage::{Browser, Stage, verified};
use storegate::idp::new_signing_key;
use storegate::model::Timestamp;
use storegate::replica::Writer;

#[tokio::test]
async fn a_rotation_fails_no_token() {
    let stage = Stage::new().await;
    let before = stage.tokens("rahim@example.com", "openid").await;
    let before = before["id_token"].as_str().unwrap();
    let key = new_signing_key(Timestamp::now()).unwrap();
    let _ = stage.writer().add_identity_key(&key, false).unwrap();
    let after = Browser::new(&stage).code("rahim@example.com", "openid").await;
    let after = stage.redeem(&after).await.json();
    let after = after["id_token"].as_str().unwrap();
    let kid = |token: &str| {
        let head =
            data_encoding::BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
        serde_json::from_slice::<serde_json::Value>(&head).unwrap()["kid"].as_str().unwrap().to_owned()
    };
    assert_eq!(kid(after), key.kid, "the new key signs at once");
    assert_ne!(kid(before), kid(after));
    for token in [before, after] {
        assert_eq!(verified(&stage, token).await["sub"], "customer:42");
    }
    // The next one is published, and does not sign yet.
    let next = new_signing_key(Timestamp::now().plus(600)).unwrap();
    let _ = stage.writer().add_identity_key(&next, false).unwrap();
    let jwks = stage.get("/api/oauth/jwks", &[]).await.json();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 3);
    assert!(jwks["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "{jwks}");
    let tokens = stage.tokens("rahim@example.com", "openid").await;
    assert_eq!(kid(tokens["id_token"].as_str().unwrap()), key.kid);

    // A stolen key: all others go.
    let fresh = new_signing_key(Timestamp::now()).unwrap();
    let _ = stage.writer().add_identity_key(&fresh, true).unwrap();
    let jwks = stage.get("/api/oauth/jwks", &[]).await.json();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
    assert_eq!(jwks["keys"][0]["kid"], fresh.kid.as_str());
}

#[test]
fn private_keys_are_sealed_at_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key_file) = (folder.path().join("storegate.db"), folder.path().join("replica.key"));
    let key = new_signing_key(Timestamp::now()).unwrap();
    let holds = |text: &str| {
        let bytes: Vec<u8> = std::fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("storegate.db"))
            .filter(|entry| entry.path().is_file())
            .flat_map(|entry| std::fs::read(entry.path()).unwrap())
            .collect();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let mut writer = Writer::open(&path, None).unwrap();
    let _ = writer.add_identity_key(&key, false).unwrap();
    drop(writer);
    assert!(holds(&key.kid) && holds(key.private.expose()), "without a key file it is in clear");
    drop(Writer::open(&path, Some(&key_file)).unwrap());
    assert!(holds(&key.kid) && !holds(key.private.expose()), "it is sealed once there is one");
    let options = storegate::replica::Options { key_file: Some(key_file), ..Default::default() };
    let replica = storegate::replica::Replica::open(&path, options).unwrap();
    let read = replica.identity_keys(storegate::model::KeyPurpose::IdToken).unwrap();
    assert_eq!(read[0].private.expose(), key.private.expose(), "and opened again");
}
