//! Where a cluster is, as the operator writes it: `host,host:port` or
//! `cassandra://user@host:port,host/?dc=…&tls=…&ca=…&cert=…&key=…&tls-name=…`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The native protocol's port on both products.
pub const PORT: u16 = 9042;

/// A cluster's contact points and how to talk to them. Holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Contact points; any one that answers is enough.
    pub hosts: Vec<Host>,
    /// The role to log in as.
    pub user: Option<String>,
    /// The datacenter to use; needed where there are several.
    pub datacenter: Option<String>,
    /// Encryption.
    pub tls: Tls,
}

/// A contact point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// A name or an address, IPv6 without brackets.
    pub name: String,
    /// The native protocol's port.
    pub port: u16,
}

/// Encryption of a side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether, and how strictly.
    pub mode: TlsMode,
    /// Certificate authorities to trust, PEM; the system's where none is given.
    pub ca: Option<PathBuf>,
    /// The client's certificate chain, PEM.
    pub cert: Option<PathBuf>,
    /// The client's private key, PEM.
    pub key: Option<PathBuf>,
    /// The name that the nodes' certificates carry, where they don't carry the nodes' addresses.
    pub name: Option<String>,
}

/// How strictly a side is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Off,
    /// Encrypted; the node's certificate is checked.
    Verify,
    /// Encrypted; any certificate is taken. Anybody in between can read along.
    Insecure,
}

/// An endpoint that can't be understood. Never repeats what might be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EndpointError(String);

fn fail<T>(message: impl Into<String>) -> Result<T, EndpointError> {
    Err(EndpointError(message.into()))
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let rest = match text.split_once("://") {
            None if text.contains('@') => return fail("a user needs the form cassandra://USER@HOST"),
            None => text,
            Some(("cassandra" | "scylla", rest)) => rest,
            Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
                return fail(format!("`{scheme}://` isn't known: cassandra:// and scylla:// are"));
            }
            // It may hold a password, so nothing of it is repeated.
            Some(_) => return fail("what stands before `://` isn't known: cassandra:// and scylla:// are"),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') {
            // It may be the end of a password that holds a `?`, so nothing of it is repeated.
            return fail("an `@` behind the `?` is written %40; a password doesn't belong here at all");
        }
        let (user, rest) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((user, _)) if user.contains(':') => {
                return fail(
                    "a password doesn't belong on the command line, where `ps` shows it: leave out `:PASSWORD` and use a password file, command, environment variable or the prompt",
                );
            }
            Some((user, rest)) => (Some(percent_decode(user)?), rest),
        };
        let hosts = match rest.split_once('/') {
            None => rest,
            Some((hosts, "")) => hosts,
            Some((_, path)) => {
                return fail(format!("`/{path}` behind the hosts means nothing: the table is named with `--table`"));
            }
        };
        let hosts = hosts.split(',').map(str::parse).collect::<Result<Vec<Host>, _>>()?;
        let mut endpoint = Endpoint { hosts, user, datacenter: None, tls: Tls::default() };
        let mut mode = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode(value)?;
            if value.is_empty() {
                return fail(format!("`{name}` needs a value: {name}=…"));
            }
            match name {
                "dc" => endpoint.datacenter = Some(value),
                "tls" => mode = Some(value.parse()?),
                "ca" => endpoint.tls.ca = Some(value.into()),
                "cert" => endpoint.tls.cert = Some(value.into()),
                "key" => endpoint.tls.key = Some(value.into()),
                "tls-name" => endpoint.tls.name = Some(value),
                _ => return fail(format!("`{name}` isn't known: dc, tls, ca, cert, key and tls-name are")),
            }
        }
        let tls = &mut endpoint.tls;
        if tls.cert.is_some() != tls.key.is_some() {
            return fail("a client certificate needs both cert=FILE and key=FILE");
        }
        // Who names a certificate means to be encrypted.
        let named = tls.ca.is_some() || tls.cert.is_some() || tls.name.is_some();
        tls.mode = mode.unwrap_or(if named { TlsMode::Verify } else { TlsMode::Off });
        if named && tls.mode == TlsMode::Off {
            return fail("tls=off contradicts the certificates that are named");
        }
        Ok(endpoint)
    }
}

impl FromStr for TlsMode {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<TlsMode, EndpointError> {
        match text {
            "off" => Ok(TlsMode::Off),
            "verify" => Ok(TlsMode::Verify),
            "insecure" => Ok(TlsMode::Insecure),
            _ => fail(format!("tls={text} isn't known: off, verify and insecure are")),
        }
    }
}

