// Smack against the server: what a chat client of a person does in a day, each step checked on both sides.

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;

import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smack.sasl.SASLErrorException;
import org.jivesoftware.smackx.delay.packet.DelayInformation;
import org.jivesoftware.smackx.disco.ServiceDiscoveryManager;
import org.jivesoftware.smackx.carbons.CarbonManager;
import org.jivesoftware.smackx.carbons.packet.CarbonExtension.Direction;
import org.jivesoftware.smackx.mam.MamManager;
import org.jivesoftware.smackx.ping.PingManager;
import org.jivesoftware.smack.roster.packet.RosterPacket.ItemType;
import org.jxmpp.jid.impl.JidCreate;

/** Alice has a phone and a laptop, Bob has one device. The tests follow one another and share the logins. */
public final class Client {
    interface Steps {
        void run() throws Exception;
    }

    private final String run = UUID.randomUUID().toString().substring(0, 6);
    private final Account alice = new Account("smack-alice-" + run, UUID.randomUUID().toString());
    private final Account bobs = new Account("smack-bob-" + run, UUID.randomUUID().toString());
    private final List<String> said = new ArrayList<>();
    private Device phone;
    private Device laptop;
    private Device bob;
    private int failed;

    public static void main(String[] arguments) {
        Client client = new Client();
        client.day();
        System.exit(client.failed == 0 ? 0 : 1);
    }

    private void day() {
        test("registers in-band", this::registers);
        test("logs in by SCRAM over STARTTLS", this::logsIn);
        test("pings the server and the own account", this::pings);
        test("discovers the server and the account", this::discovers);
        test("sets, gets and removes a roster item, pushed to the other device", this::roster);
        test("subscribes both ways", this::subscribes);
        test("sees presence both ways", this::seesPresence);
        test("chats both ways", this::chats);
        test("gets carbons on the second device", this::carbons);
        test("gets an offline message once, with its delay", this::offlineMessage);
        test("finds the chat in both archives, by contact", this::archives);
        test("resumes a cut stream and loses and doubles nothing", this::resumes);
        test("is refused with a wrong password", this::wrongPassword);
    }

    private void test(String what, Steps steps) {
        try {
            steps.run();
            System.out.println("ok smack: " + what);
        } catch (Exception | AssertionError fault) {
            failed++;
            System.out.println("FAILED smack: " + what + ": " + fault.toString().replace('\n', ' '));
            fault.printStackTrace();
        }
    }

    private static void check(boolean claim, String otherwise) {
        if (!claim) {
            throw new AssertionError(otherwise);
        }
    }

    private void registers() throws Exception {
        for (Account account : List.of(alice, bobs)) {
            Device.register(account);
        }
    }

    private void logsIn() throws Exception {
        phone = new Device(alice, "phone", false).online();
        laptop = new Device(alice, "laptop", false).online();
        bob = new Device(bobs, "desk", false).online();
        for (Device device : List.of(phone, laptop, bob)) {
            check(device.connection.getUser().equals(device.full), "bound as " + device.connection.getUser());
            check(device.connection.isSecureConnection(), "without TLS");
            String mechanism = device.connection.getUsedSaslMechansism();
            check(mechanism.startsWith("SCRAM-"), "logged in by " + mechanism);
        }
    }

    private void pings() throws Exception {
        check(PingManager.getInstanceFor(phone.connection).pingMyServer(), "the server does not answer");
        phone.settled();
    }

    private void discovers() throws Exception {
        ServiceDiscoveryManager disco = ServiceDiscoveryManager.getInstanceFor(phone.connection);
        var server = disco.discoverInfo(JidCreate.domainBareFrom(Device.DOMAIN));
        check(server.hasIdentity("server", "im"), "identities " + server.getIdentities());
        for (String feature : List.of("urn:xmpp:ping", "urn:xmpp:carbons:2")) {
            check(server.containsFeature(feature), "the server does not offer " + feature);
        }
        var account = disco.discoverInfo(phone.bare);
        check(account.hasIdentity("account", "registered"), "identities " + account.getIdentities());
        check(account.containsFeature("urn:xmpp:mam:2"), "the account has no archive");
    }

    private void roster() throws Exception {
        var carol = JidCreate.entityBareFrom("carol@" + Device.DOMAIN);
        phone.roster.createItem(carol, "Carol", new String[] {"Friends", "Chess"});
        laptop.until(() -> laptop.roster.getEntry(carol) != null, "the roster push");
        laptop.roster.reloadAndWait();
        var entry = laptop.roster.getEntry(carol);
        Set<String> groups = entry.getGroups().stream().map(group -> group.getName()).collect(Collectors.toSet());
        check("Carol".equals(entry.getName()) && groups.equals(Set.of("Friends", "Chess")), entry + " in " + groups);
        phone.roster.removeEntry(phone.roster.getEntry(carol));
        laptop.until(() -> laptop.roster.getEntry(carol) == null, "the push of the removal");
    }

    private void subscribes() throws Exception {
        for (Device[] pair : new Device[][] {{phone, bob}, {bob, phone}}) {
            Device asker = pair[0];
            Device answerer = pair[1];
            asker.presence(Presence.Type.subscribe, answerer.bare);
            answerer.until(() -> answerer.hasPresence(asker.bare, Presence.Type.subscribe), "the request");
            answerer.presence(Presence.Type.subscribed, asker.bare);
            asker.until(() -> asker.hasPresence(answerer.bare, Presence.Type.subscribed), "the approval");
            asker.until(() -> asker.hasPresence(answerer.full, Presence.Type.available), "presence after the approval");
        }
        for (Device[] pair : new Device[][] {{laptop, bob}, {bob, phone}}) {
            pair[0].until(() -> {
                var entry = pair[0].roster.getEntry(pair[1].bare);
                return entry != null && entry.getType() == ItemType.both;
            }, "the other as both");
        }
    }

