//! Addresses: what may be listened on, what may be dialed, what may be advertised; and the two names
//! of a node, ours (`NodeId`, the raw key) and libp2p's (`PeerId`, the key in a protobuf in a
//! multihash). Junk is turned away here, in words, before it reaches a transport.

use std::net::{IpAddr, SocketAddr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, multihash::Multihash};
use starling_wire::NodeId;

use crate::NetError;

/// How an Ed25519 public key looks in libp2p's protobuf, before its 32 bytes.
const KEY_PREFIX: [u8; 4] = [0x08, 0x01, 0x12, 0x20];

/// The multihash code of "not hashed at all".
const IDENTITY: u64 = 0;

/// Interfaces whose addresses exist on every machine that runs containers or virtual machines, so
/// that nobody outside can reach them.
const BRIDGES: [&str; 8] = [
    "docker", "br-", "veth", "virbr", "cni", "flannel", "podman", "lxcbr",
];

/// Checks that the text is an address that this build can listen on or dial, and says what is right
/// if it is not.
pub fn check_addr(addr: &str) -> Result<(), NetError> {
    parse(addr).map(drop)
}

/// The address without a trailing `/p2p/..`, if this build can use it.
pub(crate) fn parse(text: &str) -> Result<Multiaddr, NetError> {
    let bad = |problem: &str| NetError::BadAddress {
        addr: text.chars().take(200).collect(),
        problem: problem.to_owned(),
    };
    let addr: Multiaddr = text
        .trim()
        .parse()
        .map_err(|error| match text.contains('/') {
            true => bad(&format!("{error}")),
            false => bad("it must be a multiaddress, which begins with /ip4/ or /ip6/"),
        })?;
    let (addr, _) = split_peer(addr);
    let parts: Vec<Protocol<'_>> = addr.iter().collect();
    match parts.as_slice() {
        [
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_),
            ..,
        ] => Err(bad(
            "it names a host; resolve the name and give its IP address",
        )),
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)] => Ok(addr),
        #[cfg(feature = "quic")]
        [
            Protocol::Ip4(_) | Protocol::Ip6(_),
            Protocol::Udp(_),
            Protocol::QuicV1,
        ] => Ok(addr),
        #[cfg(not(feature = "quic"))]
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(_), ..] => {
            Err(bad("this build speaks TCP only"))
        }
        [Protocol::Ip4(_) | Protocol::Ip6(_)] => Err(bad("it lacks a port, such as /tcp/4310")),
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_), ..] => {
            Err(bad("nothing may follow the TCP port but /p2p/..."))
        }
        _ => Err(bad(
            "it must be /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT",
        )),
    }
}

/// The address if it may be dialed to reach `peer`: it has a real IP and port and does not name
/// another node.
pub(crate) fn parse_dial(text: &str, peer: PeerId) -> Result<Multiaddr, NetError> {
    let addr = parse(text)?;
    let bad = |problem: &str| {
        Err(NetError::BadAddress {
            addr: text.chars().take(200).collect(),
            problem: problem.to_owned(),
        })
    };
    let named = text.trim().parse().ok().and_then(|full| split_peer(full).1);
    if named.is_some_and(|named| named != peer) {
        return bad("it names another node than the one to dial");
    }
    match socket(&addr) {
        Some(socket) if socket.port() == 0 => bad("port 0 cannot be dialed"),
        Some(socket) if socket.ip().is_unspecified() => bad("it stands for every address"),
        Some(socket) if socket.ip().is_multicast() => bad("it is a multicast address"),
        _ => Ok(addr),
    }
}

/// The address without its trailing `/p2p/PEER`, and that peer.
pub(crate) fn split_peer(mut addr: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    if let Some(Protocol::P2p(peer)) = addr.iter().last() {
        addr.pop();
        return (addr, Some(peer));
    }
    (addr, None)
}

/// The IP address and port that the address begins with.
pub(crate) fn socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = addr.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// Whether the address begins a TCP connection.
pub(crate) fn is_tcp(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Tcp(_)))
}