impl FromStr for Host {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Host, EndpointError> {
        let text = text.trim();
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            match rest.split_once(']') {
                Some((address, "")) => (address, None),
                Some((address, port)) => (address, Some(port.strip_prefix(':').unwrap_or(port))),
                None => return fail(format!("`{text}` lacks its closing bracket")),
            }
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)))
        };
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || c.is_control() || "/:[]".contains(c))
                && name.parse::<std::net::Ipv6Addr>().is_err()
        {
            return fail(format!("`{}` isn't a host", text.escape_debug()));
        }
        let port = match port {
            None => PORT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return fail(format!("the port of `{}` isn't one: 1 to 65535 are", name.escape_debug())),
            },
        };
        Ok(Host { name: name.to_owned(), port })
    }
}

/// As the driver takes it.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// The hosts, for messages.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hosts.iter().enumerate().try_for_each(|(i, host)| write!(f, "{}{host}", if i == 0 { "" } else { "," }))
    }
}

fn percent_decode(text: &str) -> Result<String, EndpointError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        if *byte == b'%' {
            let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            let Some(decoded) = hex else {
                return fail("a `%` must be followed by two hexadecimal digits; a percent sign itself is %25");
            };
            bytes.push(decoded);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).or_else(|_| fail("what the percent signs encode isn't UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Endpoint {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(text: &str) -> String {
        text.parse::<Endpoint>().expect_err(text).to_string()
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(parse("a,b:9043").to_string(), "a:9042,b:9043");
        assert_eq!(parse("[::1]:19042,::1,127.0.0.1").to_string(), "[::1]:19042,[::1]:9042,127.0.0.1:9042");
        assert_eq!(parse("cassandra://10.0.0.1,10.0.0.2:9043/").to_string(), "10.0.0.1:9042,10.0.0.2:9043");
    }

    #[test]
    fn everything_in_a_url() {
        let endpoint = parse("scylla://me%40home@a/?dc=eu%20west&ca=/etc/ca.pem&cert=c.pem&key=k.pem&tls-name=db.test");
        assert_eq!(endpoint.user.as_deref(), Some("me@home"));
        assert_eq!(endpoint.datacenter.as_deref(), Some("eu west"));
        assert_eq!(endpoint.tls.mode, TlsMode::Verify);
        assert_eq!(endpoint.tls.name.as_deref(), Some("db.test"));
        assert_eq!(parse("cassandra://a?tls=insecure").tls.mode, TlsMode::Insecure);
        assert_eq!(parse("a").tls.mode, TlsMode::Off);
    }

    #[test]
    fn mistakes_are_named() {
        insta::assert_snapshot!(error("http://a"), @"`http://` isn't known: cassandra:// and scylla:// are");
        insta::assert_snapshot!(error("a:99999"), @"the port of `a` isn't one: 1 to 65535 are");
        insta::assert_snapshot!(error("a,,b"), @"`` isn't a host");
        insta::assert_snapshot!(error("me@a"), @"a user needs the form cassandra://USER@HOST");
        insta::assert_snapshot!(error("cassandra://a/shop"), @"`/shop` behind the hosts means nothing: the table is named with `--table`");
        insta::assert_snapshot!(error("cassandra://a?tls=maybe"), @"tls=maybe isn't known: off, verify and insecure are");
        insta::assert_snapshot!(error("cassandra://a?cert=x"), @"a client certificate needs both cert=FILE and key=FILE");
        insta::assert_snapshot!(error("cassandra://a?tls=off&ca=x"), @"tls=off contradicts the certificates that are named");
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let message = error("cassandra://me:s3cret@a");
        assert!(message.contains("password") && !message.contains("s3cret"), "{message}");
    }

    /// What might be a contact point, and what might be none.
    const PARTS: &str =
        "(cassandra://|scylla://|http://|[a-c0-9]{1,3}|[\\[\\]@:,/?&=%. \u{1b}\\\\]|::1|dc=|tls=|verify|%20|é){0,12}";

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in prop_oneof!["\\PC{0,60}", "(?s).{0,60}", PARTS]) {
            match text.parse::<Endpoint>() {
                Ok(endpoint) => prop_assert!(!endpoint.hosts.is_empty()),
                Err(error) => prop_assert!(error.to_string().len() > 10, "{error}"),
            }
        }

        /// The hosts that are shown are those that were meant.
        #[test]
        fn what_is_shown_is_read_again(text in PARTS) {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                let again: Endpoint = endpoint.to_string().parse().expect("a list of hosts");
                prop_assert_eq!(again.hosts, endpoint.hosts);
            }
        }

        #[test]
        fn no_password_is_accepted_or_repeated(
            scheme in "(cassandra://|scylla://|http://|)", user in "[a-z]{1,4}",
            before in "(://|[@:/?#&=%,.a\\[\\]]){0,3}", after in "(://|[@:/?#&=%,.a\\[\\]]){0,3}", rest in "(/|/x|,b|\\?dc=b|)",
        ) {
            let text = format!("{scheme}{user}:{before}s3cret{after}@host{rest}");
            let message = text.parse::<Endpoint>().expect_err("a password").to_string();
            prop_assert!(!message.contains("s3cret"), "{text}: {message}");
        }
    }
}