    private void seesPresence() throws Exception {
        for (Device[] pair : new Device[][] {{phone, bob}, {bob, laptop}}) {
            pair[0].available(Presence.Mode.away, "lunch with a & b");
            pair[1].until(() -> pair[1].presences(pair[0].full, Presence.Type.available).stream()
                .anyMatch(one -> one.getMode() == Presence.Mode.away && "lunch with a & b".equals(one.getStatus())), "away");
            pair[0].available(Presence.Mode.available, null);
        }
        Device guest = new Device(bobs, "guest", false).online();
        phone.until(() -> phone.hasPresence(guest.full, Presence.Type.available), "the new device");
        guest.offline();
        phone.until(() -> phone.hasPresence(guest.full, Presence.Type.unavailable), "the device's end");
    }

    private void chats() throws Exception {
        said.addAll(List.of(run + " one <>&'\" \uD83D\uDC26", run + " two\nsecond line"));
        phone.chat(bob.full, said.get(0));
        bob.until(() -> bob.messages(said.get(0)).size() == 1, "a chat");
        check(bob.messages(said.get(0)).get(0).getFrom().equals(phone.full), "from another");
        bob.chat(phone.full, said.get(1));
        phone.until(() -> phone.messages(said.get(1)).size() == 1, "the answer");
        check(phone.messages(said.get(1)).get(0).getFrom().equals(bob.full), "from another");
    }

    private void carbons() throws Exception {
        for (Device device : List.of(phone, laptop)) {
            CarbonManager.getInstanceFor(device.connection).enableCarbons();
        }
        String sent = run + " sent";
        String received = run + " received";
        phone.chat(bob.bare, sent);
        laptop.until(() -> laptop.carbons(sent, Direction.sent) == 1, "the sent copy");
        bob.until(() -> bob.messages(sent).size() == 1, "the message itself");
        bob.chat(phone.full, received);
        laptop.until(() -> laptop.carbons(received, Direction.received) == 1, "the received copy");
        phone.until(() -> phone.messages(received).size() == 1, "the message itself");
        phone.settled();
        check(phone.carbons(sent, Direction.sent) + phone.carbons(received, Direction.received) == 0,
            "the device that has the message got a copy of it too");
        said.addAll(List.of(sent, received));
    }

    private void offlineMessage() throws Exception {
        String body = run + " while you were out";
        int before = phone.presences(bob.full, Presence.Type.unavailable).size();
        bob.offline();
        phone.until(() -> phone.presences(bob.full, Presence.Type.unavailable).size() > before, "Bob's end");
        phone.chat(bob.bare, body);
        phone.settled();
        bob = new Device(bobs, "desk", false).online();
        bob.until(() -> !bob.messages(body).isEmpty(), "the offline message");
        check(DelayInformation.from(bob.messages(body).get(0)) != null, "it has no delay");
        bob.settled();
        check(bob.messages(body).size() == 1, "it came " + bob.messages(body).size() + " times");
        bob.offline();
        bob = new Device(bobs, "desk", false).online();
        bob.settled();
        check(bob.messages(body).isEmpty(), "it came again at the next login");
        said.add(body);
    }

    private void archives() throws Exception {
        for (Device[] pair : new Device[][] {{phone, bob}, {bob, phone}}) {
            var query = MamManager.MamQueryArgs.builder().limitResultsToJid(pair[1].bare).setResultPageSize(50).build();
            var found = MamManager.getInstanceFor(pair[0].connection).queryArchive(query);
            List<String> bodies = found.getMessages().stream().map(one -> one.getBody()).collect(Collectors.toList());
            check(bodies.equals(said), pair[0].full + " found " + bodies);
            Set<String> ids = new HashSet<>();
            found.getMamResultExtensions().forEach(result -> ids.add(result.getId()));
            check(ids.size() == said.size(), "two results share an id");
        }
    }

    private void resumes() throws Exception {
        Device robust = new Device(alice, "robust", true).online();
        bob.until(() -> bob.hasPresence(robust.full, Presence.Type.available), "the device's presence");
        check(robust.connection.isSmResumptionPossible(), "the server gave no resumption id");
        String lost = run + " said before the cut";
        String after = run + " sent after the cut";
        List<String> missed = List.of(run + " in the cut, 1", run + " in the cut, 2", run + " in the cut, 3");
        robust.chat(bob.full, lost);
        robust.connection.instantShutdown();
        for (String body : missed) {
            bob.chat(robust.full, body);
        }
        bob.settled();
        robust.connection.connect();
        robust.connection.login();
        check(robust.connection.streamWasResumed(), "the stream was not resumed");
        robust.until(() -> !robust.messages(missed.get(2)).isEmpty(), "the last message sent in the cut");
        bob.until(() -> !bob.messages(lost).isEmpty(), "what was sent just before the cut");
        bob.chat(robust.full, after);
        robust.until(() -> !robust.messages(after).isEmpty(), "a message after the resumption");
        robust.settled();
        bob.settled();
        List<String> heard = robust.bodies().stream().filter(missed::contains).collect(Collectors.toList());
        check(heard.equals(missed), "of those sent in the cut came " + heard);
        check(bob.messages(lost).size() == 1, "Bob has it " + bob.messages(lost).size() + " times");
        check(!bob.hasPresence(robust.full, Presence.Type.unavailable), "Bob saw it go away");
        robust.offline();
    }

    private void wrongPassword() throws Exception {
        try {
            new Device(new Account(bobs.name, "not this"), "thief", false).online();
        } catch (SASLErrorException refused) {
            return;
        }
        throw new AssertionError("was let in");
    }
}
