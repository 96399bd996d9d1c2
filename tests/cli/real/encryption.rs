use crate::lab::{ADMIN, Lab, SECURE, SOURCE, TARGET, tls_file};
use crate::tool::Answer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The secure node with these encryption settings, as the source of a plan.
fn plan(lab: &Lab, query: &str) -> Answer {
    lab.plan(&format!("cassandra://{ADMIN}@{SECURE}/?{query}"), TARGET)
}

#[test]
fn a_certificate_of_the_named_authority_is_trusted() {
    let Some(lab) = Lab::new("tls_trusted") else { return };
    lab.usual();
    let ca = tls_file("CLUSTER_CA");
    for query in [format!("ca={ca}"), format!("tls=verify&ca={ca}"), format!("ca={ca}&tls-name=secure.test")] {
        assert_eq!(plan(&lab, &query).expect(0).err, "", "{query}");
    }
}

#[test]
fn a_certificate_of_another_authority_or_name_is_refused() {
    let Some(lab) = Lab::new("tls_refused") else { return };
    lab.usual();
    let (ca, other) = (tls_file("CLUSTER_CA"), tls_file("CLUSTER_OTHER_CA"));
    insta::assert_snapshot!(plan(&lab, &format!("ca={other}")), @r#"
    exit code 6
    -- stderr
    error: failed to encrypt the connection to the source 127.0.0.3:9042: invalid peer certificate: UnknownIssuer
    hint: name the authority that signed the nodes' certificates with `ca=FILE` in `--source`, or, where the certificates don't carry the nodes' addresses, the name that they do carry with `tls-name=NAME`
    "#);
    assert_eq!(
        plan(&lab, "tls=verify").line(),
        plan(&lab, &format!("ca={other}")).line(),
        "the system's own authorities"
    );
    insta::assert_snapshot!(plan(&lab, &format!("ca={ca}&tls-name=other.test")), @r#"
    exit code 6
    -- stderr
    error: failed to encrypt the connection to the source 127.0.0.3:9042: invalid peer certificate: certificate not valid for name "other.test"; certificate is only valid for IpAddress(127.0.0.3) or DnsName("secure.test")
    hint: name the authority that signed the nodes' certificates with `ca=FILE` in `--source`, or, where the certificates don't carry the nodes' addresses, the name that they do carry with `tls-name=NAME`
    "#);
}

#[test]
fn an_unchecked_certificate_works_and_is_warned_about() {
    let Some(lab) = Lab::new("tls_insecure") else { return };
    lab.usual();
    let answer = plan(&lab, "tls=insecure");
    insta::assert_snapshot!(answer.expect(0).err, @"warning: the source's certificate isn't checked (tls=insecure): anybody in between can read along");
    let answer = lab.plan(SOURCE, &format!("cassandra://{ADMIN}@{SECURE}/?tls=insecure"));
    assert!(answer.expect(0).err.starts_with("warning: the target's certificate isn't checked"), "{answer}");
}

#[test]
fn a_node_that_speaks_plaintext_is_told() {
    let Some(lab) = Lab::new("tls_plaintext") else { return };
    lab.usual();
    insta::assert_snapshot!(lab.plan(&format!("cassandra://{SOURCE}/?tls=insecure"), TARGET), @r#"
    exit code 6
    -- stderr
    error: failed to connect to the source 127.0.0.1:9042: what answers there doesn't speak TLS (received corrupt message of type InvalidContentType)
    hint: check `--source`: the host, the port of the native protocol (9042 where none is given), and whether the port wants TLS (`cassandra://HOST/?tls=verify`)
    "#);
}

#[test]
fn files_for_encryption_that_are_wrong_are_named() {
    let Some(lab) = Lab::new("tls_files") else { return };
    let (ca, key) = (tls_file("CLUSTER_CA"), tls_file("CLUSTER_CLIENT_KEY"));
    let lines = [
        "ca=/nonexistent".to_owned(),
        format!("ca={key}"),
        format!("ca={ca}&cert=/nonexistent&key={key}"),
        format!("ca={ca}&cert={ca}&key=/nonexistent"),
        format!("ca={ca}&cert={ca}&key={key}"),
        format!("ca={ca}&tls-name=not a name"),
    ];
    let folder = Path::new(&ca).parent().unwrap().display().to_string();
    let lines = lines.map(|query| plan(&lab, &query).expect(2).line().replace(&folder, "TLS"));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    2 error: the source's encryption: failed to read a certificate authority from /nonexistent: I/O error: No such file or directory (os error 2)
    2 error: the source's encryption: failed to read a certificate authority from TLS/client.key: there is none in it
    2 error: the source's encryption: failed to read the client certificate from /nonexistent: I/O error: No such file or directory (os error 2)
    2 error: the source's encryption: failed to read the client key from /nonexistent: I/O error: No such file or directory (os error 2)
    2 error: the source's encryption: keys may not be consistent: KeyMismatch
    2 error: the source's encryption: tls-name=not a name isn't a name
    "#);
}

#[test]
fn a_client_certificate_is_shown_to_a_node_that_asks_for_one() {
    let Some(lab) = Lab::new("tls_client") else { return };
    lab.usual();
    let (ca, cert, key) = (tls_file("CLUSTER_CA"), tls_file("CLUSTER_CLIENT_CERT"), tls_file("CLUSTER_CLIENT_KEY"));
    let port = strict_proxy(Path::new(&ca));
    let through = |query: &str| lab.plan(&format!("cassandra://{ADMIN}@{SECURE}:{port}/?ca={ca}{query}"), TARGET);
    through(&format!("&cert={cert}&key={key}")).expect(0);
    let answer = through("");
    assert!(answer.expect(6).err.contains("CertificateRequired"), "{answer}");
}

/// A port before the secure node that asks every client for a certificate, which the node itself does only when it is told
/// to on its start. It ends the encryption; the node takes plaintext too.
fn strict_proxy(ca: &Path) -> u16 {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_file(ca.with_file_name("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(ca.with_file_name("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind((SECURE, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, config) = (client.unwrap(), Arc::clone(&config));
            std::thread::spawn(move || relay(client, ServerConnection::new(config).unwrap()));
        }
    });
    port
}

/// Carries bytes both ways until one side ends.
fn relay(mut client: TcpStream, mut tls: ServerConnection) {
    let mut node = TcpStream::connect((SECURE, 9042)).unwrap();
    client.set_nonblocking(true).unwrap();
    node.set_nonblocking(true).unwrap();
    let (mut from_node, mut to_node) = (Vec::new(), Vec::new());
    let mut buffer = [0; 16384];
    loop {
        let mut idle = true;
        if tls.wants_read() {
            match tls.read_tls(&mut client) {
                Ok(0) => return,
                Ok(_) => idle = false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        let refused = tls.process_new_packets().is_err();
        while let Ok(n @ 1..) = tls.reader().read(&mut buffer) {
            to_node.extend_from_slice(&buffer[..n]);
        }
        match node.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => from_node.extend_from_slice(&buffer[..n]),
            Err(_) => {}
        }
        if let Ok(n) = node.write(&to_node) {
            to_node.drain(..n);
        }
        if let Ok(n) = tls.writer().write(&from_node) {
            idle &= n == 0;
            from_node.drain(..n);
        }
        while tls.wants_write() && tls.write_tls(&mut client).is_ok() {}
        if refused {
            return;
        }
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
