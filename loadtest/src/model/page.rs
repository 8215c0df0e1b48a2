//! The tables of docs/explanation/capacity.md.

use super::figures::{self, Figures, Message};
use super::plan::{ASSUMED, Assumed, Plan};
use super::simulate::{self, EVENING, MOVING, PEAK, RESTART, SPREAD};
use std::fmt::Write as _;

/// Connected users.
const USERS: [f64; 3] = [1e6, 1e7, 1e8];
/// An account with very many contacts has so many.
const MANY: f64 = 10_000.0;

/// All tables.
pub(super) fn text(figures: &Figures) -> String {
    let a = &ASSUMED;
    let sparse = USERS.map(|users| Plan::new(users, figures, &figures.sparse, a));
    let busy = USERS.map(|users| Plan::new(users, figures, &figures.busy, a));
    let tables = [
        format!("### What was measured\n\n{}", measured(figures)),
        format!("### What is assumed\n\n{}", assumed(a)),
        format!(
            "### In the busiest hour\n\nEach message is alone on its way: the dear case, `{}`.\n\n{}",
            figures::SPARSE,
            plans(&sparse)
        ),
        format!(
            "The same with what batches save, `{}`: between the two lies what a service sees.\n\n{}",
            figures::BUSY,
            machines(&busy)
        ),
        format!("### A loss, an update, an evening\n\n{}", events(&sparse, figures, a)),
        format!("### Where it bends\n\n{}", bends(&sparse, figures, a)),
    ];
    tables.join("\n")
}

/// Three digits are all that such figures bear.
fn short(number: f64) -> String {
    let scaled = |divisor: f64, unit: &str| format!("{}{unit}", digits(number / divisor));
    match number {
        _ if number >= 1e9 => scaled(1e9, " G"),
        _ if number >= 1e6 => scaled(1e6, " M"),
        _ if number >= 1e4 => scaled(1e3, " k"),
        _ => digits(number),
    }
}

