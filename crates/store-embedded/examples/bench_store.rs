//! fjall and redb side by side on the work of an archive: durable inserts, the newest rows, size on disk, kills.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement, not the server"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, TableDefinition};

const ROW: usize = 300;
const OWNERS: u64 = 200;
const INSERTS: u64 = 100_000;
const READS: u64 = 2000;
const NEWEST: usize = 50;
const KILLS: u64 = 20;
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// An archive: groups of rows, each on the disk when `write` returns.
trait Archive {
    fn write(&self, group: &[(Vec<u8>, Vec<u8>)]);
    /// How many of the newest `NEWEST` rows under `owner` there are.
    fn newest(&self, owner: u64) -> usize;
    fn has(&self, key: &[u8]) -> bool;
}

struct Fjall(Database, fjall::Keyspace);

impl Archive for Fjall {
    fn write(&self, group: &[(Vec<u8>, Vec<u8>)]) {
        let mut batch = self.0.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in group {
            batch.insert(&self.1, key.as_slice(), value.as_slice());
        }
        batch.commit().unwrap();
    }
    fn newest(&self, owner: u64) -> usize {
        let rows = self.1.prefix(owner.to_be_bytes()).rev().take(NEWEST);
        rows.map(|row| row.into_inner().unwrap().1.len()).filter(|length| *length == ROW).count()
    }
    fn has(&self, key: &[u8]) -> bool {
        self.1.get(key).unwrap().is_some()
    }
}

struct Redb(redb::Database);

impl Archive for Redb {
    fn write(&self, group: &[(Vec<u8>, Vec<u8>)]) {
        let transaction = self.0.begin_write().unwrap();
        {
            let mut table = transaction.open_table(ROWS).unwrap();
            for (key, value) in group {
                table.insert(key.as_slice(), value.as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    fn newest(&self, owner: u64) -> usize {
        let transaction = self.0.begin_read().unwrap();
        let table = transaction.open_table(ROWS).unwrap();
        let (from, to) = (key(owner, 0), key(owner, u64::MAX));
        let rows = table.range(from.as_slice()..=to.as_slice()).unwrap().rev().take(NEWEST);
        rows.filter(|row| row.as_ref().unwrap().1.value().len() == ROW).count()
    }
    fn has(&self, key: &[u8]) -> bool {
        let transaction = self.0.begin_read().unwrap();
        transaction.open_table(ROWS).is_ok_and(|table| table.get(key).unwrap().is_some())
    }
}

fn open(store: &str, dir: &Path) -> Box<dyn Archive> {
    if store == "redb" {
        return Box::new(Redb(redb::Database::create(dir.join("redb")).unwrap()));
    }
    let database = Database::builder(dir.join("fjall")).worker_threads(1).open().unwrap();
    let options = || KeyspaceCreateOptions::default().max_memtable_size(16 * 1024 * 1024);
    let rows = database.keyspace("rows", options).unwrap();
    Box::new(Fjall(database, rows))
}

fn key(owner: u64, number: u64) -> Vec<u8> {
    [owner.to_be_bytes(), number.to_be_bytes()].concat()
}

/// The rows `from..from + count`, of many owners in turn; their bytes do not compress to nothing.
fn group(from: u64, count: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let value = |number: u64| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'a' + (state % 26) as u8
        };
        (0..ROW).map(byte).collect()
    };
    (from..from + count).map(|number| (key(number % OWNERS, number), value(number))).collect()
}

/// Processor time of this process, in steps of 10 ms: user and system, the fields 14 and 15 of proc(5)'s `stat`.
fn spent() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| {
        let about = entry.metadata().unwrap();
        if about.is_dir() { size(&entry.path()) } else { about.blocks() * 512 }
    };
    entries.map(of).sum()
}

fn measure(store: &str, in_group: u64) {
    let dir = tempfile::tempdir().unwrap();
    let archive = open(store, dir.path());
    let groups: Vec<_> = (0..INSERTS / in_group).map(|at| group(at * in_group, in_group)).collect();
    let mut commits = Vec::with_capacity(groups.len());
    let (begin, before) = (Instant::now(), spent());
    for group in &groups {
        let begin = Instant::now();
        archive.write(group);
        commits.push(begin.elapsed());
    }
    let (wall, busy) = (begin.elapsed(), spent() - before);
    commits.sort_unstable();
    let at =
        |percent: usize| commits[(commits.len() * percent / 100).min(commits.len() - 1)].as_secs_f64() * 1e3;
    let before = spent();
    for read in 0..READS {
        assert_eq!(archive.newest(read % OWNERS), NEWEST);
    }
    let read = (spent() - before).as_secs_f64() * 1e6 / READS as f64;
    let rows = (INSERTS / in_group * in_group) as f64;
    println!(
        "| {store} | {in_group} | {:.0}k | {:.1} | {:.2} / {:.2} | {read:.0} | {:.0} |",
        rows / wall.as_secs_f64() / 1e3,
        busy.as_secs_f64() * 1e6 / rows,
        at(50),
        at(99),
        size(dir.path()) as f64 / 1e6
    );
}

/// Writes groups and tells the number of each that is on the disk, until it is killed.
fn write_on(store: &str, dir: &Path, from: u64) {
    let archive = open(store, dir);
    let mut out = std::io::stdout().lock();
    for number in (from..).step_by(16) {
        archive.write(&group(number, 16));
        writeln!(out, "{}", number + 15).unwrap();
        out.flush().unwrap();
    }
}

/// kill -9 while it writes; then every row that it told of is there.
fn kill_and_verify(store: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (mut next, mut lost) = (0, 0);
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["write", store, dir.path().to_str().unwrap(), &next.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut killed = false;
        for line in told.lines().map_while(Result::ok) {
            next = line.parse::<u64>().unwrap() + 1;
            if !killed && next % 1000 > 100 + round * 37 % 800 {
                child.kill().unwrap(); // what it has told already is still read, to the end of the pipe
                killed = true;
            }
        }
        child.wait().unwrap();
        let archive = open(store, dir.path());
        lost += (0..next).filter(|number| !archive.has(&key(number % OWNERS, *number))).count();
        next = next.div_ceil(1000) * 1000;
        let filler: Vec<u64> =
            (0..next).filter(|number| !archive.has(&key(number % OWNERS, *number))).collect();
        filler
            .chunks(1000)
            .for_each(|some| archive.write(&some.iter().flat_map(|at| group(*at, 1)).collect::<Vec<_>>()));
    }
    println!("{store}: {KILLS} kills, {lost} acknowledged rows lost");
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, write, store, dir, from] = args.as_slice()
        && write == "write"
    {
        return write_on(store, Path::new(dir), from.parse().unwrap());
    }
    if args.get(1).is_some_and(|only| only == "kill") {
        return ["fjall", "redb"].into_iter().for_each(kill_and_verify);
    }
    println!(
        "| store | group | inserts/s | CPU µs an insert | commit p50 / p99 ms | last {NEWEST} rows, CPU µs | MB on disk |"
    );
    println!("|---|---|---|---|---|---|---|");
    for store in ["fjall", "redb"] {
        for in_group in [1, 16, 64, 512] {
            if in_group > 1 {
                measure(store, in_group);
            }
        }
    }
    ["fjall", "redb"].into_iter().for_each(kill_and_verify);
}
