//! What the identity provider records: bounded, and gone with the person.

use super::users::{HASH, subject, user};
use super::*;
use crate::model::{ClientType, PasswordHash, RedirectUri, SignIn, TokenDigest};

const NOW: Timestamp = Timestamp(1_000_000);
const BACK: &str = "https://shop.example/cb";

fn stage() -> (Fixture, Arc<Replica>, WriteQueue) {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    for who in ["customer:42", "customer:43"] {
        done(writer.add_user(&user(who, &format!("{who}@example.com").replace(':', ""), None)));
    }
    for id in ["sx_oc_1", "sx_oc_2"] {
        done(writer.add_oauth_client(&NewOauthClient {
            client_id: client(id),
            name: "Shop".into(),
            secret_hash: Some(PasswordHash::parse(HASH).unwrap()),
            redirect_uris: vec![RedirectUri::parse(BACK, ClientType::Confidential).unwrap()],
            logout_uris: Vec::new(),
            scopes: scopes("openid email"),
            owner: None,
        }));
    }
    let replica = fixture.replica();
    let queue = WriteQueue::start(&replica).unwrap();
    (fixture, replica, queue)
}

fn digest(of: &str, number: u32) -> TokenDigest {
    TokenDigest::of(format!("{of}{number}").as_bytes())
}

/// A code of `who` for `to`.
async fn grant(queue: &WriteQueue, who: &str, to: &str, number: u32) -> TokenDigest {
    let code = digest(&format!("{who}{to}"), number);
    let new = NewIdentityGrant {
        code,
        client: client(to),
        subject: subject(who),
        store: Some(store(22)),
        scopes: scopes("openid email"),
        redirect_uri: BACK.into(),
        code_challenge: None,
        nonce: None,
        auth_time: NOW,
        expires_at: NOW.plus(60),
    };
    queue.add_identity_grant(new, NOW).await.unwrap();
    code
}

fn pair(of: &str, number: u32) -> NewIdentityPair {
    NewIdentityPair {
        access: digest(&format!("access {of}"), number),
        refresh: digest(&format!("refresh {of}"), number),
        access_expires_at: NOW.plus(3600),
        refresh_expires_at: NOW.plus(86_400),
    }
}

async fn redeem(queue: &WriteQueue, code: TokenDigest, pair: NewIdentityPair) -> Exchanged {
    let presented =
        PresentedCode { code, client: client("sx_oc_1"), redirect_uri: Some(BACK.into()), challenge: None };
    queue.exchange_identity_code(presented, pair, NOW).await.unwrap()
}

async fn refresh(queue: &WriteQueue, with: NewIdentityPair, next: NewIdentityPair) -> Exchanged {
    queue.refresh_identity(with.refresh, client("sx_oc_1"), None, next, NOW).await.unwrap()
}

fn count(fixture: &Fixture, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    fixture.stranger().query_row(&sql, [], |row| row.get(0)).unwrap()
}

fn works(replica: &Replica, pair: &NewIdentityPair) -> bool {
    replica.identity_token(&pair.access, NOW).unwrap().is_some()
}

/// None is forgotten before its time, so that the reuse of any ends the family, however often it was refreshed.
#[tokio::test]
async fn a_family_of_too_many_pairs_ends() {
    let (fixture, replica, queue) = stage();
    let code = grant(&queue, "customer:42", "sx_oc_1", 0).await;
    assert!(matches!(redeem(&queue, code, pair("a", 0)).await, Exchanged::Issued(_)));
    fill(&fixture, 2998);
    assert!(matches!(refresh(&queue, pair("a", 0), pair("a", 1)).await, Exchanged::Issued(_)));
    assert!(works(&replica, &pair("a", 1)));
    assert!(matches!(refresh(&queue, pair("a", 1), pair("a", 2)).await, Exchanged::Refused(_)));
    assert!(!works(&replica, &pair("a", 1)) && !works(&replica, &pair("a", 2)));
    assert_eq!(count(&fixture, "identity_tokens"), 3000);
    // Of another one the first is known as long as it lives.
    let code = grant(&queue, "customer:42", "sx_oc_1", 1).await;
    assert!(matches!(redeem(&queue, code, pair("b", 0)).await, Exchanged::Issued(_)));
    for number in 0..20 {
        let exchanged = refresh(&queue, pair("b", number), pair("b", number + 1)).await;
        assert!(matches!(exchanged, Exchanged::Issued(_)), "{number}: {exchanged:?}");
    }
    assert!(matches!(refresh(&queue, pair("b", 0), pair("c", 0)).await, Exchanged::Reused(_)));
    assert!(!works(&replica, &pair("b", 20)));
}

