// Smack against the server: what a chat client of a person does in a day, each step checked on both sides.

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;

import org.jivesoftware.smack.packet.Message;
import org.jivesoftware.smack.packet.Presence;
import org.jivesoftware.smackx.delay.packet.DelayInformation;
import org.jivesoftware.smackx.carbons.CarbonManager;
import org.jivesoftware.smackx.carbons.packet.CarbonExtension.Direction;
import org.jivesoftware.smackx.mam.MamManager;
import org.jivesoftware.smack.roster.packet.RosterPacket.ItemType;
import org.jxmpp.jid.impl.JidCreate;

/** Alice has a phone and a laptop, Bob has one device. The tests follow one another and share the logins. */
public final class Client {
    interface Steps {
        void run() throws Exception;
    }

    final String run = UUID.randomUUID().toString().substring(0, 6);
    final Account alice = new Account("smack-alice-" + run, UUID.randomUUID().toString());
    final Account bobs = new Account("smack-bob-" + run, UUID.randomUUID().toString());
    final List<String> said = new ArrayList<>();
    Device phone;
    Device laptop;
    Device bob;
    private int failed;

    public static void main(String[] arguments) {
        Client client = new Client();
        client.day();
        System.exit(client.failed == 0 ? 0 : 1);
    }

    private void day() {
        test("registers in-band", this::registers);
        test("is refused a name that is taken", () -> Own.conflicts(bobs));
        test("is refused with a wrong password or an unknown name", this::wrongPassword);
        test("logs in by SCRAM over STARTTLS", this::logsIn);
        test("sets, gets and removes a roster item, pushed to the other device", this::roster);
        test("subscribes both ways", this::subscribes);
        test("sees presence both ways", this::seesPresence);
        test("chats both ways", this::chats);
        test("gets carbons on the second device", this::carbons);
        test("gets an offline message once, with its delay", this::offlineMessage);
        test("finds the chat in both archives, by contact", this::archives);
        test("pages an archive from both ends", this::pages);
        new Own(this);
        new Robust(this);
    }

    void test(String what, Steps steps) {
        try {
            steps.run();
            System.out.println("ok smack: " + what);
        } catch (Exception | AssertionError fault) {
            failed++;
            System.out.println("FAILED smack: " + what + ": " + fault.toString().replace('\n', ' '));
            fault.printStackTrace();
        }
    }

    static void check(boolean claim, String otherwise) {
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

    private void pages() throws Exception {
        var mam = MamManager.getInstanceFor(phone.connection);
        var forward = mam.queryArchive(MamManager.MamQueryArgs.builder().limitResultsToJid(bob.bare).setResultPageSize(2).build());
        List<String> bodies = bodies(forward.getMessages());
        while (!forward.isComplete()) {
            bodies.addAll(bodies(forward.pageNext(2)));
        }
        check(bodies.equals(said), "forwards by two: " + bodies);
        var back = mam.queryMostRecentPage(bob.bare, 2);
        bodies = bodies(back.getMessages());
        while (!back.isComplete()) {
            bodies.addAll(0, bodies(back.pagePrevious(2)));
        }
        check(bodies.equals(said), "backwards by two: " + bodies);
    }

    private static List<String> bodies(List<Message> messages) {
        return messages.stream().map(Message::getBody).collect(Collectors.toCollection(ArrayList::new));
    }

    private void wrongPassword() throws Exception {
        Own.refused(new Account(bobs.name, "not this"));
        Own.refused(new Account("nobody-" + run, "not this"));
    }
}
