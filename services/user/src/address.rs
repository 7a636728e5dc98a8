//! Whose address a call comes from: the peer's, or the one that a trusted peer forwards for.

use std::net::IpAddr;

use axum::http::HeaderMap;
use serde::Deserialize;

/// Most hops that are followed.
const HOPS_MAX: usize = 16;
/// Who forwarded for whom, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Network {
    base: u128,
    mask: u128,
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        const RULE: &str = "expected an address or a network such as \"10.0.0.0/8\"";
        let (address, length) = text.split_once('/').map_or((&*text, None), |(a, n)| (a, Some(n)));
        let address: IpAddr = address.parse().map_err(|_| RULE)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.map_or(Ok(width), str::parse).map_err(|_| RULE)?;
        let free = width.checked_sub(length).ok_or(RULE)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Ok(Self { base: bits(address) & mask, mask })
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.base
    }
}

/// One number line for both families: an IPv4 address lies where it is mapped (RFC 4291 section
/// 2.5.5.2).
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Those who may say for whom they forward.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Proxies(Vec<Network>);

impl Proxies {
    /// Whose call it is that `peer` makes with these `headers`. A field that anybody else sent is
    /// not believed.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let fields = headers.get_all(FORWARDED_FOR).iter().filter_map(|field| field.to_str().ok());
        let hops: Vec<&str> = fields.flat_map(|field| field.split(',')).collect();
        let mut client = peer.to_canonical();
        for hop in hops.iter().rev().take(HOPS_MAX) {
            let Some(address) = self.is_trusted(client).then(|| hop.trim().parse::<IpAddr>())
            else {
                break;
            };
            let Ok(address) = address else { break };
            client = address.to_canonical();
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies(networks.iter().map(|text| text.parse()).map(Result::unwrap).collect())
    }

    impl std::str::FromStr for Network {
        type Err = &'static str;

        fn from_str(text: &str) -> Result<Self, &'static str> {
            text.to_owned().try_into()
        }
    }

    fn client(peer: &str, fields: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FORWARDED_FOR, field.parse().unwrap());
        }
        let trusted = proxies(&["127.0.0.0/8", "::1", "10.0.0.0/8"]);
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("203.0.113.9", &["192.0.2.1"]), "203.0.113.9");
    }

    #[test]
    fn a_trusted_peer_names_the_caller() {
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::ffff:127.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("::1", &["192.0.2.1", "10.0.0.7"]), "192.0.2.1");
    }

    #[test]
    fn what_the_caller_wrote_itself_is_not_believed() {
        assert_eq!(client("127.0.0.1", &["198.51.100.1, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", &["198.51.100.1", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(client("127.0.0.1", &["nonsense"]), "127.0.0.1");
    }

    #[test]
    fn a_network_is_read_strictly() {
        assert!("10.0.0.0/8".parse::<Network>().unwrap().contains([10, 1, 2, 3].into()));
        assert!(!"10.0.0.0/8".parse::<Network>().unwrap().contains([11, 1, 2, 3].into()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains([8, 8, 8, 8].into()));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "ten"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
