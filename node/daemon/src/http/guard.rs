//! Who may ask. A web page in a browser on this machine must not be able to drive the daemon, and
//! over TCP only who has the token may.
//!
//! * `Host` must be `localhost`, a loopback address or the address the connection came in at:
//!   a page whose name was made to point here (DNS rebinding) still sends its own name.
//! * `Origin`, which browsers send with every request that could do harm, must be our own.
//! * Over TCP, `Authorization: Bearer` must carry the token.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use starling_api::{ApiError, codes};

use super::reply::Refusal;

/// How long a request may take until its answer, or its stream, begins.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Which way a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// Over the Unix socket.
    Unix,
    /// Over TCP, at this address of ours.
    Tcp(SocketAddr),
}

/// What TCP connections must present; none refuses them all.
#[derive(Clone)]
pub(super) struct Secret(pub(super) Option<Arc<str>>);

/// Lets a request through, or answers why not.
pub(super) async fn check(State(secret): State<Secret>, request: Request, next: Next) -> Response {
    let via = request.extensions().get::<Via>().copied();
    if let Err(error) = admit(via, request.headers(), &secret) {
        return Refusal(error).into_response();
    }
    tokio::time::timeout(REQUEST_LIMIT, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let text = format!("no answer within {} s", REQUEST_LIMIT.as_secs());
            Refusal(ApiError::new(codes::TIMEOUT, text)).into_response()
        })
}

fn admit(via: Option<Via>, headers: &HeaderMap, secret: &Secret) -> Result<(), ApiError> {
    // A connection whose way in is unknown is a bug; it gets the stricter treatment.
    let local = match via {
        Some(Via::Tcp(local)) => Some(local),
        _ => None,
    };
    let host = text(headers, header::HOST);
    if !host.is_some_and(|host| host_is_ours(host, local)) {
        return Err(ApiError::new(
            codes::FORBIDDEN,
            "the Host header names neither this machine nor the address it listens at",
        )
        .with_remedy("use localhost, or the daemon's IP address instead of a name"));
    }
    let ours = host.map(|host| format!("http://{host}"));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if origins.any(|origin| Some(origin.as_bytes()) != ours.as_ref().map(String::as_bytes)) {
        return Err(ApiError::new(
            codes::FORBIDDEN,
            "web pages of other origins may not use this daemon",
        ));
    }
    if via == Some(Via::Unix) {
        return Ok(());
    }
    let given = text(headers, header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    match (given, &secret.0) {
        (Some(given), Some(token)) if same(given.as_bytes(), token.as_bytes()) => Ok(()),
        (given, _) => {
            let problem = if given.is_some() {
                "the bearer token is wrong"
            } else {
                "there is no bearer token"
            };
            Err(ApiError::new(codes::UNAUTHORIZED, problem).with_remedy(
                "it is in the file api.token of the daemon's data directory; give it in \
                 STARLING_API_TOKEN or as `Authorization: Bearer TOKEN`",
            ))
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn host_is_ours(host: &str, local: Option<SocketAddr>) -> bool {
    let (name, port) = split_port(host);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    name.parse::<IpAddr>().is_ok_and(|ip| {
        ip.is_loopback()
            || local.is_some_and(|local| local.ip().to_canonical() == ip.to_canonical())
    })
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differs = a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn code(via: Via, headers: &[(HeaderName, &str)]) -> String {
        let map = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect();
        let secret = Secret(Some("right".into()));
        admit(Some(via), &map, &secret).map_or_else(|error| error.code, |()| "ok".into())
    }

    #[test]
    fn hosts() {
        let tcp = Some("192.168.1.5:7700".parse().unwrap());
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:7700",
            "127.9.9.9",
            "[::1]:7700",
            "[::1]",
            "192.168.1.5:7700",
            "192.168.1.5:8080",
        ] {
            assert!(host_is_ours(host, tcp), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7700",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "192.168.1.6:7700",
            "localhost:x",
            "[::2]:1",
        ] {
            assert!(!host_is_ours(host, tcp), "{host}");
        }
        assert!(!host_is_ours("192.168.1.5", None));
    }

    #[test]
    fn web_pages_are_kept_out() {
        use header::{HOST, ORIGIN};
        assert_eq!(code(Via::Unix, &[(HOST, "localhost")]), "ok");
        assert_eq!(code(Via::Unix, &[]), codes::FORBIDDEN);
        assert_eq!(code(Via::Unix, &[(HOST, "evil.example")]), codes::FORBIDDEN);
        let from = |origin| code(Via::Unix, &[(HOST, "localhost:7700"), (ORIGIN, origin)]);
        assert_eq!(from("http://localhost:7700"), "ok");
        for origin in [
            "null",
            "http://localhost",
            "https://localhost:7700",
            "http://evil.example",
        ] {
            assert_eq!(from(origin), codes::FORBIDDEN, "{origin}");
        }
    }

    #[test]
    fn tcp_needs_the_token() {
        use header::{AUTHORIZATION, HOST};
        let via = Via::Tcp("127.0.0.1:7700".parse().unwrap());
        let with = |value| code(via, &[(HOST, "127.0.0.1:7700"), (AUTHORIZATION, value)]);
        assert_eq!(with("Bearer right"), "ok");
        assert_eq!(with("bearer right"), "ok");
        for value in [
            "Bearer wrong",
            "Bearer righ",
            "Bearer right2",
            "right",
            "Basic right",
            "Bearer ",
        ] {
            assert_eq!(with(value), codes::UNAUTHORIZED, "{value}");
        }
        assert_eq!(code(via, &[(HOST, "localhost")]), codes::UNAUTHORIZED);
    }
}
