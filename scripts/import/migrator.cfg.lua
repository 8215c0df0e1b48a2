local vhost = { "accounts", "roster", "vcard", "private", "archive-archive", "pep-pubsub" }
input {
	hosts = { ["localhost"] = vhost };
	type = "internal";
	path = "@DIR@/data";
}
output {
	type = "xep0227";
	path = "@DIR@/export";
}
