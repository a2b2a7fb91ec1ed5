// Runs the test classes that JUnit suites list and prints one line for each test: outcome and name.
//
// Decides two things for suites that know only the well-known ports: where a connection to 5672 goes
// (-Dmqd.port), and how long a test class may take (-Dmqd.class.seconds) before it counts as failed and
// is left behind. A test that fails is run again, twice at most (-Dmqd.tries): some win a race against
// the broker's answer, or lose it. Judges nothing. Arguments: names of suites or test classes, then
// "-Name" or "-Name.method" for what is not to be run.

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketAddress;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.net.SocketFactory;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.Request;
import org.junit.runner.manipulation.Filter;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;
import org.junit.runners.Suite;

public class Report {
    private static final int WELL_KNOWN = 5672;
    private static final int PORT = Integer.getInteger("mqd.port");
    private static final int CLASS_SECONDS = Integer.getInteger("mqd.class.seconds", 120);
    private static final int TRIES = Integer.getInteger("mqd.tries", 3);

    public static void main(String[] words) throws Exception {
        // what the clients take when nobody gives them a factory
        java.lang.reflect.Field factory = SocketFactory.class.getDeclaredField("theFactory");
        factory.setAccessible(true);
        factory.set(null, new Redirected());
        Set<String> leftOut = new HashSet<>();
        Set<Class<?>> found = new LinkedHashSet<>();
        for (String word : words) {
            if (word.startsWith("-")) {
                leftOut.add(word.substring(1));
            } else {
                addListed(Class.forName(word), found);
            }
        }
        for (Class<?> tests : found) {
            if (!leftOut.contains(tests.getSimpleName())) {
                run(tests, leftOut);
            }
        }
        System.exit(0); // threads of what was left behind do not hold us up
    }

    private static void addListed(Class<?> suite, Set<Class<?>> found) {
        Suite.SuiteClasses listed = suite.getAnnotation(Suite.SuiteClasses.class);
        if (listed == null) {
            found.add(suite);
        } else {
            Arrays.stream(listed.value()).forEach(each -> addListed(each, found));
        }
    }

    private static void run(Class<?> tests, Set<String> leftOut) throws InterruptedException {
        Set<String> failed = run(Request.aClass(tests), tests.getSimpleName(), leftOut);
        for (int tries = 1; tries < TRIES && !failed.isEmpty(); tries++) {
            Set<String> again = failed;
            Filter only = new Filter() {
                @Override public boolean shouldRun(Description test) {
                    return test.isSuite() || again.contains(name(test));
                }

                @Override public String describe() {
                    return "those that failed";
                }
            };
            failed = run(Request.aClass(tests).filterWith(only), tests.getSimpleName(), leftOut);
        }
        failed.forEach(name -> System.out.println("outcome failed " + name));
    }

    // Says what passed and what was skipped; returns what failed.
    private static Set<String> run(Request request, String name, Set<String> leftOut)
            throws InterruptedException {
        Filter wanted = new Filter() {
            @Override public boolean shouldRun(Description test) {
                return test.isSuite() || !leftOut.contains(name(test));
            }

            @Override public String describe() {
                return "what is to be run";
            }
        };
        Listener listener = new Listener();
        JUnitCore core = new JUnitCore();
        core.addListener(listener);
        Thread thread = new Thread(() -> core.run(request.filterWith(wanted)), name);
        thread.setDaemon(true);
        thread.start();
        thread.join(CLASS_SECONDS * 1000L);
        if (thread.isAlive()) {
            for (StackTraceElement at : thread.getStackTrace()) {
                System.out.println("  at " + at);
            }
            listener.abandon("longer than " + CLASS_SECONDS + " s");
        }
        return new HashSet<>(listener.failed);
    }

    private static String name(Description test) {
        String method = test.getMethodName() == null ? "" : "." + test.getMethodName();
        return test.getTestClass().getSimpleName() + method;
    }

    private static class Listener extends RunListener {
        private final Set<Description> running = ConcurrentHashMap.newKeySet();
        private final Set<Description> over = ConcurrentHashMap.newKeySet();
        private final Set<String> failed = ConcurrentHashMap.newKeySet();
        private volatile boolean abandoned = false;

        private void say(String outcome, Description test) {
            if (!abandoned && over.add(test)) {
                if (outcome.equals("failed")) {
                    failed.add(name(test));
                } else {
                    System.out.println("outcome " + outcome + " " + name(test));
                }
            }
        }

        void abandon(String why) {
            System.out.println(why);
            running.forEach(test -> say("failed", test));
            abandoned = true;
        }

        @Override public void testStarted(Description test) {
            running.add(test);
        }

        @Override public void testFinished(Description test) {
            running.remove(test);
            say("passed", test);
        }

        @Override public void testFailure(Failure failure) {
            if (!abandoned) {
                System.out.println(failure.getDescription() + ": " + failure.getTrace());
            }
            say("failed", failure.getDescription());
        }

        @Override public void testAssumptionFailure(Failure failure) {
            say("skipped", failure.getDescription());
        }

        @Override public void testIgnored(Description test) {
            say("skipped", test);
        }
    }

    private static class RedirectedSocket extends Socket {
        @Override public void connect(SocketAddress to) throws IOException {
            connect(to, 0);
        }

        @Override public void connect(SocketAddress to, int timeout) throws IOException {
            InetSocketAddress address = (InetSocketAddress) to;
            boolean known = address.getPort() == WELL_KNOWN && !address.isUnresolved();
            super.connect(known ? new InetSocketAddress(address.getAddress(), PORT) : to, timeout);
        }
    }

    private static class Redirected extends SocketFactory {
        @Override public Socket createSocket() {
            return new RedirectedSocket();
        }

        @Override public Socket createSocket(String host, int port) throws IOException {
            return createSocket(InetAddress.getByName(host), port);
        }

        @Override public Socket createSocket(InetAddress host, int port) throws IOException {
            Socket socket = createSocket();
            socket.connect(new InetSocketAddress(host, port));
            return socket;
        }

        @Override public Socket createSocket(String host, int port, InetAddress here, int herePort)
                throws IOException {
            throw new IOException("no suite binds its end");
        }

        @Override public Socket createSocket(InetAddress host, int port, InetAddress here, int herePort)
                throws IOException {
            throw new IOException("no suite binds its end");
        }
    }
}
