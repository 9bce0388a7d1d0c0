//! Addresses: what a URL of the master says, which listeners are open to others, and how connections notice a dead
//! peer.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

/// A connection that has been silent for this long is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// And is given up when none came for this long.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt to connect may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest gRPC message: a batch's rows for the driver, a plan, a shuffle frame.
pub const MESSAGE_BYTES_MAX: usize = 128 << 20;
/// Ports tried one after another when the wanted one is taken, as Spark's `spark.port.maxRetries`.
pub const PORT_RETRIES: u16 = 16;

/// `host:port`, where host is a name or an address (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// The port, never 0 in an address to connect to.
    pub port: u16,
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not `host:port`.
    #[error("`{0}` is not `host:port`")]
    Malformed(String),
    /// Not a master's URL.
    #[error("master `{0}` is not of the form `spark://host:port` or `pyrite://host:port`")]
    NotAMaster(String),
}

impl HostPort {
    /// Joins the two.
    pub fn new(host: impl Into<String>, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    /// Reads `host:port` or `[v6]:port`.
    pub fn parse(text: &str) -> Result<HostPort, AddressError> {
        let malformed = || AddressError::Malformed(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(malformed)?;
        let port: u16 = port.parse().map_err(|_| malformed())?;
        let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let host = match bare {
            Some(inner) => inner,
            None if host.contains([':', '/', '@', ' ']) => return Err(malformed()),
            None => host,
        };
        if host.is_empty() || port == 0 {
            return Err(malformed());
        }
        Ok(HostPort::new(host, port))
    }

    /// Reads `spark://host:port`, `pyrite://host:port`, or a list `spark://h1:p1,h2:p2` of a master and its standbys.
    pub fn parse_master(url: &str) -> Result<Vec<HostPort>, AddressError> {
        let list = url
            .strip_prefix("spark://")
            .or_else(|| url.strip_prefix("pyrite://"))
            .ok_or_else(|| AddressError::NotAMaster(url.to_owned()))?;
        list.split(',')
            .map(HostPort::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| AddressError::NotAMaster(url.to_owned()))
    }

    /// `http://host:port`, for gRPC and browsers.
    pub fn http_url(&self) -> String {
        format!("http://{self}")
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Whether a listener on `host` can be reached from this machine only. Names are resolved by their meaning, not by DNS.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address that this machine uses towards `peer`: what others on that network can reach it by. Sends nothing. As
/// Spark: a name of this machine that means a loopback address (Debian's `127.0.1.1`) is passed over, with a warning.
pub fn address_towards(peer: &HostPort) -> std::io::Result<IpAddr> {
    let address = source_towards(peer)?;
    if !address.is_loopback() || is_loopback(&peer.host) {
        return Ok(address);
    }
    match source_towards(&HostPort::new(ELSEWHERE, 9)) {
        Ok(outward) if !outward.is_loopback() => {
            tracing::warn!("`{}` is {address} here, which others cannot reach; using {outward}", peer.host);
            Ok(outward)
        }
        _ => Ok(address),
    }
}

/// An address that is of nobody (RFC 5737): the way to it is the way out of this machine.
const ELSEWHERE: &str = "192.0.2.1";

fn source_towards(peer: &HostPort) -> std::io::Result<IpAddr> {
    use std::net::{ToSocketAddrs, UdpSocket};
    let target = (peer.host.as_str(), peer.port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"))?;
    let unspecified: SocketAddr =
        if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(unspecified)?;
    socket.connect(target)?;
    socket.local_addr().map(|address| address.ip())
}

/// Listens on `port`, or on the next free one of [`PORT_RETRIES`] when it is taken; 0 is any.
pub async fn listen_nearby(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut last = None;
    for offset in 0..=PORT_RETRIES {
        let Some(candidate) = port.checked_add(offset) else { break };
        match TcpListener::bind((host, candidate)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && port != 0 => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}

/// A gRPC server that notices dead clients; its connections come from [`grpc_incoming`].
pub fn grpc_server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// The connections of a gRPC server, whose small messages go out at once. The server's own setting for that counts only
/// for listeners that it opens itself; without it, an answer waits 40 ms for its client's delayed acknowledgement.
pub fn grpc_incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// A gRPC client's endpoint that notices a dead server even while nothing is sent.
pub fn grpc_endpoint(url: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(url.to_owned())?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_schemes_name_a_master() {
        let wanted = vec![HostPort::new("127.0.0.1", 7077)];
        assert_eq!(HostPort::parse_master("spark://127.0.0.1:7077"), Ok(wanted.clone()));
        assert_eq!(HostPort::parse_master("pyrite://127.0.0.1:7077"), Ok(wanted));
        assert_eq!(HostPort::parse_master("spark://a:1,b:2").map(|masters| masters.len()), Ok(2));
        for bad in ["yarn", "spark://", "spark://h", "spark://h:0", "spark://h:x", "spark://u@h:1", "spark://h:1,"] {
            assert!(HostPort::parse_master(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ipv6_stands_in_brackets() {
        let address = HostPort::parse("[::1]:80").expect("an address");
        assert_eq!(address, HostPort::new("::1", 80));
        assert_eq!(address.to_string(), "[::1]:80");
        assert!(HostPort::parse("::1:80").is_err());
    }

    #[test]
    fn only_this_machine_is_loopback() {
        assert!(is_loopback("127.0.0.1") && is_loopback("::1") && is_loopback("localhost"));
        assert!(!is_loopback("0.0.0.0") && !is_loopback("10.0.0.1") && !is_loopback("spark-master"));
    }

    #[tokio::test]
    async fn a_taken_port_moves_to_the_next() {
        let first = listen_nearby("127.0.0.1", 0).await.expect("a free port");
        let port = first.local_addr().expect("bound").port();
        if port < u16::MAX - PORT_RETRIES {
            let second = listen_nearby("127.0.0.1", port).await.expect("a free port nearby");
            assert_ne!(second.local_addr().expect("bound").port(), port);
        }
    }
}
