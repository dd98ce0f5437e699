//! One mistake, one diagnostic: its place, its words, its advice.

use super::*;

#[test]
fn one_mistake_one_diagnostic() {
    let rows: &[(&str, usize, usize, &str, &str)] = &[
        // Names.
        (
            "[server]\nheader_timout = '10s'",
            2,
            1,
            "unknown key `header_timout` in [server]",
            "did you mean `header_timeout`?",
        ),
        (
            "[server]\nread_timeout = '10s'",
            2,
            1,
            "unknown key `read_timeout`",
            "`read_timeout` belongs to [upstream.*]",
        ),
        (
            "[sever]\nlisten = ['127.0.0.1:1']",
            1,
            2,
            "unknown key `sever` at the top level",
            "did you mean `server`?",
        ),
        ("rate = 5", 1, 1, "unknown key `rate`", "`server`, `admin`"),
        ("[server]\n\"a\\u001b[2J\" = 5", 2, 1, "unknown key `a\\u{1b}[2J`", "one of"),
        (
            "[server.tls]\ncert = 'c'\nkey = 'k'\nca = 'x'",
            4,
            1,
            "unknown key `ca` in [server.tls]",
            "`cert`, `key`",
        ),
        ("inject = { stores = 'X-A' }", 1, 12, "unknown key `stores` in [inject]", "did you mean `store`?"),
        // Types.
        ("[server]\nthreads = '4'", 2, 11, "`server.threads` cannot be a string", "without quotes"),
        ("[server]\nthreads = 4.5", 2, 11, "a number with a fraction", "a whole number"),
        (
            "[server]\nlisten = '127.0.0.1:80'",
            2,
            10,
            "`server.listen` cannot be a string",
            "a list of strings",
        ),
        ("[server]\nlisten = ['127.0.0.1:80', 81]", 2, 27, "cannot be a whole number", "between quotes"),
        ("[server]\nheader_timeout = 10", 2, 18, "cannot be a whole number", "a string"),
        ("[server]\nunsafe_trust_any_proxy = 'yes'", 2, 26, "cannot be a string", "`true` or `false`"),
        ("server = 5", 1, 10, "`server` cannot be a whole number", "write [server]"),
        ("admin = 1979-05-27", 1, 9, "`admin` cannot be a date", "a section"),
        ("hasher = []", 1, 10, "`hasher` cannot be a list", "a section"),
        // Places after tabs and characters of several bytes.
        ("[server]\n\tthreads\t=\t'4'", 2, 12, "cannot be a string", "a whole number"),
        ("replica = { path = 'ä€😀', threads = 1 }", 1, 27, "unknown key `threads`", ""),
        ("\u{feff}threads = 1", 1, 1, "unknown key `threads`", "belongs to [server] or [hasher]"),
        ("[server]\r\nthreads = -1\r\n", 2, 11, "out of range", "from 0 to 1024"),
        // Ranges.
        ("[server]\nthreads = 99999999999999999999", 2, 11, "out of range", "from 0 to 1024"),
        ("[server]\nthreads = 0x401", 2, 11, "out of range", "from 0 to 1024"),
        ("[server]\nmax_head_bytes = 65537", 2, 18, "out of range", "from 1024 to 65536"),
        ("[server]\nmax_header_fields = 9", 2, 21, "out of range", "from 10 to 256"),
        ("[server]\nheader_timeout = '10'", 2, 18, "not a duration", "10s, 15m"),
        ("[server]\nheader_timeout = '0s'", 2, 18, "out of range", "from 1s to 5m"),
        ("[server]\nheader_timeout = '99999999999999999999s'", 2, 18, "not a duration", ""),
        ("[server]\ngrace_period = '61m'", 2, 16, "out of range", "from 0s to 1h"),
        ("[replica]\ncache_entries = 999", 2, 17, "out of range", "from 1000 to 50000000"),
        ("[hasher]\nqueue = 0", 2, 9, "out of range", "from 1 to 4096"),
        ("[server]\npath_case = 'Sensitive'", 2, 13, "means nothing", "did you mean `sensitive`?"),
        // Listeners.
        ("[server]\nlisten = []", 2, 10, "one address at least", "127.0.0.1:8080"),
        ("[server]\nlisten = ['localhost:80']", 2, 11, "not an address", "write 127.0.0.1"),
        ("[server]\nlisten = [':80']", 2, 11, "not an address", "0.0.0.0"),
        ("[server]\nlisten = ['127.0.0.1']", 2, 11, "not an address", "a port"),
        ("[server]\nlisten = ['127.0.0.1:80', '[::1]:80', '127.0.0.1:80']", 2, 39, "covers this one", ""),
        ("[server]\nlisten = ['0.0.0.0:80', '127.0.0.1:80']", 2, 25, "covers this one", ""),
        ("[admin]\nlisten = '0.0.0.0:9180'", 2, 10, "other machines", "SSH tunnel"),
        ("[admin]\nlisten = '10.0.0.1:9180'", 2, 10, "other machines", "loop-back"),
        ("[admin]\nlisten = '[::]:9180'", 2, 10, "other machines", "[admin.tls]"),
        ("[admin.tls]\ncert = 'a.pem'", 1, 1, "`admin.tls.key` is missing", "two PEM files"),
        ("[admin.tls]\nkey = 'a.pem'", 1, 1, "`admin.tls.cert` is missing", "two PEM files"),
        ("[admin.tls]\ncert = ''\nkey = 'k.pem'", 2, 8, "not the path of a file", ""),
        ("[admin.tls]\ncert = 'c'\nkey = 'k'\nclient_ca = 'a'", 4, 1, "unknown key `client_ca`", ""),
        ("[audit]\nkeep = '1h'", 2, 8, "out of range", "from 1day"),
        ("[audit]\nkeep = '11y'", 2, 8, "out of range", "from 1day"),
        ("[audit]\nentries = 10", 2, 11, "out of range", "from 1000"),
        ("[audit]\nkept = '1d'", 2, 1, "unknown key `kept`", "`keep`"),
        (
            "[admin]\nlisten = '127.0.0.1:8080'",
            2,
            10,
            "[server] listens on this address",
            "a port of its own",
        ),
        ("[server.tls]\ncert = 'a.pem'", 1, 1, "`server.tls.key` is missing", "both `cert` and `key`"),
        ("[server.tls]\ncert = ''\nkey = 'k'", 2, 8, "not the path of a file", ""),
        ("[server.tls]\ncert = 'c'\nkey = 'k'\nclient_ca = ''", 4, 13, "not the path of a file", ""),
        (
            "[server.tls]\ncert = 'c'\nkey = 'k'\nclient_auth = 'optional'",
            4,
            15,
            "nothing to verify",
            "`client_ca = \"clients.pem\"`",
        ),
        (
            "[server.tls]\ncert = 'c'\nkey = 'k'\nclient_ca = 'a'\nclient_auth = 'none'",
            5,
            15,
            "means nothing",
            "\"required\" or \"optional\"",
        ),
        // Trust.
        (
            "[server]\ntrusted_proxies = ['0.0.0.0/0']",
            2,
            20,
            "trusts every address",
            "unsafe_trust_any_proxy",
        ),
        ("[server]\ntrusted_proxies = ['10.0.0.0/8', '::/0']", 2, 34, "trusts every address", ""),
        ("[server]\ntrusted_proxies = ['0.0.0.0/1', '128.0.0.0/1']", 2, 19, "trusts every address", ""),
        ("[server]\ntrusted_proxies = ['::ffff:10.0.0.0/104']", 2, 20, "never matches", "IPv4"),
        ("[server]\ntrusted_proxies = ['proxy.local']", 2, 20, "not a network", "203.0.113.0/24"),
        ("[server]\nunsafe_trust_any_proxy = false\ntrusted_proxies = ['::/0']", 3, 20, "every address", ""),
        // Records and secrets.
        ("[replica]\nsource = 'postgres'", 2, 10, "not built yet in this version", "source = \"local\""),
        ("[replica]\nsource = 'locale'", 2, 10, "means nothing", "did you mean `local`?"),
        ("[replica]\npath = ''", 2, 8, "not the path", ""),
        ("[credentials]\nclient_id_prefix = ''", 2, 20, "cannot be a prefix", "1 to 32"),
        ("[credentials]\naccess_token_prefix = 'a.b'", 2, 23, "cannot be a prefix", "hyphens"),
        ("[credentials]\naccess_token_prefix = 'ey'", 2, 23, "session tokens begin", ""),
        ("[credentials]\naccess_token_prefix = 'eyJhbGci'", 2, 23, "session tokens begin", ""),
        // Limits.
        ("[limits]\nrequests_per_second = -1", 2, 23, "out of range", "from 0 to 1000000"),
        ("[limits]\nrequests_per_second = 1.5", 2, 23, "a number with a fraction", "a whole number"),
        ("[limits]\nrequests_per_second = 1\nburst = 10000001", 3, 9, "out of range", "from 0 to 10000000"),
        ("[limits]\nshared = 6379", 2, 10, "cannot be a whole number", "a string"),
        ("[limits]\nshared = ''", 2, 10, "only redis:// is spoken", "redis://127.0.0.1:6379"),
        ("[limits]\nshared = 'rediss://cache:6380'", 2, 10, "without TLS", "redis://127.0.0.1:6379"),
        ("[limits]\nshared = '127.0.0.1:6379'", 2, 10, "only redis:// is spoken", ""),
        ("[limits]\nshared = 'redis://'", 2, 10, "not the URL of a Redis", ""),
        ("[limits]\nshared = 'redis://cache:99999'", 2, 10, "not the URL of a Redis", ""),
        ("[limits]\nshared = 'redis://cache/first'", 2, 10, "not the URL of a Redis", ""),
        ("[limits]\nshared = 'redis://cache?db=2'", 2, 10, "not the URL of a Redis", ""),
        // Injected names.
        ("[inject]\nstore = 'X Store'", 2, 9, "not a header name", "X-Store-Id"),
        ("[inject]\nstore = ''", 2, 9, "not a header name", ""),
        ("[inject]\nstore = 'X-Scopes'", 2, 9, "`inject.scopes` has this name", "`_` and `.` count as `-`"),
        ("[inject]\nstore = 'X-Who'\nscopes = 'x_who'", 3, 10, "`inject.store` has this name", ""),
        ("[inject]\nstore = 'X-Who'\nsubject = 'x.WHO'", 3, 11, "`inject.store` has this name", ""),
        ("[inject]\nsubject = 'Authorization'", 2, 11, "another meaning", ""),
        ("[inject]\nsubject = 'content_length'", 2, 11, "another meaning", ""),
        ("[inject]\nsubject = 'X-Forwarded-User'", 2, 11, "another meaning", ""),
        ("[inject]\nsubject = 'X_Client_Secret'", 2, 11, "another meaning", ""),
        ("[inject]\nclient = 'X-A'\nsubject = 'X-Client-Id'", 3, 11, "another meaning", ""),
        ("[inject]\nsubject = 'X_Client_Cert.Subject'", 2, 11, "`inject.client_cert_subject` has", ""),
        ("[inject]\nclient_cert_fingerprint = 'X-Store-Id'", 2, 27, "another meaning", ""),
        ("[inject]\nsubject = 'Connection'", 2, 11, "another meaning", ""),
        // Token endpoints.
        ("[[token_endpoint]]\npath = '/t'", 1, 1, "`token_endpoint.platform` is missing", "standard"),
        ("[[token_endpoint]]\nplatform = 'tiki'", 1, 1, "`token_endpoint.path` is missing", "/oauth/token"),
        ("[[token_endpoint]]\npath = '/t'\nplatform = 'tikki'", 3, 12, "no such platform", "tiki"),
        ("[[token_endpoint]]\npath = 't'\nplatform = 'tiki'", 2, 8, "cannot be the path", "/oauth/token"),
        ("[[token_endpoint]]\npath = '/a/{x}'\nplatform = 'tiki'", 2, 8, "cannot be the path", "letters"),
        ("[[token_endpoint]]\npath = '/a/../b'\nplatform = 'tiki'", 2, 8, "cannot be the path", "letters"),
        ("[[token_endpoint]]\npath = '/'\nplatform = 'tiki'", 2, 8, "cannot be the path", "letters"),
        ("[[token_endpoint]]\npath = '/t'\nplatform = 'tiki'\nttl = '0s'", 4, 7, "out of range", "1s"),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'tiki'\nimplicit_scopes = ['a']",
            4,
            19,
            "`implicit_scopes` belongs to",
            "None",
        ),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'tiki'\nissuer = 'https://a'",
            4,
            10,
            "`issuer` belongs",
            "None",
        ),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'standard'\nissuer = 'a'",
            4,
            10,
            "not an issuer",
            "https://",
        ),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'elasticpath'\nimplicit_scopes = ['a b']",
            4,
            20,
            "not one scope",
            "read:carts",
        ),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'tiki'\n[[token_endpoint]]\npath = '/T'\nplatform = 'shopify'",
            5,
            8,
            "another token endpoint serves /T",
            "path of its own",
        ),
        (
            "[[token_endpoint]]\npath = '/t'\nplatform = 'tiki'\n[customer_tokens]\npath = '/t'",
            5,
            8,
            "a token endpoint has this path",
            "None",
        ),
        ("[customer_tokens]\nttl = '1h'", 1, 1, "`customer_tokens.path` is missing", "/v2/customers/tokens"),
        ("[idp]\nissuer = 'http://a'", 2, 10, "would travel unencrypted", "https:// and a host"),
        ("[idp]\nissuer = 'https://a/'", 2, 10, "not the origin", "nothing behind it"),
        ("[idp]\nissuer = 'https://A'", 2, 10, "not the origin", "nothing behind it"),
        ("[idp]\nissuer = 'https://a:443'", 2, 10, "not the origin", "with the port"),
        ("[idp]\nissuer = 'a'", 2, 10, "not a URL", "https://"),
        ("[idp]\nbase = 'oauth'", 2, 8, "what paths begin with", "/api/oauth"),
        ("[idp]\nbase = '/api/oauth/'", 2, 8, "what paths begin with", "/api/oauth"),
        ("[idp]\nbase = '/a/../b'", 2, 8, "what paths begin with", "/api/oauth"),
        (
            "[[token_endpoint]]\npath = '/o/token'\nplatform = 'tiki'\n[idp]\nbase = '/o'",
            5,
            8,
            "a token endpoint serves /o/token already",
            "other paths",
        ),
        ("[idp]\nlogin = 'bultin'", 2, 9, "no login page", "builtin"),
        ("[idp]\nlogin = 'http://shop.example/login'", 2, 9, "no login page", "https"),
        ("[idp]\nlogin = 'https://shop.example/login'", 2, 9, "without a key", "login_key_file"),
        ("[idp]\nlogin_key_file = 'k'", 2, 18, "nothing is signed with this key", "`login`"),
        ("[idp]\nsession_life = '10s'", 2, 16, "out of range", "1m"),
        ("[idp]\nkey_life = '1h'", 2, 12, "out of range", "1day"),
        ("[idp]\nname = 'a'", 2, 1, "unknown key `name` in [idp]", "belongs to [idp.brand]"),
        ("[idp.brand]\ncolor = 'blue'", 2, 9, "not a color", "#1f5eff"),
        ("[idp.brand]\nhelp_url = 'help'", 2, 12, "no link", "mailto"),
        ("[idp.brand]\nhelp_url = 'javascript:alert(1)'", 2, 12, "no link", "https"),
        ("[idp.brand]\nname = ''", 2, 8, "not a name", "1 to 60"),
        // Syntax.
        ("[server\nthreads = 1", 1, 8, "unclosed table", "`]`"),
        ("[server]\nheader_timeout = 10s", 2, 18, "must be quoted", ""),
        ("[server]\nthreads 4", 2, 9, "key with no value", "`=`"),
        ("[server]\nthreads = 1\nthreads = 2", 3, 1, "duplicate key", ""),
        ("[server]\n[admin]\n[server]", 3, 2, "duplicate key", ""),
        ("[server]\npath_case = 'x\nthreads = 1", 2, 15, "invalid literal string", ""),
    ];
    for (text, line, column, message, hint) in rows {
        assert_one(&format!("{text}\n{REST}"), *line, *column, message, hint);
    }
}

