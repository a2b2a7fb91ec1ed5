"""Logins and permissions, with RabbitMQ's reasons for a refusal."""

import pytest

from mqd import limits
from mqd.amqp.replies import ChannelError, ReplyCode
from mqd.auth.access import Access, LoginRefused
from mqd.auth.passwords import hash_password
from mqd.auth.permissions import Permission, TopicPermission
from mqd.auth.sasl import Credentials
from mqd.auth.users import User
from mqd.errors import ErrorCode
from mqd.names import Resource

QUEUE = Resource("queue", "/", "orders")


class Book:
    """A directory of dicts that counts how often it is asked for permissions."""

    def __init__(self):
        self.users = {}
        self.permissions = {}
        self.topics = {}
        self.asked_count = 0

    def user(self, name):
        return self.users.get(name)

    def permission(self, user, vhost):
        self.asked_count += 1
        return self.permissions.get((user, vhost))

    def topic_permission(self, user, vhost, exchange):
        return self.topics.get((user, vhost, exchange))


@pytest.fixture
def book():
    book = Book()
    for name in ("guest", "u1"):
        book.users[name] = User(name, hash_password("pw"))
    book.permissions["u1", "/"] = Permission("^o", "", ".*")
    return book


@pytest.fixture
def access(book):
    return Access(book)


def refused(access, name, password, loopback=True):
    with pytest.raises(LoginRefused) as caught:
        access.authenticate(Credentials(name, password), loopback)
    assert caught.value.code is ErrorCode.CREDENTIALS
    assert caught.value.username == name
    return caught.value.detail


def test_login(access, book):
    assert access.authenticate(Credentials("guest", b"pw"), True) is book.users["guest"]
    assert access.authenticate(Credentials("u1", b"pw"), False) is book.users["u1"]


@pytest.mark.parametrize("name", ["guest", "nobody", ""])
def test_wrong_password_and_unknown_user_read_the_same(access, name):
    assert refused(access, name, b"wrong") == f"user '{name}' - invalid credentials"


def test_blank_password_is_refused_with_its_own_reason(access, book):
    book.users["blank"] = User("blank", hash_password(""))

    assert refused(access, "blank", b"").startswith(
        "user 'blank' attempted to log in with a blank password, which is prohibited by the "
        "internal authN backend. To use TLS/x509"
    )


def test_cleared_password_lets_nobody_in(access, book):
    book.users["u1"] = User("u1")

    assert refused(access, "u1", b"pw") == "user 'u1' - invalid credentials"


def test_loopback_user_from_elsewhere(access):
    assert refused(access, "guest", b"pw", False) == "user 'guest' can only connect via localhost"
    # who does not know the password does not learn about the rule
    assert refused(access, "guest", b"no", False) == "user 'guest' - invalid credentials"


def test_loopback_users_may_be_a_function_and_empty(book):
    names = {"u1"}
    access = Access(book, lambda: names)

    access.authenticate(Credentials("guest", b"pw"), False)
    assert "localhost" in refused(access, "u1", b"pw", False)
    names.clear()
    access.authenticate(Credentials("u1", b"pw"), False)


def test_vhost_needs_a_row_of_permissions_be_they_empty(access, book):
    book.permissions["u1", "empty"] = Permission("", "", "")

    assert access.vhost_allowed("u1", "/")
    assert access.vhost_allowed("u1", "empty")
    assert not access.vhost_allowed("u1", "other")
    assert not access.vhost_allowed("guest", "/")


def test_check_looks_at_the_permission_asked_for(access):
    assert access.check("u1", QUEUE, "configure")
    assert not access.check("u1", QUEUE, "write")
    assert access.check("u1", QUEUE, "read")
    assert not access.check("u1", Resource("queue", "/", "no"), "configure")
    assert not access.check("u1", Resource("queue", "other", "orders"), "read")
    assert not access.check("guest", QUEUE, "read")


def test_default_exchange_goes_by_amq_default(access, book):
    book.permissions["u1", "/"] = Permission("", r"^amq\.default$", "^$")
    default = Resource("exchange", "/", "")

    assert access.check("u1", default, "write")
    assert not access.check("u1", default, "read")
    assert access.check("u1", Resource("queue", "/", ""), "read")  # queues have no such alias


def test_answers_are_remembered_until_something_changes(access, book):
    for _ in range(3):
        assert access.check("u1", QUEUE, "read")
    assert book.asked_count == 1

    book.permissions["u1", "/"] = Permission("", "", "")
    assert access.check("u1", QUEUE, "read")  # nobody has told
    before = access.version
    access.changed()
    assert not access.check("u1", QUEUE, "read")
    assert access.version > before


def test_memory_of_answers_is_bounded(access, book, monkeypatch):
    monkeypatch.setattr("mqd.auth.access.PERMISSION_CACHE_ENTRIES_MAX", 10)

    for number in range(1000):
        assert access.check("u1", Resource("queue", "/", f"o{number}"), "configure")
        assert len(access._answers) <= 10
    assert limits.PERMISSION_CACHE_ENTRIES_MAX > 1000


def test_require_says_who_and_what(access):
    access.require("u1", QUEUE, "configure")
    with pytest.raises(ChannelError) as caught:
        access.require("u1", QUEUE, "write")
    assert caught.value.code is ReplyCode.ACCESS_REFUSED
    assert caught.value.text == "access to queue 'orders' in vhost '/' refused for user 'u1'"
    with pytest.raises(ChannelError, match=r"access to exchange 'amq\.default' in vhost '/' refu"):
        access.require("u1", Resource("exchange", "/", ""), "write")


def test_topics_are_free_where_nothing_is_laid_down(access):
    assert access.check_topic("u1", "/", "amq.topic", "write", "any.key")


def test_topic_permission_by_direction_with_variables(access, book):
    book.topics["u1", "/", "t"] = TopicPermission(r"^{username}\.{vhost}x$", "")

    assert access.check_topic("u1", "/", "t", "write", "u1./x")
    assert not access.check_topic("u1", "/", "t", "write", "u2./x")
    assert not access.check_topic("u1", "/", "t", "read", "u1./x")
    assert access.check_topic("u1", "/", "t", "read", "")
    assert access.check_topic("u1", "/", "other", "write", "u2")
    with pytest.raises(ChannelError) as caught:
        access.require_topic("u1", "/", "t", "write", "zz")
    assert caught.value.text == (
        "access to topic 'zz' in exchange 't' in vhost '/' refused for user 'u1'"
    )


def test_broken_expression_from_a_file_grants_nothing(access, book):
    book.permissions["u1", "/"] = Permission("(", "*", ".*")

    assert not access.check("u1", QUEUE, "configure")
    assert not access.check("u1", QUEUE, "write")
    assert access.check("u1", QUEUE, "read")


def test_impersonator_is_a_tag():
    assert User("u", tags=("impersonator",)).is_impersonator
    assert not User("u", tags=("administrator",)).is_impersonator
