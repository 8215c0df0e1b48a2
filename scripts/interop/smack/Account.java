// An account of the server under test.

final class Account {
    final String name;
    final String password;

    Account(String name, String password) {
        this.name = name;
        this.password = password;
    }
}