#[test]
fn mistakes_of_upstreams() {
    let rows = [
        ("servers = []", 2, 11, "needs a server", "http://127.0.0.1:9000"),
        ("", 1, 1, "`upstream.*.servers` is missing", "servers = ["),
        ("servers = 'http://a'", 2, 11, "cannot be a string", "square brackets"),
        ("servers = ['127.0.0.1:9000']", 2, 12, "has no scheme", "write \"http://127.0.0.1:9000\""),
        ("servers = ['http://a/v1']", 2, 12, "no path", ""),
        ("servers = ['http://a', 'http://A:80/']", 2, 24, "already", ""),
        ("servers = ['http://127.0.0.1:9180']", 2, 12, "the gateway itself", ""),
        ("servers = ['http://localhost:8080']", 2, 12, "the gateway itself", ""),
        ("servers = ['http://[::ffff:127.0.0.1]:8080']", 2, 12, "the gateway itself", ""),
        ("servers = ['http://0.0.0.0:9180']", 2, 12, "the gateway itself", ""),
        ("servers = ['http://a']\nconnect_timeout = '2m'", 3, 19, "out of range", "from 10ms to 1m"),
        ("servers = ['http://a']\nread_timeout = '5ms'", 3, 16, "out of range", "from 10ms to 1h"),
        ("servers = ['http://a']\nhttp2 = 'yes'", 3, 9, "cannot be a string", "without quotes"),
        ("servers = ['http://a']\nca = 'ca.pem'", 3, 6, "spoken to over TLS", "https://"),
        ("servers = ['https://a']\nca = ''", 3, 6, "not the path of a file", ""),
        ("servers = ['https://a']\nclient_cert = 'c'", 3, 15, "go together", "`client_key`"),
        ("servers = ['https://a']\nclient_key = 'k'", 3, 14, "go together", "`client_cert`"),
        ("servers = ['http://a']\nidle_timeout = '0s'", 3, 16, "out of range", "from 1s to 1h"),
        (
            "servers = ['http://a']\nbalance = 'least_conections'",
            3,
            11,
            "means nothing",
            "`least_connections`",
        ),
        ("servers = ['http://a']\neject_after = -1", 3, 15, "out of range", "from 0 to 1000"),
        ("servers = ['http://a']\neject_for = '6m'", 3, 13, "out of range", "from 100ms to 5m"),
        ("servers = ['http://a']\nhealth = true", 3, 10, "cannot be true or false", "[upstream.*.health]"),
        ("servers = ['http://a']\nhealth = {}", 3, 10, "does not say what", "tcp = true"),
        ("servers = ['http://a']\nhealth = { tcp = false }", 3, 10, "does not say what", "/healthz"),
        ("servers = ['http://a']\nhealth = { tcp = 'yes' }", 3, 18, "cannot be a string", "`true`"),
        ("servers = ['http://a']\nhealth = { path = 5 }", 3, 19, "cannot be a whole number", "quotes"),
        ("servers = ['http://a']\nhealth = { path = 'up' }", 3, 19, "not a path", "/healthz"),
        ("servers = ['http://a']\nhealth = { path = '/a b' }", 3, 19, "not a path", "visible"),
        ("servers = ['http://a']\nhealth = { path = '/a#b' }", 3, 19, "not a path", ""),
        ("servers = ['http://a']\nhealth = { path = \"/a\\r\\nX: y\" }", 3, 19, "not a path", ""),
        (
            "servers = ['http://a']\nhealth = { path = '/', tcp = true }",
            3,
            30,
            "not for both",
            "remove `tcp`",
        ),
        ("servers = ['http://a']\nhealth = { tcp = true, intervall = '1s' }", 3, 24, "unknown", "`interval`"),
        ("servers = ['http://a']\nhealth = { tcp = true, interval = '9ms' }", 3, 35, "out of range", "100ms"),
        ("servers = ['http://a']\nhealth = { tcp = true, timeout = '2m' }", 3, 34, "out of range", "1m"),
        (
            "servers = ['http://a']\nhealth = { tcp = true, healthy_after = 0 }",
            3,
            40,
            "out of range",
            "1 to 1000",
        ),
    ];
    for (lines, line, column, message, hint) in rows {
        let text = format!("[upstream.api]\n{lines}\n[[route]]\npath = '/a'\nscopes = 'none'");
        assert_one(&text, line, column, message, hint);
    }
    let many: Vec<String> = (1..=65).map(|port| format!("'http://a:{port}'")).collect();
    let text = REST.replace("'http://127.0.0.1:9000'", &many.join(", "));
    assert_one(&text, 3, 11, "too many servers", "at most 64");
    assert_one(&format!("[upstream]\na = 5\n{REST}"), 2, 1, "named sections only", "[upstream.api]");
    let odd = REST.replace("upstream.api", "upstream.'a b'");
    assert_one(&odd, 2, 11, "cannot be the name", "letters");
}

