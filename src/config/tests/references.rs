//! Values that stand in the environment or in files.

use std::env::VarError;
use std::ffi::OsString;

use super::super::settings::settings_of;
use super::*;

fn environment(name: &str) -> Result<String, VarError> {
    match name {
        "HOST" => Ok("10.0.0.1".into()),
        "PORT_1" => Ok("8081".into()),
        "EMPTY" => Ok(String::new()),
        "NESTED" => Ok("${HOST}".into()),
        "FILE" => Ok("file:secret".into()),
        "PASSWORD" => Ok("hunter2".into()),
        "KEY" => Ok(format!("hunter2{}\n", "x".repeat(100))),
        "LONG" => Ok("x".repeat(200_000)),
        "ODD" => Err(VarError::NotUnicode(OsString::from("\u{fffd}"))),
        _ => Err(VarError::NotPresent),
    }
}

/// The server's name, or the problems.
fn host(text: &str) -> Result<String, String> {
    let text = format!("[upstream.api]\nservers = [{text}]\n[[route]]\npath = '/a'\nscopes = 'none'");
    let read = super::super::parse(&text, "gateway.toml", &environment, |config, _, _| config);
    match read {
        Ok((config, _)) => Ok(config.upstreams[0].servers[0].to_string()),
        Err(Problems::Invalid { diagnostics, .. }) => {
            let [one] = &diagnostics[..] else { panic!("not one problem: {diagnostics:?}") };
            assert_eq!((one.line, one.column), (2, 12), "{one}");
            Err(one.to_string())
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn variables_are_put_in() {
    let rows = [
        ("'http://${HOST}'", "http://10.0.0.1:80"),
        ("'http://${HOST}:${PORT_1}'", "http://10.0.0.1:8081"),
        ("\"http\\u003a//${HOST}\"", "http://10.0.0.1:80"),
        ("'''http://${HOST}${EMPTY}'''", "http://10.0.0.1:80"),
    ];
    for (text, expected) in rows {
        assert_eq!(host(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn references_that_bring_nothing_are_named_once() {
    let rows = [
        ("'http://${MISSING}'", "the environment variable `MISSING` is not set"),
        ("'http://${HOST}${MISSING}'", "the environment variable `MISSING` is not set"),
        ("'${ODD}'", "the environment variable `ODD` is not UTF-8"),
        ("'http://${}'", "no reference to an environment variable"),
        ("'http://${HOST'", "no reference to an environment variable"),
        ("'http://${1HOST}'", "no reference to an environment variable"),
        ("'http://${HOST:-x}'", "no reference to an environment variable"),
        ("'http://${ HOST }'", "no reference to an environment variable"),
        ("'http://${HÖST}'", "no reference to an environment variable"),
        // Not put in twice, and no reference to a file here.
        ("'http://${NESTED}'", "neither a host name nor an address"),
        ("'http://$${HOST}'", "neither a host name nor an address"),
        ("'file:secret'", "has no scheme"),
        ("'${FILE}'", "has no scheme"),
    ];
    for (text, message) in rows {
        let said = host(text).unwrap_err();
        assert!(said.contains(message), "{text}: {said}");
    }
    // A bounded amount, however often it is named.
    let said = host(&format!("'{}'", "${LONG}".repeat(1000))).unwrap_err();
    assert!(said.contains("brings in too much"), "{said}");
}

#[test]
fn what_a_variable_brings_is_not_repeated() {
    let rows = [
        "[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '/a'\nupstream = '${PASSWORD}'",
        "[upstream.api]\nservers = ['${PASSWORD}']\n[[route]]\npath = '/a'\nupstream = 'api'",
        "[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '/a'\nscopes = 'read:{${PASSWORD}}'",
        "[upstream.api]\nservers = ['http://a']\n[[route]]\npath = '/{${PASSWORD}'",
    ];
    let rows = rows.into_iter().flat_map(|text| [text.to_owned(), text.replace("PASSWORD", "KEY")]);
    for text in rows {
        let text = &*text;
        let read = super::super::parse(text, "gateway.toml", &environment, |config, _, _| config);
        let problems = read.unwrap_err();
        let said = format!("{problems} {problems:?}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(said.contains("the value comes from ${"), "{said}");
    }
}

#[test]
fn secrets_stand_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let shared = |value: &str| {
        let text = format!("[limits]\nshared = '{value}'\n{REST}");
        let read =
            super::super::parse(&text, path.to_str().unwrap(), &environment, |config, table, report| {
                (config, settings_of(&text, "gateway.toml", table, report))
            });
        read.map(|(read, _)| read).map_err(|problems| problems.to_string())
    };
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("plain", b"redis://u:hunter2@cache");
    put("line", b"redis://u:hunter2@cache\r\n");
    put("10.0.0.1", b"redis://u:hunter2@cache\n");
    put("empty", b"\n");
    put("lines", b"redis://u:hunter2@cache\nmore\n");
    put("binary", b"redis://\xFF");
    put("long", &[b'x'; 70_000]);
    let absolute = folder.path().join("plain");
    for value in ["file:plain", "file:line", "file:${HOST}", &format!("file:{}", absolute.display())] {
        let (config, settings) = shared(value).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(config.limits.shared, crate::limits::SharedUrl::parse("redis://u:hunter2@cache").ok());
        let setting = settings.iter().find(|setting| setting.key == "limits.shared").unwrap();
        assert!(setting.is_secret && setting.value.is_null(), "{setting:?}");
        assert!(setting.origin.to_string().contains(", file:"), "{}", setting.origin);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
    let refused = [
        ("file:missing", "the file `missing` cannot be read"),
        ("file:", "cannot be read"),
        ("file:.", "no regular file"),
        ("file:/dev/zero", "no regular file"),
        ("file:empty", "is empty"),
        ("file:binary", "is not UTF-8"),
        ("file:long", "longer than 64 KiB"),
        ("file:lines", "not the URL"),
        ("FILE:plain", "only redis://"),
        ("${FILE}", "only redis://"),
    ];
    for (value, message) in refused {
        let said = shared(value).map(|_| ()).unwrap_err();
        assert!(said.contains(message) && !said.contains("hunter2"), "{value}: {said}");
    }
}

#[test]
fn settings_tell_where_they_come_from() {
    let text = "[server]\nlisten = ['127.0.0.1:${PORT_1}', '${HOST}:1']\n[replica]\npath = 'a/b.db'\n[upstream.api]\n\
        servers = ['http://a']\n[[route]]\npath = '/x/{resource}'\n[[route]]\npath = '/y'\nscopes = { read = 'a', write = ['b', 'c'] }\n";
    let read = super::super::parse(text, "conf/gateway.toml", &environment, |_, table, report| {
        settings_of(text, "conf/gateway.toml", table, report)
    });
    let (settings, _) = read.unwrap_or_else(|error| panic!("{error}"));
    let rows = [
        ("server.listen", r#"["127.0.0.1:8081","10.0.0.1:1"]"#, "conf/gateway.toml:2, ${PORT_1}, ${HOST}"),
        ("server.header_timeout", r#""10s""#, "default"),
        ("replica.path", r#""conf/a/b.db""#, "conf/gateway.toml:4"),
        ("replica.key_file", "null", "default"),
        ("limits.shared", "null", "default"),
        ("upstream.api.servers", r#"["http://a"]"#, "conf/gateway.toml:6"),
        ("upstream.api.eject_after", "5", "default"),
        ("route[0].path", r#""/x/{resource}""#, "conf/gateway.toml:8"),
        ("route[0].upstream", r#""api""#, "default"),
        ("route[0].scopes", r#"{"read":"read:{resource}","write":"write:{resource}"}"#, "default"),
        ("route[1].auth", r#"["bearer","session","client_credentials"]"#, "default"),
        ("route[1].scopes", r#"{"read":"a","write":["b","c"]}"#, "conf/gateway.toml:11"),
    ];
    for (key, value, origin) in rows {
        let setting = settings.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!(
            (setting.value.to_string().as_str(), setting.origin.to_string().as_str()),
            (value, origin)
        );
    }
    // What is not in force is not shown.
    assert!(settings.iter().all(|setting| !setting.key.contains("tls.") && !setting.key.contains("health")));
}
