//! People: adding, finding, changing; and who may not be added.

use super::*;
use crate::model::{Email, Membership, PasswordHash, Profile, Subject, UserStatus};

pub(super) const HASH: &str = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEm";
const OTHER: &str = "$2b$04$cVWp4XaNU8a4v1uMRum2SO026BWLIoQMD/TXg5uZV.0P.uO8m3YEe";

pub(super) fn subject(text: &str) -> Subject {
    Subject::parse(text).unwrap()
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(super) fn user(who: &str, address: &str, role: Option<&str>) -> NewUser {
    NewUser {
        subject: subject(who),
        store_id: store(22),
        role: role.map(str::to_owned),
        profile: Profile {
            name: "Rahim".into(),
            email: email(address),
            email_verified: true,
            picture: Some("https://cdn.example/r.png".into()),
            phone: Some("+8801712345678".into()),
            phone_verified: false,
            locale: Some("bn-BD".into()),
        },
        password: PasswordHash::parse(HASH).unwrap(),
    }
}

fn belongs(replica: &Replica, who: &str) -> Vec<(u64, String)> {
    let user = replica.user(subject(who)).unwrap().unwrap();
    user.stores.iter().map(|Membership { store_id, role }| (store_id.get(), role.clone())).collect()
}

#[test]
fn people_are_found_by_subject_and_by_address() {
    let fixture = Fixture::new();
    let (mut writer, replica) = (fixture.writer(), fixture.replica());
    done(writer.add_store(store(23), None, None, None));
    done(writer.add_user(&user("customer:42", "rahim@example.com", None)));
    done(writer.add_user(&NewUser { store_id: store(23), ..user("customer:43", "RAHIM@example.com", None) }));
    done(writer.add_user(&user("merchant:42", "rahim@example.com", Some("owner"))));

    let found = replica.user(subject("customer:42")).unwrap().unwrap();
    assert_eq!(found.profile, user("customer:42", "rahim@example.com", None).profile);
    assert_eq!((found.password.as_str(), found.status), (HASH, UserStatus::Active));
    assert_eq!(belongs(&replica, "customer:42"), [(22, "customer".to_owned())]);
    let by = |number| replica.customer_by_email(store(number), &email("Rahim@Example.com")).unwrap();
    assert_eq!(by(22).unwrap().subject, subject("customer:42"));
    assert_eq!(by(23).unwrap().subject, subject("customer:43"));
    assert!(by(24).is_none());
    let all = replica.users_by_email(&email("rahim@example.com")).unwrap();
    let subjects: Vec<_> = all.iter().map(|user| user.subject.to_string()).collect();
    assert_eq!(subjects, ["merchant:42", "customer:42", "customer:43"]);
    assert!(replica.user(subject("merchant:43")).unwrap().is_none());
    assert!(replica.users_by_email(&email("karim@example.com")).unwrap().is_empty());
}

#[test]
fn merchants_work_for_several_stores() {
    let fixture = Fixture::new();
    let (mut writer, replica) = (fixture.writer(), fixture.replica());
    done(writer.add_store(store(23), None, None, None));
    let merchant = subject("merchant:7");
    done(writer.add_user(&user("merchant:7", "a@example.com", Some("owner"))));
    done(writer.join_store(merchant, store(23), "staff"));
    assert_eq!(belongs(&replica, "merchant:7"), [(22, "owner".to_owned()), (23, "staff".to_owned())]);
    done(writer.join_store(merchant, store(23), "owner"));
    done(writer.leave_store(merchant, store(22)));
    done(writer.leave_store(merchant, store(22)));
    assert_eq!(belongs(&replica, "merchant:7"), [(23, "owner".to_owned())]);
    let listed = writer.users().unwrap();
    assert_eq!(listed[0].stores, [UserStore { store_id: 23, role: "owner".into() }]);

    refused(writer.join_store(merchant, store(99), "staff"));
    refused(writer.join_store(subject("merchant:8"), store(23), "staff"));
    refused(writer.join_store(subject("customer:7"), store(23), "staff"));
    refused(writer.leave_store(subject("merchant:8"), store(23)));
    for role in ["", "Owner", "a b", "é", &"a".repeat(65)] {
        refused(writer.join_store(merchant, store(23), role));
    }
}

#[test]
fn passwords_and_status_change() {
    let fixture = Fixture::new();
    let (mut writer, replica) = (fixture.writer(), fixture.replica());
    let customer = subject("customer:42");
    done(writer.add_user(&user("customer:42", "a@example.com", None)));
    done(writer.set_password(customer, &PasswordHash::parse(OTHER).unwrap()));
    done(writer.set_user_status(customer, UserStatus::Disabled));
    let found = replica.user(customer).unwrap().unwrap();
    assert_eq!((found.password.as_str(), found.status), (OTHER, UserStatus::Disabled));
    done(writer.set_user_status(customer, UserStatus::Active));
    assert_eq!(writer.users().unwrap()[0].status, "active");
    refused(writer.set_user_status(subject("customer:43"), UserStatus::Active));
    refused(writer.set_password(subject("customer:43"), &PasswordHash::parse(OTHER).unwrap()));
}

type Mistake = fn(&mut NewUser);

#[test]
fn who_may_not_be_added() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    done(writer.add_user(&user("customer:42", "a@example.com", None)));
    done(writer.add_user(&user("merchant:7", "a@example.com", Some("owner"))));
    let with = |change: &Mistake| {
        let mut new = user("customer:1", "new@example.com", None);
        change(&mut new);
        new
    };
    let rows: &[(&str, Mistake)] = &[
        ("customer:42 exists already", |new| new.subject = subject("customer:42")),
        ("another customer has this email address in this store", |new| {
            new.profile.email = email("A@example.com");
        }),
        ("there is no store 99", |new| new.store_id = store(99)),
        ("customers have none", |new| new.role = Some("owner".into())),
        ("merchants need one", |new| new.subject = subject("merchant:8")),
        ("another merchant has this email address", |new| {
            *new = NewUser { store_id: store(22), ..user("merchant:8", "a@example.com", Some("staff")) };
        }),
        ("the user's name is malformed", |new| new.profile.name.clear()),
        ("the user's name is malformed", |new| new.profile.name = "a\u{1b}".into()),
        ("the picture is malformed", |new| new.profile.picture = Some("javascript:alert(1)".into())),
        ("the picture is malformed", |new| new.profile.picture = Some("https://a/\">".into())),
        ("the phone number is malformed", |new| new.profile.phone = Some("01712".into())),
        ("the phone number is malformed", |new| new.profile.phone = Some("+1234567890123456".into())),
        ("the locale is malformed", |new| new.profile.locale = Some("bn BD".into())),
    ];
    for (text, change) in rows {
        let error = refused(writer.add_user(&with(change)));
        assert!(error.contains(text), "{error:?} does not say {text:?}");
        assert!(!error.contains("example.com"), "{error} tells an address");
    }
    assert_eq!(writer.users().unwrap().len(), 2, "nothing refused left a trace");
}