#[test]
fn mistakes_of_routes() {
    let path = "path = '/a/{x}/{*rest}'";
    let rows = [
        ("scopes = 'none'".to_owned(), 3, 1, "`route.path` is missing", "path = "),
        ("path = 'a'\nscopes = 'none'".to_owned(), 4, 8, "starts with a slash", "/api/{resource}"),
        ("path = '/a/{x'\nscopes = 's:{x}'".to_owned(), 4, 8, "no partner", ""),
        ("path = '/a/%2e'\nscopes = 'none'".to_owned(), 4, 8, "cannot stand in a route's path", ""),
        (format!("{path}\nscopes = 's:{{y}}'"), 5, 10, "captures no `{y}`", "`{x}`"),
        (format!("{path}\nscopes = 's:{{rest}}'"), 5, 10, "several segments", "a name of its own"),
        (format!("{path}\nscopes = 's:{{x'"), 5, 10, "no partner", ""),
        (format!("{path}\nscopes = 'a b'"), 5, 10, "visible ASCII", "are a list"),
        (format!("{path}\nscopes = ''"), 5, 10, "visible ASCII", ""),
        (format!("{path}\nscopes = []"), 5, 10, "1 to 16", "\"none\""),
        (format!("{path}\nscopes = ['none']"), 5, 11, "stands alone", "without brackets"),
        (format!("{path}\nscopes = 5"), 5, 10, "cannot be a whole number", "\"none\""),
        (
            format!("{path}\nscopes = {{ read = 'a' }}"),
            5,
            10,
            "`route.scopes.write` is missing",
            "write = \"none\"",
        ),
        (
            format!("{path}\nscopes = {{ read = 'a', write = 'b', admin = 'c' }}"),
            5,
            37,
            "unknown key `admin`",
            "`write`",
        ),
        (format!("{path}\nscopes = {{ read = 'a', write = 's:{{rsource}}' }}"), 5, 32, "captures no", ""),
        (format!("{path}\nscopes = 'none'\nrate = 5"), 6, 8, "cannot be a whole number", "[route.rate]"),
        (
            format!("{path}\nscopes = 'none'\nrate = {{ burst = 5 }}"),
            6,
            8,
            "per_second` is missing",
            "rate =",
        ),
        (
            format!("{path}\nscopes = 'none'\nrate = {{ per_second = 1, burts = 5 }}"),
            6,
            26,
            "unknown key `burts`",
            "`burst`",
        ),
        (
            format!("{path}\nscopes = 'none'\nrate = {{ per_second = -1 }}"),
            6,
            23,
            "out of range",
            "from 0 to",
        ),
        (format!("{path}\nscopes = 'none'\nauth = []"), 6, 8, "nobody could pass", "public"),
        (format!("{path}\nscopes = 'none'\nauth = 'bearer'"), 6, 8, "this word alone", "[\"bearer\"]"),
        (
            format!("{path}\nscopes = 'none'\nauth = 'publik'"),
            6,
            8,
            "this word alone",
            "did you mean `public`?",
        ),
        (
            format!("{path}\nscopes = 'none'\nauth = ['sesion']"),
            6,
            9,
            "no kind of credential",
            "did you mean `session`?",
        ),
        (format!("{path}\nscopes = 'none'\nauth = ['bearer', 'public']"), 6, 19, "no kind", "stands alone"),
        (
            format!("{path}\nscopes = 'none'\nauth = ['bearer', 1]"),
            6,
            19,
            "cannot be a whole number",
            "quotes",
        ),
        (
            format!("{path}\nscopes = 'none'\nauth = true"),
            6,
            8,
            "cannot be true or false",
            "client_credentials",
        ),
        (format!("{path}\nscopes = 'read:x'\nauth = 'public'"), 5, 10, "asks for none", "remove `scopes`"),
        (format!("{path}\nscopes = {{}}\nauth = 'upstream'"), 5, 10, "asks for none", ""),
        (format!("{path}\nscopes = 'none'\nmethods = []"), 6, 11, "serves nothing", "serve all"),
        (format!("{path}\nscopes = 'none'\nmethods = ['get']"), 6, 12, "capitals", "did you mean `GET`?"),
        (format!("{path}\nscopes = 'none'\nmethods = ['GET', 'GET']"), 6, 19, "already", ""),
        (format!("{path}\nscopes = 'none'\nmethods = ['CONNECT']"), 6, 12, "tunnels", ""),
        (format!("{path}\nscopes = 'none'\nmethods = 'GET'"), 6, 11, "cannot be a string", "brackets"),
        (
            format!("{path}\nscopes = 'none'\nupstream = 'apl'"),
            6,
            12,
            "no upstream `apl`",
            "did you mean `api`?",
        ),
        (format!("{path}\nscopes = 'none'\nupstream = ['api']"), 6, 12, "cannot be a list", "a string"),
        (format!("{path}\nscopes = 'none'\nplatform = 'selorx'"), 6, 12, "no such platform", "selorax"),
        (
            format!("{path}\nscopes = 'none'\n[[route]]\npath = '/A/{{y}}/{{*r}}'\nauth = 'public'"),
            7,
            8,
            "could win",
            "other methods",
        ),
        (
            format!("{path}\nscopes = 'none'\n[[route]]\npath = '/x'\nauth = 'public'\nscope = 'a'"),
            9,
            1,
            "unknown key `scope`",
            "`scopes`",
        ),
    ];
    for (route, line, column, message, hint) in rows {
        let text = format!("[upstream.api]\nservers = ['http://a']\n[[route]]\n{route}");
        assert_one(&text, line, column, message, hint);
    }
    let two = "[upstream.a]\nservers = ['http://a']\n[upstream.b]\nservers = ['http://b']\n";
    assert_one(
        &format!("{two}[[route]]\npath = '/'\nauth = 'public'"),
        5,
        1,
        "`route.upstream` is missing",
        "`a`, `b`",
    );
    assert_one(
        "[[route]]\npath = '/'\nauth = 'public'\nupstream = 'a'",
        4,
        12,
        "no upstream is",
        "[upstream.api]",
    );
    assert_one("route = [1]", 1, 10, "cannot be a whole number", "[[route]]");
    assert_one("", 1, 1, "there is no route", "path = \"/api/{resource}/{*rest}\"");
    assert_one("[server]\nthreads = 0\n", 3, 1, "there is no route", "[[route]]");
    // There are other things that a gateway may do.
    let endpoint = "[[token_endpoint]]\npath = '/token'\nplatform = 'tiki'\n";
    for text in [endpoint, "[idp]\nissuer = 'http://127.0.0.1:8080'\n"] {
        let (_, warnings) = Config::parse(text, "gateway.toml").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(warnings, [], "{text}");
    }
}

