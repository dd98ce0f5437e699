//! Idempotency keys: what is remembered, for how long, and what is not readable.

use super::*;
use crate::model::StoreStatus;

const MINUTE: i64 = 60;

fn once(bearer: &str, key: &str, body: &str) -> Once {
    Once::new(&Secret::new(bearer.into()), key, &[b"POST", b"/stores", body.as_bytes()])
}

fn add(fixture: &Fixture, number: u64, once: Once) -> Result<Writer, WriteError> {
    let mut writer = fixture.writer().once(once);
    writer.add_store(store(number), None, None, None).map(|committed| {
        committed.acknowledge().1.unwrap();
        writer
    })
}

/// What a repetition hears; the store must not be added.
fn repeated(fixture: &Fixture, once: Once) -> Repeated {
    match add(fixture, 90, once) {
        Err(WriteError::Repeated(before)) => *before,
        other => panic!("{other:?}"),
    }
}

/// Makes everything that is remembered so many seconds older.
fn age(fixture: &Fixture, seconds: i64) {
    fixture.stranger().execute("UPDATE idempotency_keys SET at = at - ?1", [seconds]).unwrap();
}

fn count(fixture: &Fixture, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM idempotency_keys WHERE {condition}");
    fixture.stranger().query_row(&sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn an_answer_is_kept_for_minutes_and_its_key_for_a_day() {
    let fixture = Fixture::new();
    let mine = || once("sx_op_1", "k", "{}");
    let mut writer = add(&fixture, 30, mine()).unwrap();
    assert_eq!(
        repeated(&fixture, mine()),
        Repeated { subject: "store:30".into(), answer: None },
        "not kept yet"
    );
    writer.keep_answer(&Secret::new("the answer".into())).unwrap();
    let heard = |fixture: &Fixture| repeated(fixture, mine()).answer.map(|answer| answer.expose().to_owned());
    assert_eq!(heard(&fixture).as_deref(), Some("the answer"));
    age(&fixture, 9 * MINUTE);
    assert_eq!(heard(&fixture).as_deref(), Some("the answer"));
    age(&fixture, MINUTE);
    assert_eq!(heard(&fixture), None, "past ten minutes");
    fixture.writer().forget_calls(Timestamp::now()).unwrap();
    assert_eq!(count(&fixture, "answer IS NULL"), 1);
    age(&fixture, 86_400 - 11 * MINUTE);
    assert_eq!(heard(&fixture), None);
    age(&fixture, 2 * MINUTE);
    add(&fixture, 31, mine()).expect("a day later the key is free");
    age(&fixture, 86_400);
    fixture.writer().forget_calls(Timestamp::now()).unwrap();
    assert_eq!(count(&fixture, "true"), 0);
    fixture.writer().forget_calls(Timestamp::now()).unwrap();
}

#[test]
fn others_have_other_keys_and_cannot_read_the_answer() {
    let fixture = Fixture::new();
    let mut writer = add(&fixture, 30, once("sx_op_1", "k", "{}")).unwrap();
    writer.keep_answer(&Secret::new("the answer".into())).unwrap();
    assert!(matches!(add(&fixture, 90, once("sx_op_1", "k", "{ }")), Err(WriteError::KeyReused)));
    add(&fixture, 31, once("sx_op_2", "k", "{}")).expect("another caller");
    add(&fixture, 32, once("sx_op_1", "K", "{}")).expect("another key");
    // Even with the row in hand: the answer of one under the name of another.
    let move_answer = "UPDATE idempotency_keys SET answer = (SELECT answer FROM idempotency_keys WHERE subject = 'store:30')";
    fixture.stranger().execute(move_answer, []).unwrap();
    assert_eq!(repeated(&fixture, once("sx_op_2", "k", "{}")).answer, None);
    assert!(repeated(&fixture, once("sx_op_1", "k", "{}")).answer.is_some());
    for damage in ["zeroblob(9)", "zeroblob(200)", "X''"] {
        fixture.stranger().execute(&format!("UPDATE idempotency_keys SET answer = {damage}"), []).unwrap();
        assert_eq!(repeated(&fixture, once("sx_op_1", "k", "{}")).answer, None, "{damage}");
    }
    let shown =
        format!("{:?}{:?}", once("sx_op_1", "k", "{}"), repeated(&fixture, once("sx_op_1", "k", "{}")));
    assert!(!shown.contains("sx_op_1") && !shown.contains("answer"), "{shown}");
    // Parts of a call cannot be shifted into each other.
    let shifted = Once::new(&Secret::new("sx_op_1".into()), "k", &[b"POST/", b"stores", b"{}"]);
    assert!(matches!(add(&fixture, 90, shifted), Err(WriteError::KeyReused)));
}

#[test]
fn a_refused_call_takes_no_key_and_the_table_is_bounded() {
    let fixture = Fixture::new();
    refused(add(&fixture, 22, once("sx_op_1", "k", "{}")));
    assert_eq!(count(&fixture, "true"), 0);
    for number in 0..20 {
        add(&fixture, 100 + number, once("sx_op_1", &number.to_string(), "{}")).unwrap();
    }
    assert!(
        refused(add(&fixture, 90, once("sx_op_1", "one more", "{}"))).contains("too many idempotency keys")
    );
    done(fixture.writer().set_store_status(store(22), StoreStatus::Suspended));
    assert!(matches!(add(&fixture, 90, once("sx_op_1", "0", "{}")), Err(WriteError::Repeated(_))));
    age(&fixture, 86_400);
    add(&fixture, 90, once("sx_op_1", "one more", "{}")).expect("the old ones are forgotten");
    assert_eq!(count(&fixture, "true"), 1);
}
