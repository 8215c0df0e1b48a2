//! Which keys lie where in a Redis Cluster: slots, and the nodes that say they have them.

use std::fmt;

use redis::{RedisError, Value, from_redis_value};

/// So many slots has every Redis Cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `host:port`. Redis writes an IPv6 address without brackets, people write it with them.
    pub(crate) fn read(text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Address { host, port: port.parse().ok()? })
    }

    /// A node that does not know its own name means the one under which it was asked.
    fn or_host_of(self, asked: &Address) -> Address {
        if self.host.is_empty() || self.host == "?" {
            Address { host: asked.host.clone(), ..self }
        } else {
            self
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The slot of a key: that of its hash tag, if it has one.
pub(crate) fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// What lies between the first `{` and the first `}` behind it, unless that is nothing.
fn tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let (_, behind) = key.split_at_checked(key.iter().position(|byte| *byte == b'{')? + 1)?;
        let (tag, _) = behind.split_at_checked(behind.iter().position(|byte| *byte == b'}')?)?;
        (!tag.is_empty()).then_some(tag)
    };
    tag().unwrap_or(key)
}

/// CRC-16/XMODEM, as the specification of Redis Cluster wants it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let shift = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        (0..8).fold(crc ^ (u16::from(*byte) << 8), shift)
    })
}

/// What one node says of the whole.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// Grows with each failover and each slot that has moved.
    pub(crate) epoch: u64,
    pub(crate) ranges: Vec<Range>,
    /// Those that may take a master's place.
    pub(crate) replicas: Vec<Address>,
}

/// Slots of one master.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) master: Address,
}

impl Drawn {
    /// What `CLUSTER INFO` and `CLUSTER SLOTS` answer. `None`: that node has no majority behind it, so it knows nothing.
    pub(crate) fn read(asked: &Address, info: &str, slots: Value) -> Result<Option<Drawn>, RedisError> {
        let said = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if said("cluster_state:") != Some("ok") {
            return Ok(None);
        }
        let epoch = said("cluster_current_epoch:").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        let mut drawn = Drawn { epoch, ranges: Vec::new(), replicas: Vec::new() };
        for range in from_redis_value::<Vec<Value>>(slots)? {
            let mut parts = from_redis_value::<Vec<Value>>(range)?.into_iter();
            let mut number = || from_redis_value::<u16>(parts.next().unwrap_or(Value::Nil));
            let (first, last) = (number()?, number()?);
            let mut nodes = parts.map(|node| read_node(asked, node));
            let Some(master) = nodes.next().transpose()? else { continue };
            drawn.ranges.push(Range { first, last, master });
            drawn.replicas.extend(nodes.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Some(drawn))
    }
}

fn read_node(asked: &Address, node: Value) -> Result<Address, RedisError> {
    let mut parts = from_redis_value::<Vec<Value>>(node)?.into_iter();
    let host: Option<String> = from_redis_value(parts.next().unwrap_or(Value::Nil))?;
    let port = from_redis_value(parts.next().unwrap_or(Value::Nil))?;
    Ok(Address { host: host.unwrap_or_default(), port }.or_host_of(asked))
}

/// Where an answer `MOVED` sends us, and with which slot.
pub(crate) fn moved(error: &RedisError, asked: &Address) -> Option<(u16, Address)> {
    let (to, slot) = error.redirect_node()?;
    Some((slot, Address::read(to)?.or_host_of(asked))).filter(|_| error.code() == Some("MOVED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::read(text).unwrap()
    }

    /// The examples of the specification of Redis Cluster, and what `CLUSTER KEYSLOT` says.
    #[test]
    fn a_key_lies_in_the_slot_of_its_tag() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"nodes"), crc16(b"nodes") % SLOTS);
        assert_eq!(slot(b"s:{user1000}"), slot(b"{user1000}.followers"));
        assert_eq!(tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(tag(b"foo{bar"), b"foo{bar");
        assert_eq!(slot(b"foo"), 12_182);
    }

    #[test]
    fn addresses_are_read_as_redis_and_people_write_them() {
        assert_eq!(at("10.0.0.1:6379").to_string(), "10.0.0.1:6379");
        assert_eq!(at("::1:6379"), at("[::1]:6379"));
        assert_eq!(at("::1:6379").to_string(), "[::1]:6379");
        assert_eq!(at(":7000").or_host_of(&at("redis-0:6379")), at("redis-0:7000"));
        assert_eq!(Address::read("redis-0"), None);
        assert_eq!(Address::read("redis-0:no"), None);
    }

    #[test]
    fn a_node_draws_the_whole() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| {
            Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(Vec::new())])
        };
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let slots = || {
            Value::Array(vec![
                range(0, 8191, vec![node(text("10.0.0.1"), 7000), node(text("10.0.0.2"), 7001)]),
                range(8192, 16_383, vec![node(Value::Nil, 7002)]),
            ])
        };
        let info = "cluster_state:ok\r\ncluster_current_epoch:6\r\n";
        let drawn = Drawn::read(&at("seed:6379"), info, slots()).unwrap().unwrap();
        assert_eq!(drawn.epoch, 6);
        assert_eq!(
            drawn.ranges,
            [
                Range { first: 0, last: 8191, master: at("10.0.0.1:7000") },
                Range { first: 8192, last: 16_383, master: at("seed:7002") }
            ]
        );
        assert_eq!(drawn.replicas, [at("10.0.0.2:7001")]);
        let alone = Drawn::read(&at("seed:6379"), "cluster_state:fail\r\n", slots()).unwrap();
        assert!(alone.is_none(), "who has no majority behind it says nothing");
    }
}
