//! A request as somebody asks about it. Knows the shape of URLs and header lines, nothing of a mesh.

use std::fmt;
use std::net::Ipv6Addr;

/// Who sends the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Somebody outside, through the only gateway that accepts the host on the port.
    AnyGateway,
    /// Somebody outside, through the pods of this Gateway.
    Gateway {
        /// Namespace of the Gateway.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The pods of a workload.
    Workload {
        /// Deployment, StatefulSet …, in any case.
        kind: String,
        /// Namespace of the workload.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// A client that is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadSource(String);

impl fmt::Display for BadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSource {}

impl Source {
    /// `gateway`, `gateway:ns/name` or `deployment/ns/name`; a name alone is in the given namespace.
    ///
    /// # Errors
    /// When the text is nothing of the kind.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, BadSource> {
        let full = |name: &str| {
            let (namespace, name) = name.split_once('/').unwrap_or((namespace, name));
            let is_name = |part: &str| !part.is_empty() && !part.contains('/');
            (is_name(namespace) && is_name(name)).then(|| (namespace.to_owned(), name.to_owned()))
        };
        if text == "gateway" {
            return Ok(Self::AnyGateway);
        }
        if let Some(name) = text.strip_prefix("gateway:").or_else(|| text.strip_prefix("gateway/")) {
            let (namespace, name) =
                full(name).ok_or_else(|| BadSource("not of the form gateway:ns/name".to_owned()))?;
            return Ok(Self::Gateway { namespace, name });
        }
        let (kind, rest) = text.split_once('/').ok_or_else(|| {
            let known = "neither gateway[:ns/name] nor a workload such as deployment/ns/name";
            BadSource(known.to_owned())
        })?;
        let (namespace, name) =
            full(rest).ok_or_else(|| BadSource("not of the form kind/ns/name".to_owned()))?;
        Ok(Self::Workload { kind: long_kind(kind), namespace, name })
    }
}

/// A workload's kind in lower case, kubectl's short names written out.
fn long_kind(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    let long = match kind.as_str() {
        "deploy" | "deployments" => "deployment",
        "sts" | "statefulsets" => "statefulset",
        "ds" | "daemonsets" => "daemonset",
        "rs" | "replicasets" => "replicaset",
        "po" | "pods" => "pod",
        "cj" => "cronjob",
        other => other,
    };
    long.to_owned()
}

/// What the client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP in TLS that the client begins.
    Https,
    /// Bytes that nobody looks into.
    Tcp,
    /// TLS that the client begins, with the host as its SNI.
    Tls,
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port that a URL need not name.
    #[must_use]
    pub fn default_port(self) -> Option<u32> {
        match self {
            Self::Http => Some(80),
            Self::Https | Self::Tls => Some(443),
            Self::Tcp => None,
        }
    }
}

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Who sends it.
    pub from: Source,
    /// What is spoken.
    pub scheme: Scheme,
    /// The host that is dialled: a name or an address, without port.
    pub host: String,
    /// The port that is dialled.
    pub port: u32,
    /// `GET`
    pub method: String,
    /// Path and query, `/` at least.
    pub path: String,
    /// Headers in order; names in any case. `host` or `:authority` replaces what the URL says, with a port or
    /// without one. Cookies are one header: see [`Request::add_cookie`].
    pub headers: Vec<(String, String)>,
    /// The SPIFFE id of a client that comes with a certificate; only the filter's mesh role reads it.
    pub principal: Option<String>,
}

/// What the shell knows of the world.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Seconds since 1970, for the filter's windows and signatures.
    pub now: u64,
    /// Signing keys of the filter by the name of their environment variable. Without them signatures in the
    /// request count as wrong, and the trace says so.
    pub env: Vec<(String, Vec<u8>)>,
}

/// A URL that is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadUrl(String);

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUrl {}