/// So many used pairs of the only family.
fn fill(fixture: &Fixture, count: i64) {
    let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?1)
        INSERT INTO identity_tokens (grant_id, access_hash, refresh_hash, scopes, issued_at, access_expires_at,
            refresh_expires_at, replaced_at)
        SELECT g.grant_id, randomblob(32), randomblob(32), 'openid', 1, 2, ?2, 1 FROM n, identity_grants g";
    fixture.stranger().execute(sql, rusqlite::params![count, NOW.plus(86_400).0]).unwrap();
}

#[tokio::test]
async fn a_person_keeps_so_many_grants_to_a_client() {
    let (fixture, replica, queue) = stage();
    for number in 0..3 {
        let code = grant(&queue, "customer:42", "sx_oc_1", number).await;
        assert!(matches!(redeem(&queue, code, pair("used", number)).await, Exchanged::Issued(_)));
    }
    for number in 3..60 {
        grant(&queue, "customer:42", "sx_oc_1", number).await;
    }
    // Somebody else, and another client.
    grant(&queue, "customer:43", "sx_oc_1", 0).await;
    grant(&queue, "customer:42", "sx_oc_2", 0).await;
    // Three that were exchanged, twenty codes, and those of the others.
    assert_eq!(count(&fixture, "identity_grants"), 25);
    assert!((0..3).all(|number| works(&replica, &pair("used", number))));
    for (number, is_kept) in [(59, true), (40, true), (39, false), (3, false)] {
        let code = digest("customer:42sx_oc_1", number);
        let exchanged = redeem(&queue, code, pair("late", number)).await;
        assert_eq!(matches!(exchanged, Exchanged::Issued(_)), is_kept, "{number}: {exchanged:?}");
    }

    // Of those that were exchanged the oldest goes, with its tokens.
    for number in 60..110 {
        let code = grant(&queue, "customer:42", "sx_oc_1", number).await;
        assert!(matches!(redeem(&queue, code, pair("more", number)).await, Exchanged::Issued(_)));
    }
    grant(&queue, "customer:42", "sx_oc_1", 110).await;
    assert_eq!(count(&fixture, "identity_tokens"), 50);
    assert!(!works(&replica, &pair("used", 0)) && !works(&replica, &pair("late", 59)));
    assert!(works(&replica, &pair("more", 109)) && works(&replica, &pair("more", 60)));
    // One that ended goes before one that is older.
    let again = digest("customer:42sx_oc_1", 109);
    assert!(matches!(redeem(&queue, again, pair("x", 0)).await, Exchanged::Reused(_)));
    let code = grant(&queue, "customer:42", "sx_oc_1", 111).await;
    assert!(matches!(redeem(&queue, code, pair("more", 111)).await, Exchanged::Issued(_)));
    grant(&queue, "customer:42", "sx_oc_1", 112).await;
    assert!(works(&replica, &pair("more", 60)) && works(&replica, &pair("more", 111)));
}

#[tokio::test]
async fn the_browser_that_signs_in_stays_signed_in() {
    let (fixture, replica, queue) = stage();
    let who = |auth_time| SignIn {
        subject: subject("customer:42"),
        auth_time,
        seen_at: NOW,
        ends_at: NOW.plus(9000),
    };
    for number in 0..50 {
        queue.sign_in(digest("browser", number), None, who(NOW)).await.unwrap();
    }
    // Another page proved it long ago.
    queue.sign_in(digest("browser", 50), None, who(NOW.plus(-5000))).await.unwrap();
    assert_eq!(count(&fixture, "sign_ins"), 50);
    assert!(replica.sign_in(&digest("browser", 50)).unwrap().is_some());
}

#[tokio::test]
async fn nothing_of_a_removed_person_is_left_for_the_next_of_that_number() {
    let (fixture, replica, queue) = stage();
    for (number, who) in [(0, "customer:42"), (1, "customer:43")] {
        let code = grant(&queue, who, "sx_oc_1", number).await;
        assert!(matches!(redeem(&queue, code, pair("a", number)).await, Exchanged::Issued(_)));
        let sign_in = SignIn { subject: subject(who), auth_time: NOW, seen_at: NOW, ends_at: NOW.plus(9000) };
        queue.sign_in(digest("browser", number), None, sign_in).await.unwrap();
        let actor = Actor::command();
        queue.give_consent(subject(who), client("sx_oc_1"), None, scopes("openid"), actor).await.unwrap();
    }
    let remove = "DELETE FROM users WHERE kind = 'customer' AND number = 42";
    assert_eq!(fixture.stranger().execute(remove, []).unwrap(), 1);
    done(fixture.writer().add_user(&user("customer:42", "new@example.com", None)));
    assert!(!works(&replica, &pair("a", 0)) && works(&replica, &pair("a", 1)));
    assert_eq!((count(&fixture, "sign_ins"), count(&fixture, "consents")), (1, 1));
    assert!(matches!(refresh(&queue, pair("a", 0), pair("b", 0)).await, Exchanged::Refused(_)));
}
