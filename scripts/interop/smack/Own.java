// What the server keeps and says for an account: discovery, documents, block list, password, and its end.

import java.util.List;
import java.util.UUID;

import org.jivesoftware.smack.XMPPException.XMPPErrorException;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.packet.StanzaError.Condition;
import org.jivesoftware.smack.sasl.SASLErrorException;
import org.jivesoftware.smackx.blocking.BlockingCommandManager;
import org.jivesoftware.smackx.bookmarks.BookmarkManager;
import org.jivesoftware.smackx.caps.EntityCapsManager;
import org.jivesoftware.smackx.csi.ClientStateIndicationManager;
import org.jivesoftware.smackx.disco.ServiceDiscoveryManager;
import org.jivesoftware.smackx.iqlast.LastActivityManager;
import org.jivesoftware.smackx.iqregister.AccountManager;
import org.jivesoftware.smackx.iqversion.VersionManager;
import org.jivesoftware.smackx.ping.PingManager;
import org.jivesoftware.smackx.time.EntityTimeManager;
import org.jivesoftware.smackx.vcardtemp.VCardManager;
import org.jivesoftware.smackx.vcardtemp.packet.VCard;
import org.jxmpp.jid.DomainBareJid;
import org.jxmpp.jid.impl.JidCreate;
import org.jxmpp.jid.parts.Resourcepart;

final class Own {
    private final Client client;
    private final DomainBareJid server = JidCreate.domainBareFromOrThrowUnchecked(Device.DOMAIN);

    Own(Client client) {
        this.client = client;
        client.test("pings the server, the own account and another device", this::pings);
        client.test("discovers the server and the account", this::discovers);
        client.test("knows the caps of the server and of a contact", this::caps);
        client.test("asks the server for version, time and uptime", this::asks);
        client.test("keeps bookmarks in private XML", this::privateXml);
        client.test("shows a vCard", this::vcard);
        client.test("blocks and unblocks a contact", this::blocks);
        client.test("gets messages while inactive", this::inactive);
        client.test("changes the password", this::password);
        client.test("removes the account", this::removal);
    }

    private void pings() throws Exception {
        PingManager ping = PingManager.getInstanceFor(client.phone.connection);
        Client.check(ping.pingMyServer(), "the server does not answer");
        Client.check(ping.ping(client.phone.bare), "the own account does not answer");
        Client.check(ping.ping(client.laptop.full), "the laptop does not answer");
    }

    private void discovers() throws Exception {
        ServiceDiscoveryManager disco = ServiceDiscoveryManager.getInstanceFor(client.phone.connection);
        var info = disco.discoverInfo(server);
        Client.check(info.hasIdentity("server", "im"), "identities " + info.getIdentities());
        for (String feature : List.of("urn:xmpp:ping", "urn:xmpp:carbons:2", "urn:xmpp:blocking")) {
            Client.check(info.containsFeature(feature), "the server does not offer " + feature);
        }
        var account = disco.discoverInfo(client.phone.bare);
        Client.check(account.hasIdentity("account", "registered"), "identities " + account.getIdentities());
        Client.check(account.containsFeature("urn:xmpp:mam:2"), "the account has no archive");
        Client.check(disco.discoverItems(server).getItems() != null, "no items of the server");
    }

    private void caps() throws Exception {
        EntityCapsManager caps = EntityCapsManager.getInstanceFor(client.phone.connection);
        Client.check(caps.areEntityCapsSupportedByServer(), "the server has no caps");
        var known = EntityCapsManager.getNodeVerHashByJid(client.bob.full);
        Client.check(known != null, "Bob's presence had no caps");
        var info = ServiceDiscoveryManager.getInstanceFor(client.phone.connection)
            .discoverInfo(client.bob.full, known.getNodeVer());
        Client.check(EntityCapsManager.verifyDiscoverInfoVersion(known.getVer(), known.getHash(), info), "another ver");
    }

    private void asks() throws Exception {
        var version = VersionManager.getInstanceFor(client.phone.connection).getVersion(server);
        Client.check(List.of("Starling", "Prosody").contains(version.getName()), "name " + version.getName());
        var time = EntityTimeManager.getInstanceFor(client.phone.connection).getTime(server);
        long off = Math.abs(time.getTime().getTime() - System.currentTimeMillis());
        Client.check(off < 60_000, "the server's time is off by " + off + " ms");
        long up = LastActivityManager.getInstanceFor(client.phone.connection).getLastActivity(server).lastActivity;
        Client.check(up >= 0 && up < 3600, "up for " + up + " s");
        var contact = LastActivityManager.getInstanceFor(client.bob.connection).getLastActivity(client.phone.bare);
        Client.check(contact.lastActivity == 0, "a contact who is there was away for " + contact.lastActivity + " s");
    }