fn digits(number: f64) -> String {
    let decimals = match number {
        _ if number >= 100.0 || number.fract().abs() < f64::EPSILON => 0,
        _ if number >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

fn measured(figures: &Figures) -> String {
    let mut out =
        "| symbol | what | figure | row of [Benchmarks](../benchmarks.md) |\n|---|---|---|---|\n".to_owned();
    let rows = [
        ("K", "memory of an idle connection, TLS", figures.connection, "KiB", figures::IDLE),
        ("L", "CPU of a login with a full TLS handshake", figures.login, "ms", figures::LOGIN),
        ("P", "CPU of a presence, for each contact that is told", figures.presence, "µs", figures::PRESENCE),
    ];
    for (symbol, what, figure, unit, row) in rows {
        let _ = writeln!(out, "| {symbol} | {what} | {} {unit} | `{row}` |", digits(figure));
    }
    let of = |message: &Message| [message.managers, message.routers, message.redis, message.cql].map(digits);
    let (sparse, busy) = (of(&figures.sparse), of(&figures.busy));
    let symbols = ["M", "R", "D", "C"];
    let whats = ["both connection managers", "session routers", "Redis", "the CQL store, one replica"];
    for ((symbol, what), (sparse, busy)) in symbols.iter().zip(whats).zip(sparse.iter().zip(&busy)) {
        let _ = writeln!(
            out,
            "| {symbol} | CPU of a message, {what} | {sparse} µs, with 16 in flight {busy} µs | `{}`, `{}` |",
            figures::SPARSE,
            figures::BUSY
        );
    }
    out
}

fn assumed(a: &Assumed) -> String {
    let rows = [
        ("m", "messages that a connected user sends in the busiest hour", a.messages_per_hour, ""),
        ("l", "connections that a user begins in that hour", a.logins_per_hour, ""),
        ("c", "contacts who are there and are told", a.contacts, ""),
        ("b", "bytes of a message on a client's wire, with TLS and acknowledgements", a.bytes, "B"),
        ("s", "bytes of a session in Redis: itself, its log, its place in the account", a.session_bytes, "B"),
        ("w", "bytes of a row of an archive", a.row_bytes, "B"),
        ("r", "replicas of a row", a.replicas, ""),
        ("d", "days that an archive is kept", a.days, ""),
        ("h", "part of the day's messages that is sent in the busiest hour", a.busiest, ""),
        ("N", "cores of a machine", a.cores, ""),
        ("G", "memory of a machine", a.memory, "GiB"),
        ("B", "network of a machine", a.network, "Gbit/s"),
        ("S", "disk of a machine of the CQL store", a.disk, "TiB"),
        ("u", "part of each of these that is used in the busiest hour", a.used, ""),
        ("g", "memory of a Redis process", a.shard, "GiB"),
        ("f", "sockets of a connection manager", a.sockets, ""),
    ];
    let mut out = "| symbol | what | value |\n|---|---|---|\n".to_owned();
    for (symbol, what, value, unit) in rows {
        let _ = writeln!(out, "| {symbol} | {what} | {} {unit} |", short(value));
    }
    out.replace("  |", " |")
}

/// A line of a table: what, by which formula, and its value for each number of users.
type Line = (&'static str, &'static str, fn(&Plan) -> f64, &'static str);

fn table(plans: &[Plan], lines: &[Line]) -> String {
    let mut out = "| | formula |".to_owned();
    plans.iter().for_each(|plan| out.push_str(&format!(" {} users |", short(plan.users))));
    let _ = writeln!(out, "\n|---|---|{}", "---|".repeat(plans.len()));
    for (what, formula, value, unit) in lines {
        let _ = write!(out, "| {what} | {formula} |");
        plans.iter().for_each(|plan| {
            out.push_str(&format!(" {} |", format!("{} {unit}", short(value(plan))).trim()));
        });
        out.push('\n');
    }
    out
}

const MACHINES: [Line; 5] = [
    (
        "**connection managers**",
        "most of cores ÷ uN, memory ÷ uG, wires ÷ uB, U ÷ f; and one",
        |plan| plan.managers,
        "",
    ),
    ("**session routers**", "most of cores ÷ uN, wires ÷ uB; and one", |plan| plan.routers, ""),
    ("**Redis shards**, one thread each", "most of cores ÷ u, memory ÷ g", |plan| plan.shards, ""),
    ("**CQL nodes**", "most of cores ÷ uN, archives ÷ uS, r", |plan| plan.nodes, ""),
    ("links", "managers · routers", |plan| plan.links, ""),
];

fn machines(plans: &[Plan]) -> String {
    table(plans, &MACHINES)
}

fn plans(plans: &[Plan]) -> String {
    let needs: [Line; 13] = [
        ("messages", "x = U·m ÷ 3600", |plan| plan.messages, "/s"),
        ("connections that begin", "y = U·l ÷ 3600", |plan| plan.logins, "/s"),
        ("presences told", "p = 2·y·c", |plan| plan.presences, "/s"),
        ("managers", "x·M + y·L", |plan| plan.manager_cores, "cores"),
        ("routers", "x·R + p·P", |plan| plan.router_cores, "cores"),
        ("Redis", "x·D", |plan| plan.redis_cores, "cores"),
        ("CQL store", "x·C·r", |plan| plan.cql_cores, "cores"),
        ("managers", "U·K", |plan| plan.manager_memory, "GiB"),
        ("Redis", "U·s", |plan| plan.redis_memory, "GiB"),
        ("archives, two for each message", "x·3600 ÷ h·d·2·w·r", |plan| plan.archive, "TiB"),
        ("clients' wires", "(2·x + p)·b·8", |plan| plan.clients_bandwidth, "Gbit/s"),
        ("links, at most", "the same", |plan| plan.links_bandwidth, "Gbit/s"),
        ("links of one router", "managers", |plan| plan.managers, ""),
    ];
    table(plans, &[&needs[..], &MACHINES[..]].concat())
}

fn events(plans: &[Plan; 3], figures: &Figures, a: &Assumed) -> String {
    let mut out = format!(
        "Second by second. **Loss**: a manager dies, and its clients knock at the others within {SPREAD} s. **Update**: managers are replaced one after \
         another; sessions move with {:.0}% of the CPU of those that stay, each for the price of a login, which is more than resuming takes, and a \
         start takes {RESTART} s. **Evening**: within {:.0} h messages become {PEAK} times as many as planned, and fewer again.\n\n",
        MOVING * 100.0,
        f64::from(EVENING) / 3600.0
    );
    out.push_str("| users | loss: clients | back after | busiest second | update: moved | each manager | all | evening: full first | at | longest wait | for |\n");
    let _ = writeln!(out, "|{}", "---|".repeat(11));
    for plan in plans {
        let loss = simulate::loss(plan, figures, a);
        let update = simulate::update(plan, figures, a);
        let evening = simulate::evening(plan, a);
        let _ = writeln!(
            out,
            "| {} | {} | {} s | {:.0}% of CPU | {}/s | {} s | {} h | {} | {} times | {} s | {} min |",
            short(plan.users),
            short(loss.clients),
            loss.seconds,
            loss.busiest * 100.0,
            short(update.pace),
            digits(update.each),
            digits(update.hours),
            evening.first,
            digits(evening.times),
            short(evening.delay),
            digits(evening.minutes),
        );
    }
    out
}

fn bends(plans: &[Plan; 3], figures: &Figures, a: &Assumed) -> String {
    let last = &plans[2];
    let own = 1e6 / figures.sparse.redis;
    let batched = 1e6 / figures.busy.redis;
    let mut out = "| what | formula | figure |\n|---|---|---|\n".to_owned();
    let rows = [
        (
            "links of one router at 100 million users",
            "managers",
            format!("{}; {} in all", short(last.managers), short(last.links)),
        ),
        (
            "messages for one account, whose slot has one thread of Redis",
            "1 ÷ D",
            format!("{}/s, in batches {}/s", short(own), short(batched)),
        ),
        (
            "an account with 10,000 contacts comes online",
            "10,000·P",
            format!("{} ms of one core", digits(MANY * figures.presence / 1000.0)),
        ),
        (
            "users that one Redis thread serves",
            "3600·u ÷ (m·D)",
            short(3600.0 * a.used * 1e6 / (a.messages_per_hour * figures.sparse.redis)),
        ),
        (
            "users that one machine of the CQL store serves by CPU",
            "3600·u·N ÷ (m·C·r)",
            short(3600.0 * a.used * a.cores * 1e6 / (a.messages_per_hour * figures.sparse.cql * a.replicas)),
        ),
    ];
    for (what, formula, figure) in rows {
        let _ = writeln!(out, "| {what} | {formula} | {figure} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figures::tests::PAGE;

    #[test]
    fn numbers_have_three_digits() {
        let numbers = [0.5, 7.0, 12.34, 999.9, 9999.0, 12_345.0, 1.5e6, 1e8, 2.5e9].map(short);
        assert_eq!(numbers, ["0.50", "7", "12.3", "1000", "9999", "12.3 k", "1.50 M", "100 M", "2.50 G"]);
    }

    #[test]
    fn the_tables_have_a_column_for_each_number_of_users_and_no_number_is_missing() {
        let text = text(&Figures::read(PAGE).unwrap());
        assert!(text.contains("| 1 M users | 10 M users | 100 M users |"), "{text}");
        assert!(text.contains("| K | memory of an idle connection, TLS | 10 KiB | `idle-tls` |"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
