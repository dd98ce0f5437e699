//! The small words: client ids, scope lists, networks, durations, permissions. One text.

use std::time::Duration;

use http::HeaderValue;
use storegate::model::{AddressList, ClientId, Permission, ScopeSet, parse_duration};

pub fn check(data: &[u8]) {
    let well_formed = ClientId::is_well_formed(data);
    let Ok(text) = std::str::from_utf8(data) else { return assert!(!well_formed) };
    match ClientId::parse(text) {
        Ok(id) => {
            assert!(well_formed && id.as_str() == text && id.to_string() == text && text.len() <= 128);
            assert!(HeaderValue::from_str(text).is_ok(), "a client id is a header value");
        }
        Err(_) => assert!(!well_formed),
    }
    check_scopes(text);
    if let Ok(network) = AddressList::parse_entry(text) {
        let list = AddressList::new(vec![network]);
        assert_eq!(list.contains(network.addr()), list.contains(network.addr().to_canonical()));
        assert_eq!(AddressList::parse_entry(&network.to_string()), Ok(network));
    }
    if let Ok(duration) = parse_duration(text) {
        assert!(duration <= Duration::MAX);
    }
    if let Ok(permission) = Permission::parse(text) {
        assert_eq!(permission.name(), text);
    }
}

fn check_scopes(text: &str) {
    let Ok(set) = ScopeSet::parse(text) else { return };
    let words: Vec<&str> = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
    assert!(words.iter().all(|word| set.contains(word)));
    assert!(set.iter().all(|scope| words.contains(&scope)), "nobody is granted what was not listed");
    assert!(!set.contains("") && !set.contains(" "));
    // The upstream reads what the replica stores, and both read back as the same set.
    assert_eq!(set.header().to_str().unwrap(), set.as_str());
    assert_eq!(ScopeSet::parse(set.as_str()), Ok(set.clone()));
    assert_eq!(set.intersection(&set), set);
    let half = ScopeSet::parse(&words[..words.len() / 2].join(" ")).unwrap();
    assert!(half.is_subset(&set));
    assert_eq!(set.intersection(&half), half);
    assert_eq!(half.intersection(&set), half);
}