#[test]
fn every_problem_of_a_file_is_reported_in_its_order() {
    let text = "\
[server]
threads = 'many'
headr_timeout = '10s'
[inject]
store = 'Host'
[upstream.api]
servers = ['api:9000', 'ftp://b']
[upstream.spare]
servers = ['http://c']
[[route]]
path = '/a/{x}'
upstream = 'api'
scopes = 'read:{y}'
[[route]]
path = '/A/{z}'
upstream = 'api'
auth = ['bearer', 'cookie']
scopes = 'none'
";
    let places: Vec<_> = problems(text).iter().map(|d| (d.line, d.column, d.severity)).collect();
    let error = Severity::Error;
    let expected = [
        (2, 11, error),
        (3, 1, error),
        (5, 9, error),
        (7, 12, error),
        (7, 24, error),
        (8, 1, Severity::Warning),
        (13, 10, error),
        (15, 8, error),
        (17, 19, error),
    ];
    assert_eq!(places, expected, "{}", summary(text));
}

#[test]
fn a_syntax_error_hides_no_earlier_mistake_and_makes_up_none() {
    let text = "[server]\nthreads = 'x'\n[upstream.api]\nservers = [\n  'http://a'\n  'http://b'\n]\n[[route]]\npath = 5";
    let found = problems(text);
    assert_eq!(
        found.iter().map(|d| (d.line, d.column)).collect::<Vec<_>>(),
        [(2, 11), (6, 3)],
        "{}",
        summary(text)
    );
    assert_one(
        "[[route]]\npath = '/{resource}'\nupstream = 'api'\n[upstream.api\nservers = ['http://a']",
        4,
        14,
        "unclosed",
        "]",
    );
}
