//! What connects, or listens, by which no gateway stands.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;

use super::common::gateway::Running;
use super::common::world::{TOKEN, bearer};
use super::common::{Gateway, Place, Settings};
use super::{SOON, handovers};

/// What connects may say anything, or nothing.
#[test]
fn nonsense_on_the_socket_disturbs_nobody() {
    let mut gateway = Gateway::start(&Settings::default());
    let socket = handovers(&gateway).remove(0);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let name = |address: &str| format!("{{\"purpose\":\"public\",\"address\":\"{address}\"}}");
    let rows = [
        String::new(),
        "\n".into(),
        "ready\n".into(),
        "{}\n".into(),
        "{\"protocol\":1,\"sockets\":[1]}\n".into(),
        format!("{{\"protocol\":1,\"sockets\":[{}]}}\n", name("127.0.0.1")),
        "[".repeat(10_000) + "\n",
        "x".repeat(1 << 20),
        "\u{0}\n".into(),
    ];
    for row in &rows {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let _ = stream.write_all(row.as_bytes()); // it need not be read to the end
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{row}: {answer:?}");
    }
    let answers = |protocol: u32, sockets: &[String]| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        let wish = format!("{{\"protocol\":{protocol},\"sockets\":[{}],\"more\":0}}\n", sockets.join(","));
        stream.write_all(wish.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert_eq!(answers(1, &[]), "{\"protocol\":1,\"sockets\":[]}\n");
    assert_eq!(answers(1, &[name("127.0.0.9:1")]), "{\"protocol\":1,\"sockets\":[]}\n");
    assert_eq!(answers(2, &[name("127.0.0.1:0")]), "{\"protocol\":1,\"sockets\":[]}\n");
    let own = name(&gateway.address.to_string());
    assert_eq!(answers(1, &vec![own.clone(); 100]), format!("{{\"protocol\":1,\"sockets\":[{own}]}}\n"));
    assert_eq!(gateway.orders(&bearer(TOKEN)), 200);
    let mut before = gateway.be_taken_over();
    assert_eq!(before.end(SOON), Some(0), "{}", before.said());
}

/// The other way round: what listens beside the replica is no gateway.
#[test]
fn a_false_predecessor_is_refused() {
    let place = Place::empty();
    place.seed();
    let path = place.path("storegate.db.1.handover");
    for answer in [
        "",
        "nonsense\n",
        "{\"protocol\":2,\"sockets\":[]}\n",
        "{\"protocol\":1,\"sockets\":[{\"purpose\":\"public\",\"address\":\"127.0.0.1:0\"}]}\n",
    ] {
        let listener = UnixListener::bind(&path).unwrap();
        let says = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let done = place.run(&["run", "--take-over"]);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{answer}: {done:?}");
        assert!(done.err.contains("nothing was taken over: process 1: "), "{answer}: {}", done.err);
        says.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

/// In a folder where others may make files, anybody can put the sockets of a gateway of their own beside the replica.
/// It gets no admin token, holds up no change, and is not taken over.
#[test]
fn another_users_gateway_counts_for_nothing() {
    const NOBODY: u32 = 65_534;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return; // only root can start a process of another user
    }
    let theirs = Place::empty();
    chown(theirs.path("gateway.toml"), Some(NOBODY), Some(NOBODY)).unwrap();
    chown(theirs.path("."), Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = theirs.command(&["run"]);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    let mut stranger = Running::start(command);
    let (address, admin) = stranger.ready();

    let own = Place::empty();
    own.seed();
    let token = own.write("admin.token", "a token of the owner's, which nobody else shall see\n");
    std::fs::set_permissions(token, PermissionsExt::from_mode(0o600)).unwrap();
    for kind in ["sock", "handover"] {
        let socket = format!("storegate.db.{}.{kind}", stranger.pid());
        assert!(theirs.path(&socket).exists(), "{socket}");
        symlink(theirs.path(&socket), own.path(&socket)).unwrap();
    }
    for arguments in [&["why", "abc"][..], &["top", "--once"], &["reload"]] {
        let done = own.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{arguments:?}: {done:?}");
        assert!(done.err.contains("no gateway on this machine runs with"), "{arguments:?}: {done:?}");
    }
    own.ok(&["store", "add", "77"]);
    let mut next = Running::start(own.command(&["run", "--take-over"]));
    let (own_address, own_admin) = next.ready();
    assert!(own_address != address && own_admin != admin, "{}", next.said());
    assert_eq!(own.run(&["why", "abc"]).code, 1);
    assert_eq!(stranger.end(std::time::Duration::ZERO), None, "{}", stranger.said());
    next.signal("TERM");
    assert_eq!(next.end(SOON), Some(0), "{}", next.said());
}
