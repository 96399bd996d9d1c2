//! Hosts that can't be talked to.

use crate::tool::{Answer, Tool};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Sooner than a host that says nothing is given up.
const AT_ONCE: Duration = Duration::from_secs(14);

fn plan(source: &str) -> (Answer, Duration) {
    let started = Instant::now();
    let tool = Tool::new().hide(source.trim_start_matches("cassandra://").split('/').next().unwrap(), "HOST");
    // The other side is never reached: nothing listens at port 1.
    let answer = tool.run(&["plan", "--source", source, "--target", "127.0.0.1:1", "--table", "a.b"]);
    assert_eq!(tool.listing().len(), 0);
    (answer, started.elapsed())
}

/// A port of this machine at which `serve` gets every connection.
fn port(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(|connection| serve(connection.unwrap())));
    address
}

#[test]
fn a_closed_port_is_told_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (answer, time) = plan(&closed);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: failed to connect to the source HOST: Connection refused (os error 111)
    hint: check `--source`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)
    "#);
    assert!(time < AT_ONCE, "{time:?}");
}

#[test]
fn a_closed_port_at_the_target_is_told_with_that_sides_flag() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let tool = Tool::new();
    // Both are dead: the source is told first, whichever answers first.
    let answer = tool.run(&["--source", &silent, "--target", "127.0.0.1:1", "--table", "a.b"]);
    assert!(answer.expect(6).err.contains("failed to connect to the source"), "{answer}");
}

#[test]
fn an_ipv6_address_in_brackets_is_understood() {
    let (answer, _) = plan("[::1]:1");
    // Whether this machine has IPv6 or not, nobody answers there.
    assert!(answer.expect(6).err.starts_with("error: failed to connect to the source HOST: "), "{answer}");
}

#[test]
fn a_name_without_an_address_is_told() {
    let (answer, _) = plan("no-such-host.invalid");
    assert!(answer.expect(6).err.contains("no address is known for HOST:9042"), "{answer}");
}

#[test]
fn a_port_that_speaks_something_else_is_told_at_once() {
    let web = port(|mut connection| {
        let _ = connection.read(&mut [0; 1024]);
        let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nhello");
    });
    let (answer, time) = plan(&web);
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: failed to connect to the source HOST: the connection was closed during the handshake
    hint: check `--source`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)
    "#);
    assert!(time < AT_ONCE, "{time:?}");
    let (answer, time) = plan(&format!("cassandra://{web}/?tls=insecure"));
    insta::assert_snapshot!(answer, @r#"
    exit code 6
    -- stderr
    error: failed to connect to the source HOST: what answers there doesn't speak TLS (received corrupt message of type InvalidContentType)
    hint: check `--source`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)
    "#);
    assert!(time < AT_ONCE, "{time:?}");
}

#[test]
fn a_port_that_takes_the_connection_and_says_nothing_is_given_up() {
    let silent = port(|connection| _ = Box::leak(Box::new(connection)));
    std::thread::scope(|scope| {
        let encrypted = scope.spawn(|| plan(&format!("cassandra://{silent}/?tls=insecure")));
        let (plain, plain_time) = plan(&silent);
        let (encrypted, encrypted_time) = encrypted.join().unwrap();
        insta::assert_snapshot!(plain, @r#"
        exit code 6
        -- stderr
        error: failed to connect to the source HOST: no answer within 15 s
        hint: check `--source`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)
        "#);
        assert_eq!(encrypted.line(), plain.line());
        assert!(plain_time.max(encrypted_time) < Duration::from_secs(60), "{plain_time:?} {encrypted_time:?}");
    });
}