impl Request {
    /// A `GET` of a URL: `http://host[:port][/path]`, `https://…`, `tcp://host:port` or `tls://host[:port]`.
    /// Without a scheme it is `http`.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn parse(url: &str, from: Source) -> Result<Self, BadUrl> {
        let bad = |why: &str| {
            BadUrl(format!(
                "{url}: {why}; write http://host/path, https://host/path, tcp://host:port or tls://host:port"
            ))
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "tcp" => Scheme::Tcp,
            "tls" => Scheme::Tls,
            other => return Err(bad(&format!("`{other}` is no scheme of a route"))),
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(bad("user names belong into a header"));
        }
        if authority.contains('[') || authority.contains(']') {
            let address = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let is_address = address.is_some_and(|(address, rest)| {
                address.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.starts_with(':'))
            });
            if !is_address {
                return Err(bad("brackets are for an IPv6 address, as in http://[2001:db8::1]:80/"));
            }
        } else if authority.matches(':').count() > 1 {
            return Err(bad("an IPv6 address stands in brackets, as in http://[2001:db8::1]:80/"));
        }
        let (host, port) = split_port(authority);
        if host.contains('*') {
            return Err(bad("a request is for one host, not for a wildcard"));
        }
        let port = match port {
            Some(text) => text.parse().ok().filter(|port| (1..=65_535).contains(port)),
            None => scheme.default_port(),
        };
        let port = port.ok_or_else(|| bad("the port is missing or no number from 1 to 65535"))?;
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad("the host is missing or has a space in it"));
        }
        let path = match path.chars().next() {
            Some('/') => path.to_owned(),
            _ => format!("/{path}"),
        };
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(bad("a path has no spaces; write %20"));
        }
        if matches!(scheme, Scheme::Tcp | Scheme::Tls) && path != "/" {
            return Err(bad("bytes have no path"));
        }
        Ok(Self {
            from,
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            method: "GET".to_owned(),
            path,
            headers: Vec::new(),
            principal: None,
        })
    }

    /// Adds cookies to the one `cookie` header, as a browser does.
    pub fn add_cookie(&mut self, cookies: &str) {
        match self.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
            Some((_, value)) => {
                value.push_str("; ");
                value.push_str(cookies);
            }
            None => self.headers.push(("cookie".to_owned(), cookies.to_owned())),
        }
    }

    /// Whether it is HTTP, in TLS or not.
    #[must_use]
    pub fn is_http(&self) -> bool {
        matches!(self.scheme, Scheme::Http | Scheme::Https)
    }

    /// The URL, for messages.
    #[must_use]
    pub fn url(&self) -> String {
        let port = match self.scheme.default_port() == Some(self.port) {
            true => String::new(),
            false => format!(":{}", self.port),
        };
        let path = if self.is_http() { self.path.as_str() } else { "" };
        format!("{}://{}{port}{path}", self.scheme.as_str(), self.host)
    }
}

/// A host and its port; an IPv6 address keeps its brackets.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(Scheme, String, u32, String), BadUrl> {
        let request = Request::parse(url, Source::AnyGateway)?;
        Ok((request.scheme, request.host, request.port, request.path))
    }

    #[test]
    fn urls_have_defaults() {
        let of = |scheme, host: &str, port, path: &str| Ok((scheme, host.to_owned(), port, path.to_owned()));
        assert_eq!(parse("http://Voting.example"), of(Scheme::Http, "voting.example", 80, "/"));
        assert_eq!(parse("voting:8080/a?b=c#d"), of(Scheme::Http, "voting", 8080, "/a?b=c"));
        assert_eq!(parse("https://a?b"), of(Scheme::Https, "a", 443, "/?b"));
        assert_eq!(parse("tcp://[::1]:6379"), of(Scheme::Tcp, "[::1]", 6379, "/"));
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_reason() {
        for (url, why) in [
            ("ftp://a", "`ftp` is no scheme"),
            ("tcp://a", "the port is missing"),
            ("http://a:0", "the port is"),
            ("http://", "the host is missing"),
            ("http://a b/", "the host is"),
            ("http://a/b c", "no spaces"),
            ("tcp://a:1/b", "no path"),
            ("http://u@a/", "user names"),
            ("http://2001:db8::1/", "stands in brackets"),
            ("http://[::1", "brackets are for"),
            ("http://[a]/", "brackets are for"),
            ("http://[::1]80/", "brackets are for"),
            ("http://a]/", "brackets are for"),
            ("http://*.example.com/", "not for a wildcard"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn sources_are_gateways_and_workloads() {
        let workload = |kind: &str, namespace: &str, name: &str| {
            Ok(Source::Workload { kind: kind.into(), namespace: namespace.into(), name: name.into() })
        };
        assert_eq!(Source::parse("deploy/web", "shop"), workload("deployment", "shop", "web"));
        assert_eq!(Source::parse("StatefulSet/db/main", "shop"), workload("statefulset", "db", "main"));
        for text in ["someone", "deployment/", "deployment/a/b/c", "gateway:", "gateway:a/"] {
            assert!(Source::parse(text, "shop").is_err(), "{text}");
        }
    }

    #[test]
    fn cookies_become_one_header() {
        let mut request = Request::parse("http://a", Source::AnyGateway).unwrap();
        request.add_cookie("a=1");
        request.add_cookie("b=2");
        assert_eq!(request.headers, [("cookie".to_owned(), "a=1; b=2".to_owned())]);
    }
}
