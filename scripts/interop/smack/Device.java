// One device of an account: a Smack connection that remembers every stanza it receives and can wait for one.

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

import org.jivesoftware.smack.ConnectionConfiguration.SecurityMode;
import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.packet.Stanza;
import org.jivesoftware.smack.packet.StanzaError;
import org.jivesoftware.smack.roster.Roster;
import org.jivesoftware.smack.tcp.XMPPTCPConnection;
import org.jivesoftware.smack.tcp.XMPPTCPConnectionConfiguration;
import org.jivesoftware.smack.util.TLSUtils;
import org.jivesoftware.smackx.carbons.packet.CarbonExtension;
import org.jivesoftware.smackx.iqregister.AccountManager;
import org.jivesoftware.smackx.ping.PingManager;
import org.jxmpp.jid.EntityBareJid;
import org.jxmpp.jid.EntityFullJid;
import org.jxmpp.jid.Jid;
import org.jxmpp.jid.impl.JidCreate;
import org.jxmpp.jid.parts.Localpart;
import org.jxmpp.jid.parts.Resourcepart;

final class Device {
    static final String DOMAIN = System.getenv("INTEROP_DOMAIN");
    private static final int PATIENCE_MS = 10_000;

    final EntityBareJid bare;
    final EntityFullJid full;
    final XMPPTCPConnection connection;
    final Roster roster;
    private final List<Stanza> stanzas = new CopyOnWriteArrayList<>();
    private final Set<String> unacknowledged = ConcurrentHashMap.newKeySet();
    private final Object news = new Object();

    Device(Account account, String resource, boolean streamManagement) throws Exception {
        bare = JidCreate.entityBareFrom(account.name + "@" + DOMAIN);
        full = JidCreate.entityFullFrom(bare, Resourcepart.from(resource));
        var configuration = address().setUsernameAndPassword(account.name, account.password).setResource(resource);
        connection = new XMPPTCPConnection(configuration.setSendPresence(false).build());
        connection.setUseStreamManagement(streamManagement);
        connection.setUseStreamManagementResumption(streamManagement);
        connection.setReplyTimeout(PATIENCE_MS);
        roster = Roster.getInstanceFor(connection);
        roster.setSubscriptionMode(Roster.SubscriptionMode.manual);
        connection.addSyncStanzaListener(stanza -> remember(() -> stanzas.add(stanza)), stanza -> true);
        connection.addStanzaAcknowledgedListener(stanza -> remember(() -> unacknowledged.remove(stanza.getStanzaId())));
    }

    private void remember(Runnable what) {
        what.run();
        synchronized (news) {
            news.notifyAll();
        }
    }

    private static XMPPTCPConnectionConfiguration.Builder address() throws Exception {
        var builder = XMPPTCPConnectionConfiguration.builder().setXmppDomain(DOMAIN)
            .setHost(System.getenv("INTEROP_HOST")).setPort(Integer.parseInt(System.getenv("INTEROP_PORT")))
            .setSecurityMode(SecurityMode.required);
        // The server's certificate is its own.
        TLSUtils.acceptAllCertificates(builder);
        TLSUtils.disableHostnameVerificationForTlsCertificates(builder);
        return builder;
    }

    static void register(Account account) throws Exception {
        XMPPTCPConnection connection = new XMPPTCPConnection(address().build());
        connection.connect();
        AccountManager.getInstance(connection).createAccount(Localpart.from(account.name), account.password);
        connection.disconnect();
    }

    /** Logged in, the roster fetched, available, and the server has seen it. */
    Device online() throws Exception {
        connection.connect();
        connection.login();
        roster.reloadAndWait();
        available(Presence.Mode.available, null);
        settled();
        return this;
    }

    void offline() {
        connection.disconnect();
    }

    /** A ping behind what was sent: the server has handled all of it, and what it owed before is here. */
    void settled() throws Exception {
        if (!PingManager.getInstanceFor(connection).ping(bare, PATIENCE_MS)) {
            throw new AssertionError("no answer to a ping of " + full);
        }
    }

    /** Waits until the server has acknowledged all chats that were sent (XEP-0198). */
    void acknowledged() throws Exception {
        settled();
        connection.requestSmAcknowledgement();
        until(unacknowledged::isEmpty, "the server's acks");
    }

    void chat(Jid to, String body) throws Exception {
        Message message = connection.getStanzaFactory().buildMessageStanza()
            .to(to).ofType(Message.Type.chat).setBody(body).build();
        unacknowledged.add(message.getStanzaId());
        connection.sendStanza(message);
    }

    void presence(Presence.Type type, Jid to) throws Exception {
        connection.sendStanza(connection.getStanzaFactory().buildPresenceStanza().ofType(type).to(to).build());
    }

    void available(Presence.Mode mode, String status) throws Exception {
        connection.sendStanza(connection.getStanzaFactory().buildPresenceStanza()
            .ofType(Presence.Type.available).setMode(mode).setStatus(status).build());
    }

    /** Looks again with each stanza, and every tenth of a second, since Smack's roster changes after its listeners ran. */
    void until(BooleanSupplier condition, String what) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000L;
        synchronized (news) {
            while (!condition.getAsBoolean()) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError(full + " waited in vain for " + what);
                }
                news.wait(100);
            }
        }
    }

    private List<Message> allMessages() {
        return stanzas.stream().filter(Message.class::isInstance).map(Message.class::cast).collect(Collectors.toList());
    }

    /** Those addressed to this device itself (no carbons, no archive results) with this body. */
    List<Message> messages(String body) {
        return allMessages().stream().filter(one -> body.equals(one.getBody())).collect(Collectors.toList());
    }

    /** Why messages to `to` came back. */
    List<StanzaError.Condition> errors(Jid to) {
        return allMessages().stream().filter(one -> one.getType() == Message.Type.error && to.equals(one.getFrom()))
            .map(one -> one.getError().getCondition()).collect(Collectors.toList());
    }

    List<String> bodies() {
        return allMessages().stream().map(Message::getBody).filter(body -> body != null).collect(Collectors.toList());
    }

    long carbons(String body, CarbonExtension.Direction direction) {
        return allMessages().stream().map(CarbonExtension::from)
            .filter(copy -> copy != null && copy.getDirection() == direction)
            .filter(copy -> body.equals(copy.getForwarded().getForwardedStanza().getBody())).count();
    }

    List<Presence> presences(Jid from, Presence.Type type) {
        return stanzas.stream().filter(Presence.class::isInstance).map(Presence.class::cast)
            .filter(one -> from.equals(one.getFrom()) && one.getType() == type).collect(Collectors.toList());
    }

    boolean hasPresence(Jid from, Presence.Type type) {
        return !presences(from, type).isEmpty();
    }
}
