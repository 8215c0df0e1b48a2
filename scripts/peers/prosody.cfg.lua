-- Prosody on its internal storage: no limits, a cache that holds all accounts of the run, no module that Starling lacks.
run_as_root = true -- the comparison runs as whoever calls it
data_path = "@DIR@/data"
pidfile = "@DIR@/pid"
log = { warn = "@DIR@/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
s2s_ports = {}
http_ports = {}
https_ports = {}
network_settings = { tcp_backlog = 4096 } -- the stock 128 drops connections that come at once
c2s_require_encryption = false
authentication = "internal_hashed"
allow_registration = true
-- The stock 64 thrashes with more accounts: then each message reads a file.
blocklist_cache_size = 100000
-- The stock 10000 refuses what comes after.
storage_archive_item_limit = 1000000
archive_expires_after = "never"
default_archive_policy = true
modules_enabled = {
	"roster"; "saslauth"; "tls"; "disco"; "blocklist"; "carbons"; "smacks"; "ping"; "register"; "version";
	--ARCHIVE "mam";
}
modules_disabled = { "s2s" }
ssl = { certificate = "@DIR@/cert.pem"; key = "@DIR@/key.pem"; }
VirtualHost "localhost"
