// XEP-0198: nothing is lost and nothing doubled when the socket is cut, the server is restarted, or it is killed.

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.jivesoftware.smack.packet.Presence;

final class Robust {
    private final Client client;

    Robust(Client client) {
        this.client = client;
        client.test("resumes a cut stream and loses and doubles nothing", this::cut);
        client.test("resumes five times and loses and doubles nothing", this::again);
        if ("starling".equals(System.getenv("INTEROP_KIND"))) {
            client.test("resumes after the server was restarted", this::restarted);
            client.test("loses nothing acknowledged when the server is killed", this::killed);
        }
    }

    private static void restart(String signal) throws Exception {
        String script = Path.of(System.getenv("INTEROP_SCRIPTS"), "server.sh").toString();
        int code = new ProcessBuilder(script, "restart", signal).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
        Client.check(code == 0, "the server was not restarted by " + signal);
    }

    private List<String> numbered(String what, int count) {
        return IntStream.range(0, count).mapToObj(number -> client.run + " " + what + ", " + number).collect(Collectors.toList());
    }

    private Device device(String resource) throws Exception {
        Device device = new Device(client.alice, resource, true).online();
        client.bob.until(() -> client.bob.hasPresence(device.full, Presence.Type.available), "the device's presence");
        Client.check(device.connection.isSmResumptionPossible(), "the server gave no resumption id");
        return device;
    }

    private static void resume(Device device) throws Exception {
        device.connection.connect();
        device.connection.login();
        Client.check(device.connection.streamWasResumed(), "the stream was not resumed");
    }

    private static void heard(Device device, List<String> expected) throws Exception {
        device.settled();
        List<String> heard = device.bodies().stream().filter(expected::contains).collect(Collectors.toList());
        Client.check(heard.equals(expected), device.full + " heard " + heard);
    }

    private void cut() throws Exception {
        Device robust = device("robust");
        Device bob = client.bob;
        String lost = client.run + " said before the cut";
        String after = client.run + " sent after the cut";
        List<String> missed = numbered("in the cut", 3);
        robust.chat(bob.full, lost);
        robust.connection.instantShutdown();
        for (String body : missed) {
            bob.chat(robust.full, body);
        }
        bob.settled();
        resume(robust);
        robust.until(() -> !robust.messages(missed.get(2)).isEmpty(), "the last message sent in the cut");
        bob.until(() -> !bob.messages(lost).isEmpty(), "what was sent just before the cut");
        bob.chat(robust.full, after);
        robust.until(() -> !robust.messages(after).isEmpty(), "a message after the resumption");
        heard(robust, missed);
        heard(bob, List.of(lost));
        Client.check(!bob.hasPresence(robust.full, Presence.Type.unavailable), "Bob saw it go away");
        robust.offline();
    }

    private void again() throws Exception {
        Device robust = device("again");
        List<String> said = new ArrayList<>();
        for (int round = 0; round < 5; round++) {
            String during = client.run + " cut " + round;
            said.addAll(List.of(client.run + " round " + round, during));
            client.bob.chat(robust.full, said.get(2 * round));
            robust.connection.instantShutdown();
            client.bob.chat(robust.full, during);
            client.bob.settled();
            resume(robust);
            robust.until(() -> !robust.messages(during).isEmpty(), "what was sent in the cut");
        }
        heard(robust, said);
        robust.offline();
    }

    private void restarted() throws Exception {
        Device robust = device("restarted");
        String before = client.run + " before the restart";
        client.bob.chat(robust.full, before);
        robust.until(() -> !robust.messages(before).isEmpty(), "a message before the restart");
        restart("TERM");
        robust.until(() -> !robust.connection.isConnected(), "the end of the connection");
        client.bob = new Device(client.bobs, "desk", false).online();
        List<String> missed = numbered("after the restart", 5);
        for (String body : missed) {
            client.bob.chat(robust.full, body);
        }
        client.bob.settled();
        resume(robust);
        robust.until(() -> !robust.messages(missed.get(4)).isEmpty(), "the last message sent while away");
        List<String> all = new ArrayList<>(List.of(before));
        all.addAll(missed);
        heard(robust, all);
        Client.check(!client.bob.hasPresence(robust.full, Presence.Type.unavailable), "Bob saw it go away");
        robust.offline();
    }

    private void killed() throws Exception {
        Device robust = new Device(client.alice, "killed", true).online();
        client.bob.offline();
        List<String> kept = numbered("kept", 20);
        for (String body : kept) {
            robust.chat(client.bob.bare, body);
        }
        robust.acknowledged();
        restart("KILL");
        robust.until(() -> !robust.connection.isConnected(), "the end of the connection");
        client.bob = new Device(client.bobs, "desk", false).online();
        client.bob.until(() -> !client.bob.messages(kept.get(19)).isEmpty(), "the last acknowledged message");
        heard(client.bob, kept);
        robust.connection.connect();
        robust.connection.login();
        String after = client.run + " after the kill";
        robust.chat(client.bob.full, after);
        client.bob.until(() -> !client.bob.messages(after).isEmpty(), "a message after the kill");
        heard(client.bob, List.of(after));
        robust.offline();
    }
}
