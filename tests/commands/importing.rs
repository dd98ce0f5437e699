//! `storegate import`: all or nothing, with the line that is wrong.

use serde_json::json;

use crate::common::world::{self, BCRYPT, MAIN, TOKEN, bearer, client, records, sha256};
use crate::common::{Gateway, Place, Settings};
use crate::failed;

#[test]
fn nothing_of_a_bad_file_is_taken_over() {
    let good = json!({"type": "store", "store_id": 77, "name": "New"}).to_string();
    let app = |more: &str| {
        format!(
            r#"{{"type":"app","client_id":"sx_app_77","name":"x","secret_hash":"sha256:{}"{more}}}"#,
            sha256("s")
        )
    };
    let token = |more: &str| {
        format!(r#"{{"type":"access_token","client_id":"{}","store_id":22{more}}}"#, MAIN.client_id)
    };
    let hash = format!(r#","token_hash":"{}""#, sha256("t"));
    let bad = [
        "{".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "22".to_owned(),
        "not json".to_owned(),
        "{}".to_owned(),
        r#"{"type":"shop","store_id":1}"#.to_owned(),
        r#"{"type":"Store","store_id":1}"#.to_owned(),
        r#"{"type":"store"}"#.to_owned(),
        r#"{"type":"store","store_id":0}"#.to_owned(),
        r#"{"type":"store","store_id":-1}"#.to_owned(),
        r#"{"type":"store","store_id":1.5}"#.to_owned(),
        r#"{"type":"store","store_id":9007199254740992}"#.to_owned(),
        r#"{"type":"store","store_id":78,"status":"closed"}"#.to_owned(),
        r#"{"type":"store","store_id":78,"colour":"red"}"#.to_owned(),
        r#"{"type":"store","store_id":78} {"type":"store","store_id":79}"#.to_owned(),
        r#"{"type":"store","store_id":78,"store_id":79}"#.to_owned(),
        app(r#","secret_hash":"x""#),
        app("").replace("sha256:", "md5:"),
        app("").replace("sha256:", "sha256:00"),
        app("").replace("sx_app_77", "a b"),
        app(r#","status":"maybe""#),
        app(r#","scopes":["read:orders"]"#),
        app(r#","scopes":"read\"orders""#),
        app(&format!(r#","app_id":{}"#, BCRYPT.app_id)),
        r#"{"type":"app","client_id":"sx_app_77","name":"x","secret_hash":"in clear"}"#.to_owned(),
        r#"{"type":"installation","client_id":"sx_app_nobody","store_id":22,"scopes":"read:orders"}"#
            .to_owned(),
        format!(r#"{{"type":"installation","client_id":"{}","store_id":99,"scopes":"a"}}"#, MAIN.client_id),
        format!(
            r#"{{"type":"installation","client_id":"{}","store_id":22,"scopes":"a","status":"x"}}"#,
            MAIN.client_id
        ),
        token(r#","token_hash":"xyz","expires_at":1999999999"#),
        token(r#","token_hash":"00","expires_at":1999999999"#),
        token(r#","expires_at":1999999999"#),
        token(&hash),
        token(&format!(r#"{hash},"expires_at":"soon""#)),
        token(&format!(r#"{hash},"expires_at":-1"#)),
        token(&format!(r#"{hash},"expires_at":1999999999,"revoked_at":"yes""#)),
        token(&format!(r#"{hash},"expires_at":1999999999"#)).replace("\"store_id\":22", "\"store_id\":99"),
        "\u{feff}{\"type\":\"store\"".to_owned(),
        "{\"type\":\"store\",\"store_id\":78,\"name\":\"\u{0}\"}".to_owned(),
    ];
    let place = Place::empty();
    place.seed();
    let file = |name: &str, text: &[u8]| {
        std::fs::write(place.path(name), text).unwrap();
        place.path(name).to_str().unwrap().to_owned()
    };
    for line in &bad {
        let path = file("bad.ndjson", format!("{good}\n\n{line}\n{good}\n").as_bytes());
        let err = failed(line, &place.run(&["import", &path]), 1);
        assert!(err.contains("line 3"), "{line}: {err}");
        assert!(!err.contains("in clear"), "{err}");
    }
    let path = file("bad.ndjson", &[good.as_bytes(), b"\n", b"{\"type\":\"\xff\"}\n"].concat());
    assert!(failed("no UTF-8", &place.run(&["import", &path]), 1).contains("line 2"));
    let path = file("bad.ndjson", format!("{good}\n{{\"type\":\"{}\"}}\n", "x".repeat(3 << 20)).as_bytes());
    let err = failed("a huge line", &place.run(&["import", &path]), 1);
    assert!(err.contains("line 2") && err.len() < 2000, "{}", err.len());
    let stores = place.json(&["store", "list"]);
    assert_eq!(stores.as_array().unwrap().len(), 4, "{stores}");
    println!("{} bad lines", bad.len() + 2);
}

#[test]
fn files_in_other_shapes() {
    let place = Place::empty();
    let store = |id: u32| json!({"type": "store", "store_id": id}).to_string();
    assert_eq!(place.import("").code, 0, "an empty file");
    assert_eq!(
        place.import(&format!("\r\n{}\r\n\r\n{}", store(1), store(2))).code,
        0,
        "CRLF, no end of line"
    );
    let piped = place.run_with(&["import", "-"], &format!("{}\n", store(3)));
    assert_eq!(piped.code, 0, "{piped:?}");
    let listed = place.json(&["store", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    let done = place.run(&["import", place.path("records.ndjson").to_str().unwrap(), "--json"]);
    assert!(done.code == 0 && done.json().is_object(), "{done:?}");
    assert_eq!(done.err, "", "no progress where there is no terminal");
}

#[test]
fn the_same_again_changes_nothing_and_changes_are_enforced() {
    let gateway = Gateway::start(&Settings::default());
    let main = client(&MAIN, "22");
    let bcrypt = client(&BCRYPT, "22");
    let all =
        |gateway: &Gateway| [gateway.orders(&main), gateway.orders(&bcrypt), gateway.orders(&bearer(TOKEN))];
    assert_eq!(all(&gateway), [200; 3]);
    let import = |text: &str| {
        let done = gateway.place.import(text);
        assert_eq!(done.code, 0, "{done:?}");
    };
    import(&records());
    assert_eq!(all(&gateway), [200; 3]);
    let store = |status: &str| json!({"type": "store", "store_id": 22, "status": status}).to_string();
    import(&store("suspended"));
    assert_eq!(all(&gateway), [403; 3]);
    import(&store("active"));
    assert_eq!(all(&gateway), [200; 3]);
    let id = MAIN.client_id;
    import(
        &json!({"type": "installation", "client_id": id, "store_id": 22, "status": "uninstalled"})
            .to_string(),
    );
    assert_eq!(all(&gateway), [401, 200, 401]);
    import(&json!({"type": "installation", "client_id": id, "store_id": 22, "status": "active"}).to_string());
    assert_eq!(all(&gateway), [200; 3], "what is left out stays as it was");
    import(&json!({"type": "app", "client_id": id, "status": "disabled"}).to_string());
    assert_eq!(all(&gateway), [401, 200, 401]);
    import(&json!({"type": "app", "client_id": id, "status": "enabled"}).to_string());
    assert_eq!(all(&gateway), [200; 3]);
    let hash = format!("sha256:{}", sha256("sx_secret_next"));
    import(&json!({"type": "app", "client_id": id, "secret_hash": hash}).to_string());
    assert_eq!(all(&gateway), [401, 200, 200]);
    let revoked = json!({"type": "access_token", "token_hash": sha256(TOKEN), "client_id": id, "store_id": 22,
                         "expires_at": 1_999_999_999, "revoked_at": 1_700_000_000});
    import(&revoked.to_string());
    assert_eq!(all(&gateway), [401, 200, 401]);
    let said = gateway.said();
    assert!(world::secrets().iter().all(|secret| !said.contains(secret)));
}

#[test]
fn ids_that_are_left_out_are_assigned() {
    let place = Place::empty();
    let hash = format!("sha256:{}", sha256("sx_secret_1"));
    let lines = [
        json!({"type": "store", "store_id": 22}),
        json!({"type": "app", "client_id": "sx_app_a", "name": "A", "secret_hash": hash, "scopes": "read:orders"}),
        json!({"type": "app", "client_id": "sx_app_b", "name": "B", "secret_hash": hash, "scopes": "read:orders"}),
        json!({"type": "installation", "client_id": "sx_app_a", "store_id": 22, "scopes": "read:orders"}),
        json!({"type": "installation", "client_id": "sx_app_b", "store_id": 22, "scopes": "read:orders"}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    assert_eq!(place.import(&text).code, 0);
    let of = |id: &str| place.json(&["app", "show", id]);
    let (a, b) = (of("sx_app_a"), of("sx_app_b"));
    assert!(a["app_id"].as_u64().unwrap() > 0 && a["app_id"] != b["app_id"]);
    let number = |app: &serde_json::Value| app["installations"][0]["installation_id"].as_u64().unwrap();
    assert!(number(&a) > 0 && number(&a) != number(&b));
}

/// A large file goes in within bounds, and a mistake at its end takes it all back.
#[test]
fn a_large_file() {
    let place = Place::empty();
    let mut text = records();
    for n in 0..50_000 {
        let hash = sha256(&n.to_string());
        let id = MAIN.client_id;
        text.push_str(&format!(
            "{{\"type\":\"access_token\",\"token_hash\":\"{hash}\",\"client_id\":\"{id}\",\"store_id\":22,\"expires_at\":1999999999}}\n"
        ));
    }
    let bad = place.import(&format!("{text}oops\n"));
    let lines = text.lines().count() + 1;
    assert!(failed("a mistake at the end", &bad, 1).contains(&format!("line {lines}")), "{}", bad.err);
    assert_eq!(place.json(&["store", "list"]).as_array().unwrap().len(), 0);
    assert_eq!(place.import(&text).code, 0);
    assert_eq!(place.json(&["store", "list"]).as_array().unwrap().len(), 4);
}