/// libp2p's name of the node.
pub(crate) fn peer_of(node: &NodeId) -> Option<PeerId> {
    let mut key = [0; 36];
    key[..4].copy_from_slice(&KEY_PREFIX);
    key[4..].copy_from_slice(&node.0);
    PeerId::from_multihash(Multihash::wrap(IDENTITY, &key).ok()?).ok()
}

/// Our name of the peer; none if its key is not an Ed25519 key.
pub(crate) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash: &Multihash<64> = peer.as_ref();
    let key = hash.digest().strip_prefix(&KEY_PREFIX)?;
    (hash.code() == IDENTITY).then_some(())?;
    Some(NodeId(key.try_into().ok()?))
}

/// The addresses of container and virtual-machine bridges on this machine, now.
pub(crate) fn bridge_addrs() -> Vec<IpAddr> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else {
        return Vec::new();
    };
    networks
        .iter()
        .filter(|(name, _)| {
            let name = name.to_string_lossy();
            BRIDGES.iter().any(|bridge| name.starts_with(bridge))
        })
        .flat_map(|(_, network)| network.ip_networks().iter().map(|ip| ip.addr))
        .collect()
}

/// Whether other machines might reach the address.
pub(crate) fn reachable(addr: &Multiaddr, bridges: &[IpAddr]) -> bool {
    socket(addr).is_some_and(|socket| {
        let ip = socket.ip();
        let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        !ip.is_loopback() && !ip.is_unspecified() && !link_local && !bridges.contains(&ip)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn node_and_peer_ids_are_two_names_of_one_key() {
        let key = Keypair::generate_ed25519();
        let peer = key.public().to_peer_id();
        let node = node_of(&peer).unwrap();
        assert_eq!(node.0, key.public().try_into_ed25519().unwrap().to_bytes());
        assert_eq!(peer_of(&node).unwrap(), peer);
        assert!(node_of(&PeerId::random()).is_none());
    }

    #[test]
    fn good_addresses_pass() {
        for addr in [
            "/ip4/0.0.0.0/tcp/4310",
            "/ip6/::/tcp/0",
            " /ip4/10.0.0.1/tcp/1 ",
        ] {
            check_addr(addr).unwrap();
        }
        let peer = PeerId::random();
        let with_peer = format!("/ip4/10.0.0.1/tcp/4310/p2p/{peer}");
        assert_eq!(
            parse(&with_peer).unwrap().to_string(),
            "/ip4/10.0.0.1/tcp/4310"
        );
        parse_dial(&with_peer, peer).unwrap();
        assert!(parse_dial(&with_peer, PeerId::random()).is_err());
    }

    #[test]
    fn junk_is_refused_with_the_right_form_in_the_words() {
        for junk in [
            "",
            "10.0.0.1:4310",
            "/ip4/10.0.0.1",
            "/ip4/10.0.0.300/tcp/4310",
            "/ip4/10.0.0.1/tcp/99999",
            "/dns4/example.org/tcp/4310",
            "/ip4/10.0.0.1/tcp/80/ws",
            "/tcp/4310",
            "/memory/1",
        ] {
            let words = check_addr(junk).unwrap_err().to_string();
            assert!(words.contains("/ip4/0.0.0.0/tcp/4310"), "{words}");
        }
        for junk in [
            "/ip4/0.0.0.0/tcp/4310",
            "/ip4/10.0.0.1/tcp/0",
            "/ip4/224.0.0.1/tcp/5",
        ] {
            assert!(parse_dial(junk, PeerId::random()).is_err(), "{junk}");
        }
    }

    #[test]
    fn unreachable_addresses_are_told_apart() {
        let bridges = ["172.17.0.1".parse().unwrap()];
        let ok = |addr: &str| reachable(&addr.parse().unwrap(), &bridges);
        assert!(ok("/ip4/192.168.1.5/tcp/4310") && ok("/ip6/2001:db8::1/tcp/4310"));
        assert!(!ok("/ip4/127.0.0.1/tcp/4310") && !ok("/ip6/::1/tcp/4310"));
        assert!(!ok("/ip4/172.17.0.1/tcp/4310") && !ok("/ip6/fe80::1/tcp/4310"));
    }
}
