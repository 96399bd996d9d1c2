//! Certificates that were valid once, or will be: a server that shows one, and no database behind it.

use crate::tool::Tool;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// `openssl ca`, as `openssl x509` of most versions makes no certificate that has expired.
const SETTINGS: &str = "
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
[ca]
default_ca = usual
[usual]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
policy = any
x509_extensions = node
[any]
commonName = supplied
[node]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1
";

/// Makes an authority, `ca.pem`, and a certificate of it, `node.pem` with `node.key`, that is valid between these days.
fn certify(folder: &Path, from: &str, until: &str) {
    let openssl = |line: &str| {
        let output =
            Command::new("openssl").args(line.split(' ')).current_dir(folder).output().expect("openssl is there");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(folder.join("settings"), SETTINGS).unwrap();
    std::fs::write(folder.join("index.txt"), "").unwrap();
    std::fs::write(folder.join("serial"), "01").unwrap();
    for who in ["ca", "node"] {
        openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {who}.key"));
    }
    openssl("req -x509 -config settings -extensions authority -key ca.key -days 2 -subj /CN=authority -out ca.pem");
    openssl("req -new -config settings -key node.key -subj /CN=node -out node.csr");
    let dates = format!("-startdate {from}000000Z -enddate {until}000000Z");
    openssl(&format!("ca -batch -notext -config settings {dates} -in node.csr -out node.pem"));
}

/// A port of 127.0.0.1 at which every client gets a handshake with `node.pem`, and nothing more.
fn serve(folder: &Path) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(folder.join("node.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("node.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client hangs up: that is what the test is about.
            let _ = tls.complete_io(&mut client.unwrap());
        }
    });
    port
}

/// What is said of a node with such a certificate, the port and the clock left out.
fn plan(from: &str, until: &str) -> String {
    let tool = Tool::new();
    certify(tool.folder.path(), from, until);
    let (port, ca) = (serve(tool.folder.path()), tool.path("ca.pem"));
    let tool = tool.hide(port.to_string(), "PORT");
    let source = format!("cassandra://127.0.0.1:{port}/?ca={}", ca.display());
    let answer = tool.run(&["plan", "--source", &source, "--target", "127.0.0.1:1", "--table", "a.b"]);
    let text = answer.expect(6).to_string();
    let (text, clock) = text.trim_end().rsplit_once(' ').unwrap();
    assert!(clock.starts_with("20") && clock.ends_with('Z'), "{clock}");
    text.to_owned()
}

#[test]
fn a_certificate_that_has_expired_is_told_as_such() {
    insta::assert_snapshot!(plan("20200101", "20210101"), @"
    exit code 6
    -- stderr
    error: failed to encrypt the connection to the source 127.0.0.1:PORT: a certificate has expired: it was valid until 2021-01-01T00:00:00Z
    hint: put certificates on the nodes that are valid now; if theirs should be, set this machine's clock, which says
    ");
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_told_as_such() {
    insta::assert_snapshot!(plan("24000101", "24010101"), @"
    exit code 6
    -- stderr
    error: failed to encrypt the connection to the source 127.0.0.1:PORT: a certificate isn't valid yet: it will be from 2400-01-01T00:00:00Z on
    hint: put certificates on the nodes that are valid now; if theirs should be, set this machine's clock, which says
    ");
}

/// The same with dates that are right: the handshake ends well, and nobody speaks of certificates any more.
#[test]
fn a_certificate_of_today_is_no_reason() {
    let tool = Tool::new();
    certify(tool.folder.path(), "20200101", "24010101");
    let (port, ca) = (serve(tool.folder.path()), tool.path("ca.pem"));
    let source = format!("cassandra://127.0.0.1:{port}/?ca={}", ca.display());
    let answer = tool.run(&["plan", "--source", &source, "--target", "127.0.0.1:1", "--table", "a.b"]);
    assert!(!answer.expect(6).err.contains("certificate"), "{answer}");
}
