//! The least rights of a user of Redis. The tests of this crate run with exactly these.

/// As `ACL SETUSER name on >password …` takes them. What scripts call counts, too.
pub const RIGHTS: &str = "~s:* ~b:* ~d:* ~n:* ~o:* ~t:* ~nodes ~routers ~reports \
    +hget +hset +hdel +hkeys +hgetall +hlen +del +expire +persist +pexpire +evalsha +script|load +time \
    +zadd +zrem +zscore +zcard +zrange +zrangebyscore +sadd +zscan +srem +srandmember +sscan \
    +info +dbsize +config|get +cluster|info +cluster|slots +select";

#[cfg(test)]
mod tests {
    #[test]
    fn operators_are_told_the_same() {
        let page = include_str!("../../../docs/how-to/redis.md");
        assert!(page.contains(super::RIGHTS), "{}", super::RIGHTS);
    }
}
