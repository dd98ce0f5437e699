//! Operators: what they may give, to whom, and that it is decided at the moment of the change.

use super::*;
use crate::model::{Permission, StoreStatus, TokenDigest};

use Permission::{ManageApps, ManageOperators, ManageStores, ViewApps, ViewAudit, ViewStores};

/// A writer in the name of the operator with this token, for something that needs `permission`.
fn by(fixture: &Fixture, token: &Secret, permission: Permission) -> Writer {
    let token = TokenDigest::of(token.expose().as_bytes());
    fixture.writer().claiming(Claim { token, permission })
}

fn add(fixture: &Fixture, name: &str, permissions: &[Permission]) -> Secret {
    done(fixture.writer().add_operator(name, permissions)).token
}

fn permissions(fixture: &Fixture, name: &str) -> String {
    let all = fixture.writer().operators(Page::ALL).unwrap();
    all.into_iter().find(|operator| operator.name == name).unwrap().permissions
}

#[test]
fn a_change_needs_the_permission_when_it_is_made() {
    let fixture = Fixture::new();
    let token = add(&fixture, "ada", &[ManageStores]);
    let mut writer = by(&fixture, &token, ManageStores);
    done(writer.set_store_status(store(22), StoreStatus::Suspended));
    done(fixture.writer().set_permissions("ada", &[ViewStores]));
    let error = refused(writer.set_store_status(store(22), StoreStatus::Active));
    assert_eq!(error, "the permission stores__manage_stores is required");
    done(fixture.writer().set_permissions("ada", &[ManageStores]));
    done(writer.set_store_status(store(22), StoreStatus::Active));
    done(fixture.writer().remove_operator("ada"));
    refused(writer.set_store_status(store(22), StoreStatus::Suspended));
    assert_eq!(writer.store(store(22)).unwrap().status, "active");

    // A name that another version wrote counts for nothing.
    add(&fixture, "eve", &[ViewStores]);
    let odd =
        "UPDATE operators SET permissions = '* apps__manage_app%73 APPS__MANAGE_APPS' WHERE name = 'eve'";
    fixture.stranger().execute(odd, []).unwrap();
    let eve = fixture.writer().operators(Page::ALL).unwrap().remove(0);
    assert!(Permission::ALL.into_iter().all(|permission| !eve.may(permission)));
}

#[test]
fn nobody_gives_what_they_lack_or_changes_themselves() {
    let fixture = Fixture::new();
    let lead = add(&fixture, "lead", &[ManageOperators, ManageApps]);
    add(&fixture, "peer", &[ManageOperators, ViewApps]);
    add(&fixture, "chief", &[ManageOperators, ViewAudit]);
    let mut writer = by(&fixture, &lead, ManageOperators);

    let helper = done(writer.add_operator("helper", &[ViewApps, ManageOperators])).token;
    done(writer.set_permissions("helper", &[ManageApps]));
    done(writer.set_permissions("peer", &[ViewApps]));
    refused(by(&fixture, &helper, ManageOperators).add_operator("x", &[ManageApps]));

    let given: [(&str, &[Permission]); 5] = [
        ("helper", &[ViewAudit]),
        ("helper", &[ManageApps, ViewStores]),
        ("chief", &[ViewApps]),
        ("lead", &[ManageOperators, ManageApps]),
        ("lead", &[ManageOperators]),
    ];
    for (name, given) in given {
        let before = permissions(&fixture, name);
        refused(writer.set_permissions(name, given));
        assert_eq!(permissions(&fixture, name), before, "{name} {given:?}");
    }
    for permission in Permission::ALL {
        let own = [ManageOperators, ManageApps, ViewApps].contains(&permission);
        assert_eq!(writer.add_operator(permission.name(), &[permission]).is_ok(), own, "{permission:?}");
    }
    assert!(refused(writer.remove_operator("lead")).contains("no operator changes or removes itself"));
    refused(writer.remove_operator("chief"));
    refused(writer.remove_operator("nobody"));
    done(writer.remove_operator("helper"));
    done(writer.remove_operator("peer"));
}

#[test]
fn what_an_operator_cannot_be() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer();
    add(&fixture, "ada", &[ViewApps]);
    for name in
        ["", "admin", "a\nb", "a\u{0}", "ada\u{202e}", "ada\u{200b}", "a\u{9b}31m", &"x".repeat(201), "ada"]
    {
        refused(writer.add_operator(name, &[ViewApps]));
    }
    refused(writer.add_operator("eve", &[]));
    refused(writer.set_permissions("ada", &[]));
    refused(writer.operator(99));
    assert_eq!(writer.operators(Page::ALL).unwrap().len(), 1);
    done(writer.set_permissions("ada", &[ViewApps, ManageApps, ViewApps]));
    assert_eq!(permissions(&fixture, "ada"), "apps__manage_apps apps__view_apps");
}

/// A script that still has the number of a removed operator must not remove, or empower, the next one.
#[test]
fn a_number_never_comes_back() {
    let fixture = Fixture::new();
    let mut numbers = Vec::new();
    for name in ["a", "b", "a", "c", "b"] {
        let _ = fixture.writer().remove_operator(name); // it may not be there yet
        numbers.push(done(fixture.writer().add_operator(name, &[ViewApps])).operator_id);
        done(fixture.writer().remove_operator(name));
        assert!(!refused(fixture.writer().operator(numbers[numbers.len() - 1])).is_empty());
    }
    let mut ascending = numbers.clone();
    ascending.sort_unstable();
    ascending.dedup();
    assert_eq!(numbers, ascending);
}
