-- Prosody as its users have it, with what an export can hold.
run_as_root = true
data_path = "@DIR@/data"
pidfile = "@DIR@/pid"
log = { warn = "@DIR@/log" }
interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
s2s_ports = {}
http_ports = {}
https_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_hashed"
allow_registration = true
archive_expires_after = "never"
modules_enabled = {
	"roster"; "saslauth"; "disco"; "blocklist"; "register"; "ping"; "private"; "vcard_legacy"; "pep"; "offline"; "mam";
}
modules_disabled = { "s2s"; "tls" }
VirtualHost "localhost"