    private void privateXml() throws Exception {
        var room = JidCreate.entityBareFrom("room@conference.example.org");
        BookmarkManager.getBookmarkManager(client.phone.connection)
            .addBookmarkedConference("Birds & <more>", room, false, Resourcepart.from("Alice"), null);
        var found = BookmarkManager.getBookmarkManager(client.laptop.connection).getBookmarkedConferences();
        Client.check(found.size() == 1 && found.get(0).getJid().equals(room)
            && found.get(0).getName().equals("Birds & <more>"), "the laptop found " + found.size());
    }

    private void vcard() throws Exception {
        VCard card = new VCard();
        card.setFirstName("Alice");
        card.setNickName("Al & <more>");
        card.setAvatar(new byte[20_000], "image/png");
        VCardManager.getInstanceFor(client.phone.connection).saveVCard(card);
        VCard seen = VCardManager.getInstanceFor(client.bob.connection).loadVCard(client.phone.bare);
        Client.check("Al & <more>".equals(seen.getNickName()), "Bob sees " + seen.toXML());
        Client.check(seen.getAvatar() != null && seen.getAvatar().length == 20_000, "the picture is another");
    }

    private void blocks() throws Exception {
        Device phone = client.phone;
        Device bob = client.bob;
        var blocking = BlockingCommandManager.getInstanceFor(phone.connection);
        Client.check(blocking.isSupportedByServer(), "blocking is not offered");
        int away = bob.presences(phone.full, Presence.Type.unavailable).size();
        blocking.blockContacts(List.of(bob.bare));
        bob.until(() -> bob.presences(phone.full, Presence.Type.unavailable).size() > away, "Alice's unavailable");
        Client.check(blocking.getBlockList().equals(List.of(bob.bare)), "the list is " + blocking.getBlockList());
        bob.chat(phone.bare, client.run + " blocked");
        bob.until(() -> bob.errors(phone.bare).contains(Condition.service_unavailable), "the refusal");
        phone.chat(bob.bare, client.run + " blocked");
        phone.until(() -> phone.errors(bob.bare).contains(Condition.not_acceptable), "the refusal");
        int here = bob.presences(phone.full, Presence.Type.available).size();
        blocking.unblockContacts(List.of(bob.bare));
        bob.until(() -> bob.presences(phone.full, Presence.Type.available).size() > here, "Alice's presence");
        phone.settled();
        Client.check(phone.messages(client.run + " blocked").stream().noneMatch(one -> one.getError() == null),
            "a blocked message came");
    }

    private void inactive() throws Exception {
        Device phone = client.phone;
        Client.check(ClientStateIndicationManager.isSupported(phone.connection), "not offered");
        ClientStateIndicationManager.inactive(phone.connection);
        String body = client.run + " wake up";
        client.bob.chat(phone.full, body);
        client.said.add(body);
        phone.until(() -> phone.messages(body).size() == 1, "a message while inactive");
        ClientStateIndicationManager.active(phone.connection);
        phone.settled();
    }

    private static Account fresh(String name) {
        return new Account("smack-" + name + "-" + UUID.randomUUID().toString().substring(0, 6), UUID.randomUUID().toString());
    }

    private void password() throws Exception {
        Account carol = fresh("carol");
        Device.register(carol);
        Device device = new Device(carol, "first", false).online();
        Account changed = new Account(carol.name, carol.password + " & <more>");
        AccountManager.getInstance(device.connection).changePassword(changed.password);
        refused(carol);
        new Device(changed, "second", false).online().offline();
        device.offline();
    }

    private void removal() throws Exception {
        Account dora = fresh("dora");
        Device.register(dora);
        Device device = new Device(dora, "first", false).online();
        device.chat(client.bob.bare, client.run + " farewell");
        AccountManager.getInstance(device.connection).deleteAccount();
        device.until(() -> !device.connection.isConnected(), "the end of the connection");
        refused(dora);
        client.bob.chat(device.bare, client.run + " too late");
        client.bob.until(() -> client.bob.errors(device.bare).contains(Condition.service_unavailable), "the refusal");
    }

    static void refused(Account account) throws Exception {
        try {
            new Device(account, "thief", false).online();
        } catch (SASLErrorException refused) {
            return;
        }
        throw new AssertionError(account.name + " was let in");
    }

    /** Registering a name that is taken is a conflict (XEP-0077 §3.1). */
    static void conflicts(Account account) throws Exception {
        try {
            Device.register(new Account(account.name, "mine now"));
        } catch (XMPPErrorException refused) {
            Client.check(refused.getStanzaError().getCondition() == Condition.conflict, refused.toString());
            return;
        }
        throw new AssertionError(account.name + " was registered again");
    }
}
